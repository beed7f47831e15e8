//! The last event of each conversation whose identity is only a hash of its content: what the next one of this kind repeats, or
//! comes after.

use rusqlite::{Connection, OptionalExtension};

use super::seen;

/// The last one of a conversation.
pub(super) struct Latest {
    pub(super) position: u64,
    pub(super) received: i64,
    id: String,
}

impl Latest {
    /// Whether it has this identity, or is a repetition of one that has it.
    pub(super) fn is(&self, id: &str) -> bool {
        self.id.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
    }

    /// The identity of an event that was told before, and again after this one.
    pub(super) fn repeated(&self, id: &str) -> String {
        format!("{id}@{}", self.position)
    }
}

pub(super) fn find(connection: &Connection, key: Option<&str>) -> rusqlite::Result<Option<Latest>> {
    connection
        .prepare_cached("SELECT position, received, id FROM latest JOIN event USING (position) WHERE lane = ?")?
        .query_row([lane(key)], |row| {
            Ok(Latest { position: row.get::<_, i64>(0)?.cast_unsigned(), received: row.get(1)?, id: row.get(2)? })
        })
        .optional()
}

pub(super) fn put(connection: &Connection, key: Option<&str>, position: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO latest (lane, position) VALUES (?, ?)")?
        .execute([lane(key), position.cast_signed()])?;
    Ok(())
}

/// The event at this position goes.
pub(super) fn remove(connection: &Connection, key: &str, position: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM latest WHERE lane = ? AND position = ?")?
        .execute([lane(Some(key)), position])?;
    Ok(())
}

/// Where two keys have the same hash, more is kept than must be.
fn lane(key: Option<&str>) -> i64 {
    seen::hash(key.unwrap_or_default())
}
