//! The deliveries of one target.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, params};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::Inner;
use super::dispatch::{Ahead, Dispatch, Due, Known, LANE_ROWS, Need, Range, Row, Taken};
use super::look::{RECORD, record};
use super::time::{from_millis, to_millis};
use super::writer::Op;

use crate::delivery::{self, Attempt, Delivery, Outcome};
use crate::error::JournalError;
use crate::record::{Position, Record};

/// A target that was set.
pub(super) struct Target {
    pub(super) id: i64,
    pub(super) name: String,
    dispatch: Mutex<Dispatch>,
    changed: Notify,
    is_subscribed: AtomicBool,
    /// Removed, or the journal was closed.
    is_gone: AtomicBool,
}

impl Target {
    pub(super) fn new(id: i64, name: String, head: u64) -> Self {
        Self {
            id,
            name,
            dispatch: Mutex::new(Dispatch::new(head)),
            changed: Notify::new(),
            is_subscribed: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
        }
    }

    pub(super) fn dispatch(&self) -> MutexGuard<'_, Dispatch> {
        self.dispatch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something may be ready, or may be read.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    pub(super) fn go(&self) {
        self.is_gone.store(true, Ordering::Release);
        self.wake();
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.name).finish()
    }
}

/// The deliveries of one target.
#[derive(Debug)]
pub struct Subscription {
    inner: Arc<Inner>,
    target: Arc<Target>,
}

impl Subscription {
    pub(super) fn new(inner: &Arc<Inner>, target: Arc<Target>) -> Result<Self, JournalError> {
        if target.is_subscribed.swap(true, Ordering::AcqRel) {
            return Err(JournalError::Subscribed(target.name.clone()));
        }
        Ok(Self { inner: Arc::clone(inner), target })
    }

    pub(crate) async fn next(&mut self, most: usize) -> Result<Vec<Delivery>, JournalError> {
        let mut taken = Vec::new();
        loop {
            self.check_open()?;
            let due = {
                let mut dispatch = self.target.dispatch();
                if let Some(error) = dispatch.failed.take() {
                    return Err(error);
                }
                dispatch.take(most.max(1), &mut taken);
                self.read(&mut dispatch);
                dispatch.next_due()
            };
            if !taken.is_empty() {
                return Ok(taken.into_iter().map(|taken| self.delivery(taken)).collect());
            }
            match due {
                None => self.target.changed.notified().await,
                Some(due) => {
                    let _ = tokio::time::timeout_at(due, self.target.changed.notified()).await;
                }
            }
        }
    }

    fn check_open(&self) -> Result<(), JournalError> {
        self.inner.check_open()?;
        match self.target.is_gone.load(Ordering::Acquire) {
            true => Err(JournalError::NoSuchTarget(self.target.name.clone())),
            false => Ok(()),
        }
    }

    fn delivery(&self, taken: Taken) -> Delivery {
        let Taken { position, record, attempts, first_attempt, lease } = taken;
        let lease = Lease { inner: Arc::clone(&self.inner), target: Arc::clone(&self.target), position, lease };
        Delivery {
            position: Position(position),
            record,
            attempts,
            first_attempt: first_attempt.map(from_millis),
            lease: delivery::Lease::Sqlite(lease),
        }
    }

    /// Reads what is to be read, on a thread that may block. It goes on when nobody waits any more, so that nothing is lost.
    fn read(&self, dispatch: &mut Dispatch) {
        let (inner, target) = (Arc::clone(&self.inner), Arc::clone(&self.target));
        if !dispatch.is_loaded && !dispatch.is_loading {
            dispatch.is_loading = true;
            tokio::task::spawn_blocking(move || {
                let loaded = load(&inner, &target);
                finish(&target, loaded);
            });
        } else if let Some(need) = dispatch.need(Instant::now()) {
            tokio::task::spawn_blocking(move || {
                let read = read(&inner, &target, &need);
                if read.is_err() {
                    target.dispatch().unread(need);
                }
                finish(&target, read);
                inner.wake_writer_for(&target);
            });
        }
    }
}

fn finish(target: &Target, read: Result<(), JournalError>) {
    let mut dispatch = target.dispatch();
    dispatch.is_loading = false;
    dispatch.failed = read.err();
    drop(dispatch);
    target.wake();
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.target.dispatch().reset();
        self.target.is_subscribed.store(false, Ordering::Release);
    }
}

/// The right to settle a delivery.
pub(crate) struct Lease {
    inner: Arc<Inner>,
    target: Arc<Target>,
    position: u64,
    lease: u64,
}

impl Lease {
    pub(crate) async fn settle(&self, attempt: Attempt) -> Result<(), JournalError> {
        self.inner.check_open()?;
        {
            let mut dispatch = self.target.dispatch();
            if !dispatch.begin_settling(self.position, self.lease) {
                return Err(JournalError::NotOut);
            }
            if attempt.outcome == Outcome::Skipped && dispatch.skip(self.position) {
                drop(dispatch);
                self.target.wake();
                return Ok(());
            }
        }
        let (reply, answer) = oneshot::channel();
        self.inner.send(Op::Settle {
            target: Arc::clone(&self.target),
            position: self.position,
            lease: self.lease,
            attempt,
            reply,
        })?;
        answer.await.unwrap_or(Err(JournalError::Closed))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.target.dispatch().hand_back(self.position, self.lease) {
            self.target.wake();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("target", &self.target.name).field("position", &self.position).finish()
    }
}

/// Takes up what the database says of a target.
fn load(inner: &Inner, target: &Target) -> Result<(), JournalError> {
    // What was settled before is recorded by then, or refused.
    inner.flush()?;
    loop {
        target.dispatch().is_stale = false;
        let known = inner.readers.read(|connection| known(connection, target.id))?;
        let mut dispatch = target.dispatch();
        if !dispatch.is_stale {
            dispatch.load(known);
            return Ok(());
        }
    }
}

fn known(connection: &Connection, target: i64) -> rusqlite::Result<Known> {
    let snapshot = connection.unchecked_transaction()?;
    let cursor: i64 =
        snapshot.prepare_cached("SELECT cursor FROM target WHERE id = ?")?.query_row([target], |row| row.get(0))?;
    let at = [target, cursor];

    let mut ahead = HashMap::new();
    let mut settled = snapshot
        .prepare_cached("SELECT position FROM attempt WHERE target = ?1 AND position > ?2 AND led_to <> 'retrying'")?;
    for position in settled.query_map(at, |row| row.get::<_, i64>(0))? {
        ahead.insert(position?.cast_unsigned(), Ahead::Settled);
    }
    let mut with_rows =
        snapshot.prepare_cached("SELECT position, state, lane FROM delivery WHERE target = ?1 AND position > ?2")?;
    let mut rows = with_rows.query(at)?;
    while let Some(row) = rows.next()? {
        let state = match row.get_ref(1)?.as_str()? {
            "dead" => Ahead::Settled,
            state => Ahead::Row { lane: row.get(2)?, is_retrying: state == "retrying" },
        };
        ahead.insert(row.get::<_, i64>(0)?.cast_unsigned(), state);
    }

    let mut rows = Vec::new();
    let mut keyless = snapshot.prepare_cached(
        "SELECT position FROM delivery WHERE target = ?1 AND state <> 'dead' AND lane IS NULL AND position <= ?2",
    )?;
    for position in keyless.query_map(at, |row| row.get::<_, i64>(0))? {
        rows.push(Due::Event(position?.cast_unsigned()));
    }
    let mut lanes = snapshot.prepare_cached(
        "SELECT DISTINCT lane FROM delivery
         WHERE target = ?1 AND state <> 'dead' AND lane IS NOT NULL AND position <= ?2",
    )?;
    for lane in lanes.query_map(at, |row| row.get(0))? {
        rows.push(Due::Lane(lane?));
    }
    let retrying: i64 = snapshot
        .prepare_cached(
            "SELECT count(*) FROM delivery
             WHERE target = ?1 AND state <> 'dead' AND state = 'retrying' AND position <= ?2",
        )?
        .query_row(at, |row| row.get(0))?;
    Ok(Known { cursor: cursor.cast_unsigned(), ahead, rows, retrying: usize::try_from(retrying).unwrap_or(0) })
}

fn read(inner: &Inner, target: &Target, need: &Need) -> Result<(), JournalError> {
    enum Found {
        Lane(i64, Vec<Row>, bool),
        Event(Option<Row>),
    }
    let (rows, events) = inner.readers.read(|connection| {
        let snapshot = connection.unchecked_transaction()?;
        let mut bytes = need.bytes;
        let mut found = Vec::with_capacity(need.rows.len());
        for due in &need.rows {
            found.push(match *due {
                Due::Lane(lane) => {
                    let (rows, has_more) = lane_rows(&snapshot, (target.id, lane, need.rows_to), &mut bytes)?;
                    Found::Lane(lane, rows, has_more)
                }
                Due::Event(position) => Found::Event(event_row(&snapshot, target.id, position, &mut bytes)?),
            });
        }
        let events = need.events.map(|range| events(&snapshot, range, &mut bytes)).transpose()?;
        Ok((found, events))
    })?;

    let now = Instant::now();
    let mut dispatch = target.dispatch();
    if !dispatch.is_loaded {
        // The subscription is gone, and with it what it had taken up.
        return Ok(());
    }
    for found in rows {
        match found {
            Found::Lane(lane, rows, has_more) => dispatch.lane_rows_read(lane, rows, has_more, now),
            Found::Event(row) => dispatch.event_row_read(row, now),
        }
    }
    if let Some((events, last)) = events {
        dispatch.events_read(events, last);
    }
    Ok(())
}

type Events = Vec<(u64, Arc<Record>)>;

/// Events by position, and up to where that are all.
fn events(connection: &Connection, range: Range, bytes: &mut usize) -> rusqlite::Result<(Events, u64)> {
    let mut query = connection.prepare_cached(&format!(
        "SELECT {RECORD} FROM event WHERE position > ? AND position <= ? ORDER BY position LIMIT ?"
    ))?;
    let mut rows = query.query(params![range.after.cast_signed(), range.to.cast_signed(), range.most as i64])?;
    let mut events: Events = Vec::with_capacity(range.most);
    while let Some(row) = rows.next()? {
        let (position, record) = record(row)?;
        spend(bytes, &record);
        events.push((position, Arc::new(record)));
        if *bytes == 0 {
            let last = position;
            return Ok((events, last));
        }
    }
    let last = match events.last() {
        Some((last, _)) if events.len() == range.most => *last,
        _ => range.to,
    };
    Ok((events, last))
}

fn spend(bytes: &mut usize, record: &Record) {
    *bytes = bytes.saturating_sub(record.size());
}

const ROW: &str = "d.attempts, d.first_attempt, d.last_attempt, d.due";

/// The first rows of a target's lane up to a position, and whether there are more.
fn lane_rows(
    connection: &Connection,
    (target, lane, to): (i64, i64, u64),
    bytes: &mut usize,
) -> rusqlite::Result<(Vec<Row>, bool)> {
    let mut query = connection.prepare_cached(&format!(
        "SELECT {RECORD}, {ROW} FROM delivery d INDEXED BY delivery_open JOIN event USING (position)
         WHERE d.target = ? AND d.lane = ? AND d.state <> 'dead' AND d.position <= ? ORDER BY d.position LIMIT ?"
    ))?;
    let mut rows = query.query(params![target, lane, to.cast_signed(), LANE_ROWS as i64 + 1])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if found.len() == LANE_ROWS || *bytes == 0 && !found.is_empty() {
            return Ok((found, true));
        }
        found.push(waiting_row(row, bytes)?);
    }
    Ok((found, false))
}

fn event_row(connection: &Connection, target: i64, position: u64, bytes: &mut usize) -> rusqlite::Result<Option<Row>> {
    let mut query = connection.prepare_cached(&format!(
        "SELECT {RECORD}, {ROW} FROM delivery d JOIN event USING (position)
         WHERE d.position = ? AND d.target = ? AND d.state <> 'dead'"
    ))?;
    let mut rows = query.query([position.cast_signed(), target])?;
    rows.next()?.map(|row| waiting_row(row, bytes)).transpose()
}

fn waiting_row(row: &rusqlite::Row<'_>, bytes: &mut usize) -> rusqlite::Result<Row> {
    let (position, record) = record(row)?;
    spend(bytes, &record);
    let (last_attempt, due): (Option<i64>, Option<i64>) = (row.get("last_attempt")?, row.get("due")?);
    // Where the clock was set back since, it says nothing of how long is left: nobody waits longer than was said.
    let now = to_millis(SystemTime::now());
    let wait = due.filter(|_| last_attempt.is_some_and(|at| at <= now)).map_or(0, |due| due.saturating_sub(now).max(0));
    Ok(Row {
        position,
        record: Arc::new(record),
        attempts: row.get("attempts")?,
        first_attempt: row.get("first_attempt")?,
        wait: Duration::from_millis(wait.unsigned_abs()),
    })
}
