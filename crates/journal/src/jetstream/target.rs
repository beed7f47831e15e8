//! A target in this process, and its shares as they are kept: who delivers one at the moment, and how far it is.
//!
//! One replica delivers a share at a time. It takes the record of the share when that names nobody, or somebody who is gone
//! (`members`), with the revision that it saw as condition; the condition lets one win, and tells the one before.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::book::{Book, Progress};
use super::connect::said;
use super::members::View;
use super::names::{SHARES, untoken};
use super::read;
use super::{PATIENCE, Shared};
use crate::error::JournalError;

/// How often progress is written, as long as it is short.
const SAVE: Duration = Duration::from_millis(500);
/// With each so many lanes behind it is written as much more seldom.
const LANES: usize = 500;
/// Before a write that failed is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// The deliveries of a target in this process, while somebody takes them.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) shares: Vec<Arc<Share>>,
    /// A delivery may be due.
    pub(super) ready: Arc<Notify>,
    /// There may be a wish to deliver again.
    pub(super) wish: Notify,
    /// The subscription is there.
    pub(super) subscribed: Arc<AtomicBool>,
    /// No longer a target.
    pub(super) removed: AtomicBool,
    /// To stop delivering.
    pub(super) stop: watch::Sender<bool>,
}

/// The deliveries of a share of a target in this process.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) target: String,
    pub(super) number: u64,
    book: Mutex<Book>,
    /// There may be room to read ahead.
    pub(super) room: Notify,
    /// Something may have to be fetched.
    pub(super) fetch: Notify,
    /// What was out was settled.
    pub(super) settled: Notify,
    /// Whether this process has it.
    pub(super) held: AtomicBool,
    ready: Arc<Notify>,
    subscribed: Arc<AtomicBool>,
}

impl Target {
    pub(super) fn new(name: &str) -> Self {
        let (ready, subscribed) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(true)));
        let share = |number| {
            let share = Share {
                target: name.to_owned(),
                number,
                book: Mutex::default(),
                room: Notify::new(),
                fetch: Notify::new(),
                settled: Notify::new(),
                held: AtomicBool::new(false),
                ready: Arc::clone(&ready),
                subscribed: Arc::clone(&subscribed),
            };
            share.book().clear();
            Arc::new(share)
        };
        Self {
            name: name.to_owned(),
            shares: (0..SHARES).map(share).collect(),
            ready,
            wish: Notify::new(),
            subscribed,
            removed: AtomicBool::new(false),
            stop: watch::Sender::new(false),
        }
    }

    /// The shares that this process has.
    pub(super) fn held(&self) -> impl Iterator<Item = &Arc<Share>> {
        self.shares.iter().filter(|share| share.held.load(Ordering::Relaxed))
    }

    /// A share, if this process has it.
    pub(super) fn holds(&self, number: u64) -> Option<&Arc<Share>> {
        self.held().find(|share| share.number == number)
    }
}

impl Share {
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        // The book is never left half changed: nothing in it panics.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the subscription that takes its deliveries is there.
    pub(super) fn is_subscribed(&self) -> bool {
        self.subscribed.load(Ordering::Acquire)
    }

    /// Wakes whoever waits for a change of the book.
    pub(super) fn changed(&self) {
        self.ready.notify_one();
        self.room.notify_one();
        self.fetch.notify_one();
        self.settled.notify_one();
    }
}

/// The record of a share of a target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct ShareRecord {
    /// Who delivers at the moment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) holder: Option<String>,
    /// Where it began.
    pub(super) from: u64,
    #[serde(flatten)]
    pub(super) progress: Progress,
}

/// The records of the shares of a target, by their numbers.
pub(super) type ShareRecords = BTreeMap<u64, ShareRecord>;

/// The right to deliver a share, once it is taken.
#[derive(Debug)]
pub(super) struct Held {
    me: String,
    subject: String,
    record: ShareRecord,
    revision: u64,
}

pub(super) enum Written {
    Yes(u64),
    /// Somebody else wrote meanwhile, or an earlier write of ours arrived.
    Changed,
}

/// The record of a share, as it is in the stream of the state.
pub(super) fn parse_record(state: &str, payload: &[u8]) -> Result<ShareRecord, JournalError> {
    serde_json::from_slice(payload).map_err(|error| {
        JournalError::Failed(format!("stream {state}: the record of a target is none of ours: {error}"))
    })
}

impl Shared {
    /// The records of a target, as far as there are any, with their revisions.
    async fn revisions_of(&self, target: &str) -> Result<BTreeMap<u64, (ShareRecord, u64)>, JournalError> {
        let found = read::all(&self.client, &self.names.state, &self.names.share_records(Some(target))).await?;
        let records = found.iter().filter_map(|found| {
            let share = found.subject.rsplit('.').next()?.parse().ok()?;
            Some(parse_record(&self.names.state, &found.payload).map(|record| (share, (record, found.sequence))))
        });
        records.collect()
    }

    /// The records of a target; none when there is no such target.
    pub(super) async fn target_records(&self, target: &str) -> Result<ShareRecords, JournalError> {
        let records = self.revisions_of(target).await?;
        Ok(records.into_iter().map(|(share, (record, _))| (share, record)).collect())
    }

    /// Every target that ever was, and is not forgotten yet.
    pub(super) async fn all_records(&self) -> Result<BTreeMap<String, ShareRecords>, JournalError> {
        let mut targets: BTreeMap<String, ShareRecords> = BTreeMap::new();
        for found in read::all(&self.client, &self.names.state, &self.names.share_records(None)).await? {
            let mut tokens = found.subject.rsplit('.');
            let share = tokens.next().and_then(|token| token.parse().ok());
            let (Some(share), Some(name)) = (share, tokens.next().and_then(untoken)) else { continue };
            targets.entry(name).or_default().insert(share, parse_record(&self.names.state, &found.payload)?);
        }
        Ok(targets)
    }

    /// Makes a target known; a new one begins behind the last event.
    pub(super) async fn know_target(&self, target: &str) -> Result<(), JournalError> {
        let end = Instant::now() + PATIENCE;
        loop {
            let known = self.revisions_of(target).await?;
            let missing: Vec<u64> = (0..SHARES).filter(|share| !known.contains_key(share)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            let begin = self.last_position().await? + 1;
            let progress = Progress { cursor: begin, read: begin, ..Progress::default() };
            let record = ShareRecord { holder: None, from: begin, progress };
            let subjects: Vec<_> = missing.iter().map(|share| self.names.share_record(target, *share)).collect();
            let written = try_join_all(subjects.iter().map(|subject| self.write_if(subject, &record, 0))).await?;
            if written.iter().all(|written| matches!(written, Written::Yes(_))) {
                return Ok(());
            }
            // Another replica makes it known at this moment: its records hold, once they are there.
            if Instant::now() >= end {
                return Err(JournalError::Unavailable(format!("target {target}: others write its records too")));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Writes a record if its revision is still this one; 0: if there is none.
    pub(super) async fn write_if(
        &self,
        subject: &str,
        record: &impl Serialize,
        revision: u64,
    ) -> Result<Written, JournalError> {
        let payload = serde_json::to_vec(record).map_err(|error| JournalError::Failed(error.to_string()))?;
        let message = PublishMessage::build().payload(payload.into()).expected_last_subject_sequence(revision);
        let publish = async { self.context.send_publish(subject.to_owned(), message).await?.await };
        match publish.await {
            Ok(ack) => Ok(Written::Yes(ack.sequence)),
            Err(error) if is_contradicted(&error) => Ok(Written::Changed),
            Err(error) => Err(JournalError::Unavailable(said(&error))),
        }
    }

    /// Free shares of a target, at most `most`, beside those that we have, and those that are ours by the record alone. Looks at
    /// the one with the number `first` first.
    pub(super) async fn free_shares(
        &self,
        target: &str,
        view: &View,
        ours: &[u64],
        most: usize,
        first: u64,
    ) -> Result<Vec<(u64, Held)>, JournalError> {
        let Some(me) = &view.me else { return Ok(Vec::new()) };
        let mut records = self.revisions_of(target).await?;
        if records.len() < usize::try_from(SHARES).unwrap_or(usize::MAX) {
            self.know_target(target).await?;
        }
        let mut free = Vec::new();
        for share in (0..SHARES).map(|n| (first + n) % SHARES).filter(|share| !ours.contains(share)) {
            let Some((mut record, revision)) = records.remove(&share) else { continue };
            let is_ours = record.holder.as_ref() == Some(me);
            if is_ours || free.len() < most && self.is_free(&record, view).await {
                record.holder = Some(me.clone());
                let subject = self.names.share_record(target, share);
                free.push((share, Held { me: me.clone(), subject, record, revision }));
            }
        }
        Ok(free)
    }

    async fn is_free(&self, record: &ShareRecord, view: &View) -> bool {
        match record.holder.as_deref() {
            None => true,
            Some(holder) if view.is_gone(holder) => true,
            Some(holder) if view.is_there(holder) => false,
            // Who left has no record; who has just come may have one that we do not see yet.
            Some(holder) => self.count_as_gone(holder, 0).await,
        }
    }
}

/// Whether somebody else wrote, or writes at this moment, which a cluster says in another way.
fn is_contradicted(error: &PublishError) -> bool {
    let refused = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::WrongLastSequence
        || refused.is_some_and(|refused| refused.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}

impl Held {
    /// Takes the share. False: somebody else has it.
    pub(super) async fn take(&mut self, shared: &Shared) -> bool {
        self.write_surely(shared).await
    }

    /// Under which name the share is taken.
    pub(super) fn name(&self) -> &str {
        &self.me
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.record.progress
    }

    /// Writes how far the share is when that changed, until somebody else has it.
    pub(super) async fn save(&mut self, shared: &Shared, share: &Share) {
        loop {
            let lanes = u32::try_from(self.record.progress.behind.len() / LANES).unwrap_or(u32::MAX);
            tokio::time::sleep(SAVE.saturating_mul(lanes.saturating_add(1))).await;
            let progress = share.book().progress();
            if progress == self.record.progress {
                continue;
            }
            self.record.progress = progress;
            if !self.write_surely(shared).await {
                return;
            }
        }
    }

    /// Hands the share back, with how far it is.
    pub(super) async fn release(mut self, shared: &Shared, progress: Progress) {
        self.record.holder = None;
        self.record.progress = progress;
        self.write_surely(shared).await;
    }

    /// Writes, however long the servers take nothing: a share that is ours by its record and that nobody here knows of is
    /// delivered by nobody. False: somebody else has it.
    async fn write_surely(&mut self, shared: &Shared) -> bool {
        while !self.write(shared).await {
            if self.is_lost(shared).await {
                return false;
            }
            tokio::time::sleep(AGAIN).await;
        }
        true
    }

    async fn write(&mut self, shared: &Shared) -> bool {
        match shared.write_if(&self.subject, &self.record, self.revision).await {
            Ok(Written::Yes(revision)) => {
                self.revision = revision;
                true
            }
            Ok(Written::Changed) | Err(_) => false,
        }
    }

    /// Whether somebody else has the share. A write of ours without answer may have arrived; then it counts.
    async fn is_lost(&mut self, shared: &Shared) -> bool {
        match shared.newest(&shared.names.state, &self.subject).await {
            Ok(Some((_, sequence))) if sequence == self.revision => false,
            Ok(Some((payload, sequence))) if sequence > self.revision => {
                match parse_record(&shared.names.state, &payload) {
                    Ok(record) if record.holder.as_deref() == Some(&self.me) => {
                        self.revision = sequence;
                        false
                    }
                    // Also: a release of ours has arrived.
                    Ok(_) | Err(_) => true,
                }
            }
            // Forgotten, or the servers have an earlier state again.
            Ok(_) => true,
            Err(_) => false,
        }
    }
}
