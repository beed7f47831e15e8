//! Removes what is old enough. Any replica may do it, several at once as well.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::Shared;
use super::connect::said;
use super::names::{SHARES, consumer};
use super::read::{self, Query};
use super::target::ShareRecord;
use super::wire::{millis, time};
use crate::error::JournalError;

const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(60);

/// Tidies up now and then, until the journal is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut closed = shared.closed.subscribe();
    let pause = (shared.retention / 20).clamp(OFTEN, SELDOM);
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = closed.wait_for(|closed| *closed) => return,
        }
        tokio::select! {
            result = tidy(&shared) => if let Err(error) = result {
                tracing::debug!(%error, "cannot remove what is old");
            },
            _ = closed.wait_for(|closed| *closed) => return,
        }
    }
}

/// Removes events that are too old, but none that a target has not settled, and the dead letters of events that are gone.
async fn tidy(shared: &Shared) -> Result<(), JournalError> {
    let now = SystemTime::now();
    shared.note_configured(now).await?;
    let mut keep_from = first_younger(shared, now).await?;
    let mut holders = BTreeSet::new();
    for (target, records) in shared.all_records().await? {
        if !is_wanted(shared, &target, now).await? {
            forget(shared, &target).await?;
            continue;
        }
        for (share, record) in records {
            if first_unsettled(&record) < keep_from {
                keep_from = keep_from.min(first_wanted(shared, share, &record).await?);
            }
            holders.extend(record.holder);
        }
    }
    shared.forget_gone(&holders).await?;
    if keep_from > shared.info().await?.state.first_sequence {
        let stream = shared.stream(&shared.names.events).await?;
        let purged = stream.purge().sequence(keep_from).await;
        let purged = purged.map_err(|error| JournalError::Unavailable(said(&error)))?.purged;
        tracing::debug!(events = purged, "removed old events");
        bury(shared, keep_from).await?;
    }
    Ok(())
}

/// The first event that is not too old.
async fn first_younger(shared: &Shared, now: SystemTime) -> Result<u64, JournalError> {
    let Some(since) = now.checked_sub(shared.retention) else { return Ok(0) };
    match read::page(&shared.client, &shared.names.events, &Query::first_since(since)).await?.messages.first() {
        Some(found) => Ok(found.sequence),
        None => Ok(shared.last_position().await? + 1),
    }
}

/// The first event of a share that is not settled. As far as it was read says nothing of a share that had no event for long.
async fn first_wanted(shared: &Shared, share: u64, record: &ShareRecord) -> Result<u64, JournalError> {
    let first = first_unsettled(record);
    if first < record.progress.read {
        return Ok(first);
    }
    Ok(shared.first_of(&shared.names.share(share), first).await?.unwrap_or(u64::MAX))
}

fn first_unsettled(record: &ShareRecord) -> u64 {
    let behind = record.progress.behind.iter().map(|behind| behind.next);
    behind.chain([record.progress.cursor]).min().unwrap_or(0)
}

/// Whether some gateway had the target configured lately. Gateways with a new and an old configuration may run side by
/// side, and all may be down for a while.
async fn is_wanted(shared: &Shared, target: &str, now: SystemTime) -> Result<bool, JournalError> {
    let Some(found) = read::last(&shared.client, &shared.names.state, &shared.names.configured(target)).await? else {
        // It is being made.
        return Ok(true);
    };
    let at = std::str::from_utf8(&found.payload).ok().and_then(|text| text.parse().ok()).map_or(now, time);
    Ok(now.duration_since(at).unwrap_or_default() <= shared.retention)
}

async fn forget(shared: &Shared, target: &str) -> Result<(), JournalError> {
    tracing::info!(target, "not configured for longer than events are kept: forgotten");
    let stream = shared.stream(&shared.names.events).await?;
    for share in 0..SHARES {
        // There is none when nothing was ever delivered.
        drop(stream.delete_consumer(&consumer(target, share)).await);
    }
    shared.purge(&shared.names.dead, &shared.names.dead_letters_of(Some(target)), None).await?;
    shared.purge(&shared.names.state, &shared.names.replays_of(target), None).await?;
    shared.purge(&shared.names.state, &shared.names.share_records(Some(target)), None).await?;
    shared.purge(&shared.names.state, &shared.names.configured(target), None).await.map(drop)
}

/// Removes the dead letters of events that are gone.
async fn bury(shared: &Shared, keep_from: u64) -> Result<(), JournalError> {
    for letter in read::all(&shared.client, &shared.names.dead, &shared.names.dead_letters_of(None)).await? {
        let position = letter.subject.rsplit('.').next().and_then(|token| token.parse::<u64>().ok());
        if position.is_some_and(|position| position < keep_from) {
            let gone = shared.purge(&shared.names.dead, &letter.subject, None).await?;
            shared.expired_dead_letters.fetch_add(gone, Ordering::Relaxed);
        }
    }
    Ok(())
}

impl Shared {
    /// Notes that the targets of this gateway are configured.
    pub(super) async fn note_configured(&self, now: SystemTime) -> Result<(), JournalError> {
        let names: Vec<String> = self.targets().keys().cloned().collect();
        for name in names {
            let text = millis(now).to_string();
            self.store_soon(self.names.configured(&name), text.into_bytes()).await?;
        }
        Ok(())
    }
}
