//! Removes old events, a few at a time between other work, and never what a target has not settled.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, params};

use super::latest;
use super::time::{millis, to_millis};
use super::writer::Failure;
use super::{SEGMENT, Shared};

/// Looked at in one transaction.
const BATCH: usize = 256;
/// Between two batches while there is much to remove.
const BUSY: Duration = Duration::from_millis(25);
/// Between two looks while there is nothing to remove.
const IDLE: Duration = Duration::from_secs(1);
/// When those are looked at again that were passed over because they were not settled.
const AGAIN: Duration = Duration::from_secs(5);
/// The same where there is no room: between the end of one look at everything and the next.
const AGAIN_FOR_ROOM: Duration = Duration::from_millis(100);
/// How long those who append wait for room to be made at most: that somebody made the greatest size smaller may be the cause.
const PATIENCE: Duration = Duration::from_millis(500);

pub(super) struct Retention {
    /// Milliseconds.
    age: i64,
    max_size: Option<u64>,
    /// Up to here everything was removed, or passed over.
    swept: i64,
    /// When to begin from the start, if something was passed over.
    again_at: Option<Instant>,
    next_at: Instant,
    /// Everything is being looked at because there is no room.
    is_looking_for_room: bool,
    again_for_room_at: Instant,
}

/// What a batch came to.
struct Swept {
    removed: usize,
    /// Nothing more is to be found now.
    is_over: bool,
}

impl Retention {
    pub(super) fn new(age: Duration, max_size: Option<u64>) -> Self {
        let now = Instant::now();
        Self {
            age: millis(age),
            max_size,
            swept: 0,
            again_at: None,
            next_at: now,
            is_looking_for_room: false,
            again_for_room_at: now,
        }
    }

    /// When it is to be called again at the latest.
    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Removes some of what is too old, or what is in the way. Returns how many.
    pub(super) fn keep(
        &mut self,
        connection: &Connection,
        shared: &Shared,
        cursors: &HashMap<i64, u64>,
        head: u64,
    ) -> usize {
        let now = Instant::now();
        if now < self.next_at {
            return 0;
        }
        if self.again_at.is_some_and(|again_at| now >= again_at) {
            (self.swept, self.again_at) = (0, None);
        }
        let before = match self.is_beyond(connection, 95) {
            true => i64::MAX,
            false => to_millis(SystemTime::now()).saturating_sub(self.age),
        };
        let swept = self.sweep(connection, shared, floor(shared, cursors, head), before);
        let Swept { removed, is_over } = swept.unwrap_or_else(|error| {
            tracing::warn!(%error, "old events cannot be removed from the journal");
            Swept { removed: 0, is_over: true }
        });
        self.next_at = Instant::now() + if is_over { IDLE } else { BUSY };
        removed
    }

    /// Before events are appended: sees that there is room for them.
    pub(super) fn make_room(
        &mut self,
        connection: &Connection,
        shared: &Shared,
        cursors: &HashMap<i64, u64>,
        head: u64,
        events: usize,
    ) -> Result<(), Failure> {
        if !self.is_beyond(connection, 100) {
            return Ok(());
        }
        let floor = floor(shared, cursors, head);
        let is_over = self.sweep_for_room(connection, shared, floor, events)?;
        if is_over && self.is_beyond(connection, 100) && Instant::now() >= self.again_for_room_at {
            // What was passed over may be settled by now.
            (self.swept, self.is_looking_for_room) = (0, true);
            self.sweep_for_room(connection, shared, floor, events)?;
        }
        self.check_room(connection)
    }

    /// Goes on where the last look ended until there is room, and as much went as is to come. True: that is all there is.
    fn sweep_for_room(
        &mut self,
        connection: &Connection,
        shared: &Shared,
        floor: u64,
        events: usize,
    ) -> rusqlite::Result<bool> {
        let until = Instant::now() + PATIENCE;
        let mut removed = 0;
        while (removed < events || self.is_beyond(connection, 100)) && Instant::now() < until {
            let swept = self.sweep(connection, shared, floor, i64::MAX)?;
            removed += swept.removed;
            if swept.is_over {
                if std::mem::take(&mut self.is_looking_for_room) {
                    self.again_for_room_at = Instant::now() + AGAIN_FOR_ROOM;
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn check_room(&self, connection: &Connection) -> Result<(), Failure> {
        match self.max_size.filter(|_| self.is_beyond(connection, 100)) {
            None => Ok(()),
            Some(max) => Err(Failure::Full(format!(
                "the journal has its greatest size ({max} bytes), and no target has settled events that could go"
            ))),
        }
    }

    /// Whether so many percent of the greatest size are in use.
    fn is_beyond(&self, connection: &Connection, percent: u64) -> bool {
        let Some(max) = self.max_size else { return false };
        let number = |pragma: &str| -> u64 {
            let read = connection.prepare_cached(pragma).and_then(|mut query| query.query_row([], |row| row.get(0)));
            read.map_or(0, i64::cast_unsigned)
        };
        let pages = number("PRAGMA page_count").saturating_sub(number("PRAGMA freelist_count"));
        pages.saturating_mul(number("PRAGMA page_size")) >= max / 100 * percent
    }

    /// One batch: of the events up to `floor`, oldest first, those received before `before`.
    fn sweep(&mut self, connection: &Connection, shared: &Shared, floor: u64, before: i64) -> rusqlite::Result<Swept> {
        let transaction = connection.unchecked_transaction()?;
        let mut find = transaction.prepare_cached(
            "SELECT position, received, octet_length(query) + octet_length(body) + coalesce(octet_length(answer), 0),
             EXISTS (SELECT 1 FROM delivery JOIN target ON target.id = delivery.target
                     WHERE delivery.position = event.position AND state <> 'dead' AND configured),
             CASE by_content WHEN 1 THEN coalesce(key, '') END
             FROM event WHERE position > ? AND position <= ? ORDER BY position LIMIT ?",
        )?;
        let mut rows = find.query(params![self.swept, floor.cast_signed(), BATCH as i64])?;
        let mut going = Going::default();
        let (mut swept, mut seen, mut is_over, mut passed_over) = (self.swept, 0, false, false);
        let now = to_millis(SystemTime::now());
        while let Some(row) = rows.next()? {
            let (position, received): (i64, i64) = (row.get(0)?, row.get(1)?);
            // One that came while the clock was ahead says nothing of those behind it.
            let is_from_later = received > now && before < i64::MAX;
            if received >= before && !is_from_later {
                is_over = true;
                break;
            }
            seen += 1;
            swept = position;
            let is_unsettled: bool = row.get(3)?;
            match is_unsettled || is_from_later {
                true => passed_over = true,
                false => going.add(position, row.get(2)?, row.get(4)?),
            }
        }
        drop(rows);
        drop(find);
        let dead = going.remove(&transaction)?;
        transaction.commit()?;
        self.swept = swept;
        if passed_over {
            self.again_at = Some(Instant::now() + AGAIN);
        }
        shared.removed(going.events as u64, going.bytes, dead);
        Ok(Swept { removed: going.events, is_over: is_over || seen < BATCH })
    }
}

/// Up to here every target has settled everything, or there is a row that says what it waits for.
fn floor(shared: &Shared, cursors: &HashMap<i64, u64>, head: u64) -> u64 {
    let targets = shared.targets();
    // A cursor in memory is ahead of the one in the database, and as durable: it passes what is settled or has a row.
    let cursors = targets.iter().map(|target| {
        let cursor = target.dispatch().cursor();
        cursor.unwrap_or_else(|| cursors.get(&target.id).copied().unwrap_or(0))
    });
    cursors.min().unwrap_or(head)
}

/// Events that go.
#[derive(Default)]
struct Going {
    events: usize,
    bytes: u64,
    /// First and last position.
    ranges: Vec<(i64, i64)>,
    /// Segment, events and bytes.
    segments: Vec<(i64, i64, i64)>,
    /// Key and position of those that may be the latest of their conversation.
    latest: Vec<(String, i64)>,
}

impl Going {
    fn add(&mut self, position: i64, bytes: i64, by_content: Option<String>) {
        self.latest.extend(by_content.map(|key| (key, position)));
        self.events += 1;
        self.bytes = self.bytes.saturating_add_signed(bytes);
        match self.ranges.last_mut() {
            Some((_, last)) if *last + 1 == position => *last = position,
            _ => self.ranges.push((position, position)),
        }
        let segment = position / SEGMENT.cast_signed();
        match self.segments.last_mut() {
            Some((last, events, sum)) if *last == segment => (*events, *sum) = (*events + 1, sum.saturating_add(bytes)),
            _ => self.segments.push((segment, 1, bytes)),
        }
    }

    /// Removes them, with all that belongs to them. The number of dead letters among them.
    fn remove(&self, connection: &Connection) -> rusqlite::Result<u64> {
        let mut dead = 0;
        for range in &self.ranges {
            let found: i64 = connection
                .prepare_cached("SELECT count(*) FROM delivery WHERE position BETWEEN ? AND ? AND state = 'dead'")?
                .query_row(*range, |row| row.get(0))?;
            dead += found.unsigned_abs();
            for table in ["event", "attempt", "delivery"] {
                connection
                    .prepare_cached(&format!("DELETE FROM {table} WHERE position BETWEEN ? AND ?"))?
                    .execute(*range)?;
            }
        }
        for (number, events, bytes) in &self.segments {
            connection
                .prepare_cached("UPDATE segment SET events = events - ?, bytes = bytes - ? WHERE number = ?")?
                .execute([events, bytes, number])?;
            connection.prepare_cached("DELETE FROM segment WHERE number = ? AND events <= 0")?.execute([number])?;
        }
        if let Some((_, last)) = self.ranges.last() {
            connection.prepare_cached("UPDATE removed SET position = max(position, ?)")?.execute([last])?;
        }
        for (key, position) in &self.latest {
            latest::remove(connection, key, *position)?;
        }
        Ok(dead)
    }
}
