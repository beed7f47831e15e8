//! The one thread that writes. It takes whatever is queued, writes it in one transaction, and answers when that is durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, params};
use tokio::sync::oneshot;

use super::background::Background;
use super::dispatch::{Facts, ToRecord};
use super::latest;
use super::look::Readers;
use super::place::Place;
use super::retention::Retention;
use super::seen::{self, Seen};
use super::subscription::Target;
use super::time::{millis, to_millis};
use super::{SEGMENT, Shared};
use crate::delivery::{Attempt, DeadClass, Outcome, State};
use crate::error::{AppendError, JournalError};
use crate::look::AuditAction;
use crate::record::{Appended, Position, Record};

/// Written in one transaction at most, and bytes of it.
const MAX_BATCH: usize = 1024;
const MAX_BATCH_BYTES: usize = 8 << 20;
/// How often there is something to do though nobody asks for it.
const TICK: Duration = Duration::from_millis(250);

pub(super) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// What can be asked of the writer.
pub(super) enum Op {
    Append {
        record: Arc<Record>,
        reply: Reply<Appended, AppendError>,
    },
    Settle {
        target: Arc<Target>,
        position: u64,
        lease: u64,
        attempt: Attempt,
        reply: Reply<(), JournalError>,
    },
    SetTargets {
        names: Vec<String>,
        reply: Reply<(), JournalError>,
    },
    Operate {
        action: AuditAction,
        position: u64,
        target: String,
        by: String,
        reply: Reply<bool, JournalError>,
    },
    /// Answered when everything before it is done, or waits for room.
    Flush {
        reply: oneshot::Sender<()>,
    },
    /// Some target has something to record.
    Wake,
    Close {
        reply: oneshot::Sender<()>,
    },
}

impl Op {
    /// Events in it, and bytes of them.
    pub(super) fn size(&self) -> (usize, usize) {
        match self {
            Self::Append { record, .. } => (1, record.size()),
            _ => (0, 0),
        }
    }

    fn fail(self, failure: &Failure) {
        match self {
            Self::Append { reply, .. } => drop(reply.send(Err(failure.into()))),
            Self::Settle { reply, .. } | Self::SetTargets { reply, .. } => drop(reply.send(Err(failure.into()))),
            Self::Operate { reply, .. } => drop(reply.send(Err(failure.into()))),
            Self::Flush { reply } | Self::Close { reply } => drop(reply.send(())),
            Self::Wake => {}
        }
    }
}

/// Why a transaction failed.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    Full(String),
    Damaged(String),
    /// The files are not in their place any more.
    Lost(String),
    Sqlite(String),
}

impl Failure {
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Full(reason) | Self::Damaged(reason) | Self::Lost(reason) | Self::Sqlite(reason) => reason,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full("the disk is full".into()),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Sqlite(error.to_string()),
        }
    }
}

impl From<&Failure> for AppendError {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Full(reason) => Self::Full(reason.clone()),
            Failure::Damaged(reason) | Failure::Lost(reason) | Failure::Sqlite(reason) => Self::Failed(reason.clone()),
        }
    }
}

impl From<&Failure> for JournalError {
    fn from(failure: &Failure) -> Self {
        Self::Failed(failure.reason().to_owned())
    }
}

/// What an operation came to, once it is durable.
enum Done {
    Appended(Appended),
    Delivered,
    Retried { behind: Vec<u64>, wait: Duration },
    NotOut,
    Targets(Vec<TargetRow>),
    Replayed { target: Arc<Target>, lane: Option<i64>, was_retrying: bool },
    Answered(Result<bool, JournalError>),
    Nothing,
}

/// A configured target as it is in the database.
pub(super) struct TargetRow {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) cursor: u64,
}

/// What a transaction wrote.
#[derive(Default)]
struct Written {
    done: Vec<Done>,
    events: Vec<(u64, Arc<Record>)>,
    bytes: u64,
    recorded: Vec<(Arc<Target>, ToRecord)>,
    cursors: Vec<(i64, u64)>,
}

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) ops: Receiver<Op>,
    pub(super) shared: Arc<Shared>,
    pub(super) seen: Seen,
    pub(super) retention: Retention,
    pub(super) background: Background,
    /// The last position.
    pub(super) head: u64,
    /// Cursors as they are in the database.
    pub(super) cursors: HashMap<i64, u64>,
    /// What deliveries came to, and could not be written yet.
    pub(super) unwritten: Vec<Op>,
    pub(super) next_tick: Instant,
    pub(super) readers: Arc<Readers>,
    /// Where the files are; it holds them as long as the database is open.
    pub(super) place: Place,
}

impl Writer {
    pub(super) fn run(mut self) {
        let _dead = SayWhenDead(Arc::clone(&self.shared));
        let mut batch = Vec::new();
        loop {
            let closing = self.collect(&mut batch);
            let is_tick = Instant::now() >= self.next_tick;
            let written = batch.len();
            self.write(&mut batch, is_tick);
            if is_tick {
                self.next_tick = Instant::now() + TICK;
                self.probe();
            }
            let removed = self.retention.keep(&self.connection, &self.shared, &self.cursors, self.head);
            self.background.checkpoint(&self.connection, written + removed);
            if let Some(reply) = closing {
                self.close();
                let _ = reply.send(());
                return;
            }
        }
    }

    /// Waits for something to do, and takes what is there. An answer when that is the last.
    fn collect(&mut self, batch: &mut Vec<Op>) -> Option<oneshot::Sender<()>> {
        let patience = self.next_tick.min(self.retention.next_at()).saturating_duration_since(Instant::now());
        let mut next = match self.ops.recv_timeout(patience) {
            Ok(op) => Some(op),
            Err(RecvTimeoutError::Timeout) => None,
            // Nobody can ask any more.
            Err(RecvTimeoutError::Disconnected) => return Some(oneshot::channel().0),
        };
        let mut bytes = 0;
        while let Some(op) = next {
            if let Op::Close { reply } = op {
                return Some(reply);
            }
            bytes += op.size().1;
            batch.push(op);
            next = match batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
                true => self.ops.try_recv().ok(),
                false => None,
            };
        }
        None
    }

    fn write(&mut self, batch: &mut Vec<Op>, is_tick: bool) {
        let mut ops = std::mem::take(&mut self.unwritten);
        ops.append(batch);
        if ops.is_empty() && !is_tick && !self.shared.targets().iter().any(|target| target.dispatch().has_to_record()) {
            return;
        }
        let failure = match self.transact(&ops, is_tick) {
            Ok(written) => return self.finish(ops, written),
            Err(failure) => failure,
        };
        self.shared.failed(&failure);
        // What takes no room can be written where an event cannot.
        let (appends, others): (Vec<Op>, Vec<Op>) = ops.into_iter().partition(|op| matches!(op, Op::Append { .. }));
        let failure = match appends.is_empty() {
            true => failure,
            false => {
                for op in appends {
                    self.shared.took(&op);
                    op.fail(&failure);
                }
                match self.transact(&others, false) {
                    Ok(written) => return self.finish(others, written),
                    Err(failure) => failure,
                }
            }
        };
        // What deliveries came to is written when it can be; nobody waits for anything else.
        for op in others {
            match op {
                Op::Settle { .. } => self.unwritten.push(op),
                op => op.fail(&failure),
            }
        }
    }

    fn transact(&mut self, ops: &[Op], is_tick: bool) -> Result<Written, Failure> {
        let appends = ops.iter().filter(|op| matches!(op, Op::Append { .. })).count();
        if appends > 0 {
            self.seen.roll();
        }
        let mark = self.seen.mark();
        let written = self.try_transact(ops, appends, is_tick);
        match &written {
            // Only with an event is the run written that it follows.
            Ok(_) if appends > 0 => self.seen.saved(),
            Ok(_) => {}
            Err(_) => self.seen.forget_after(mark),
        }
        written
    }

    fn try_transact(&mut self, ops: &[Op], appends: usize, is_tick: bool) -> Result<Written, Failure> {
        self.place.check_lately()?;
        if appends > 0 {
            self.retention.make_room(&self.connection, &self.shared, &self.cursors, self.head, appends)?;
        }
        let transaction = self.connection.unchecked_transaction()?;
        if appends > 0 {
            self.seen.save(&transaction)?;
        }
        let mut written = Written::default();
        let mut head = self.head;
        let mut segment = Segment::default();
        let mut insert = transaction.prepare_cached(INSERT)?;
        for op in ops {
            let done = match op {
                Op::Append { record, .. } => {
                    match append(&mut insert, &transaction, &mut self.seen, &mut segment, head + 1, record)? {
                        None => Done::Appended(Appended::Duplicate),
                        Some(record) => {
                            head += 1;
                            written.events.push((head, record));
                            Done::Appended(Appended::Kept(Position(head)))
                        }
                    }
                }
                Op::Settle { target, position, lease, attempt, .. } => {
                    settle(&transaction, target, *position, *lease, attempt)?
                }
                Op::SetTargets { names, .. } => Done::Targets(set_targets(&transaction, names, head)?),
                Op::Operate { action: AuditAction::Discard, position, target, by, .. } => {
                    Done::Answered(discard(&transaction, *position, target, by)?)
                }
                Op::Operate { action: AuditAction::Replay, position, target, by, .. } => {
                    match self.shared.target(target) {
                        None => Done::Answered(Err(JournalError::NoSuchTarget(target.clone()))),
                        Some(target) => {
                            let is_settled = is_settled(ops, &written.done, &target, *position);
                            replay(&transaction, *position, target, is_settled, by)?
                        }
                    }
                }
                Op::Flush { .. } | Op::Wake | Op::Close { .. } => Done::Nothing,
            };
            written.done.push(done);
        }
        drop(insert);
        segment.save(&transaction)?;
        written.bytes = segment.total;
        for target in self.shared.targets().iter() {
            let to_record = target.dispatch().begin_recording();
            if !to_record.is_empty() {
                record(&transaction, target.id, &to_record)?;
                written.recorded.push((Arc::clone(target), to_record));
            }
            let cursor = target.dispatch().cursor().filter(|_| is_tick);
            if let Some(cursor) = cursor.filter(|cursor| self.cursors.get(&target.id) != Some(cursor)) {
                transaction
                    .prepare_cached("UPDATE target SET cursor = ? WHERE id = ?")?
                    .execute([cursor.cast_signed(), target.id])?;
                written.cursors.push((target.id, cursor));
            }
        }
        transaction.commit()?;
        // What was written to a file that is gone is not kept.
        self.place.check()?;
        Ok(written)
    }

    /// It is durable: says so to everyone.
    fn finish(&mut self, ops: Vec<Op>, written: Written) {
        let now = tokio::time::Instant::now();
        if !written.events.is_empty() {
            self.shared.can_keep();
        }
        self.cursors.extend(written.cursors);
        self.shared.added(written.events.len() as u64, written.bytes);
        let (mut appended, mut settled) = (Vec::with_capacity(ops.len()), Vec::new());
        let mut changed: Vec<Arc<Target>> = Vec::new();
        for (op, done) in ops.into_iter().zip(written.done) {
            self.shared.took(&op);
            match (op, done) {
                (Op::Append { reply, .. }, Done::Appended(answer)) => appended.push((reply, answer)),
                (Op::Settle { target, position, attempt, reply, .. }, done) => {
                    let answer = match done {
                        Done::NotOut => Err(JournalError::NotOut),
                        Done::Retried { behind, wait } => {
                            target.dispatch().retried(position, &behind, now + wait);
                            Ok(())
                        }
                        _ => {
                            target.dispatch().settled(position, &attempt.outcome);
                            Ok(())
                        }
                    };
                    settled.push((reply, answer));
                    if !changed.iter().any(|other| other.id == target.id) {
                        changed.push(target);
                    }
                }
                (Op::SetTargets { reply, .. }, Done::Targets(rows)) => {
                    self.cursors = rows.iter().map(|row| (row.id, row.cursor)).collect();
                    self.shared.set_targets(rows, self.head);
                    let _ = reply.send(Ok(()));
                }
                (Op::Operate { reply, position, .. }, Done::Replayed { target, lane, was_retrying }) => {
                    target.dispatch().replayed(position, lane, was_retrying, now);
                    target.wake();
                    let _ = reply.send(Ok(true));
                }
                (Op::Operate { reply, .. }, Done::Answered(answer)) => drop(reply.send(answer)),
                (Op::Flush { reply }, _) => drop(reply.send(())),
                _ => {}
            }
        }
        // In one go: a thread that wakes finds many of its answers, and is not woken for each.
        for (reply, answer) in appended {
            let _ = reply.send(Ok(answer));
        }
        for (reply, answer) in settled {
            let _ = reply.send(answer);
        }
        for (target, recorded) in written.recorded {
            target.dispatch().recorded(&recorded);
            target.wake();
        }
        for target in changed {
            target.wake();
        }
        if let Some((head, _)) = written.events.last() {
            self.head = *head;
            for target in self.shared.targets().iter() {
                target.dispatch().offer(&written.events);
                target.wake();
            }
        }
    }

    /// Finds out whether there is room again, while nobody appends.
    fn probe(&mut self) {
        if self.shared.is_keeping() || self.shared.is_damaged() {
            return;
        }
        let probed = self.retention.check_room(&self.connection).and_then(|()| {
            let transaction = self.connection.unchecked_transaction()?;
            transaction.execute_batch(
                "CREATE TABLE probe (filling BLOB); INSERT INTO probe VALUES (zeroblob(262144)); DROP TABLE probe;",
            )?;
            Ok(transaction.commit()?)
        });
        match probed {
            Ok(()) => self.shared.can_keep(),
            Err(failure) => self.shared.failed(&failure),
        }
    }

    fn close(mut self) {
        self.write(&mut Vec::new(), true);
        self.shared.close();
        for op in self.unwritten.drain(..).chain(self.ops.try_iter()) {
            match op {
                Op::Append { reply, .. } => drop(reply.send(Err(AppendError::Closed))),
                Op::Settle { reply, .. } | Op::SetTargets { reply, .. } => drop(reply.send(Err(JournalError::Closed))),
                Op::Operate { reply, .. } => drop(reply.send(Err(JournalError::Closed))),
                Op::Flush { reply } | Op::Close { reply } => drop(reply.send(())),
                Op::Wake => {}
            }
        }
        self.background.stop();
        self.readers.close();
        if let Err(error) = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(%error, "the log of the journal was not folded into its file; the next start does it");
        }
        drop(self.connection);
        drop(self.place);
    }
}

/// Says so when the writer ends without having been asked to.
struct SayWhenDead(Arc<Shared>);

impl Drop for SayWhenDead {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.damaged("the thread that writes ended; this is a defect of the program: restart it");
            self.0.close();
        }
    }
}

/// What is added to the rows of `segment`.
#[derive(Default)]
struct Segment {
    number: i64,
    events: i64,
    bytes: i64,
    oldest: i64,
    newest: i64,
    total: u64,
}

impl Segment {
    fn add(&mut self, connection: &Connection, position: u64, bytes: usize, received: i64) -> rusqlite::Result<()> {
        let number = (position / SEGMENT).cast_signed();
        if self.events > 0 && self.number != number {
            self.save(connection)?;
        }
        match self.events {
            0 => (self.number, self.bytes, self.oldest, self.newest) = (number, 0, received, received),
            _ => (self.oldest, self.newest) = (self.oldest.min(received), self.newest.max(received)),
        }
        self.events += 1;
        self.bytes = self.bytes.saturating_add_unsigned(bytes as u64);
        self.total += bytes as u64;
        Ok(())
    }

    fn save(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.events == 0 {
            return Ok(());
        }
        connection
            .prepare_cached(
                "INSERT INTO segment (number, events, bytes, oldest, newest) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (number) DO UPDATE SET events = events + excluded.events, bytes = bytes + excluded.bytes,
                 oldest = min(oldest, excluded.oldest), newest = max(newest, excluded.newest)",
            )?
            .execute([self.number, self.events, self.bytes, self.oldest, self.newest])?;
        self.events = 0;
        Ok(())
    }
}

const INSERT: &str =
    "INSERT INTO event (position, id, app, command, key, received, decoded, query, body, answer, by_content)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// What was put at the position; none: it is a duplicate.
fn append(
    insert: &mut CachedStatement<'_>,
    connection: &Connection,
    seen: &mut Seen,
    segment: &mut Segment,
    position: u64,
    record: &Arc<Record>,
) -> rusqlite::Result<Option<Arc<Record>>> {
    let received = to_millis(record.received);
    let Some(record) = to_keep(connection, seen, record, received)? else { return Ok(None) };
    insert.execute(params![
        position.cast_signed(),
        record.id,
        record.app.map(u64::cast_signed),
        record.command,
        record.key,
        received,
        record.decoded,
        record.query,
        &*record.body,
        record.answer.as_deref(),
        record.by_content,
    ])?;
    if record.by_content {
        latest::put(connection, record.key.as_deref(), position)?;
    }
    seen.add(position, seen::fingerprint(&record.id), received);
    segment.add(connection, position, record.size(), received)?;
    Ok(Some(record))
}

/// The record with the identity that it gets; none: it is a duplicate.
fn to_keep(
    connection: &Connection,
    seen: &Seen,
    record: &Arc<Record>,
    received: i64,
) -> rusqlite::Result<Option<Arc<Record>>> {
    let last = match record.by_content {
        true => latest::find(connection, record.key.as_deref())?,
        false => None,
    };
    if let Some(last) = last.as_ref().filter(|last| last.is(&record.id)) {
        return Ok((!seen.is_within(last.received, received)).then(|| Arc::clone(record)));
    }
    if !is_known(connection, seen, &record.id, received)? {
        return Ok(Some(Arc::clone(record)));
    }
    // Something else was told in between: it is no duplicate, and may not look like one to a target.
    Ok(last.map(|last| Arc::new(Record { id: last.repeated(&record.id), ..Record::clone(record) })))
}

/// Whether an event with this identity was kept within the window.
fn is_known(connection: &Connection, seen: &Seen, id: &str, received: i64) -> rusqlite::Result<bool> {
    for candidate in seen.find(seen::fingerprint(id)) {
        let same: Option<i64> = connection
            .prepare_cached("SELECT received FROM event WHERE position = ? AND id = ?")?
            .query_row(params![candidate.cast_signed(), id], |row| row.get(0))
            .optional()?;
        if same.is_some_and(|earlier| seen.is_within(earlier, received)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether one of these operations settled an event: the target does not know it before it is durable.
fn is_settled(ops: &[Op], done: &[Done], target: &Target, position: u64) -> bool {
    ops.iter().zip(done).any(|(op, done)| match (op, done) {
        (Op::Settle { target: of, position: at, .. }, Done::Delivered) => of.id == target.id && *at == position,
        _ => false,
    })
}

fn settle(
    connection: &Connection,
    target: &Target,
    position: u64,
    lease: u64,
    attempt: &Attempt,
) -> rusqlite::Result<Done> {
    let Some(facts) = target.dispatch().facts(position, lease) else { return Ok(Done::NotOut) };
    match &attempt.outcome {
        Outcome::Skipped => {
            remove_row(connection, target.id, position)?;
            Ok(Done::Delivered)
        }
        Outcome::Delivered { detail } => {
            record_attempt(connection, target.id, position, attempt, State::Delivered, detail)?;
            if facts.has_row {
                remove_row(connection, target.id, position)?;
            }
            Ok(Done::Delivered)
        }
        Outcome::Dead { class, cause } => {
            record_attempt(connection, target.id, position, attempt, State::Dead, cause)?;
            put_row(connection, target.id, position, &facts, attempt, cause, Next::Dead(*class))?;
            Ok(Done::Delivered)
        }
        Outcome::Retry { after, cause } => {
            let behind = target.dispatch().begin_retry(position);
            record_attempt(connection, target.id, position, attempt, State::Retrying, cause)?;
            put_row(connection, target.id, position, &facts, attempt, cause, Next::Retry(*after))?;
            for position in &behind {
                wait(connection, target.id, *position, facts.lane)?;
            }
            Ok(Done::Retried { behind, wait: *after })
        }
    }
}

fn record_attempt(
    connection: &Connection,
    target: i64,
    position: u64,
    attempt: &Attempt,
    led_to: State,
    detail: &str,
) -> rusqlite::Result<()> {
    let led_to: &'static str = led_to.into();
    let (position, at, took) = (position.cast_signed(), to_millis(attempt.at), millis(attempt.took));
    // Mostly it is the first one.
    let is_first = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO attempt (position, target, number, at, took, led_to, detail)
             VALUES (?, ?, 1, ?, ?, ?, ?)",
        )?
        .execute(params![position, target, at, took, led_to, detail])?
        > 0;
    if !is_first {
        connection
            .prepare_cached(
                "INSERT INTO attempt (position, target, number, at, took, led_to, detail) VALUES (?1, ?2,
                 (SELECT max(number) + 1 FROM attempt WHERE position = ?1 AND target = ?2), ?3, ?4, ?5, ?6)",
            )?
            .execute(params![position, target, at, took, led_to, detail])?;
    }
    Ok(())
}

enum Next {
    Dead(DeadClass),
    Retry(Duration),
}

fn put_row(
    connection: &Connection,
    target: i64,
    position: u64,
    facts: &Facts,
    attempt: &Attempt,
    cause: &str,
    next: Next,
) -> rusqlite::Result<()> {
    let (state, due, class): (State, Option<i64>, Option<&'static str>) = match next {
        Next::Dead(class) => (State::Dead, None, Some(class.into())),
        Next::Retry(after) => (State::Retrying, Some(to_millis(SystemTime::now()).saturating_add(millis(after))), None),
    };
    let state: &'static str = state.into();
    let at = to_millis(attempt.at);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO delivery
             (position, target, lane, state, attempts, first_attempt, last_attempt, due, class, cause)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            position.cast_signed(),
            target,
            facts.lane,
            state,
            facts.attempts.saturating_add(1),
            facts.first_attempt.unwrap_or(at),
            at,
            due,
            class,
            cause
        ])?;
    Ok(())
}

fn remove_row(connection: &Connection, target: i64, position: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM delivery WHERE position = ? AND target = ?")?
        .execute([position.cast_signed(), target])?;
    Ok(())
}

/// A row for an event that waits, if it has none.
fn wait(connection: &Connection, target: i64, position: u64, lane: Option<i64>) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO delivery (position, target, lane, state, attempts) VALUES (?, ?, ?, 'waiting', 0)",
        )?
        .execute(params![position.cast_signed(), target, lane])?;
    Ok(())
}

fn record(connection: &Connection, target: i64, to_record: &ToRecord) -> rusqlite::Result<()> {
    for (position, lane) in &to_record.parked {
        wait(connection, target, *position, Some(*lane))?;
    }
    for (position, lane) in &to_record.held_up {
        wait(connection, target, *position, *lane)?;
    }
    Ok(())
}

/// Makes these the configured targets. `head` is the present end.
pub(super) fn set_targets(connection: &Connection, names: &[String], head: u64) -> rusqlite::Result<Vec<TargetRow>> {
    connection.execute("UPDATE target SET configured = 0", [])?;
    let mut set = connection.prepare_cached(
        // Who comes back goes on where it stopped, or with the first event that is still there.
        "INSERT INTO target (name, configured, begin, cursor) VALUES (?1, 1, ?2, ?2)
         ON CONFLICT (name) DO UPDATE SET configured = 1,
         cursor = max(cursor, coalesce((SELECT min(position) FROM event) - 1, ?2))
         RETURNING id, name, cursor",
    )?;
    let row = |row: &rusqlite::Row<'_>| {
        Ok(TargetRow { id: row.get(0)?, name: row.get(1)?, cursor: row.get::<_, i64>(2)?.cast_unsigned() })
    };
    names.iter().map(|name| set.query_row(params![name, head.cast_signed()], row)).collect()
}

/// Removes a dead letter, also one of a target that is not configured any more. False: there is none.
fn discard(
    connection: &Connection,
    position: u64,
    target: &str,
    by: &str,
) -> rusqlite::Result<Result<bool, JournalError>> {
    let id: Option<i64> = connection
        .prepare_cached("SELECT id FROM target WHERE name = ?")?
        .query_row([target], |row| row.get(0))
        .optional()?;
    let Some(id) = id else { return Ok(Err(JournalError::NoSuchTarget(target.to_owned()))) };
    let removed = connection
        .prepare_cached("DELETE FROM delivery WHERE position = ? AND target = ? AND state = 'dead'")?
        .execute([position.cast_signed(), id])?;
    if removed > 0 {
        audit(connection, AuditAction::Discard, position, target, by)?;
    }
    Ok(Ok(removed > 0))
}

/// Has an event delivered again. `is_settled`: it was settled in this transaction.
fn replay(
    connection: &Connection,
    position: u64,
    target: Arc<Target>,
    is_settled: bool,
    by: &str,
) -> rusqlite::Result<Done> {
    let at = (position.cast_signed(), target.id);
    let row: Option<(String, Option<i64>)> = connection
        .prepare_cached("SELECT state, lane FROM delivery WHERE position = ? AND target = ?")?
        .query_row(at, |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let state = row.as_ref().map(|(state, _)| state.as_str());
    let done = match state {
        None => {
            let key: Option<Option<String>> = connection
                .prepare_cached("SELECT key FROM event WHERE position = ?")?
                .query_row([position.cast_signed()], |row| row.get(0))
                .optional()?;
            let Some(key) = key else { return Ok(Done::Answered(Ok(false))) };
            if !is_settled && is_to_come(connection, &target, position)? {
                Done::Answered(Ok(true))
            } else {
                let lane = key.as_deref().map(seen::hash);
                wait(connection, target.id, position, lane)?;
                Done::Replayed { target: Arc::clone(&target), lane, was_retrying: false }
            }
        }
        Some("dead") => {
            connection
                .prepare_cached(
                    "UPDATE delivery SET state = 'waiting', attempts = 0, first_attempt = NULL, last_attempt = NULL,
                     class = NULL, cause = NULL WHERE position = ? AND target = ?",
                )?
                .execute(at)?;
            let lane = row.and_then(|(_, lane)| lane);
            Done::Replayed { target: Arc::clone(&target), lane, was_retrying: false }
        }
        Some("retrying") => {
            connection
                .prepare_cached("UPDATE delivery SET due = last_attempt WHERE position = ? AND target = ?")?
                .execute(at)?;
            let lane = row.and_then(|(_, lane)| lane);
            Done::Replayed { target: Arc::clone(&target), lane, was_retrying: true }
        }
        Some(_) => Done::Answered(Ok(true)),
    };
    audit(connection, AuditAction::Replay, position, &target.name, by)?;
    Ok(done)
}

fn audit(connection: &Connection, action: AuditAction, position: u64, target: &str, by: &str) -> rusqlite::Result<()> {
    let action: &'static str = action.into();
    connection
        .prepare_cached("INSERT INTO audit (at, by, action, position, target) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![to_millis(SystemTime::now()), by, action, position.cast_signed(), target])?;
    Ok(())
}

/// Whether an event without row will be given out anyway.
fn is_to_come(connection: &Connection, target: &Target, position: u64) -> rusqlite::Result<bool> {
    {
        let dispatch = target.dispatch();
        if dispatch.is_loaded {
            return Ok(dispatch.is_underway(position));
        }
    }
    connection
        .prepare_cached(
            "SELECT cursor < ?1 AND NOT EXISTS
             (SELECT 1 FROM attempt WHERE position = ?1 AND target = ?2 AND led_to <> 'retrying')
             FROM target WHERE id = ?2",
        )?
        .query_row([position.cast_signed(), target.id], |row| row.get(0))
}
