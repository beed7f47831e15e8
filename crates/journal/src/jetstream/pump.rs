//! Delivers to one target: takes the lease, reads ahead, fetches what waits, renews, and hands the lease back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::Shared;
use super::book::{Event, Fetch, Lane, Wanted, Wish};
use super::connect::said;
use super::history::{self, History, Nearby};
use super::names::{BUCKET, token};
use super::read::{self, Query};
use super::target::Target;
use super::wire;
use crate::error::JournalError;
use crate::record::Record;

/// Events asked for at once.
const READ_AHEAD: usize = 256;
/// How long the server holds a question for events.
const READ_WAIT: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(250);
const WISHES: Duration = Duration::from_secs(1);
/// Fetches under way at once.
const FETCHES: usize = 32;
/// Events read at once when looking for one of a key among those of its slot.
const FETCH_PAGE: usize = 64;

/// Delivers until the subscription is gone, the target is removed or the journal is closed.
pub(super) async fn run(shared: Arc<Shared>, target: Arc<Target>, me: String) {
    let mut closed = shared.closed.subscribe();
    let mut stopped = target.stop.subscribe();
    loop {
        let mut held = tokio::select! {
            held = shared.acquire(&target.name, &me) => held,
            _ = stopped.wait_for(|stopped| *stopped) => return,
            _ = closed.wait_for(|closed| *closed) => return,
        };
        tracing::info!(target = target.name, "delivering");
        target.book().restore(held.progress(), held.until(), Instant::now());
        target.held.store(true, Ordering::Relaxed);
        target.changed();
        let lost = tokio::select! {
            () = held.renew(&shared, &target) => true,
            () = read(&shared, &target) => true,
            () = fetch(&shared, &target) => true,
            () = wishes(&shared, &target) => true,
            _ = stopped.wait_for(|stopped| *stopped) => false,
            _ = closed.wait_for(|closed| *closed) => false,
        };
        target.held.store(false, Ordering::Relaxed);
        let progress = {
            let mut book = target.book();
            let progress = book.progress();
            book.clear();
            progress
        };
        if !lost {
            return held.release(&shared, progress).await;
        }
        tracing::warn!(target = target.name, "another gateway delivers now");
    }
}

/// Reads ahead, event by event, while there is room. Ends never.
async fn read(shared: &Shared, target: &Target) {
    let mut connected = shared.connected.clone();
    let mut nearby = Nearby::default();
    loop {
        connected.mark_unchanged();
        let result = tokio::select! {
            result = read_on(shared, target, &mut nearby) => result,
            // What was under way to a connection that is gone may be lost.
            Ok(()) = connected.changed() => continue,
        };
        if let Err(error) = result {
            tracing::debug!(target = target.name, %error, "reading again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Reads from where the book is, until something does not fit.
async fn read_on(shared: &Shared, target: &Target, nearby: &mut Nearby) -> Result<(), JournalError> {
    let consumer = consumer_at(shared, &target.name, target.read_next()).await?;
    let mut first = true;
    loop {
        let room = target.room_to_read();
        if room == 0 {
            target.room.notified().await;
            continue;
        }
        let mut batch = consumer
            .batch()
            .max_messages(room.min(READ_AHEAD))
            .expires(READ_WAIT)
            .messages()
            .await
            .map_err(|error| JournalError::Unavailable(said(&error)))?;
        let mut any = false;
        while let Some(message) = batch.next().await {
            let message = message.map_err(|error| JournalError::Unavailable(error.to_string()))?;
            let position = message.info().map_err(|error| JournalError::Failed(error.to_string()))?.stream_sequence;
            let expected = target.read_next();
            if position < expected {
                continue;
            }
            // The consumer begins where it was told to; what lies before its first message is no longer there.
            if position > expected && !first {
                return Err(JournalError::Unavailable(format!("{expected} is missing before {position}")));
            }
            (first, any) = (false, true);
            take_in(shared, target, nearby, position, message.message).await?;
            target.changed();
        }
        if !any && consumer.get_info().await.is_ok_and(|info| info.delivered.stream_sequence >= target.read_next()) {
            return Err(JournalError::Unavailable("events were lost on the way".into()));
        }
    }
}

async fn take_in(
    shared: &Shared,
    target: &Target,
    nearby: &mut Nearby,
    position: u64,
    message: async_nats::Message,
) -> Result<(), JournalError> {
    let headers = message.headers.unwrap_or_default();
    let Some(record) = wire::record(&headers, message.payload) else {
        tracing::warn!(target = target.name, position, "a message in the stream is no event of ours");
        target.book().pass(position);
        return Ok(());
    };
    let history = nearby.of(&shared.client, &shared.names, &target.name, position).await?;
    target.book().read(position, Arc::new(record), &history, Instant::now());
    Ok(())
}

/// The target's consumer, so that it gives the event of this position next.
///
/// It acknowledges nothing: how far the target is stands in its record, and a consumer that is elsewhere is made anew.
async fn consumer_at(shared: &Shared, target: &str, position: u64) -> Result<PullConsumer, JournalError> {
    let unavailable = |error: &dyn std::error::Error| JournalError::Unavailable(said(error));
    let stream = shared.context.get_stream_no_info(&shared.names.events).await.map_err(|error| unavailable(&error))?;
    let name = token(target);
    if let Ok(consumer) = stream.get_consumer::<pull::Config>(&name).await {
        if consumer.cached_info().delivered.stream_sequence + 1 == position {
            return Ok(consumer);
        }
        stream.delete_consumer(&name).await.map_err(|error| unavailable(&error))?;
    }
    let config = pull::Config {
        durable_name: Some(name),
        description: Some(format!("Events for the target {target}. Made anew by the gateway that delivers.")),
        ack_policy: AckPolicy::None,
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: position.max(1) },
        ..pull::Config::default()
    };
    stream.create_consumer(config).await.map_err(|error| unavailable(&error))
}

/// Fetches events of lanes that are behind when they are due. Ends never.
async fn fetch(shared: &Shared, target: &Target) {
    let mut nearby = Nearby::default();
    let mut under_way = FuturesUnordered::new();
    loop {
        let (generation, fetches, next_due) = {
            let mut book = target.book();
            let fetches = if under_way.len() < FETCHES { book.due(Instant::now()) } else { Vec::new() };
            (book.generation(), fetches, book.next_due())
        };
        under_way
            .extend(fetches.into_iter().map(|fetch| async move { (fetch, fetch_one(shared, target, fetch).await) }));
        let next_due = next_due.filter(|_| under_way.len() < FETCHES);
        let timer = async {
            match next_due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some((fetch, result)) = under_way.next(), if !under_way.is_empty() => {
                let found = match result {
                    Ok(Some((position, record))) => history_of(shared, target, &mut nearby, fetch, position)
                        .await
                        .map(|history| Some((Event::new(position, record, &history), history))),
                    Ok(None) => given_up(shared, target, fetch).await.map(|()| None),
                    Err(error) => Err(error),
                };
                match found {
                    Ok(found) => target.book().fetched(generation, fetch, found, Instant::now()),
                    Err(error) => {
                        tracing::debug!(target = target.name, %error, "fetching again");
                        target.book().fetch_failed(generation, fetch, Instant::now());
                    }
                }
                target.ready.notify_one();
            }
            () = timer => {}
            () = target.fetch.notified() => {}
        }
    }
}

/// The event to fetch; none when it is no longer there.
async fn fetch_one(shared: &Shared, target: &Target, fetch: Fetch) -> Result<Option<(u64, Arc<Record>)>, JournalError> {
    let (from, last, subject) = match (fetch.what, fetch.lane) {
        (Wanted::Replay { position, .. }, _) | (_, Lane::Alone(position)) => (position, position, None),
        (Wanted::Next { from, last }, Lane::Key(key)) => (from, last, Some(shared.names.events_of(Some(key), None))),
    };
    let mut query = Query::from(from, subject, 1);
    loop {
        let page = read::page(&shared.client, &shared.names.events, &query).await?;
        for found in &page.messages {
            if found.sequence > last {
                break;
            }
            let Some(record) = wire::record(&found.headers, found.payload.clone()) else { continue };
            let position = found.sequence;
            if is_wanted(fetch, position, &record) {
                return Ok(Some((position, Arc::new(record))));
            }
        }
        match page.messages.last() {
            Some(found) if found.sequence < last && page.more > 0 => query.seq = Some(found.sequence + 1),
            _ => break,
        }
        query.batch = FETCH_PAGE;
    }
    if shared.holds(last).await? {
        // A replica that lags answered.
        return Err(JournalError::Unavailable(format!("{last} cannot be read yet for {}", target.name)));
    }
    Ok(None)
}

/// Crosses out the wish for an event that is no longer there.
async fn given_up(shared: &Shared, target: &Target, fetch: Fetch) -> Result<(), JournalError> {
    match fetch.what {
        Wanted::Replay { position, wish } => shared.forget_wish(&target.name, position, wish).await,
        Wanted::Next { .. } => Ok(()),
    }
}

/// Whether this is an event that was to be fetched: a slot has those of other keys too.
fn is_wanted(fetch: Fetch, position: u64, record: &Record) -> bool {
    match fetch.what {
        Wanted::Replay { position: wanted, .. } => wanted == position,
        Wanted::Next { .. } => Lane::of(position, record) == fetch.lane,
    }
}

async fn history_of(
    shared: &Shared,
    target: &Target,
    nearby: &mut Nearby,
    fetch: Fetch,
    position: u64,
) -> Result<History, JournalError> {
    match fetch.what {
        // It was settled once: what counts is what happened since.
        Wanted::Replay { position, .. } => {
            let bucket = position / BUCKET;
            let mut histories = history::load(&shared.client, &shared.names, &target.name, bucket).await?;
            Ok(histories.remove(&position).unwrap_or_default())
        }
        Wanted::Next { .. } => nearby.of(&shared.client, &shared.names, &target.name, position).await,
    }
}

/// Looks for wishes to deliver again. Ends never.
async fn wishes(shared: &Shared, target: &Target) {
    loop {
        match read::all(&shared.client, &shared.names.state, &shared.names.replays_of(&target.name)).await {
            Ok(found) => {
                for wish in found {
                    let position = wish.subject.rsplit('.').next().and_then(|token| token.parse().ok());
                    let lane = serde_json::from_slice::<Lane>(&wish.payload);
                    let (Some(position), Ok(lane)) = (position, lane) else { continue };
                    let answer = target.book().replay(lane, position, wish.sequence, Instant::now());
                    match answer {
                        Wish::Taken => target.fetch.notify_one(),
                        Wish::Moot => {
                            target.fetch.notify_one();
                            drop(shared.forget_wish(&target.name, position, wish.sequence).await);
                        }
                        Wish::Later => {}
                    }
                }
            }
            Err(error) => tracing::debug!(target = target.name, %error, "cannot see what is to be delivered again"),
        }
        tokio::select! {
            () = tokio::time::sleep(WISHES) => {}
            () = target.wish.notified() => {}
        }
    }
}
