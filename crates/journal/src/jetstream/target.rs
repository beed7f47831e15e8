//! A target as it is kept: who delivers to it at the moment (the lease), and how far it is.
//!
//! One replica delivers to a target at a time. It writes the record at least every `RENEWAL`, with the revision that it
//! wrote before as condition. Whoever wants the target takes it when the record names nobody, or did not change for `EXPIRY` by
//! their own clock; the condition lets one win. A holder that could not renew for `HOLD` gives nothing out until it has: that is
//! before anybody may take over. No clock is compared with another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::Shared;
use super::book::{Book, Progress};
use super::connect::said;
use super::names::untoken;
use super::read;
use crate::error::JournalError;

const RENEWAL: Duration = Duration::from_millis(500);
const HOLD: Duration = Duration::from_secs(2);
const EXPIRY: Duration = Duration::from_millis(3500);
const POLL: Duration = Duration::from_millis(250);
/// A replica that holds leases lets others go first, by so much for each.
const COURTESY: Duration = Duration::from_millis(100);

/// The deliveries of a target in this process, while somebody takes them.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    book: Mutex<Book>,
    /// A delivery may be due.
    pub(super) ready: Notify,
    /// There may be room to read ahead.
    pub(super) room: Notify,
    /// Something may have to be fetched.
    pub(super) fetch: Notify,
    /// There may be a wish to deliver again.
    pub(super) wish: Notify,
    /// The subscription is there.
    pub(super) subscribed: AtomicBool,
    /// No longer a target.
    pub(super) removed: AtomicBool,
    /// To stop delivering.
    pub(super) stop: watch::Sender<bool>,
    /// Whether this process has the lease.
    pub(super) held: AtomicBool,
}

impl Target {
    pub(super) fn new(name: &str) -> Self {
        let target = Self {
            name: name.to_owned(),
            book: Mutex::default(),
            ready: Notify::new(),
            room: Notify::new(),
            fetch: Notify::new(),
            wish: Notify::new(),
            subscribed: AtomicBool::new(true),
            removed: AtomicBool::new(false),
            stop: watch::Sender::new(false),
            held: AtomicBool::new(false),
        };
        target.book().clear();
        target
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        // The book is never left half changed: nothing in it panics.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read_next(&self) -> u64 {
        self.book().read_next()
    }

    pub(super) fn room_to_read(&self) -> usize {
        self.book().room()
    }

    pub(super) fn progress(&self) -> Progress {
        self.book().progress()
    }

    /// Wakes whoever waits for a change of the book.
    pub(super) fn changed(&self) {
        self.ready.notify_one();
        self.room.notify_one();
        self.fetch.notify_one();
    }
}

/// The record of a target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct TargetRecord {
    /// Who delivers at the moment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) holder: Option<String>,
    /// Where it began.
    pub(super) from: u64,
    #[serde(flatten)]
    pub(super) progress: Progress,
}

/// The right to deliver to a target.
#[derive(Debug)]
pub(super) struct Held {
    me: String,
    subject: String,
    record: TargetRecord,
    revision: u64,
    /// When the last successful renewal began.
    renewed: Instant,
}

enum Written {
    Yes(u64),
    /// Somebody else wrote meanwhile, or an earlier write of ours arrived.
    Changed,
}

impl Shared {
    /// The record of a target and its revision.
    pub(super) async fn target_record(&self, target: &str) -> Result<Option<(TargetRecord, u64)>, JournalError> {
        match read::last(&self.client, &self.names.state, &self.names.target(target)).await? {
            Some(found) => Ok(Some((self.parse_record(&found.payload)?, found.sequence))),
            None => Ok(None),
        }
    }

    /// Every target that ever was, and is not forgotten yet.
    pub(super) async fn target_records(&self) -> Result<Vec<(String, TargetRecord)>, JournalError> {
        let mut records = Vec::new();
        for found in read::all(&self.client, &self.names.state, &self.names.every_target()).await? {
            let Some(name) = found.subject.rsplit('.').next().and_then(untoken) else { continue };
            records.push((name, self.parse_record(&found.payload)?));
        }
        Ok(records)
    }

    fn parse_record(&self, payload: &[u8]) -> Result<TargetRecord, JournalError> {
        serde_json::from_slice(payload).map_err(|error| {
            JournalError::Failed(format!(
                "stream {}: the record of a target is none of ours: {error}",
                self.names.state
            ))
        })
    }

    /// Makes a target known; a new one begins behind the last event.
    pub(super) async fn know_target(&self, target: &str) -> Result<(), JournalError> {
        if self.target_record(target).await?.is_some() {
            return Ok(());
        }
        let begin = self.last_position().await? + 1;
        let progress = Progress { cursor: begin, read: begin, ..Progress::default() };
        let record = TargetRecord { holder: None, from: begin, progress };
        // Another replica may have been faster: then its record holds.
        self.write_if(&self.names.target(target), &record, 0).await.map(drop)
    }

    async fn write_if(&self, subject: &str, record: &TargetRecord, revision: u64) -> Result<Written, JournalError> {
        let payload = serde_json::to_vec(record).map_err(|error| JournalError::Failed(error.to_string()))?;
        let message = PublishMessage::build().payload(payload.into()).expected_last_subject_sequence(revision);
        let publish = async { self.context.send_publish(subject.to_owned(), message).await?.await };
        match publish.await {
            Ok(ack) => Ok(Written::Yes(ack.sequence)),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(Written::Changed),
            Err(error) => Err(JournalError::Unavailable(said(&error))),
        }
    }

    /// Waits until the target is free, and takes it.
    pub(super) async fn acquire(&self, target: &str, me: &str) -> Held {
        let subject = self.names.target(target);
        let mut seen: Option<(u64, Instant)> = None;
        loop {
            match self.target_record(target).await {
                Ok(Some((mut record, revision))) => {
                    let now = Instant::now();
                    let since = match seen {
                        Some((same, since)) if same == revision => since,
                        _ => now,
                    };
                    seen = Some((revision, since));
                    if record.holder.is_none() || now.duration_since(since) >= EXPIRY {
                        let held = u32::try_from(self.leases_held()).unwrap_or(u32::MAX);
                        tokio::time::sleep(COURTESY.saturating_mul(held).min(POLL * 4)).await;
                        record.holder = Some(me.to_owned());
                        let renewed = Instant::now();
                        if let Ok(Written::Yes(revision)) = self.write_if(&subject, &record, revision).await {
                            return Held { me: me.to_owned(), subject, record, revision, renewed };
                        }
                    }
                }
                Ok(None) => drop(self.know_target(target).await),
                Err(error) => tracing::debug!(target, %error, "cannot see who delivers"),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn leases_held(&self) -> usize {
        self.targets().values().flatten().filter(|target| target.held.load(Ordering::Relaxed)).count()
    }
}

impl Held {
    pub(super) fn progress(&self) -> &Progress {
        &self.record.progress
    }

    /// Until when nobody else can have it.
    pub(super) fn until(&self) -> Instant {
        self.renewed + HOLD
    }

    /// Renews until somebody else has the lease.
    pub(super) async fn renew(&mut self, shared: &Shared, target: &Target) {
        let (mut pause, mut in_doubt) = (RENEWAL, false);
        loop {
            tokio::time::sleep(pause).await;
            pause = POLL;
            if Instant::now() >= self.until() && !in_doubt {
                tracing::warn!(target = target.name, "not delivering: the lease cannot be renewed");
                in_doubt = true;
            }
            let began = Instant::now();
            self.record.progress = target.progress();
            match shared.write_if(&self.subject, &self.record, self.revision).await {
                Ok(Written::Yes(revision)) => {
                    (self.revision, self.renewed, pause) = (revision, began, RENEWAL);
                    target.book().renewed(self.until());
                    target.ready.notify_one();
                    if std::mem::take(&mut in_doubt) {
                        tracing::info!(target = target.name, "delivering again");
                    }
                }
                Ok(Written::Changed) => match shared.target_record(&target.name).await {
                    Ok(Some((found, revision))) if found.holder.as_deref() == Some(&self.me) => {
                        self.revision = revision
                    }
                    Ok(_) => return,
                    Err(_) => {}
                },
                Err(error) => tracing::debug!(target = target.name, %error, "renewing again"),
            }
        }
    }

    /// Hands the target back, with how far it is.
    pub(super) async fn release(mut self, shared: &Shared, progress: Progress) {
        self.record.holder = None;
        self.record.progress = progress;
        for _ in 0..3 {
            match shared.write_if(&self.subject, &self.record, self.revision).await {
                Ok(Written::Yes(_)) => return,
                Ok(Written::Changed) => match read::last(&shared.client, &shared.names.state, &self.subject).await {
                    Ok(Some(found)) => match shared.parse_record(&found.payload) {
                        Ok(record) if record.holder.as_deref() == Some(&self.me) => self.revision = found.sequence,
                        Ok(_) | Err(_) => return,
                    },
                    Ok(None) => return,
                    Err(_) => {}
                },
                Err(_) => {}
            }
        }
    }
}
