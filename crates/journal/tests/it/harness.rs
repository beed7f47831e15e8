//! What every test needs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use chathook_journal::{
    Appended, Attempt, Config, DeadClass, Delivery, EngineConfig, Journal, Outcome, Position, Record, SqliteConfig,
    Subscription,
};
use tempfile::TempDir;

use crate::{jetstream, nats};

/// Nothing takes longer than this.
const LIMIT: Duration = Duration::from_secs(120);

/// Fails instead of hanging.
pub(crate) async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, test).await.expect("the test hangs")
}

/// A place where a journal is kept, and found again after it was closed.
pub(crate) struct Home {
    pub(crate) config: Config,
    _directory: Option<TempDir>,
    _server: Option<nats::Server>,
}

impl Home {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = EngineConfig::Sqlite(SqliteConfig { path: directory.path().join("journal.db"), max_size: None });
        Self { config: config(engine), _directory: Some(directory), _server: None }
    }

    pub(crate) fn jetstream() -> Self {
        let server = nats::Server::start();
        Self { config: jetstream::config(&server), _directory: None, _server: Some(server) }
    }

    pub(crate) async fn open(&self, targets: &[&str]) -> Journal {
        Journal::open(&self.config, targets).await.unwrap()
    }
}

pub(crate) fn config(engine: EngineConfig) -> Config {
    Config { engine, dedup_window: Duration::from_secs(600), retention: Duration::from_secs(7 * 86_400) }
}

/// A record that no other test has, of the conversation `key`; an empty one is none.
pub(crate) fn record(key: &str) -> Record {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let id = format!("{}-{number}", std::process::id());
    Record {
        app: Some(1_400_000_001),
        command: "C2C.CallbackAfterSendMsg".into(),
        key: (!key.is_empty()).then(|| key.to_owned()),
        received: millis(SystemTime::now()),
        query: "SdkAppid=1400000001&CallbackCommand=C2C.CallbackAfterSendMsg".into(),
        body: format!(r#"{{"From_Account":"u_{number}","MsgBody":[]}}"#).into(),
        answer: None,
        by_content: false,
        decoded: true,
        id,
    }
}

/// A time without what is not kept of it.
pub(crate) fn millis(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_millis(since.as_millis().try_into().unwrap())
}

/// Keeps a record that is not there yet.
pub(crate) async fn keep(journal: &Journal, record: Record) -> Position {
    match journal.append(record).await.unwrap() {
        Appended::Kept(position) => position,
        Appended::Duplicate => panic!("it is there already"),
    }
}

/// Keeps one event of each of these conversations, in order.
pub(crate) async fn keep_keys(journal: &Journal, keys: &[&str]) -> Vec<Position> {
    let mut positions = Vec::new();
    for key in keys {
        positions.push(keep(journal, record(key)).await);
    }
    positions
}

/// The next delivery.
pub(crate) async fn one(subscription: &mut Subscription) -> Delivery {
    subscription.next(1).await.unwrap().remove(0)
}

/// So many deliveries, all out at once. Those of different keys come in any order; here they are by position.
pub(crate) async fn several(subscription: &mut Subscription, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        deliveries.extend(subscription.next(count - deliveries.len()).await.unwrap());
    }
    deliveries.sort_by_key(|delivery| delivery.position);
    deliveries
}

/// Takes and delivers so many, one after the other.
pub(crate) async fn deliver(subscription: &mut Subscription, count: usize) -> Vec<Position> {
    let mut positions = Vec::new();
    for _ in 0..count {
        let delivery = one(subscription).await;
        delivery.settle(delivered()).await.unwrap();
        positions.push(delivery.position);
    }
    positions
}

/// The same of different keys, which come in any order: by position.
pub(crate) async fn deliver_any(subscription: &mut Subscription, count: usize) -> Vec<Position> {
    let mut positions = deliver(subscription, count).await;
    positions.sort();
    positions
}

pub(crate) fn positions(deliveries: &[Delivery]) -> Vec<Position> {
    deliveries.iter().map(|delivery| delivery.position).collect()
}

/// That nothing is due. There is no event that says so: a short while has to do, after something else was seen to be done.
pub(crate) async fn nothing(subscription: &mut Subscription) {
    let next = tokio::time::timeout(Duration::from_millis(150), subscription.next(16)).await;
    assert!(next.is_err(), "{:?} is due", next.unwrap());
}

pub(crate) fn attempt(outcome: Outcome) -> Attempt {
    Attempt { at: millis(SystemTime::now()), took: Duration::from_millis(3), outcome }
}

pub(crate) fn delivered() -> Attempt {
    attempt(Outcome::Delivered { detail: "200".into() })
}

pub(crate) fn retry(after: Duration) -> Attempt {
    attempt(Outcome::Retry { after, cause: "500".into() })
}

pub(crate) fn dead() -> Attempt {
    attempt(Outcome::Dead { class: DeadClass::Target, cause: "410".into() })
}

pub(crate) const SOON: Duration = Duration::from_millis(20);
pub(crate) const LATER: Duration = Duration::from_secs(3600);
