//! Removes what is old enough. Any replica may do it, several at once as well.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::Shared;
use super::book::Progress;
use super::connect::said;
use super::names::{SHARES, consumer, last_number};
use super::read::{self, Pages, Query};
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
        let work = async {
            // In this order: servers that are full take no notes before something was removed.
            let (tidied, noted) = (tidy(&shared).await, shared.note_configured(SystemTime::now()).await);
            if let Err(error) = tidied.and(noted) {
                tracing::debug!(%error, "cannot remove what is old");
            }
        };
        tokio::select! {
            () = work => {}
            _ = closed.wait_for(|closed| *closed) => return,
        }
    }
}

/// Removes events that are too old, but none that a target has not settled, and the dead letters of events that are gone.
async fn tidy(shared: &Shared) -> Result<(), JournalError> {
    let now = SystemTime::now();
    let mut keep_from = first_younger(shared, now).await?;
    let mut holders = BTreeSet::new();
    for (target, records) in shared.all_records().await? {
        if !is_wanted(shared, &target, now).await? {
            forget(shared, &target).await?;
            continue;
        }
        for (share, record) in records {
            // What is settled here may not be written yet, where the servers have no room.
            let progress = shared.live(&target, share).map(|share| share.book().progress());
            let progress = progress.as_ref().unwrap_or(&record.progress);
            if first_unsettled(progress) < keep_from {
                keep_from = keep_from.min(first_wanted(shared, share, progress).await?);
            }
            holders.extend(record.holder);
        }
        keep_from = keep_from.min(first_wished(shared, &target).await?);
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
async fn first_wanted(shared: &Shared, share: u64, progress: &Progress) -> Result<u64, JournalError> {
    let first = first_unsettled(progress);
    if first < progress.read {
        return Ok(first);
    }
    Ok(shared.first_of(&shared.names.share(share), first).await?.unwrap_or(u64::MAX))
}

fn first_unsettled(progress: &Progress) -> u64 {
    let behind = progress.behind.iter().map(|behind| behind.next);
    behind.chain([progress.cursor]).min().unwrap_or(0)
}

/// The first event that is to be delivered again.
async fn first_wished(shared: &Shared, target: &str) -> Result<u64, JournalError> {
    let mut first = u64::MAX;
    let mut pages = Pages::of(&shared.names.state, shared.names.replays_of(target));
    while let Some(wishes) = pages.next(&shared.client).await? {
        first = wishes.iter().filter_map(|wish| last_number(&wish.subject)).fold(first, u64::min);
    }
    Ok(first)
}

/// Whether some gateway had the target configured lately. Gateways with a new and an old configuration may run side by
/// side, and all may be down for a while.
async fn is_wanted(shared: &Shared, target: &str, now: SystemTime) -> Result<bool, JournalError> {
    if shared.is_target(target).is_ok() {
        return Ok(true);
    }
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
    let mut pages = Pages::of(&shared.names.dead, shared.names.dead_letters_of(None));
    while let Some(letters) = pages.next(&shared.client).await? {
        for letter in letters {
            if last_number(&letter.subject).is_some_and(|position| position < keep_from) {
                let gone = shared.purge(&shared.names.dead, &letter.subject, None).await?;
                shared.expired_dead_letters.fetch_add(gone, Ordering::Relaxed);
            }
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
