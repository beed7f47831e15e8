//! Looking into the database.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, ToSql, params};

use super::file;
use super::seen;
use super::time::{from_millis, to_millis};
use super::writer::Failure;
use super::{SEGMENT, Shared};
use crate::delivery::{DeadClass, State};
use crate::error::JournalError;
use crate::look::{AttemptMade, AuditEntry, DeadFilter, DeadLetter, Filter, Kept, Summary, TargetHistory};
use crate::record::{Position, Record};

/// Connections kept for the next who reads.
const MAX_IDLE: usize = 4;

/// So many steps of `SQLite` between two looks whether who reads is to stop.
const STEPS: i32 = 10_000;

/// Connections of those who read.
pub(super) struct Readers {
    shared: Arc<Shared>,
    /// None: closed.
    idle: RwLock<Option<Mutex<Vec<Connection>>>>,
    is_closing: Arc<AtomicBool>,
}

impl Readers {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, idle: RwLock::new(Some(Mutex::default())), is_closing: Arc::default() }
    }

    /// Reads, on a thread that may block.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        let open = self.idle.read().unwrap_or_else(PoisonError::into_inner);
        let Some(idle) = &*open else { return Err(JournalError::Closed) };
        let idle = || idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let connection = kept.map_or_else(|| self.connect(), Ok).map_err(|error| self.failed(error))?;
        let found = look(&connection).map_err(|error| self.failed(error));
        let mut idle = idle();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        found
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let mut connection = file::connect_reader(&self.shared.path)?;
        let is_closing = Arc::clone(&self.is_closing);
        connection.progress_handler(STEPS, Some(move || is_closing.load(Ordering::Relaxed)))?;
        Ok(connection)
    }

    fn failed(&self, error: rusqlite::Error) -> JournalError {
        if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
            return JournalError::Closed;
        }
        let failure = Failure::from(error);
        if let Failure::Damaged(_) = failure {
            self.shared.failed(&failure);
        }
        JournalError::from(&failure)
    }

    /// Stops those who read, and closes.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        *self.idle.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The columns of `record`.
pub(super) const RECORD: &str = "position, id, app, command, key, received, decoded, query, body, answer, by_content";

/// An event with its bytes.
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<(u64, Record)> {
    let record = Record {
        id: row.get(1)?,
        app: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
        command: row.get(3)?,
        key: row.get(4)?,
        received: from_millis(row.get(5)?),
        decoded: row.get(6)?,
        query: row.get(7)?,
        body: row.get::<_, Vec<u8>>(8)?.into(),
        answer: row.get::<_, Option<Vec<u8>>>(9)?.map(Bytes::from),
        by_content: row.get(10)?,
    };
    Ok((row.get::<_, i64>(0)?.cast_unsigned(), record))
}

/// Conditions of a query with their values.
#[derive(Default)]
struct Conditions {
    sql: String,
    values: Vec<Box<dyn ToSql>>,
}

impl Conditions {
    fn and(&mut self, condition: &str, value: impl ToSql + 'static) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.push(Box::new(value));
    }

    fn and_one_of(&mut self, column: &str, values: &[String]) {
        if values.is_empty() {
            return;
        }
        let places = vec!["?"; values.len()].join(", ");
        self.sql.push_str(&format!(" AND {column} IN ({places})"));
        for value in values {
            self.values.push(Box::new(value.clone()));
        }
    }
}

fn target_id(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached("SELECT id FROM target WHERE name = ?")?.query_row([name], |row| row.get(0)).optional()
}

/// Events, newest first; none: no such target. Reads segment by segment, so that the log can be folded in between.
pub(super) fn events(connection: &Connection, filter: &Filter) -> rusqlite::Result<Option<Vec<Summary>>> {
    let mut conditions = Conditions::default();
    if let Some(since) = filter.since {
        conditions.and("received >= ?", to_millis(since));
    }
    if let Some(until) = filter.until {
        conditions.and("received < ?", to_millis(until));
    }
    if let Some(before) = filter.before {
        conditions.and("position < ?", before.0.min(i64::MAX as u64).cast_signed());
    }
    if let Some(key) = &filter.key {
        conditions.and("key = ?", key.clone());
    }
    conditions.and_one_of("command", &filter.commands);
    if let Some((target, state)) = &filter.state {
        let target = match target {
            None => None,
            Some(name) => match target_id(connection, name)? {
                None => return Ok(None),
                id => id,
            },
        };
        conditions.and(in_state(*state), target);
    }
    if let Some(contains) = &filter.contains {
        conditions.and("instr(body, ?)", contains.as_bytes().to_vec());
    }
    let mut find = connection.prepare(&format!(
        "SELECT position, id, app, command, key, received, octet_length(body), decoded FROM event
         WHERE position BETWEEN ? AND ?{} ORDER BY position DESC LIMIT ?",
        conditions.sql
    ))?;
    let targets = targets(connection)?;
    let mut found: Vec<Summary> = Vec::new();
    for number in segments(connection, filter)? {
        let range = [number * SEGMENT.cast_signed(), (number + 1) * SEGMENT.cast_signed() - 1];
        let left = i64::try_from(filter.limit - found.len()).unwrap_or(i64::MAX);
        let values = range.iter().map(|bound| bound as &dyn ToSql);
        let values = values.chain(conditions.values.iter().map(|value| &**value)).chain([&left as &dyn ToSql]);
        let mut rows = find.query(rusqlite::params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            found.push(Summary {
                position: Position(row.get::<_, i64>(0)?.cast_unsigned()),
                id: row.get(1)?,
                app: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
                command: row.get(3)?,
                key: row.get(4)?,
                received: from_millis(row.get(5)?),
                size: row.get::<_, i64>(6)?.unsigned_abs(),
                decoded: row.get(7)?,
                targets: Vec::new(),
            });
        }
        if found.len() >= filter.limit {
            break;
        }
    }
    for summary in &mut found {
        for target in &targets {
            if let Some(state) = state_of(connection, target, summary.position)?.state {
                summary.targets.push((target.name.clone(), state));
            }
        }
    }
    Ok(Some(found))
}

/// Which segments may have some, newest first.
fn segments(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<i64>> {
    if filter.limit == 0 {
        return Ok(Vec::new());
    }
    let before = filter.before.map_or(i64::MAX as u64, |before| before.0.min(i64::MAX as u64));
    connection
        .prepare_cached(
            "SELECT number FROM segment WHERE newest >= ? AND oldest < ? AND number <= ? ORDER BY number DESC",
        )?
        .query_map(
            params![
                filter.since.map_or(i64::MIN, to_millis),
                filter.until.map_or(i64::MAX, to_millis),
                (before / SEGMENT).cast_signed()
            ],
            |row| row.get(0),
        )?
        .collect()
}

/// The condition for events in a state, with the target, or none for any, as its one value.
fn in_state(state: State) -> &'static str {
    match state {
        State::Dead => {
            "EXISTS (SELECT 1 FROM delivery d WHERE d.position = event.position AND d.state = 'dead' AND d.target = coalesce(?, d.target))"
        }
        State::Retrying => {
            "EXISTS (SELECT 1 FROM delivery d WHERE d.position = event.position AND d.state = 'retrying' AND d.target = coalesce(?, d.target))"
        }
        State::Delivered => {
            "EXISTS (SELECT 1 FROM attempt a WHERE a.position = event.position AND a.target = coalesce(?, a.target)
             AND a.led_to = 'delivered' AND NOT EXISTS
             (SELECT 1 FROM delivery d WHERE d.position = event.position AND d.target = a.target))"
        }
        State::Pending => {
            "EXISTS (SELECT 1 FROM target t WHERE t.id = coalesce(?, t.id) AND t.configured AND
             coalesce((SELECT d.state = 'waiting' FROM delivery d WHERE d.position = event.position AND d.target = t.id),
                      t.cursor < event.position AND NOT EXISTS
                      (SELECT 1 FROM attempt a WHERE a.position = event.position AND a.target = t.id)))"
        }
    }
}

struct TargetRow {
    id: i64,
    name: String,
    is_configured: bool,
    cursor: i64,
}

fn targets(connection: &Connection) -> rusqlite::Result<Vec<TargetRow>> {
    connection
        .prepare_cached("SELECT id, name, configured, cursor FROM target ORDER BY name")?
        .query_map([], |row| {
            Ok(TargetRow { id: row.get(0)?, name: row.get(1)?, is_configured: row.get(2)?, cursor: row.get(3)? })
        })?
        .collect()
}

/// How far an event is with a target, without the attempts.
fn state_of(connection: &Connection, target: &TargetRow, position: Position) -> rusqlite::Result<TargetHistory> {
    let at = [position.0.cast_signed(), target.id];
    type Found = (String, Option<i64>, Option<String>);
    let row: Option<Found> = connection
        .prepare_cached("SELECT state, due, class FROM delivery WHERE position = ? AND target = ?")?
        .query_row(at, |row| row.try_into())
        .optional()?;
    let (mut due, mut class) = (None, None);
    let state = match row {
        Some((state, at, of)) => {
            due = at.map(from_millis);
            class = of.and_then(|class| class.parse().ok());
            // `waiting` is the one name that is not the state's own.
            Some(state.parse().unwrap_or(State::Pending))
        }
        None => {
            let last: Option<String> = connection
                .prepare_cached(
                    "SELECT led_to FROM attempt WHERE position = ? AND target = ? ORDER BY number DESC LIMIT 1",
                )?
                .query_row(at, |row| row.get(0))
                .optional()?;
            match last.as_deref() {
                Some("delivered") => Some(State::Delivered),
                // A dead letter that was given up.
                Some(_) => None,
                None => (target.is_configured && target.cursor.cast_unsigned() < position.0).then_some(State::Pending),
            }
        }
    };
    Ok(TargetHistory { target: target.name.clone(), state, due, class, attempts: Vec::new() })
}

pub(super) fn event(connection: &Connection, position: Position) -> rusqlite::Result<Option<Kept>> {
    let snapshot = connection.unchecked_transaction()?;
    let Ok(at) = i64::try_from(position.0) else { return Ok(None) };
    let found = snapshot
        .prepare_cached(&format!("SELECT {RECORD} FROM event WHERE position = ?"))?
        .query_row([at], record)
        .optional()?;
    let Some((_, record)) = found else { return Ok(None) };
    let mut histories = Vec::new();
    for target in targets(&snapshot)? {
        let mut history = state_of(&snapshot, &target, position)?;
        history.attempts = attempts(&snapshot, at, target.id)?;
        if history.state.is_some() || !history.attempts.is_empty() {
            histories.push(history);
        }
    }
    Ok(Some(Kept { position, record, targets: histories }))
}

fn attempts(connection: &Connection, position: i64, target: i64) -> rusqlite::Result<Vec<AttemptMade>> {
    connection
        .prepare_cached(
            "SELECT at, took, led_to, detail FROM attempt WHERE position = ? AND target = ? ORDER BY number",
        )?
        .query_map([position, target], |row| {
            Ok(AttemptMade {
                at: from_millis(row.get(0)?),
                took: Duration::from_millis(row.get::<_, i64>(1)?.unsigned_abs()),
                led_to: row.get_ref(2)?.as_str()?.parse().unwrap_or(State::Pending),
                detail: row.get(3)?,
            })
        })?
        .collect()
}

/// Dead letters, newest event first; none: no such target.
pub(super) fn dead_letters(connection: &Connection, filter: &DeadFilter) -> rusqlite::Result<Option<Vec<DeadLetter>>> {
    let mut conditions = Conditions::default();
    if let Some(name) = &filter.target {
        let Some(id) = target_id(connection, name)? else { return Ok(None) };
        conditions.and("d.target = ?", id);
    }
    if let Some(class) = filter.class {
        let class: &'static str = class.into();
        conditions.and("d.class = ?", class);
    }
    if let Some(since) = filter.since {
        conditions.and("event.received >= ?", to_millis(since));
    }
    if let Some(until) = filter.until {
        conditions.and("event.received < ?", to_millis(until));
    }
    if let Some(key) = &filter.key {
        conditions.and("d.lane = ?", seen::hash(key));
        conditions.and("event.key = ?", key.clone());
    }
    if let Some(before) = filter.before {
        conditions.and("d.position < ?", before.0.min(i64::MAX as u64).cast_signed());
    }
    conditions.and_one_of("event.command", &filter.commands);
    if let Some(contains) = &filter.contains {
        conditions.and("instr(event.body, ?)", contains.as_bytes().to_vec());
    }
    conditions.values.push(Box::new(i64::try_from(filter.limit).unwrap_or(i64::MAX)));
    let mut find = connection.prepare(&format!(
        "SELECT d.position, target.name, d.class, d.cause, d.attempts, d.last_attempt,
                event.id, event.command, event.key, event.received
         FROM delivery d JOIN target ON target.id = d.target JOIN event ON event.position = d.position
         WHERE d.state = 'dead'{} ORDER BY d.position DESC, target.name LIMIT ?",
        conditions.sql
    ))?;
    find.query_map(rusqlite::params_from_iter(conditions.values.iter().map(|value| &**value)), |row| {
        Ok(DeadLetter {
            position: Position(row.get::<_, i64>(0)?.cast_unsigned()),
            target: row.get(1)?,
            class: row.get_ref(2)?.as_str()?.parse().unwrap_or(DeadClass::Gateway),
            cause: row.get(3)?,
            attempts: row.get(4)?,
            died: from_millis(row.get(5)?),
            id: row.get(6)?,
            command: row.get(7)?,
            key: row.get(8)?,
            received: from_millis(row.get(9)?),
        })
    })?
    .collect::<rusqlite::Result<Vec<_>>>()
    .map(Some)
}

pub(super) fn audit(connection: &Connection, before: Option<u64>, limit: usize) -> rusqlite::Result<Vec<AuditEntry>> {
    let mut find = connection.prepare_cached(
        "SELECT at, by, action, position, target, number FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?",
    )?;
    let number = |number| i64::try_from(number).unwrap_or(i64::MAX);
    let values = [number(before.unwrap_or(u64::MAX)), number(limit as u64)];
    let rows = find.query_map(values, |row| {
        let entry = row.get_ref(2)?.as_str()?.parse().ok().map(|action| -> rusqlite::Result<_> {
            Ok(AuditEntry {
                number: row.get::<_, i64>(5)?.cast_unsigned(),
                at: from_millis(row.get(0)?),
                by: row.get(1)?,
                action,
                position: Position(row.get::<_, i64>(3)?.cast_unsigned()),
                target: row.get(4)?,
            })
        });
        entry.transpose()
    })?;
    rows.filter_map(Result::transpose).collect()
}

/// What the database says of a target.
#[derive(Default)]
pub(super) struct Counted {
    /// Events after the cursor that are neither settled nor have a row, when nobody reads them.
    pub(super) unread: u64,
    /// Rows that wait.
    pub(super) waiting: u64,
    pub(super) retrying: u64,
    pub(super) dead: u64,
    /// The first row that waits, or the first event after the cursor.
    pub(super) first: Option<u64>,
}

/// What is open at a target: how much, how much of it is retried, and the first. A million of them are read with each scrape of
/// the metrics: the index has all of it.
const OPEN: &str = "SELECT count(*), count(*) FILTER (WHERE state = 'retrying'), min(position) FROM delivery
    WHERE target = ? AND state <> 'dead'";

/// Counts for each configured target; what is unread only for those in `unread`, because it takes longer.
pub(super) fn count(connection: &Connection, unread: &[i64]) -> rusqlite::Result<HashMap<i64, Counted>> {
    let snapshot = connection.unchecked_transaction()?;
    let head: i64 =
        snapshot.prepare_cached("SELECT coalesce(max(position), 0) FROM event")?.query_row([], |row| row.get(0))?;
    let mut counted = HashMap::new();
    for target in targets(&snapshot)?.iter().filter(|target| target.is_configured) {
        let (waiting, retrying, first_row) =
            snapshot.prepare_cached(OPEN)?.query_row([target.id], |row| <(i64, i64, Option<i64>)>::try_from(row))?;
        let number = |sql: &str, values: &[&dyn ToSql]| -> rusqlite::Result<u64> {
            snapshot.prepare_cached(sql)?.query_row(values, |row| row.get(0)).map(i64::cast_unsigned)
        };
        let dead = number("SELECT count(*) FROM delivery WHERE target = ? AND state = 'dead'", &[&target.id])?;
        let is_unread = unread.contains(&target.id);
        let known = match is_unread {
            false => 0,
            true => number(
                "SELECT count(*) FROM
                 (SELECT position FROM attempt WHERE target = ?1 AND position > ?2 AND led_to <> 'retrying'
                 UNION SELECT position FROM delivery WHERE target = ?1 AND position > ?2)",
                &[&target.id, &target.cursor],
            )?,
        };
        let after = head.saturating_sub(target.cursor).max(0).unsigned_abs();
        let unread = if is_unread { after.saturating_sub(known) } else { 0 };
        let first_unread = (unread > 0).then(|| target.cursor.cast_unsigned() + 1);
        counted.insert(
            target.id,
            Counted {
                unread,
                waiting: waiting.cast_unsigned(),
                retrying: retrying.cast_unsigned(),
                dead,
                first: first_row.map(i64::cast_unsigned).into_iter().chain(first_unread).min(),
            },
        );
    }
    Ok(counted)
}

/// When the first event came that is at `position` or later.
pub(super) fn received(connection: &Connection, position: u64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT received FROM event WHERE position >= ? ORDER BY position LIMIT 1")?
        .query_row([position.cast_signed()], |row| row.get(0))
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_counted_from_the_index_alone() {
        let home = tempfile::tempdir().unwrap();
        let file = file::open(&home.path().join("journal.db")).unwrap();
        let plan: String =
            file.connection.query_row(&format!("EXPLAIN QUERY PLAN {OPEN}"), [1], |row| row.get("detail")).unwrap();
        assert!(plan.contains("USING COVERING INDEX delivery_open"), "{plan}");
    }
}
