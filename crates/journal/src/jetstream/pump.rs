//! Delivers the shares of one target that this process holds: each reads ahead, fetches what waits, and saves how far it is.
//! `balance` takes as many shares as are for us, and hands over what is too much.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Shared;
use super::book::{Event, Fetch, Lane, Wanted, Wish};
use super::connect::said;
use super::history::{self, History, Nearby};
use super::mend::Wished;
use super::names::{BUCKET, consumer, last_number};
use super::read::{self, Query};
use super::target::{Held, Share, Target};
use super::wire;
use crate::error::JournalError;
use crate::record::Record;

/// Events asked for at once.
const READ_AHEAD: usize = 64;
/// How long the server holds a question for events.
const READ_WAIT: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(250);
const WISHES: Duration = Duration::from_secs(1);
/// How often free shares are looked for while some are missing.
const POLL: Duration = Duration::from_millis(250);
/// How often we look whether a share is ours by its record that nobody here delivers. There is no way to that but servers that
/// contradict themselves; then nobody else would deliver it either.
const CHECK: Duration = Duration::from_secs(5);
/// So long may what is out take when a share is handed over. Then it may be delivered twice.
const HAND_OVER: Duration = Duration::from_secs(5);
/// Fetches under way at once.
const FETCHES: usize = 32;
/// Events read at once when looking for one of a key among those of its slot.
const FETCH_PAGE: usize = 64;

/// What is to become of a share that we hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Deliver,
    /// To be handed over when what is out is settled.
    HandOver,
    /// To be handed back at once.
    HandBack,
    /// It is no longer ours.
    LetGo,
}

/// Delivers until the subscription is gone, the target is removed or the journal is closed.
pub(super) async fn run(shared: Arc<Shared>, target: Arc<Target>) {
    // Another subscription of this process hands back first.
    let turn = shared.turn(&target.name);
    let _turn = turn.lock().await;
    let mut work = Work::default();
    tokio::select! {
        () = balance(&shared, &target, &mut work) => {}
        () = wishes(&shared, &target) => {}
    }
    work.order_all(Order::HandBack);
    while work.tasks.join_next().await.is_some() {}
}

/// The shares that are being delivered.
#[derive(Debug, Default)]
struct Work {
    tasks: JoinSet<u64>,
    orders: BTreeMap<u64, watch::Sender<Order>>,
}

impl Work {
    fn begin(&mut self, shared: &Arc<Shared>, share: &Arc<Share>, held: Held) {
        let (order, orders) = watch::channel(Order::Deliver);
        self.orders.insert(share.number, order);
        self.tasks.spawn(deliver(Arc::clone(shared), Arc::clone(share), held, orders));
    }

    fn order_all(&self, order: Order) {
        for sender in self.orders.values() {
            sender.send_replace(order);
        }
    }

    /// Waits until a share is no longer delivered.
    async fn ended(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(share)) => drop(self.orders.remove(&share)),
            Some(Err(_)) => self.orders.retain(|_, order| order.receiver_count() > 0),
            None => std::future::pending().await,
        }
    }
}

/// Takes as many shares as are for us, and hands over what is too much, until nothing is to be delivered any more.
async fn balance(shared: &Arc<Shared>, target: &Target, work: &mut Work) {
    let mut closed = shared.closed.subscribe();
    let mut stopped = target.stop.subscribe();
    let mut views = shared.members.watch();
    let mut me = None;
    let mut check_at = Instant::now() + CHECK;
    loop {
        let view = views.borrow_and_update().clone();
        if view.me != me {
            // Under our old name we were counted as gone.
            work.order_all(Order::LetGo);
            while !work.tasks.is_empty() {
                work.ended().await;
            }
            me.clone_from(&view.me);
        }
        let (quota, first) = view.quota(&target.name);
        for order in work.orders.values().filter(|order| *order.borrow() == Order::Deliver).skip(quota) {
            order.send_replace(Order::HandOver);
        }
        if work.orders.len() < quota || Instant::now() >= check_at {
            check_at = Instant::now() + CHECK;
            let ours: Vec<u64> = work.orders.keys().copied().collect();
            let most = quota.saturating_sub(ours.len());
            match shared.free_shares(&target.name, &view, &ours, most, first).await {
                Ok(free) => {
                    for (number, held) in free {
                        let Some(share) = target.shares.iter().find(|share| share.number == number) else { continue };
                        work.begin(shared, share, held);
                    }
                }
                Err(error) => tracing::debug!(target = target.name, %error, "cannot see who delivers"),
            }
        }
        let next_look = if work.orders.len() < quota { Instant::now() + POLL } else { check_at };
        tokio::select! {
            () = work.ended() => {}
            Ok(()) = views.changed() => {}
            () = tokio::time::sleep_until(next_look.into()) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
            _ = closed.wait_for(|closed| *closed) => return,
        }
    }
}

/// Takes a share, and delivers it until it is to be handed over, or somebody else has it.
async fn deliver(shared: Arc<Shared>, share: Arc<Share>, mut held: Held, mut orders: watch::Receiver<Order>) -> u64 {
    if !held.take(&shared).await {
        // Whoever looks again at once may see no more than now.
        tokio::time::sleep(POLL).await;
        return share.number;
    }
    share.book().restore(held.progress(), Instant::now());
    if !shared.members.hold(&share, held.name()) {
        share.book().clear();
        return share.number;
    }
    tracing::info!(target = share.target, share = share.number, "delivering");
    share.changed();
    let is_ours = tokio::select! {
        () = held.save(&shared, &share) => false,
        () = read(&shared, &share) => false,
        () = fetch(&shared, &share) => false,
        is_ours = ordered_away(&share, &mut orders) => is_ours,
    };
    share.held.store(false, Ordering::Relaxed);
    let progress = {
        let mut book = share.book();
        let progress = book.progress();
        book.clear();
        progress
    };
    if is_ours {
        held.release(&shared, progress).await;
        tracing::info!(target = share.target, share = share.number, "handed over");
    } else {
        tracing::warn!(target = share.target, share = share.number, "another gateway delivers now");
    }
    share.number
}

/// Waits until the share is to be given away. Returns whether it is still ours.
async fn ordered_away(share: &Share, orders: &mut watch::Receiver<Order>) -> bool {
    let order = orders.wait_for(|order| *order != Order::Deliver).await.map_or(Order::HandBack, |order| *order);
    if order == Order::HandOver {
        share.book().close();
        let settled = async {
            while share.book().has_out() {
                share.settled.notified().await;
            }
        };
        tokio::select! {
            () = settled => {}
            () = tokio::time::sleep(HAND_OVER) => {}
            _ = orders.wait_for(|order| *order != Order::HandOver) => {}
        }
    }
    *orders.borrow() != Order::LetGo
}

/// Reads ahead, event by event, while there is room. Ends never.
async fn read(shared: &Shared, share: &Share) {
    let mut connected = shared.connected.clone();
    let mut nearby = Nearby::default();
    let mut is_ours = false;
    loop {
        connected.mark_unchanged();
        let result = tokio::select! {
            result = read_on(shared, share, &mut nearby, &mut is_ours) => result,
            // What was under way to a connection that is gone may be lost.
            Ok(()) = connected.changed() => continue,
        };
        if let Err(error) = result {
            tracing::debug!(target = share.target, share = share.number, %error, "reading again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Reads from where the book is, until something does not fit. The consumer is not ours as long as somebody who had the share
/// before may still ask it for events.
async fn read_on(shared: &Shared, share: &Share, nearby: &mut Nearby, is_ours: &mut bool) -> Result<(), JournalError> {
    let (consumer, mut given) = consumer_at(shared, share, *is_ours).await?;
    *is_ours = true;
    loop {
        let (room, room_at) = {
            let mut book = share.book();
            (book.room(Instant::now()), book.room_at())
        };
        if room == 0 {
            tokio::select! {
                () = share.room.notified() => {}
                () = until(room_at) => {}
            }
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
            let (position, number) = {
                let info = message.info().map_err(|error| JournalError::Failed(error.to_string()))?;
                (info.stream_sequence, info.consumer_sequence)
            };
            // The consumer counts what it gives. One that fell back, with its server, gives some again.
            if number > given + 1 {
                return Err(JournalError::Unavailable(format!("{} events were lost on the way", number - given - 1)));
            }
            (given, any) = (number, true);
            if position >= share.book().read_next() {
                take_in(shared, share, nearby, position, message.message).await?;
                share.changed();
            }
        }
        if !any && consumer.get_info().await.is_ok_and(|info| info.delivered.consumer_sequence > given) {
            return Err(JournalError::Unavailable("events were lost on the way".into()));
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

async fn take_in(
    shared: &Shared,
    share: &Share,
    nearby: &mut Nearby,
    position: u64,
    message: async_nats::Message,
) -> Result<(), JournalError> {
    let headers = message.headers.unwrap_or_default();
    let Some(record) = wire::record(&headers, message.payload) else {
        tracing::warn!(target = share.target, position, "a message in the stream is no event of ours");
        share.book().pass(position);
        return Ok(());
    };
    let history = nearby.of(&shared.client, &shared.names, &share.target, position).await?;
    share.book().read(position, Arc::new(record), &history, Instant::now());
    Ok(())
}

/// The consumer of the share, so that it gives what comes at the place where the book is, or before; and how many events it gave.
///
/// It acknowledges nothing: how far the share is stands in its record, and a consumer that is elsewhere is made anew.
async fn consumer_at(shared: &Shared, share: &Share, is_ours: bool) -> Result<(PullConsumer, u64), JournalError> {
    let unavailable = |error: &dyn std::error::Error| JournalError::Unavailable(said(error));
    let position = share.book().read_next().max(1);
    let stream = shared.handle(&shared.names.events).await?;
    let name = consumer(&share.target, share.number);
    if let Ok(consumer) = stream.get_consumer::<pull::Config>(&name).await {
        let delivered = &consumer.cached_info().delivered;
        if is_ours && delivered.stream_sequence < position {
            let given = delivered.consumer_sequence;
            return Ok((consumer, given));
        }
        stream.delete_consumer(&name).await.map_err(|error| unavailable(&error))?;
    }
    let config = pull::Config {
        durable_name: Some(name),
        description: Some(format!(
            "Events of share {} for the target {}. Made anew by the gateway that delivers.",
            share.number, share.target
        )),
        filter_subject: shared.names.share(share.number),
        ack_policy: AckPolicy::None,
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: position },
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(|error| unavailable(&error))?;
    Ok((consumer, 0))
}

/// Fetches events of lanes that are behind when they are due. Ends never.
async fn fetch(shared: &Shared, share: &Share) {
    let mut nearby = Nearby::default();
    let mut under_way = FuturesUnordered::new();
    loop {
        let (generation, fetches, next_due) = {
            let mut book = share.book();
            let fetches = if under_way.len() < FETCHES { book.due(Instant::now()) } else { Vec::new() };
            (book.generation(), fetches, book.next_due())
        };
        under_way
            .extend(fetches.into_iter().map(|fetch| async move { (fetch, fetch_one(shared, share, fetch).await) }));
        let next_due = next_due.filter(|_| under_way.len() < FETCHES);
        tokio::select! {
            Some((fetch, result)) = under_way.next(), if !under_way.is_empty() => {
                let found = match result {
                    Ok(Some((position, record))) => history_of(shared, share, &mut nearby, fetch, position)
                        .await
                        .map(|history| history.map(|history| (Event::new(position, record, &history), history))),
                    Ok(None) => Ok(None),
                    Err(error) => Err(error),
                };
                let found = match found {
                    Ok(None) => given_up(shared, share, fetch).await.map(|()| None),
                    found => found,
                };
                match found {
                    Ok(found) => share.book().fetched(generation, fetch, found, Instant::now()),
                    Err(error) => {
                        tracing::debug!(target = share.target, %error, "fetching again");
                        share.book().fetch_failed(generation, fetch, Instant::now());
                    }
                }
                // Where a lane was left behind by nothing, there is room to read on too.
                share.changed();
            }
            () = until(next_due) => {}
            () = share.fetch.notified() => {}
        }
    }
}

/// The event to fetch; none when it is no longer there.
async fn fetch_one(shared: &Shared, share: &Share, fetch: Fetch) -> Result<Option<(u64, Arc<Record>)>, JournalError> {
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
        return Err(JournalError::Unavailable(format!("{last} cannot be read yet for {}", share.target)));
    }
    Ok(None)
}

/// Crosses out the wish for an event that is no longer there, or was delivered since.
async fn given_up(shared: &Shared, share: &Share, fetch: Fetch) -> Result<(), JournalError> {
    match fetch.what {
        Wanted::Replay { position, wish } => shared.forget_wish(share, position, wish).await,
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
    share: &Share,
    nearby: &mut Nearby,
    fetch: Fetch,
    position: u64,
) -> Result<Option<History>, JournalError> {
    if fetch.failed == Some(position) {
        return Ok(Some(History::default()));
    }
    match fetch.what {
        Wanted::Replay { position, wish } => history_since(shared, share, position, wish).await,
        Wanted::Next { .. } => nearby.of(&shared.client, &shared.names, &share.target, position).await.map(Some),
    }
}

/// The history of an event that is to be delivered again; none when it was settled since that was wished for: what was on its
/// way then was it.
async fn history_since(
    shared: &Shared,
    share: &Share,
    position: u64,
    wish: u64,
) -> Result<Option<History>, JournalError> {
    let Some(wished) = shared.message(&shared.names.state, wish).await? else { return Ok(None) };
    let noted = serde_json::from_slice::<Wished>(&wished).map_or(u64::MAX, |wished| wished.noted);
    let bucket = position / BUCKET;
    let mut histories = history::load(&shared.client, &shared.names, &share.target, bucket).await?;
    let history = histories.remove(&position).unwrap_or_default();
    if history.sequence < noted && shared.message(&shared.names.attempts, noted).await?.is_some() {
        // A replica that lags answered.
        return Err(JournalError::Unavailable(format!("the wish for {position} cannot be read yet")));
    }
    Ok((history.sequence <= noted || !history.settled()).then_some(history))
}

/// Looks for wishes to deliver again. Ends never.
async fn wishes(shared: &Shared, target: &Target) {
    loop {
        if target.held().next().is_some()
            && let Err(error) = take_wishes(shared, target).await
        {
            tracing::debug!(target = target.name, %error, "cannot see what is to be delivered again");
        }
        tokio::select! {
            () = tokio::time::sleep(WISHES) => {}
            () = target.wish.notified() => {}
        }
    }
}

async fn take_wishes(shared: &Shared, target: &Target) -> Result<(), JournalError> {
    if shared.count(&shared.names.state, shared.names.replays_of(&target.name)).await? == 0 {
        return Ok(());
    }
    for share in target.held() {
        take_wishes_for(shared, share).await?;
    }
    Ok(())
}

/// Page by page, as far as the book takes any: there may be very many.
async fn take_wishes_for(shared: &Shared, share: &Share) -> Result<(), JournalError> {
    let mut pages = read::Pages::of(&shared.names.state, shared.names.replays_of_share(&share.target, share.number));
    while share.book().takes_wishes()
        && let Some(wishes) = pages.next(&shared.client).await?
    {
        for wish in wishes {
            let Some(position) = last_number(&wish.subject) else { continue };
            let Ok(wished) = serde_json::from_slice::<Wished>(&wish.payload) else { continue };
            let answer = share.book().replay(wished.lane, position, wish.sequence, Instant::now());
            match answer {
                Wish::Taken => share.fetch.notify_one(),
                Wish::Moot => {
                    share.fetch.notify_one();
                    drop(shared.forget_wish(share, position, wish.sequence).await);
                }
                Wish::Later => {}
            }
        }
    }
    Ok(())
}
