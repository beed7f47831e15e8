//! Keeps events in a database file.

mod background;
mod dispatch;
mod file;
mod latest;
mod look;
mod place;
mod retention;
mod seen;
mod subscription;
mod time;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

use crate::config::SqliteConfig;
use crate::error::{AppendError, JournalError};
use crate::journal::Health;
use crate::look::{AuditAction, AuditEntry, DeadFilter, DeadLetter, Filter, Kept, Stats, Summary, TargetStats};
use crate::record::{Appended, Position, Record};
use background::Background;
use look::Readers;
use place::Place;
use retention::Retention;
use seen::Seen;
use subscription::Target;
use writer::{Failure, Op, TargetRow, Writer};

pub use file::OpenError;
pub(crate) use subscription::{Lease, Subscription};

/// Positions in a row of `segment`.
const SEGMENT: u64 = 1024;
/// Events that may wait to be written, and bytes of them.
const MAX_QUEUED: usize = 8192;
const MAX_QUEUED_BYTES: usize = 32 << 20;
/// Who may look into the journal at once: readers must not take the machine from those who write.
const MAX_LOOKING: usize = 2;
const DURABILITY: &str = "sqlite, fsync at every commit";

/// A journal in a database file.
#[derive(Debug, Clone)]
pub(crate) struct Sqlite {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    looking: Arc<Semaphore>,
    ops: Sender<Op>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// What the writer and its callers both know.
struct Shared {
    path: PathBuf,
    targets: Mutex<Arc<[Arc<Target>]>>,
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
    events: AtomicU64,
    bytes: AtomicU64,
    expired_dead: AtomicU64,
    is_keeping: AtomicBool,
    /// Damaged, or not in its place: nothing more is kept until somebody has looked after it.
    is_damaged: AtomicBool,
    is_closed: AtomicBool,
    /// Why nothing can be kept.
    reason: Mutex<String>,
}

impl Sqlite {
    pub(crate) async fn open(
        file: &SqliteConfig,
        dedup_window: Duration,
        retention: Duration,
        targets: &[&str],
    ) -> Result<Self, OpenError> {
        let file = file.clone();
        let path = file.path.clone();
        let targets: Vec<String> = targets.iter().map(|&target| target.to_owned()).collect();
        let opened = tokio::task::spawn_blocking(move || open(file, dedup_window, retention, &targets)).await;
        let inner = opened.unwrap_or_else(|error| Err(OpenError::Damaged { path, detail: error.to_string() }))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) async fn append(&self, record: Record) -> Result<Appended, AppendError> {
        let shared = &self.inner.shared;
        if shared.is_closed() {
            return Err(AppendError::Closed);
        }
        if shared.is_damaged() {
            return Err(AppendError::Failed(shared.reason().clone()));
        }
        let (reply, answer) = oneshot::channel();
        let op = Op::Append { record: Arc::new(record), reply };
        if !shared.queue(&op) {
            return Err(AppendError::Busy);
        }
        self.inner.ops.send(op).map_err(|_| AppendError::Closed)?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    pub(crate) async fn set_targets(&self, names: &[&str]) -> Result<(), JournalError> {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        self.inner.ask(|reply| Op::SetTargets { names, reply }).await
    }

    pub(crate) fn subscribe(&self, target: &str) -> Result<Subscription, JournalError> {
        self.inner.check_open()?;
        let found = self.inner.shared.target(target).ok_or_else(|| JournalError::NoSuchTarget(target.to_owned()))?;
        Subscription::new(&self.inner, found)
    }

    pub(crate) fn health(&self) -> Health {
        let shared = &self.inner.shared;
        match shared.is_closed() {
            true => Health::CannotKeep("the journal is closed".into()),
            false if shared.is_keeping() => Health::Ok(DURABILITY.into()),
            false => Health::CannotKeep(shared.reason().clone()),
        }
    }

    pub(crate) async fn stats(&self) -> Result<Stats, JournalError> {
        self.inner.look(stats).await
    }

    pub(crate) async fn events(&self, filter: &Filter) -> Result<Vec<Summary>, JournalError> {
        let filter = filter.clone();
        self.inner
            .look(move |inner| {
                let found = inner.readers.read(|connection| look::events(connection, &filter))?;
                found.ok_or_else(|| no_such_target(filter.state.and_then(|(target, _)| target)))
            })
            .await
    }

    pub(crate) async fn event(&self, position: Position) -> Result<Option<Kept>, JournalError> {
        self.inner.look(move |inner| inner.readers.read(|connection| look::event(connection, position))).await
    }

    pub(crate) async fn dead_letters(&self, filter: &DeadFilter) -> Result<Vec<DeadLetter>, JournalError> {
        let filter = filter.clone();
        self.inner
            .look(move |inner| {
                let found = inner.readers.read(|connection| look::dead_letters(connection, &filter))?;
                found.ok_or_else(|| no_such_target(filter.target))
            })
            .await
    }

    pub(crate) async fn replay(&self, position: Position, target: &str, by: &str) -> Result<bool, JournalError> {
        self.operate(AuditAction::Replay, position, target, by).await
    }

    pub(crate) async fn discard(&self, position: Position, target: &str, by: &str) -> Result<bool, JournalError> {
        self.operate(AuditAction::Discard, position, target, by).await
    }

    async fn operate(
        &self,
        action: AuditAction,
        position: Position,
        target: &str,
        by: &str,
    ) -> Result<bool, JournalError> {
        if i64::try_from(position.0).is_err() {
            return Ok(false);
        }
        let (target, by) = (target.to_owned(), by.to_owned());
        self.inner.ask(|reply| Op::Operate { action, position: position.0, target, by, reply }).await
    }

    pub(crate) async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, JournalError> {
        self.inner.look(move |inner| inner.readers.read(|connection| look::audit(connection, before, limit))).await
    }

    pub(crate) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.inner.ops.send(Op::Close { reply }).is_ok() {
            let _ = closed.await;
        }
    }
}

fn no_such_target(name: Option<String>) -> JournalError {
    JournalError::NoSuchTarget(name.unwrap_or_default())
}

fn open(
    file: SqliteConfig,
    dedup_window: Duration,
    retention: Duration,
    targets: &[String],
) -> Result<Inner, OpenError> {
    let began = Instant::now();
    let path = &file.path;
    let failed = |error| file::explain_sqlite(path, error);
    let file::Opened { connection, held } = file::open(path)?;
    let held = Arc::new(held);
    let (head, events, bytes) = file::check(&connection).map_err(failed)?;
    let seen = Seen::load(&connection, dedup_window, head).map_err(failed)?;
    let rows = {
        let transaction = connection.unchecked_transaction().map_err(failed)?;
        let rows = writer::set_targets(&transaction, targets, head).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        rows
    };
    let place = Place::new(path, Arc::clone(&held))?;
    let shared = Arc::new(Shared {
        path: path.clone(),
        targets: Mutex::new(Arc::new([])),
        queued: AtomicUsize::new(0),
        queued_bytes: AtomicUsize::new(0),
        events: AtomicU64::new(events),
        bytes: AtomicU64::new(bytes),
        expired_dead: AtomicU64::new(0),
        is_keeping: AtomicBool::new(true),
        is_damaged: AtomicBool::new(false),
        is_closed: AtomicBool::new(false),
        reason: Mutex::new(String::new()),
    });
    let cursors: HashMap<i64, u64> = rows.iter().map(|row| (row.id, row.cursor)).collect();
    shared.set_targets(rows, head);
    let (ops, queue) = channel();
    let background = Background::start(path, &shared, held).map_err(failed)?;
    let readers = Arc::new(Readers::new(Arc::clone(&shared)));
    let writer = Writer {
        connection,
        ops: queue,
        shared: Arc::clone(&shared),
        seen,
        retention: Retention::new(retention, file.max_size),
        background,
        head,
        cursors,
        unwritten: Vec::new(),
        next_tick: Instant::now(),
        readers: Arc::clone(&readers),
        place,
    };
    let thread = std::thread::Builder::new().name("journal-writer".into()).spawn(move || writer.run());
    let thread = thread.map_err(|source| OpenError::NotWritable { path: path.clone(), source })?;
    tracing::info!(path = %path.display(), events, took = ?began.elapsed(), durability = DURABILITY, "journal opened");
    Ok(Inner { shared, readers, looking: Arc::new(Semaphore::new(MAX_LOOKING)), ops, writer: Mutex::new(Some(thread)) })
}

fn stats(inner: &Inner) -> Result<Stats, JournalError> {
    let shared = &inner.shared;
    let targets = shared.targets();
    let unread: Vec<i64> =
        targets.iter().filter(|target| target.dispatch().unsettled().is_none()).map(|target| target.id).collect();
    let mut counted = inner.readers.read(|connection| look::count(connection, &unread))?;
    let mut stats = Stats {
        events: shared.events.load(Ordering::Relaxed),
        bytes: shared.bytes.load(Ordering::Relaxed),
        expired_dead_letters: shared.expired_dead.load(Ordering::Relaxed),
        targets: Vec::with_capacity(targets.len()),
    };
    for target in targets.iter() {
        let counted = counted.remove(&target.id).unwrap_or_default();
        let (unsettled, first) = {
            let dispatch = target.dispatch();
            (dispatch.unsettled().unwrap_or(counted.unread), dispatch.first_unsettled())
        };
        let oldest = match first.into_iter().chain(counted.first).min() {
            None => None,
            Some(position) => inner.readers.read(|connection| look::received(connection, position))?,
        };
        stats.targets.push(TargetStats {
            target: target.name.clone(),
            backlog: unsettled + counted.waiting,
            retrying: counted.retrying,
            dead_letters: counted.dead,
            oldest: oldest.map(time::from_millis),
        });
    }
    Ok(stats)
}

impl Inner {
    fn check_open(&self) -> Result<(), JournalError> {
        if self.shared.is_closed() { Err(JournalError::Closed) } else { Ok(()) }
    }

    fn send(&self, op: Op) -> Result<(), JournalError> {
        self.ops.send(op).map_err(|_| JournalError::Closed)
    }

    async fn ask<T>(&self, op: impl FnOnce(writer::Reply<T, JournalError>) -> Op) -> Result<T, JournalError> {
        let (reply, answer) = oneshot::channel();
        self.send(op(reply))?;
        answer.await.unwrap_or(Err(JournalError::Closed))
    }

    /// Reads on a thread that may block, a few at a time.
    async fn look<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&Self) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let permit = Arc::clone(&self.looking).acquire_owned().await;
        let inner = Arc::clone(self);
        let looking = tokio::task::spawn_blocking(move || {
            // Held by who reads: who asked may be gone before that is done.
            let _permit = permit;
            look(&inner)
        });
        let looked = looking.await;
        looked.unwrap_or_else(|error| Err(JournalError::Failed(error.to_string())))
    }

    /// Waits until everything asked before is done, on a thread that may block.
    fn flush(&self) -> Result<(), JournalError> {
        let (reply, flushed) = oneshot::channel();
        self.send(Op::Flush { reply })?;
        flushed.blocking_recv().map_err(|_| JournalError::Closed)
    }

    /// Has the writer record what the target has to record.
    fn wake_writer_for(&self, target: &Target) {
        if target.dispatch().has_to_record() {
            let _ = self.send(Op::Wake);
        }
    }
}

impl Drop for Inner {
    /// Closes the journal, so that it can be opened again at once.
    fn drop(&mut self) {
        let (reply, _) = oneshot::channel();
        let _ = self.ops.send(Op::Close { reply });
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl Shared {
    fn targets(&self) -> Arc<[Arc<Target>]> {
        Arc::clone(&self.targets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn target(&self, name: &str) -> Option<Arc<Target>> {
        self.targets().iter().find(|target| target.name == name).cloned()
    }

    /// These are the targets now. Who stays is the same as before.
    fn set_targets(&self, rows: Vec<TargetRow>, head: u64) {
        let before = self.targets();
        let now: Arc<[Arc<Target>]> = rows
            .into_iter()
            .map(|row| match before.iter().find(|target| target.id == row.id) {
                Some(target) => Arc::clone(target),
                None => Arc::new(Target::new(row.id, row.name, head)),
            })
            .collect();
        for target in before.iter().filter(|target| !now.iter().any(|other| other.id == target.id)) {
            target.go();
        }
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Counts what waits to be written. False: too much waits.
    fn queue(&self, op: &Op) -> bool {
        let (events, bytes) = op.size();
        let queued = self.queued.fetch_add(events, Ordering::Relaxed);
        let queued_bytes = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = queued < MAX_QUEUED && queued_bytes < MAX_QUEUED_BYTES;
        if !has_room {
            self.took(op);
        }
        has_room
    }

    fn took(&self, op: &Op) {
        let (events, bytes) = op.size();
        self.queued.fetch_sub(events, Ordering::Relaxed);
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn added(&self, events: u64, bytes: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn removed(&self, events: u64, bytes: u64, dead: u64) {
        self.events.fetch_sub(events, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.expired_dead.fetch_add(dead, Ordering::Relaxed);
        if dead > 0 {
            tracing::warn!(dead, "dead letters were removed because of their age, or to make room");
        }
    }

    fn reason(&self) -> MutexGuard<'_, String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_keeping(&self) -> bool {
        self.is_keeping.load(Ordering::Acquire)
    }

    fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Acquire)
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    fn can_keep(&self) {
        if !self.is_damaged() && !self.is_keeping.swap(true, Ordering::AcqRel) {
            tracing::info!("the journal can keep events again");
        }
    }

    fn failed(&self, failure: &Failure) {
        match failure {
            Failure::Damaged(detail) => self.damaged(detail),
            Failure::Lost(reason) => {
                self.cannot_keep(reason);
                self.is_damaged.store(true, Ordering::Release);
            }
            failure => self.cannot_keep(failure.reason()),
        }
    }

    fn cannot_keep(&self, reason: &str) {
        if self.is_damaged() {
            return;
        }
        reason.clone_into(&mut self.reason());
        if self.is_keeping.swap(false, Ordering::AcqRel) {
            tracing::error!(path = %self.path.display(), reason, "the journal cannot keep events");
        }
    }

    /// Nothing more is kept until somebody has looked after it.
    fn damaged(&self, detail: &str) {
        let path = self.path.clone();
        self.cannot_keep(&OpenError::Damaged { path, detail: detail.to_owned() }.to_string());
        self.is_damaged.store(true, Ordering::Release);
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        for target in self.targets().iter() {
            target.wake();
        }
    }
}
