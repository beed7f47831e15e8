//! No position is used twice, whatever becomes of the stream of the events. How far the targets are, the attempts and the dead
//! letters are known by position; where an operator removed the stream, or servers that do not sync at every write lost its
//! end with the power, they would speak of new events, which nobody would deliver. So the stream is brought beyond every
//! position that is known: when it is made, when a journal is opened, and before anything is kept over a new connection.

use std::sync::atomic::Ordering;

use async_nats::jetstream::Context;
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use tokio::time::timeout;

use super::Shared;
use super::connect::said;
use super::names::{BUCKET, Names, last_number};
use super::read;
use super::target::parse_record;
use crate::error::JournalError;

/// So much further than what is known: a gateway may have read on without having written so.
const MARGIN: u64 = 4096;
/// What was lost in seconds or minutes is less.
const MOST: u64 = 1_000_000;
/// Positions that are used up at once.
const AT_ONCE: u64 = 128;

/// Where a stream of events has to begin that is made anew.
pub(super) async fn first(client: &Client, context: &Context, names: &Names) -> Result<u64, JournalError> {
    let attempts = greatest_number(context, &names.attempts).await?.map_or(0, |bucket| (bucket + 1) * BUCKET);
    let dead = greatest_number(context, &names.dead).await?.map_or(0, |position| position + 1);
    let known = next_read(client, names).await?.max(attempts).max(dead);
    Ok(if known == 0 { 1 } else { known + MARGIN })
}

/// The greatest last token of the subjects in a stream.
async fn greatest_number(context: &Context, stream: &str) -> Result<Option<u64>, JournalError> {
    let unavailable = |error: &dyn std::error::Error| JournalError::Unavailable(said(error));
    let handle = context.get_stream_no_info(stream).await.map_err(|error| unavailable(&error))?;
    let mut subjects = handle.info_with_subjects(">").await.map_err(|error| unavailable(&error))?;
    let mut greatest = None;
    while let Some((subject, _)) = subjects.try_next().await.map_err(|error| unavailable(&error))? {
        greatest = greatest.max(last_number(&subject));
    }
    Ok(greatest)
}

/// The position that some share reads next, and none a later one.
async fn next_read(client: &Client, names: &Names) -> Result<u64, JournalError> {
    let mut next = 0;
    for found in read::all(client, &names.state, &names.share_records(None)).await? {
        next = next.max(parse_record(&names.state, &found.payload)?.progress.read);
    }
    Ok(next)
}

/// Brings the stream beyond what was read from it.
pub(super) async fn go_beyond(shared: &Shared) -> Result<(), JournalError> {
    let (next, last) = match timeout(shared.append_timeout, next_and_last(shared)).await {
        Ok(found) => found?,
        Err(_) => return Err(JournalError::Unavailable("the streams cannot be looked at in time".into())),
    };
    if next > last + 1 {
        let stream = &shared.names.events;
        if next - last > MOST {
            return Err(JournalError::Failed(format!(
                "the stream {stream} ends at {last}, and was read up to {}: put back all streams of the same time, or remove \
                 this one, which is made anew when a gateway starts",
                next - 1
            )));
        }
        tracing::error!(stream, last, read = next - 1, "the servers have lost the end of the stream: events are lost");
        shared.beyond.fetch_max(next + MARGIN, Ordering::Relaxed);
    }
    // Also what was begun before and not finished.
    let beyond = shared.beyond.load(Ordering::Relaxed);
    if last < beyond { use_up(shared, beyond).await } else { Ok(()) }
}

async fn next_and_last(shared: &Shared) -> Result<(u64, u64), JournalError> {
    // In this order: the stream may grow meanwhile.
    let next = next_read(&shared.client, &shared.names).await?;
    Ok((next, shared.last_position().await?))
}

/// Uses the positions up to this one up.
async fn use_up(shared: &Shared, up_to: u64) -> Result<(), JournalError> {
    let gap = shared.names.gap();
    loop {
        let last = shared.last_position().await?;
        if last >= up_to {
            break;
        }
        let fillers = (last..up_to.min(last + AT_ONCE)).map(|_| shared.store(&gap, HeaderMap::new(), Bytes::new()));
        try_join_all(fillers).await?;
    }
    // The last one stays: it tells what was kept before.
    let events = shared.handle(&shared.names.events).await?;
    events.purge().filter(gap).keep(1).await.map(drop).map_err(|error| JournalError::Unavailable(said(&error)))
}

impl Shared {
    /// Whether an event of this position may never be read: it was kept before the stream was brought beyond what is known.
    pub(super) async fn is_passed(&self, position: u64) -> Result<bool, JournalError> {
        let gap = self.newest(&self.names.events, &self.names.gap()).await?;
        Ok(gap.is_some_and(|(_, last)| position < last))
    }
}
