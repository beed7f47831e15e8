//! Keeps events in streams on NATS servers, which several gateways share.
//!
//! | Stream | Subjects | Holds |
//! | --- | --- | --- |
//! | `S` | `S.<share>.<slot>.<app>.<command>` | the events; the slot is a hash of the key, the share the slot modulo 8 |
//! | `S_ATTEMPTS` | `S_ATTEMPTS.<target>.<position / 1024>` | every attempt, replay and discard |
//! | `S_DEAD` | `S_DEAD.<target>.<position>` | the dead letters |
//! | `S_STATE` | `S_STATE.member.<replica>` | who shares the work |
//! | | `S_STATE.target.<target>.<share>` | who delivers a share to a target, and how far it is |
//! | | `S_STATE.replay.<target>.<share>.<position>` | wishes to deliver again |
//! | | `S_STATE.configured.<target>` | when a target was last configured |
//! | `S_AUDIT` | `S_AUDIT.<action>` | what operators did |
//!
//! No position is used twice: `positions` sees to that.
//!
//! The conversations are divided into eight shares, and any number of gateways share the work for a target: each share is
//! delivered by one of them at a time. `members` says who there is and how many shares each is to have, `target` how one gets
//! a share, `book` which delivery of a share is due, and `pump` delivers.

mod names;
mod wire;
mod connect;
mod positions;
mod streams;
mod read;
mod history;
mod book;
mod members;
mod target;
mod record;
mod append;
mod pump;
mod look;
mod mend;
mod keep;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Info, LastRawMessageError, LastRawMessageErrorKind, Stream};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use self::append::Trouble;
use self::book::Lane;
use self::connect::said;
use self::members::Members;
use self::names::Names;
use self::record::Item;
pub(crate) use self::record::Lease;
use self::target::{Share, Target};
use crate::config::JetStreamConfig;
use crate::delivery::{Delivery, Lease as AnyLease};
use crate::error::{AppendError, JournalError};
use crate::journal::Health;
use crate::look::{AuditEntry, DeadFilter, DeadLetter, Filter, Kept, Stats, Summary};
use crate::record::{Appended, Position, Record};

/// So long may a write take that somebody waits for and could ask for again.
const PATIENCE: Duration = Duration::from_secs(5);
/// So long may a single answer of a server take.
const ANSWER: Duration = Duration::from_secs(2);

/// Bytes that our own records may have: 128 attempts with the longest causes, or a share with all lanes behind that it may have.
const OWN_RECORDS: usize = 420 * 1024;
/// So long may servers take to agree on a leader.
const ELECTION: Duration = Duration::from_secs(15);

/// Why the streams cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No connection.
    #[error("cannot connect to NATS at {urls}: {reason}; check the addresses, the credentials and the certificates")]
    Connect {
        /// The configured addresses.
        urls: String,
        /// What the client said.
        reason: String,
    },
    /// A file of the configuration.
    #[error("cannot read {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The server lacks what is needed.
    #[error("the NATS server has version {version}; {oldest} or newer is needed: update it")]
    OldServer {
        /// What it has.
        version: String,
        /// What is needed.
        oldest: &'static str,
    },
    /// The server takes too little at once.
    #[error(
        "the NATS server takes messages of {takes} bytes; the journal's own may have {needed}: raise its `max_payload`"
    )]
    SmallMessages {
        /// What it takes.
        takes: usize,
        /// What is needed.
        needed: usize,
    },
    /// The server could not look up or create a stream.
    #[error(
        "the stream {stream} cannot be used: {reason}; check that the server has JetStream and enough servers for the replicas"
    )]
    Stream {
        /// The stream.
        stream: String,
        /// What the server said.
        reason: String,
    },
    /// The stream is there and cannot be used as it is.
    #[error(
        "the stream {stream} is there and differs: {difference}; change it, or configure another name for the stream"
    )]
    Different {
        /// The stream.
        stream: String,
        /// In what.
        difference: String,
    },
    /// `require_durable`, and it is not.
    #[error(
        "`require_durable` is set, but {found}; let the stream have 3 replicas (`replicas = 3`, three servers), \
         or set `sync_interval: always` in the server's `jetstream` block and say so here with `sync_always = true`"
    )]
    NotDurable {
        /// What was found.
        found: String,
    },
    /// The first look at the streams failed.
    #[error("the streams cannot be used: {0}")]
    Journal(#[from] JournalError),
}

/// Keeps events in streams. Clones share one connection.
#[derive(Debug, Clone)]
pub(crate) struct JetStream {
    open: Arc<Open>,
    /// Done when everything is handed back.
    ended: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Dropped with the last clone: everything that works for it stops.
#[derive(Debug)]
struct Open {
    shared: Arc<Shared>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.closed.send_replace(true);
    }
}

/// What the parts share.
#[derive(Debug)]
struct Shared {
    client: Client,
    context: Context,
    names: Names,
    runtime: Handle,
    append_timeout: Duration,
    retention: Duration,
    durability: String,
    /// How often the connection was made.
    connected: watch::Receiver<u64>,
    /// Up to which connection the stream is known to go beyond all that was read.
    checked: watch::Sender<u64>,
    /// How far the stream has to go, where it lost its end.
    beyond: AtomicU64,
    /// Takes nothing any more.
    closing: AtomicBool,
    /// Does nothing any more.
    closed: watch::Sender<bool>,
    /// The targets that were set, and their deliveries where somebody takes them.
    targets: Mutex<BTreeMap<String, Option<Arc<Target>>>>,
    members: Members,
    /// Of two subscriptions of a target, the later waits until the earlier handed back.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    pumps: Mutex<JoinSet<()>>,
    recorder: mpsc::UnboundedSender<Item>,
    appends: Semaphore,
    trouble: Trouble,
    expired_dead_letters: AtomicU64,
    /// Tells this process from others, and its messages from each other.
    instance: String,
    count: AtomicU64,
}

impl JetStream {
    pub(crate) async fn open(
        config: &JetStreamConfig,
        dedup_window: Duration,
        retention: Duration,
        targets: &[&str],
    ) -> Result<Self, OpenError> {
        let (client, connected) = connect::connect(config).await?;
        let takes = client.server_info().max_payload;
        if takes < OWN_RECORDS {
            return Err(OpenError::SmallMessages { takes, needed: OWN_RECORDS });
        }
        let context = ContextBuilder::new()
            .timeout(ANSWER)
            .ack_timeout(ANSWER)
            .max_ack_inflight(4 * append::MOST_APPENDS)
            .build(client.clone());
        let names = Names::new(&config.stream);
        let replicas = streams::ensure(&client, &context, &names, config, dedup_window, retention).await?;
        let durability = durability(config, replicas)? + &refused_size(config, takes);
        tracing::info!(durability, "the journal is open");
        let (recorder, items) = mpsc::unbounded_channel();
        let instance = client.new_inbox().rsplit('.').next().unwrap_or_default().to_owned();
        let shared = Arc::new(Shared {
            context,
            names,
            runtime: Handle::current(),
            append_timeout: config.append_timeout,
            retention,
            durability,
            connected,
            checked: watch::Sender::new(0),
            beyond: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            closed: watch::Sender::new(false),
            targets: Mutex::default(),
            members: Members::default(),
            turns: Mutex::default(),
            pumps: Mutex::default(),
            recorder,
            appends: Semaphore::new(append::MOST_APPENDS),
            trouble: Trouble::default(),
            expired_dead_letters: AtomicU64::new(0),
            instance,
            count: AtomicU64::new(0),
            client,
        });
        let open = Open { shared: Arc::clone(&shared) };
        let patience = Patience::new();
        while let Err(error) = shared.check().await {
            patience.again(error).await?;
        }
        while let Err(error) = shared.set_targets(targets).await {
            patience.again(error).await?;
        }
        tokio::spawn(record::run(Arc::clone(&shared), items));
        tokio::spawn(append::watch(Arc::clone(&shared)));
        tokio::spawn(keep::run(Arc::clone(&shared)));
        let ended = tokio::spawn(members::run(shared));
        Ok(Self { open: Arc::new(open), ended: Arc::new(Mutex::new(Some(ended))) })
    }

    fn shared(&self) -> Result<&Arc<Shared>, JournalError> {
        let shared = &self.open.shared;
        if shared.closing.load(Ordering::Acquire) { Err(JournalError::Closed) } else { Ok(shared) }
    }

    pub(crate) async fn append(&self, record: Record) -> Result<Appended, AppendError> {
        // What it needs while it runs is ten times as much as in the other engine, and moved with each callback there too.
        Box::pin(self.open.shared.append(record)).await
    }

    pub(crate) async fn set_targets(&self, names: &[&str]) -> Result<(), JournalError> {
        self.shared()?.set_targets(names).await
    }

    pub(crate) fn subscribe(&self, target: &str) -> Result<Subscription, JournalError> {
        let shared = self.shared()?;
        let mut targets = shared.targets();
        let Some(slot) = targets.get_mut(target) else {
            return Err(JournalError::NoSuchTarget(target.to_owned()));
        };
        if slot.as_ref().is_some_and(|target| target.subscribed.load(Ordering::Acquire)) {
            return Err(JournalError::Subscribed(target.to_owned()));
        }
        let target = Arc::new(Target::new(target));
        *slot = Some(Arc::clone(&target));
        drop(targets);
        shared.members.targets_changed();
        let mut pumps = shared.pumps.lock().unwrap_or_else(PoisonError::into_inner);
        while pumps.try_join_next().is_some() {}
        pumps.spawn_on(pump::run(Arc::clone(shared), Arc::clone(&target)), &shared.runtime);
        drop(pumps);
        Ok(Subscription { shared: Arc::clone(shared), target })
    }

    pub(crate) fn health(&self) -> Health {
        self.open.shared.health()
    }

    pub(crate) async fn stats(&self) -> Result<Stats, JournalError> {
        self.shared()?.stats().await
    }

    pub(crate) async fn events(&self, filter: &Filter) -> Result<Vec<Summary>, JournalError> {
        self.shared()?.events(filter).await
    }

    pub(crate) async fn event(&self, position: Position) -> Result<Option<Kept>, JournalError> {
        self.shared()?.event(position.0).await
    }

    pub(crate) async fn dead_letters(&self, filter: &DeadFilter) -> Result<Vec<DeadLetter>, JournalError> {
        self.shared()?.dead_letters(filter).await
    }

    pub(crate) async fn replay(&self, position: Position, target: &str, by: &str) -> Result<bool, JournalError> {
        self.shared()?.replay(position.0, target, by).await
    }

    pub(crate) async fn discard(&self, position: Position, target: &str, by: &str) -> Result<bool, JournalError> {
        self.shared()?.discard(position.0, target, by).await
    }

    pub(crate) async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, JournalError> {
        self.shared()?.audit(before, limit).await
    }

    pub(crate) async fn close(&self) {
        let shared = &self.open.shared;
        if shared.closing.swap(true, Ordering::AcqRel) {
            return;
        }
        shared.wake_all();
        let (answer, flushed) = oneshot::channel();
        if shared.recorder.send(Item::Flush(answer)).is_ok() {
            drop(tokio::time::timeout(PATIENCE, flushed).await);
        }
        shared.closed.send_replace(true);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            drop(tokio::time::timeout(PATIENCE + ANSWER, ended).await);
        }
        drop(tokio::time::timeout(ANSWER, shared.client.drain()).await);
    }
}

/// For as long as servers may be electing a leader, or gateways that start at once get in each other's way.
struct Patience {
    end: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { end: Instant::now() + ELECTION }
    }

    /// Waits before it is tried again what failed, if that may help.
    async fn again(&self, error: JournalError) -> Result<(), JournalError> {
        match error {
            JournalError::Unavailable(reason) if Instant::now() < self.end => {
                tracing::info!(reason, "waiting for the servers");
                tokio::time::sleep(Duration::from_millis(250)).await;
                Ok(())
            }
            error => Err(error),
        }
    }
}

/// What an acknowledgement is worth.
fn durability(config: &JetStreamConfig, replicas: usize) -> Result<String, OpenError> {
    let stream = &config.stream;
    let many = if replicas == 1 { "1 replica".to_owned() } else { format!("{replicas} replicas") };
    if replicas >= 3 || config.sync_always {
        let synced = if config.sync_always { ", synced at every write (as configured)" } else { "" };
        return Ok(format!("stream {stream}: {many}{synced}"));
    }
    // A server does not tell clients how often it syncs: that is in its own configuration alone.
    let found = format!("the stream {stream} has {many} and its server may sync minutes later");
    if config.require_durable {
        return Err(OpenError::NotDurable { found });
    }
    tracing::warn!("{found}: what is acknowledged can be lost with that machine");
    Ok(format!("stream {stream}: {many}, NOT durable: its server may sync minutes later"))
}

/// What an operator has to know where the servers take smaller messages than there may be events.
fn refused_size(config: &JetStreamConfig, takes: usize) -> String {
    let needed = config.max_event;
    if takes >= needed {
        return String::new();
    }
    tracing::warn!(
        takes,
        needed,
        "larger events cannot be kept: raise `max_payload` of the NATS servers, or lower `max_body`"
    );
    format!("; events beyond {takes} bytes cannot be kept (`max_payload` of the servers)")
}

impl Shared {
    fn targets(&self) -> MutexGuard<'_, BTreeMap<String, Option<Arc<Target>>>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        for target in self.targets().values().flatten() {
            target.ready.notify_one();
        }
    }

    fn take_pumps(&self) -> JoinSet<()> {
        std::mem::take(&mut self.pumps.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The targets that this process delivers to.
    fn subscribed(&self) -> Vec<String> {
        let targets = self.targets();
        let subscribed = targets.values().flatten().filter(|target| target.subscribed.load(Ordering::Acquire));
        subscribed.map(|target| target.name.clone()).collect()
    }

    fn turn(&self, target: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(target.to_owned()).or_default())
    }

    fn is_target(&self, name: &str) -> Result<(), JournalError> {
        if self.targets().contains_key(name) { Ok(()) } else { Err(JournalError::NoSuchTarget(name.to_owned())) }
    }

    async fn set_targets(&self, names: &[&str]) -> Result<(), JournalError> {
        for name in names {
            self.know_target(name).await?;
        }
        self.keep_targets(names);
        self.note_configured(SystemTime::now()).await
    }

    fn keep_targets(&self, names: &[&str]) {
        let mut targets = self.targets();
        targets.retain(|name, target| {
            let stays = names.contains(&name.as_str());
            if let (false, Some(target)) = (stays, target) {
                target.removed.store(true, Ordering::Release);
                target.stop.send_replace(true);
                target.ready.notify_one();
            }
            stays
        });
        for name in names {
            targets.entry((*name).to_owned()).or_default();
        }
        drop(targets);
        self.members.targets_changed();
    }

    /// How often the connection was made, before anything can go over it.
    fn connections(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Whether the stream is there. Over a new connection it is brought beyond all that was read from it first.
    async fn check(&self) -> Result<(), JournalError> {
        let connections = self.connections();
        if *self.checked.borrow() == connections {
            return self.info().await.map(drop);
        }
        positions::go_beyond(self).await?;
        self.checked.send_replace(connections);
        Ok(())
    }

    /// Never the same text twice, anywhere.
    fn unique(&self) -> String {
        format!("{}-{}", self.instance, self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// Stores a message, in one try.
    async fn store(&self, subject: &str, headers: HeaderMap, payload: Bytes) -> Result<u64, JournalError> {
        let message = PublishMessage::build().headers(headers).payload(payload);
        let publish = async { self.context.send_publish(subject.to_owned(), message).await?.await };
        publish.await.map(|ack| ack.sequence).map_err(|error| JournalError::Unavailable(said(&error)))
    }

    /// Stores a message soon, or says that it could not. Returns its sequence.
    async fn store_soon(&self, subject: String, payload: Vec<u8>) -> Result<u64, JournalError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, self.unique().as_str());
        let payload = Bytes::from(payload);
        let end = Instant::now() + PATIENCE;
        loop {
            match self.store(&subject, headers.clone(), payload.clone()).await {
                Err(_) if Instant::now() < end => tokio::time::sleep(Duration::from_millis(100)).await,
                result => return result,
            }
        }
    }

    async fn stream(&self, name: &str) -> Result<Stream<Info>, JournalError> {
        self.context.get_stream(name).await.map_err(|error| JournalError::Unavailable(said(&error)))
    }

    /// The stream of the events, as its leader sees it.
    async fn info(&self) -> Result<Info, JournalError> {
        Ok(self.stream(&self.names.events).await?.cached_info().clone())
    }

    async fn last_position(&self) -> Result<u64, JournalError> {
        Ok(self.info().await?.state.last_sequence)
    }

    /// A stream, without asking whether it is there. What is read of it is what its leader sees.
    async fn handle(&self, name: &str) -> Result<Stream<()>, JournalError> {
        self.context.get_stream_no_info(name).await.map_err(|error| JournalError::Unavailable(said(&error)))
    }

    /// Whether there is an event at a position.
    async fn holds(&self, position: u64) -> Result<bool, JournalError> {
        Ok(self.message(&self.names.events, position).await?.is_some())
    }

    /// The message of a sequence.
    async fn message(&self, stream: &str, sequence: u64) -> Result<Option<Bytes>, JournalError> {
        let stream = self.handle(stream).await?;
        Ok(if_there(stream.get_raw_message(sequence).await)?.map(|found| found.payload))
    }

    /// The first event of these subjects from a position on.
    async fn first_of(&self, subject: &str, from: u64) -> Result<Option<u64>, JournalError> {
        let events = self.handle(&self.names.events).await?;
        let found = if_there(events.get_first_raw_message_by_subject(subject, from.max(1)).await)?;
        Ok(found.map(|found| found.sequence))
    }

    /// The newest message of a subject, and its sequence.
    async fn newest(&self, stream: &str, subject: &str) -> Result<Option<(Bytes, u64)>, JournalError> {
        let stream = self.handle(stream).await?;
        let found = if_there(stream.get_last_raw_message_by_subject(subject).await)?;
        Ok(found.map(|found| (found.payload, found.sequence)))
    }

    /// Removes the messages of a subject, up to a sequence. Returns how many.
    async fn purge(&self, stream: &str, subject: &str, up_to: Option<u64>) -> Result<u64, JournalError> {
        let purge = self.handle(stream).await?.purge().filter(subject);
        let purged = match up_to {
            Some(last) => purge.sequence(last + 1).await,
            None => purge.await,
        };
        purged.map(|answer| answer.purged).map_err(|error| JournalError::Unavailable(said(&error)))
    }

    /// Crosses a wish to deliver again out, but not a later one for the same event.
    async fn forget_wish(&self, share: &Share, position: u64, wish: u64) -> Result<(), JournalError> {
        let subject = self.names.replay(&share.target, share.number, position);
        self.purge(&self.names.state, &subject, Some(wish)).await.map(drop)
    }
}

/// That a message is not there is an answer too.
fn if_there<T>(found: Result<T, LastRawMessageError>) -> Result<Option<T>, JournalError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(JournalError::Unavailable(said(&error))),
    }
}

/// The deliveries of one target.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    target: Arc<Target>,
}

impl Subscription {
    pub(crate) async fn next(&mut self, most: usize) -> Result<Vec<Delivery>, JournalError> {
        loop {
            if self.shared.closing.load(Ordering::Acquire) || *self.shared.closed.borrow() {
                self.target.ready.notify_one();
                return Err(JournalError::Closed);
            }
            if self.target.removed.load(Ordering::Acquire) {
                self.target.ready.notify_one();
                return Err(JournalError::NoSuchTarget(self.target.name.clone()));
            }
            let deliveries = self.take(most);
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            self.target.ready.notified().await;
        }
    }

    /// What is due in all shares that we hold, oldest first.
    fn take(&self, most: usize) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        if !self.shared.members.is_certain(Instant::now()) {
            return deliveries;
        }
        let mut books: Vec<_> = self.target.held().map(|share| (share, share.book())).collect();
        while deliveries.len() < most {
            let due = books.iter_mut().filter_map(|(share, book)| Some((book.first_ready()?, share, book)));
            let Some((_, share, book)) = due.min_by_key(|(position, ..)| *position) else { break };
            let Some(event) = book.take() else { break };
            deliveries.push(self.delivery(share, book.generation(), event));
        }
        deliveries
    }

    fn delivery(&self, share: &Arc<Share>, generation: u64, event: book::Event) -> Delivery {
        Delivery {
            position: Position(event.position),
            record: Arc::clone(&event.record),
            attempts: event.attempts,
            first_attempt: event.first_attempt,
            lease: AnyLease::JetStream(Lease {
                shared: Arc::clone(&self.shared),
                share: Arc::clone(share),
                generation,
                lane: Lane::of(event.position, &event.record),
                position: event.position,
                attempts: event.attempts,
                wish: event.replay,
                record: event.record,
                settled: AtomicBool::new(false),
            }),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.target.subscribed.store(false, Ordering::Release);
        self.target.stop.send_replace(true);
        self.shared.members.targets_changed();
    }
}
