//! Records how attempts ended, many with one write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::book::Lane;
use super::history::{Entry, short};
use super::names::BUCKET;
use super::target::Share;
use super::wire::millis;
use crate::delivery::{Attempt, Outcome};
use crate::error::JournalError;
use crate::record::Record;

/// Attempts recorded at once. With the longest details they still fit into one message.
const GROUP: usize = 128;

/// The right to settle a delivery.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) shared: Arc<Shared>,
    pub(super) share: Arc<Share>,
    pub(super) record: Arc<Record>,
    pub(super) generation: u64,
    pub(super) lane: Lane,
    pub(super) position: u64,
    pub(super) attempts: u32,
    /// The wish to deliver it again.
    pub(super) wish: Option<u64>,
    pub(super) settled: AtomicBool,
}

/// A settlement on its way.
#[derive(Debug)]
pub(super) enum Item {
    Attempt(Box<Settlement>),
    /// Answered when everything before it is recorded.
    Flush(oneshot::Sender<()>),
}

#[derive(Debug)]
pub(super) struct Settlement {
    share: Arc<Share>,
    generation: u64,
    lane: Lane,
    position: u64,
    wish: Option<u64>,
    attempt: Attempt,
    entry: Entry,
    dead: Option<DeadRecord>,
    answer: oneshot::Sender<()>,
}

/// A dead letter as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DeadRecord {
    pub(super) class: String,
    pub(super) cause: String,
    pub(super) attempts: u32,
    pub(super) died: u64,
    pub(super) id: String,
    pub(super) command: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) key: Option<String>,
    pub(super) received: u64,
}

impl Lease {
    pub(crate) async fn settle(&self, attempt: Attempt) -> Result<(), JournalError> {
        if *self.shared.closed.borrow() || self.shared.closing.load(Ordering::Acquire) {
            return Err(JournalError::Closed);
        }
        if self.settled.swap(true, Ordering::AcqRel) {
            return Err(JournalError::NotOut);
        }
        if !self.share.is_subscribed() {
            return Err(JournalError::NotOut);
        }
        let out = self.share.book().is_out(self.generation, self.lane, self.position);
        // Somebody else may have the share by now. What was delivered is still worth recording: it is not delivered again then.
        if !out && !matches!(attempt.outcome, Outcome::Delivered { .. }) {
            return Err(JournalError::NotOut);
        }
        if attempt.outcome == Outcome::Skipped && self.wish.is_none() && self.attempts == 0 {
            // Nobody needs to know.
            self.share.book().settled(self.generation, self.lane, self.position, &attempt, Instant::now());
            self.share.changed();
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        let settlement = Settlement {
            share: Arc::clone(&self.share),
            generation: self.generation,
            lane: self.lane,
            position: self.position,
            wish: self.wish,
            dead: self.dead_record(&attempt),
            entry: Entry::of(self.position, &attempt),
            attempt,
            answer,
        };
        self.shared.recorder.send(Item::Attempt(Box::new(settlement))).map_err(|_| JournalError::Closed)?;
        answered.await.map_err(|_| JournalError::Closed)
    }

    fn dead_record(&self, attempt: &Attempt) -> Option<DeadRecord> {
        let Outcome::Dead { class, cause } = &attempt.outcome else { return None };
        Some(DeadRecord {
            class: class.to_string(),
            cause: short(cause),
            attempts: self.attempts.saturating_add(1),
            died: millis(SystemTime::now()),
            id: self.record.id.clone(),
            command: self.record.command.clone(),
            key: self.record.key.clone(),
            received: millis(self.record.received),
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !*self.settled.get_mut() {
            self.share.book().give_back(self.generation, self.lane, self.position);
            self.share.changed();
        }
    }
}

/// Records what comes in, until the journal is closed.
pub(super) async fn run(shared: Arc<Shared>, mut items: mpsc::UnboundedReceiver<Item>) {
    let mut closed = shared.closed.subscribe();
    let mut group = Vec::new();
    loop {
        tokio::select! {
            count = items.recv_many(&mut group, GROUP) => if count == 0 { return },
            _ = closed.wait_for(|closed| *closed) => return,
        }
        tokio::select! {
            () = record(&shared, &group) => {}
            _ = closed.wait_for(|closed| *closed) => return,
        }
        for item in group.drain(..) {
            match item {
                Item::Attempt(settled) => {
                    let Settlement { share, generation, lane, position, attempt, answer, .. } = *settled;
                    share.book().settled(generation, lane, position, &attempt, Instant::now());
                    share.changed();
                    let _ = answer.send(());
                }
                Item::Flush(answer) => {
                    let _ = answer.send(());
                }
            }
        }
    }
}

/// Writes a group: dead letters first, then the attempts, then what was wished for is crossed out.
async fn record(shared: &Shared, group: &[Item]) {
    let settlements = || {
        group.iter().filter_map(|item| match item {
            Item::Attempt(settlement) => Some(settlement),
            Item::Flush(_) => None,
        })
    };
    let dead = settlements().filter_map(|settlement| {
        let payload = serde_json::to_vec(settlement.dead.as_ref()?).ok()?;
        Some(shared.store_surely(shared.names.dead_letter(&settlement.share.target, settlement.position), payload))
    });
    join_all(dead).await;
    let mut buckets: BTreeMap<(&str, u64), Vec<&Entry>> = BTreeMap::new();
    for settlement in settlements() {
        let bucket = settlement.position / BUCKET;
        buckets.entry((&settlement.share.target, bucket)).or_default().push(&settlement.entry);
    }
    let attempts = buckets.iter().filter_map(|((target, bucket), entries)| {
        let payload = serde_json::to_vec(entries).ok()?;
        Some(shared.store_surely(shared.names.attempts_of(target, *bucket), payload))
    });
    join_all(attempts).await;
    for settlement in settlements() {
        if let (Some(wish), false) = (settlement.wish, matches!(settlement.attempt.outcome, Outcome::Retry { .. })) {
            while shared.forget_wish(&settlement.share, settlement.position, wish).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Shared {
    /// Stores a message, however long it takes. It is stored once.
    pub(super) async fn store_surely(&self, subject: String, payload: Vec<u8>) {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, self.unique().as_str());
        let payload = bytes::Bytes::from(payload);
        let mut said = false;
        while let Err(error) = self.store(&subject, headers.clone(), payload.clone()).await {
            if !said {
                tracing::warn!(%error, "an outcome cannot be recorded yet");
                said = true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
