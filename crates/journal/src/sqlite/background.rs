//! What goes on beside the writer: folding the log into the database, and checking what is kept.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension};

use super::file::{self, Held};
use super::{SEGMENT, Shared};

/// The log is folded into the database when so much was written: then folding does not keep the disk from the writer for long.
const FOLD_AFTER: usize = 1024;
/// Or when anything was, after this time.
const FOLD_AT_LATEST: Duration = Duration::from_secs(1);
/// Shorter logs, in bytes, are not begun anew.
const WORTH_IT: i64 = 8 << 20;
/// What the writer may fold itself without keeping anybody waiting.
const SHORT: i64 = 1 << 20;
/// Longer ones he folds even if that takes longer: the disk is not there for the log.
const TOO_LONG: i64 = 64 << 20;
const MAX_ROUNDS: usize = 5;
/// Checking rests so many times longer than it works.
const REST: u32 = 9;

pub(super) struct Background {
    shared: Arc<Common>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Common {
    is_stopping: Mutex<bool>,
    woken: Condvar,
    /// What the writer wrote since the log was folded.
    written: AtomicUsize,
    /// The log is folded but for a short rest, and can be begun anew.
    is_almost_folded: AtomicBool,
}

impl Common {
    /// True: go on.
    fn rest(&self, pause: Duration) -> bool {
        let is_stopping = self.is_stopping.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.woken.wait_timeout_while(is_stopping, pause, |is_stopping| !*is_stopping);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits until there is something worth folding. False: stop.
    fn has_to_fold(&self) -> bool {
        let is_stopping = self.is_stopping.lock().unwrap_or_else(PoisonError::into_inner);
        let has_little = |is_stopping: &mut bool| !*is_stopping && self.written.load(Ordering::Relaxed) < FOLD_AFTER;
        let waited = self.woken.wait_timeout_while(is_stopping, FOLD_AT_LATEST, has_little);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Background {
    pub(super) fn start(path: &Path, shared: &Arc<Shared>, held: Arc<Held>) -> rusqlite::Result<Self> {
        let common = Arc::new(Common::default());
        let mut threads = Vec::new();
        let folding = file::connect_folder(path)?;
        let with = Arc::clone(&common);
        threads.extend(spawn("journal-fold", move || fold(&folding, &held.database, &with)));
        let reading = file::connect_reader(path)?;
        let (with, shared) = (Arc::clone(&common), Arc::clone(shared));
        threads.extend(spawn("journal-check", move || check(&reading, &with, &shared)));
        Ok(Self { shared: common, threads })
    }

    /// Called by the writer after it wrote: folds the short rest of the log, so that it is begun anew and does not grow.
    pub(super) fn checkpoint(&self, connection: &Connection, written: usize) {
        let before = self.shared.written.fetch_add(written, Ordering::Relaxed);
        if before + written >= FOLD_AFTER {
            self.shared.woken.notify_all();
        }
        if self.shared.is_almost_folded.swap(false, Ordering::Relaxed) {
            warn(passive(connection));
        }
    }

    pub(super) fn stop(&mut self) {
        *self.shared.is_stopping.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.woken.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.inspect_err(|error| tracing::error!(%error, name, "no thread for the journal")).ok()
}

/// The pages of the log, and how many of them are folded.
fn passive(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}

fn page_size(connection: &Connection) -> i64 {
    warn(connection.query_row("PRAGMA page_size", [], |row| row.get(0))).unwrap_or(4096)
}

fn warn<T>(result: Result<T, impl std::fmt::Display>) -> Option<T> {
    result.inspect_err(|error| tracing::warn!(%error, "the log of the journal cannot be folded into its file")).ok()
}

/// Folds the log again and again, and has the database written to the disk each time: so little is left to the writer.
fn fold(connection: &Connection, database: &File, common: &Common) {
    let page_size = page_size(connection);
    let pages_of = |bytes| bytes / page_size;
    while common.has_to_fold() {
        if common.written.swap(0, Ordering::Relaxed) == 0 {
            continue;
        }
        let mut before = None;
        for _ in 0..MAX_ROUNDS {
            let Some((pages, folded)) = warn(passive(connection)) else { break };
            if pages < pages_of(WORTH_IT) {
                warn(database.sync_data());
                break;
            }
            // What came while the disk was at it, and what somebody who reads holds up.
            let is_short = |before| pages - folded.min(before) < pages_of(SHORT);
            if before.is_some_and(|before| is_short(before) || pages >= pages_of(TOO_LONG)) {
                common.is_almost_folded.store(true, Ordering::Relaxed);
                break;
            }
            before = Some(folded);
            warn(database.sync_data());
        }
    }
}

/// Reads everything once after the start, a segment at a time and resting in between, and compares it with what was counted
/// when it was written.
fn check(connection: &Connection, common: &Common, shared: &Shared) {
    let mut next = Some(0);
    while let Some(number) = next {
        let began = Instant::now();
        next = match check_segment(connection, number) {
            Ok(Checked::Sound(next)) => next,
            Ok(Checked::Damaged(what)) => return shared.damaged(&what),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
                return shared.damaged(&format!("{error} in segment {number}"));
            }
            Err(error) => return tracing::warn!(%error, "the journal could not be checked"),
        };
        if !common.rest(began.elapsed() * REST) {
            return;
        }
    }
    tracing::debug!("the journal was checked");
}

enum Checked {
    /// With the number of the next segment.
    Sound(Option<i64>),
    Damaged(String),
}

fn check_segment(connection: &Connection, at_least: i64) -> rusqlite::Result<Checked> {
    let snapshot = connection.unchecked_transaction()?;
    let segment: Option<(i64, i64, i64)> = snapshot
        .prepare_cached("SELECT number, events, bytes FROM segment WHERE number >= ? ORDER BY number LIMIT 1")?
        .query_row([at_least], |row| row.try_into())
        .optional()?;
    let Some((number, events, bytes)) = segment else { return Ok(Checked::Sound(None)) };
    let range = (number * SEGMENT.cast_signed(), (number + 1) * SEGMENT.cast_signed() - 1);
    let found: (i64, i64) = snapshot
        .prepare_cached(
            "SELECT count(*), coalesce(sum(octet_length(query) + octet_length(body) + coalesce(octet_length(answer), 0)), 0)
             FROM event WHERE position BETWEEN ? AND ?",
        )?
        .query_row(range, |row| row.try_into())?;
    for table in ["attempt", "delivery"] {
        snapshot
            .prepare_cached(&format!("SELECT count(*) FROM {table} WHERE position BETWEEN ? AND ?"))?
            .query_row(range, |_| Ok(()))?;
    }
    match found == (events, bytes) {
        true => Ok(Checked::Sound(Some(number + 1))),
        false => Ok(Checked::Damaged(format!(
            "segment {number} has {} events of {} bytes, and {events} of {bytes} were written",
            found.0, found.1
        ))),
    }
}
