//! What operators do: deliver again, give up.

use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::Shared;
use super::book::Lane;
use super::history::{Entry, What};
use super::names::BUCKET;
use super::read::{self, Query};
use super::wire::{millis, time};
use crate::error::JournalError;
use crate::look::{AuditAction, AuditEntry};
use crate::record::Position;

/// A wish to deliver an event again, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wished {
    pub(super) lane: Lane,
    /// The sequence of the note in the event's history.
    pub(super) noted: u64,
}

/// Something an operator did, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Deed {
    at: u64,
    by: String,
    action: String,
    position: u64,
    target: String,
}

impl Shared {
    pub(super) async fn replay(&self, position: u64, target: &str, by: &str) -> Result<bool, JournalError> {
        self.is_target(target)?;
        let Some(event) = self.event_at(position).await? else { return Ok(false) };
        let (lane, share) = (event.lane(), event.share);
        let subject = self.names.replay(target, share, position);
        // It may be dead again before we go on: that is another dead letter.
        let dead = self.names.dead_letter(target, position);
        let letter = self.newest(&self.names.dead, &dead).await?;
        self.record(AuditAction::Replay, position, target, by).await?;
        let noted = self.note(position, target, What::Replayed).await?;
        let wish = serde_json::to_vec(&Wished { lane, noted }).map_err(failed)?;
        self.store_soon(subject.clone(), wish).await?;
        if let Some((_, sequence)) = letter {
            self.purge(&self.names.dead, &dead, Some(sequence)).await?;
        }
        let here = self.targets().get(target).cloned().flatten();
        if let Some(here) = here {
            // Taken up before it is answered: it comes before the later events of its key.
            let wish = read::last(&self.client, &self.names.state, &subject).await;
            if let (Ok(Some(wish)), Some(share)) = (wish, here.holds(share)) {
                share.book().replay(lane, position, wish.sequence, Instant::now());
                share.fetch.notify_one();
            }
            here.wish.notify_one();
        }
        Ok(true)
    }

    /// Also of a target that is not configured any more.
    pub(super) async fn discard(&self, position: u64, target: &str, by: &str) -> Result<bool, JournalError> {
        if self.target_records(target).await?.is_empty() {
            return Err(JournalError::NoSuchTarget(target.to_owned()));
        }
        let subject = self.names.dead_letter(target, position);
        if read::last(&self.client, &self.names.dead, &subject).await?.is_none() {
            return Ok(false);
        }
        self.record(AuditAction::Discard, position, target, by).await?;
        self.note(position, target, What::Discarded).await?;
        // Of two who discard at the same time, one did it.
        Ok(self.purge(&self.names.dead, &subject, None).await? > 0)
    }

    /// Writes down what an operator does to an event. Returns the sequence of that.
    async fn note(&self, position: u64, target: &str, what: What) -> Result<u64, JournalError> {
        let entry = Entry { p: position, at: millis(SystemTime::now()), what };
        let payload = serde_json::to_vec(&[entry]).map_err(failed)?;
        self.store_soon(self.names.attempts_of(target, position / BUCKET), payload).await
    }

    /// Records who wants what, before it is done: nothing is done that is not recorded.
    async fn record(&self, action: AuditAction, position: u64, target: &str, by: &str) -> Result<(), JournalError> {
        let (by, target) = (by.to_owned(), target.to_owned());
        let deed = Deed { at: millis(SystemTime::now()), by, action: action.to_string(), position, target };
        let payload = serde_json::to_vec(&deed).map_err(failed)?;
        self.store_soon(format!("{}.{action}", self.names.audit), payload).await.map(drop)
    }

    pub(super) async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, JournalError> {
        let newest = self.stream(&self.names.audit).await?.cached_info().state.last_sequence;
        let last = before.map_or(newest, |before| before.saturating_sub(1).min(newest));
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let mut seq = (last + 1).saturating_sub(limit).max(1);
        let mut entries = Vec::new();
        while seq <= last {
            let query = Query::from(seq, None, 256);
            let page = read::page(&self.client, &self.names.audit, &query).await?;
            let Some(newest) = page.messages.last() else { break };
            seq = newest.sequence + 1;
            for found in page.messages.iter().filter(|found| found.sequence <= last) {
                let deed: Deed = serde_json::from_slice(&found.payload).map_err(failed)?;
                entries.push(AuditEntry {
                    number: found.sequence,
                    at: time(deed.at),
                    by: deed.by,
                    action: deed.action.parse().map_err(failed)?,
                    position: Position(deed.position),
                    target: deed.target,
                });
            }
        }
        entries.reverse();
        Ok(entries)
    }
}

fn failed(error: impl std::fmt::Display) -> JournalError {
    JournalError::Failed(error.to_string())
}
