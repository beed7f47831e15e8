//! What the streams promise beside.

mod limits;
mod positions;
mod shares;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Config as StreamConfig, RetentionPolicy, StorageType};
use chathook_journal::{
    AppendError, Appended, Config, DeadFilter, Delivery, EngineConfig, Filter, Health, JetStreamConfig,
    JetStreamOpenError, Journal, NatsAuth, OpenError, Position, Record, State, Subscription,
};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::harness::{self, LATER, bounded, dead, delivered, keep, keep_keys, one, record, retry, several};
use crate::nats::{self, Server};

/// A journal on a server alone.
pub(crate) fn config(server: &Server) -> Config {
    on(servers(&[server]))
}

fn on(servers: JetStreamConfig) -> Config {
    harness::config(EngineConfig::JetStream(servers))
}

fn servers(servers: &[&Server]) -> JetStreamConfig {
    JetStreamConfig {
        urls: servers.iter().map(|server| server.url()).collect(),
        replicas: if servers.len() < 3 { 1 } else { 3 },
        sync_always: servers.len() < 3,
        // Many tests at once on a small machine are slower than what is promised.
        append_timeout: Duration::from_secs(10),
        ..JetStreamConfig::default()
    }
}

/// With the time for appends that is promised.
fn in_time(servers: JetStreamConfig) -> Config {
    on(JetStreamConfig { append_timeout: JetStreamConfig::default().append_timeout, ..servers })
}

async fn refused(config: JetStreamConfig) -> JetStreamOpenError {
    match Journal::open(&on(config), &[]).await {
        Err(OpenError::JetStream(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// An event that a target got.
#[derive(Debug, Clone)]
struct Got {
    key: String,
    id: String,
    position: Position,
}

impl Got {
    fn of(delivery: &Delivery) -> Self {
        let Record { key, id, .. } = delivery.record.as_ref();
        // What is kept again has more behind its identity.
        let id = id.split('@').next().unwrap().to_owned();
        Self { key: key.clone().unwrap_or_default(), id, position: delivery.position }
    }
}

/// What a target got, in the order in which it came.
type Seen = Arc<Mutex<Vec<Got>>>;

/// A target that takes everything.
struct Target {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Target {
    /// What it gets is added to each of `seen`.
    fn start(mut subscription: Subscription, seen: &[&Seen]) -> Self {
        let seen: Vec<Seen> = seen.iter().map(|seen| Arc::clone(seen)).collect();
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut under_way = JoinSet::new();
            loop {
                let deliveries = tokio::select! {
                    deliveries = subscription.next(64) => deliveries,
                    _ = &mut stopped => break,
                };
                let Ok(deliveries) = deliveries else { break };
                for delivery in deliveries {
                    for seen in &seen {
                        seen.lock().unwrap().push(Got::of(&delivery));
                    }
                    under_way.spawn(async move { delivery.settle(delivered()).await });
                }
            }
            under_way.join_all().await;
        });
        Self { task, stop }
    }

    /// Takes no more and settles what it has, as a gateway does before it closes the journal.
    async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }
}

/// Appends `count` events of a conversation, each until it is kept, as Chat does with retries. Returns what they are: where one
/// is whose acknowledgement was lost, nobody knows.
async fn append(journal: Journal, key: String, count: usize) -> Vec<String> {
    let mut kept = Vec::new();
    for n in 0..count {
        // Every other one is known by its content only: its own retry is no duplicate of it.
        let record = Record { by_content: n % 2 == 0, ..record(&key) };
        let mut tried = false;
        loop {
            match journal.append(record.clone()).await {
                Ok(Appended::Kept(_)) => break,
                // A try before was kept, though nobody could tell.
                Ok(Appended::Duplicate) => {
                    assert!(tried, "nobody else has this event");
                    break;
                }
                Err(AppendError::Unavailable(_)) => tried = true,
                Err(error) => panic!("{error}"),
            }
        }
        kept.push(record.id);
    }
    kept
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn lost(kept: &[String], seen: &Seen) -> usize {
    let seen = seen.lock().unwrap();
    let seen: HashSet<&str> = seen.iter().map(|got| got.id.as_str()).collect();
    kept.iter().filter(|id| !seen.contains(id.as_str())).count()
}

/// Each key's events came in their order, not counting repetitions. Returns how many came again.
fn assert_in_order(seen: &Seen) -> usize {
    let (mut first, mut last, mut again) = (HashSet::new(), HashMap::new(), 0);
    for Got { key, position, .. } in seen.lock().unwrap().iter() {
        if !first.insert(*position) {
            again += 1;
        } else if let Some(before) = last.insert(key.clone(), *position) {
            assert!(before < *position, "{position} came after {before}");
        }
    }
    again
}

/// Appends from several tasks while something happens to the servers. Returns what.
async fn under_load(journals: &[Journal], count: usize, what_happens: impl Future<Output = ()>) -> Vec<String> {
    let mut tasks = Vec::new();
    for n in 0..8 {
        let journal = journals[n % journals.len()].clone();
        tasks.push(tokio::spawn(append(journal, format!("key {n}"), count)));
    }
    what_happens.await;
    let mut kept = Vec::new();
    for task in tasks {
        kept.extend(task.await.unwrap());
    }
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_restarted_under_load_loses_nothing() {
    bounded(async {
        let mut server = Server::start();
        let journal = Journal::open(&in_time(servers(&[&server])), &["crm"]).await.unwrap();
        let seen = Seen::default();
        let crm = Target::start(journal.subscribe("crm").unwrap(), &[&seen]);
        let kept = under_load(std::slice::from_ref(&journal), 150, async {
            for _ in 0..2 {
                let before = seen.lock().unwrap().len();
                until("deliveries", || seen.lock().unwrap().len() > before + 100).await;
                server.kill();
                server.run();
            }
        })
        .await;
        until("every delivery", || lost(&kept, &seen) == 0).await;
        let again = assert_in_order(&seen);
        println!("acknowledged {}, delivered again {again}, lost 0", kept.len());
        crm.stop().await;
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_an_append_fails_in_time_and_with_it_works_again() {
    bounded(async {
        let mut server = Server::start();
        let journal = Journal::open(&in_time(servers(&[&server])), &["crm"]).await.unwrap();
        let mut crm = journal.subscribe("crm").unwrap();
        keep(&journal, record("a")).await;
        let out = one(&mut crm).await;
        assert!(matches!(journal.health(), Health::Ok(_)));

        server.kill();
        let began = Instant::now();
        let error = journal.append(record("a")).await.unwrap_err();
        assert!(matches!(error, AppendError::Unavailable(_)), "{error}");
        assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
        assert!(matches!(journal.health(), Health::CannotKeep(_)));
        // Nothing that waits for a server waits for ever, or is in the way.
        assert!(journal.stats().await.is_err());

        let settle = tokio::spawn(async move { out.settle(delivered()).await });
        server.run();
        until("health", || matches!(journal.health(), Health::Ok(_))).await;
        settle.await.unwrap().unwrap();
        let position = keep(&journal, record("a")).await;
        let next = one(&mut crm).await;
        assert!(next.position == position || next.position.0 == position.0 - 1, "the append that failed may be kept");
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_servers_killed_under_load_loses_nothing() {
    bounded(async {
        let mut cluster = nats::cluster();
        let config = in_time(servers(&cluster.each_ref()));
        let journal = Journal::open(&config, &["crm"]).await.unwrap();
        assert_eq!(journal.health(), Health::Ok("stream CHATHOOK: 3 replicas".into()));
        let seen = Seen::default();
        let crm = Target::start(journal.subscribe("crm").unwrap(), &[&seen]);
        let leader = leader(&cluster).await;
        let kept = under_load(std::slice::from_ref(&journal), 300, async {
            until("deliveries", || seen.lock().unwrap().len() > 300).await;
            cluster[leader].kill();
            let before = seen.lock().unwrap().len();
            until("deliveries without it", || seen.lock().unwrap().len() > before + 300).await;
            cluster[leader].run();
        })
        .await;
        until("every delivery", || lost(&kept, &seen) == 0).await;
        let again = assert_in_order(&seen);
        println!("acknowledged {}, delivered again {again}, lost 0", kept.len());
        crm.stop().await;
        journal.close().await;
    })
    .await;
}

/// Which server leads the stream.
async fn leader(cluster: &[Server; 3]) -> usize {
    let client = async_nats::connect(cluster[0].url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    let stream = context.get_stream("CHATHOOK").await.unwrap();
    let leader = stream.cached_info().cluster.as_ref().unwrap().leader.clone().unwrap();
    leader.trim_start_matches('n').parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_deliver_everything_once_and_in_order_while_both_live() {
    bounded(async {
        let server = Server::start();
        let one = Journal::open(&config(&server), &["crm", "audit"]).await.unwrap();
        let other = Journal::open(&config(&server), &["crm", "audit"]).await.unwrap();
        let seen = [Seen::default(), Seen::default()];
        let deliver = |journal: &Journal| {
            let targets = ["crm", "audit"].into_iter().zip(&seen);
            targets.map(|(name, seen)| Target::start(journal.subscribe(name).unwrap(), &[seen])).collect::<Vec<_>>()
        };
        let (by_one, by_other) = (deliver(&one), deliver(&other));
        let kept = under_load(&[one.clone(), other.clone()], 100, async {}).await;
        for seen in &seen {
            until("every delivery", || lost(&kept, seen) == 0).await;
            assert_eq!(assert_in_order(seen), 0, "nothing comes twice");
        }
        // The one hands over what it has: the other goes on at once.
        for target in by_one {
            target.stop().await;
        }
        one.close().await;
        let began = Instant::now();
        let more = append(other.clone(), "key 0".into(), 10).await;
        for seen in &seen {
            until("deliveries by the other", || lost(&more, seen) == 0).await;
            assert_eq!(assert_in_order(seen), 0, "nothing comes twice");
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        for target in by_other {
            target.stop().await;
        }
        other.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_gateway_dies_another_takes_its_targets_over() {
    bounded(async {
        let server = Server::start();
        let (config, seen) = (config(&server), Seen::default());
        // It dies with its runtime: nothing of it gets to say a last word.
        let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (at, by) = (config.clone(), Arc::clone(&seen));
        let (ready, started) = tokio::sync::oneshot::channel();
        doomed.spawn(async move {
            let journal = Journal::open(&at, &["crm"]).await.unwrap();
            let crm = Target::start(journal.subscribe("crm").unwrap(), &[&by]);
            keep(&journal, record("first")).await;
            ready.send(()).unwrap();
            crm.task.await.unwrap();
        });
        started.await.unwrap();
        until("the first delivery", || seen.lock().unwrap().len() == 1).await;

        let journal = Journal::open(&config, &["crm"]).await.unwrap();
        let crm = Target::start(journal.subscribe("crm").unwrap(), &[&seen]);
        let mut died = Instant::now();
        let kept = under_load(std::slice::from_ref(&journal), 100, async {
            until("deliveries", || seen.lock().unwrap().len() > 100).await;
            doomed.shutdown_background();
            died = Instant::now();
        })
        .await;
        until("every delivery", || lost(&kept, &seen) == 0).await;
        println!("all delivered {:?} after the death", died.elapsed());
        assert!(died.elapsed() < Duration::from_secs(15), "{:?}", died.elapsed());
        let again = assert_in_order(&seen);
        assert!(again <= 512, "what was out comes again, not more: {again}");
        crm.stop().await;
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_keep_an_event_once_between_them() {
    bounded(async {
        let server = Server::start();
        let one = Journal::open(&config(&server), &[]).await.unwrap();
        let other = Journal::open(&config(&server), &[]).await.unwrap();
        let event = record("a");
        keep(&one, event.clone()).await;
        assert_eq!(other.append(event).await, Ok(Appended::Duplicate));
        for _ in 0..50 {
            let event = record("a");
            let both = tokio::join!(one.append(event.clone()), other.append(event));
            let kept =
                [both.0.unwrap(), both.1.unwrap()].iter().filter(|made| matches!(made, Appended::Kept(_))).count();
            assert_eq!(kept, 1);
        }
        assert_eq!(one.stats().await.unwrap().events, 51);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_events_behind_a_failed_one_hold_up_nobody_and_come_in_order() {
    bounded(async {
        let server = Server::start();
        let journal = Journal::open(&config(&server), &["crm"]).await.unwrap();
        let mut crm = journal.subscribe("crm").unwrap();
        let poison = keep(&journal, record("hot")).await;
        one(&mut crm).await.settle(retry(LATER)).await.unwrap();
        let mut behind = Vec::new();
        for _ in 0..20 {
            let appends = (0..150).map(|_| keep(&journal, record("hot")));
            behind.extend(futures_util::future::join_all(appends).await);
            let other = keep(&journal, record("cold")).await;
            let delivery = one(&mut crm).await;
            assert_eq!(delivery.position, other);
            delivery.settle(delivered()).await.unwrap();
        }
        behind.sort();
        let stats = journal.stats().await.unwrap();
        assert_eq!((stats.targets[0].backlog, stats.targets[0].retrying), (3001, 1));

        // Another process goes on with them.
        journal.close().await;
        let journal = Journal::open(&config(&server), &["crm"]).await.unwrap();
        assert_eq!(journal.stats().await.unwrap().targets[0].backlog, 3001);
        let mut crm = journal.subscribe("crm").unwrap();
        let other = keep(&journal, record("cold")).await;
        assert_eq!(harness::deliver(&mut crm, 1).await, [other]);
        assert_eq!(journal.replay(poison, "crm", "ann").await, Ok(true));
        let again = one(&mut crm).await;
        assert_eq!(again.position, poison);
        again.settle(dead()).await.unwrap();
        assert_eq!(harness::deliver(&mut crm, 3000).await, behind);
        harness::nothing(&mut crm).await;
        assert_eq!(journal.stats().await.unwrap().targets[0].backlog, 0);
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_target_is_read_ahead_for_slowly_and_gets_everything_when_it_is_back() {
    bounded(async {
        let server = Server::start();
        let journal = Journal::open(&config(&server), &["crm"]).await.unwrap();
        for hundred in 0..30 {
            let appends = (0..100).map(async |n| keep(&journal, record(&format!("key {hundred} {n}"))).await);
            futures_util::future::join_all(appends).await;
        }
        drop(journal);
        let journal = Journal::open(&config(&server), &["crm"]).await.unwrap();
        let mut crm = journal.subscribe("crm").unwrap();
        // Known before its first subscription, it gets what came since.
        let (began, mut failed, mut since, mut before) = (Instant::now(), 0, Instant::now(), 0);
        loop {
            let next = tokio::time::timeout(Duration::from_secs(3), crm.next(64)).await;
            for delivery in next.unwrap_or_else(|_| panic!("{failed} were tried, then none")).unwrap() {
                delivery.settle(retry(LATER)).await.unwrap();
                failed += 1;
            }
            if since.elapsed() > Duration::from_secs(3) {
                if failed >= 1000 && failed - before < 100 {
                    assert!(failed - before >= 5, "{} in three seconds", failed - before);
                    break;
                }
                (since, before) = (Instant::now(), failed);
            }
        }
        assert!((1000..2500).contains(&failed), "{failed}");
        let stats = journal.stats().await.unwrap();
        assert_eq!((stats.targets[0].backlog, stats.targets[0].retrying), (3000, failed));
        let filter = Filter { state: Some((Some("crm".into()), State::Retrying)), limit: 5000, ..Filter::default() };
        assert_eq!(u64::try_from(journal.events(&filter).await.unwrap().len()).unwrap(), failed);
        harness::deliver(&mut crm, usize::try_from(3000 - failed).unwrap()).await;
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_command_cuts_nobody_off_and_is_found() {
    bounded(async {
        let server = Server::start();
        let journal = Journal::open(&config(&server), &["crm"]).await.unwrap();
        let command = "x".repeat(5000);
        let long = keep(&journal, Record { command: command.clone(), ..record("a") }).await;
        keep(&journal, Record { command: "y".repeat(5000), ..record("a") }).await;
        let filter = Filter { commands: vec![command.clone()], ..Filter::default() };
        let found = journal.events(&filter).await.unwrap();
        assert_eq!(found.iter().map(|event| event.position).collect::<Vec<_>>(), [long]);
        assert_eq!(found[0].command, command);
        let mut crm = journal.subscribe("crm").unwrap();
        harness::deliver(&mut crm, 2).await;
        assert!(matches!(journal.health(), Health::Ok(_)));
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_event_is_found_behind_many_from_a_clock_that_jumped_back() {
    bounded(async {
        let server = Server::start();
        let journal = Journal::open(&config(&server), &[]).await.unwrap();
        let new = record("a");
        let position = keep(&journal, new.clone()).await;
        let received = new.received - Duration::from_secs(7200);
        let old = (0..600).map(async |_| keep(&journal, Record { received, ..record("a") }).await);
        futures_util::future::join_all(old).await;
        let filter = Filter { since: Some(new.received - Duration::from_secs(3600)), ..Filter::default() };
        let found = journal.events(&filter).await.unwrap();
        assert_eq!(found.iter().map(|event| event.position).collect::<Vec<_>>(), [position]);
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_goes_but_not_what_a_target_has_not_settled() {
    bounded(async {
        let server = Server::start();
        let config = Config { retention: Duration::from_secs(1), ..config(&server) };
        let journal = Journal::open(&config, &["crm", "slow"]).await.unwrap();
        let mut crm = journal.subscribe("crm").unwrap();
        let mut slow = journal.subscribe("slow").unwrap();
        let kept = keep_keys(&journal, &["a", "b", "c", "d"]).await;
        for (n, delivery) in several(&mut crm, 4).await.iter().enumerate() {
            delivery.settle(if n == 3 { dead() } else { delivered() }).await.unwrap();
        }
        for (n, delivery) in several(&mut slow, 4).await.iter().enumerate() {
            delivery.settle(if n == 1 { retry(LATER) } else { delivered() }).await.unwrap();
        }
        let first = async || journal.events(&Filter::default()).await.unwrap().last().map(|event| event.position);
        while first().await == Some(kept[0]) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // The second is not settled: it and what came after stay, however old.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(first().await, Some(kept[1]));
        assert_eq!(journal.dead_letters(&DeadFilter::default()).await.unwrap().len(), 1);
        assert_eq!(journal.replay(kept[1], "slow", "ann").await, Ok(true));
        harness::deliver(&mut slow, 1).await;
        while first().await.is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(journal.dead_letters(&DeadFilter::default()).await.unwrap(), []);
        assert_eq!(journal.stats().await.unwrap().expired_dead_letters, 1);
        keep(&journal, record("a")).await;
        harness::deliver(&mut crm, 1).await;
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_differs_is_mended_or_refused_with_the_difference() {
    bounded(async {
        let server = Server::start();
        let client = async_nats::connect(server.url()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        let make = async |name: &str, config: StreamConfig| {
            let subjects = vec![format!("{name}.*.*.*.*")];
            context.create_stream(StreamConfig { name: name.into(), subjects, ..config }).await.unwrap();
            refused(JetStreamConfig { stream: name.into(), ..servers(&[&server]) }).await.to_string()
        };
        let memory = make("MEMORY", StreamConfig { storage: StorageType::Memory, ..StreamConfig::default() }).await;
        assert!(memory.contains("MEMORY is there and differs: its storage is memory, not file"), "{memory}");
        let queue = StreamConfig { retention: RetentionPolicy::WorkQueue, no_ack: true, ..StreamConfig::default() };
        let queue = make("QUEUE", queue).await;
        assert!(queue.contains("its retention is by workqueue, not by limits; it does not acknowledge"), "{queue}");
        let foreign =
            StreamConfig { name: "FOREIGN".into(), subjects: vec!["orders".into()], ..StreamConfig::default() };
        context.create_stream(foreign).await.unwrap();
        let foreign = refused(JetStreamConfig { stream: "FOREIGN".into(), ..servers(&[&server]) }).await.to_string();
        assert!(foreign.contains(r#"its subjects are ["orders"], ours would be `FOREIGN.*.*.*.*`"#), "{foreign}");

        // What can be changed is; what is the operator's business stays.
        let theirs = StreamConfig {
            name: "CHATHOOK".into(),
            subjects: vec!["CHATHOOK.*.*.*.*".into()],
            max_age: Duration::from_secs(3600),
            max_bytes: 10_000_000,
            description: Some("ours".into()),
            ..StreamConfig::default()
        };
        context.create_stream(theirs).await.unwrap();
        let journal = Journal::open(&config(&server), &[]).await.unwrap();
        let found = context.get_stream("CHATHOOK").await.unwrap().cached_info().config.clone();
        assert_eq!((found.max_age, found.duplicate_window), (Duration::ZERO, Duration::from_secs(600)));
        assert_eq!((found.max_bytes, found.description.as_deref()), (10_000_000, Some("ours")));
        assert!(found.allow_direct);

        // Its limit is reached: events are turned away, none is dropped.
        let mut large = record("a");
        large.body = vec![b'x'; 900_000].into();
        let error = loop {
            let id = record("a").id;
            if let Err(error) = journal.append(Record { id, ..large.clone() }).await {
                break error;
            }
        };
        assert!(matches!(error, AppendError::Full(_)), "{error}");
        assert!(matches!(journal.health(), Health::CannotKeep(_)));
        assert_eq!(journal.stats().await.unwrap().events, 11);
        large.body = vec![b'x'; 2_000_000].into();
        let error = journal.append(large).await.unwrap_err();
        assert!(matches!(&error, AppendError::Failed(text) if text.contains("max_payload")), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn less_than_durable_is_refused_or_said() {
    bounded(async {
        let server = Server::start();
        let one = JetStreamConfig { sync_always: false, ..servers(&[&server]) };
        let error = refused(one.clone()).await.to_string();
        assert!(error.contains("the stream CHATHOOK has 1 replica"), "{error}");
        assert!(error.contains("`replicas = 3`") && error.contains("`sync_always = true`"), "{error}");
        let lax = JetStreamConfig { require_durable: false, ..one };
        let journal = Journal::open(&on(lax), &[]).await.unwrap();
        assert!(matches!(journal.health(), Health::Ok(detail) if detail.contains("NOT durable")));
        let journal = Journal::open(&config(&server), &[]).await.unwrap();
        assert!(matches!(journal.health(), Health::Ok(detail) if detail.contains("synced at every write")));
        let three = JetStreamConfig { stream: "THREE".into(), replicas: 3, ..servers(&[&server]) };
        let error = refused(three).await.to_string();
        assert!(
            error.contains("the stream THREE_ATTEMPTS cannot be used") && error.contains("enough servers"),
            "{error}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_knows_the_password_or_the_token_gets_in() {
    bounded(async {
        let server = Server::with("authorization { user: gateway, password: secret }");
        let config = |auth| JetStreamConfig { auth, ..servers(&[&server]) };
        let password = |password: &str| NatsAuth::Password { user: "gateway".into(), password: password.into() };
        let journal = Journal::open(&on(config(Some(password("secret")))), &[]).await.unwrap();
        keep(&journal, record("a")).await;
        for wrong in [None, Some(password("guess"))] {
            let error = refused(config(wrong)).await.to_string();
            assert!(error.contains("authorization violation"), "{error}");
            assert!(!error.contains("guess"), "{error}");
        }
        assert!(!format!("{:?}", config(Some(password("secret")))).contains("secret"));

        let server = Server::with("authorization { token: secret }");
        let token = Some(NatsAuth::Token("secret".into()));
        let journal = Journal::open(&on(JetStreamConfig { auth: token, ..servers(&[&server]) }), &[]).await.unwrap();
        keep(&journal, record("a")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_of_an_account_get_in() {
    bounded(async {
        use nkeys::KeyPair;
        let (operator, system) = (KeyPair::new_operator(), KeyPair::new_account());
        let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
        let limits = r#""subs":-1,"data":-1,"payload":-1"#;
        let storage = r#""mem_storage":-1,"disk_storage":-1,"streams":-1,"consumer":-1,"conn":-1,"exports":-1,"imports":-1,"leaf":-1"#;
        let of_operator = jwt(&operator, &operator, r#"{"type":"operator","version":2}"#);
        let unlimited = format!(r#"{{"type":"account","version":2,"limits":{{{limits},{storage},"wildcards":true}}}}"#);
        let plain = r#"{"type":"account","version":2,"limits":{"subs":-1,"data":-1,"payload":-1,"conn":-1,"wildcards":true}}"#;
        let (of_account, of_system) = (jwt(&operator, &account, &unlimited), jwt(&operator, &system, plain));
        let of_user = jwt(&account, &user, &format!(r#"{{"type":"user","version":2,{limits},"pub":{{}},"sub":{{}}}}"#));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.creds");
        let seed = user.seed().unwrap();
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        std::fs::write(&path, text).unwrap();
        let server = Server::with(&format!(
            "operator: {of_operator}\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload {{ {account}: {of_account}, {system}: {of_system} }}",
            system = system.public_key(),
            account = account.public_key(),
        ));
        let config = |auth| JetStreamConfig { auth, ..servers(&[&server]) };
        let journal = Journal::open(&on(config(Some(NatsAuth::Credentials(path.clone())))), &[]).await.unwrap();
        keep(&journal, record("a")).await;
        refused(config(None)).await;
        let missing = NatsAuth::Credentials(directory.path().join("none.creds"));
        let error = refused(config(Some(missing))).await.to_string();
        assert!(error.contains("none.creds"), "{error}");
    })
    .await;
}

/// A token as `nsc` makes it.
fn jwt(issuer: &nkeys::KeyPair, subject: &nkeys::KeyPair, nats: &str) -> String {
    let (issuer_key, subject_key) = (issuer.public_key(), subject.public_key());
    let claims =
        format!(r#"{{"jti":"x","iat":1,"iss":"{issuer_key}","name":"test","sub":"{subject_key}","nats":{nats}}}"#);
    let signed = format!("{}.{}", base64(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#), base64(claims.as_bytes()));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", base64(&signature))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_has_a_certificate_gets_in() {
    bounded(async {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        certificates(directory.path());
        let server = Server::with(&format!(
            "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
            at("server.pem"),
            at("server.key"),
            at("ca.pem")
        ));
        let url = server.url().replace("nats://127.0.0.1", "tls://localhost");
        let ours = Some((at("gateway.pem"), at("gateway.key")));
        let config = |ca: &str, client_certificate| JetStreamConfig {
            urls: vec![url.clone()],
            ca: Some(at(ca)),
            client_certificate,
            ..servers(&[&server])
        };
        let journal = Journal::open(&on(config("ca.pem", ours.clone())), &["crm"]).await.unwrap();
        keep(&journal, record("a")).await;
        refused(config("ca.pem", None)).await;
        let error = refused(config("other.pem", ours)).await.to_string();
        assert!(error.contains("certificate"), "{error}");
        let error = refused(config("none.pem", None)).await.to_string();
        assert!(error.contains("cannot read") && error.contains("none.pem"), "{error}");
    })
    .await;
}

/// An authority, what it signed for a server and for us, and another authority.
fn certificates(directory: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let write = |name: &str, text: String| std::fs::write(directory.join(name), text).unwrap();
    let ca = authority("authority");
    write("ca.pem", ca.pem());
    write("other.pem", authority("other").pem());
    for name in ["server", "gateway"] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        write(&format!("{name}.pem"), params.signed_by(&key, &ca).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_somebody_deletes_is_made_anew() {
    bounded(async {
        let server = Server::start();
        let journal = Journal::open(&config(&server), &["crm"]).await.unwrap();
        let mut crm = journal.subscribe("crm").unwrap();
        let first = keep(&journal, record("a")).await;
        assert_eq!(harness::deliver(&mut crm, 1).await, [first]);
        let client = async_nats::connect(server.url()).await.unwrap();
        let stream = async_nats::jetstream::new(client).get_stream("CHATHOOK").await.unwrap();
        stream.delete_consumer("crm-4").await.unwrap();
        let second = keep(&journal, record("a")).await;
        assert_eq!(harness::deliver(&mut crm, 1).await, [second]);
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_servers_take_less_than_an_event_it_is_said_what_to_raise() {
    bounded(async {
        let server = Server::with("max_payload: 500000");
        let fits = JetStreamConfig { max_event: 500_000, ..servers(&[&server]) };
        for (config, is_said) in [(servers(&[&server]), true), (fits.clone(), false)] {
            let journal = Journal::open(&on(config), &[]).await.unwrap();
            let Health::Ok(detail) = journal.health() else { panic!("it can keep") };
            assert_eq!(detail.contains("beyond 500000 bytes cannot be kept (`max_payload`"), is_said, "{detail}");
            journal.close().await;
        }
        let client = async_nats::connect(server.url()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        let theirs = context.get_stream("CHATHOOK").await.unwrap().cached_info().config.clone();
        context.update_stream(StreamConfig { max_message_size: 400_000, ..theirs }).await.unwrap();
        let error = refused(fits).await.to_string();
        assert!(error.contains("takes messages of 400000 bytes (`max_msg_size`)"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_twice_with_something_else_between_is_kept_twice_across_replicas() {
    bounded(async {
        let server = Server::start();
        let one = Journal::open(&config(&server), &["crm"]).await.unwrap();
        let other = Journal::open(&config(&server), &[]).await.unwrap();
        for key in ["a", ""] {
            let told = || Record { by_content: true, ..record(key) };
            let (add, delete) = (told(), told());
            let first = keep(&one, add.clone()).await;
            assert_eq!(other.append(add.clone()).await, Ok(Appended::Duplicate), "told twice in a row");
            // What is known by a name of its own, and what happens in other conversations, is nothing in between.
            keep(&one, record(key)).await;
            keep(&one, Record { by_content: true, ..record("elsewhere") }).await;
            assert_eq!(other.append(add.clone()).await, Ok(Appended::Duplicate));

            let between = keep(&other, delete.clone()).await;
            let again = tokio::join!(one.append(add.clone()), other.append(add.clone()));
            let kept = match again {
                (Ok(Appended::Kept(kept)), Ok(Appended::Duplicate))
                | (Ok(Appended::Duplicate), Ok(Appended::Kept(kept))) => kept,
                other => panic!("{other:?}"),
            };
            assert!(first < between && between < kept);
            let event = one.event(kept).await.unwrap().unwrap().record;
            assert_eq!(event, Record { id: format!("{}@{between}", add.id), ..add.clone() });
            for journal in [&one, &other] {
                assert_eq!(journal.append(add.clone()).await, Ok(Appended::Duplicate), "told twice in a row");
            }
            // And so on.
            let between = keep(&one, delete.clone()).await;
            assert!(between > kept);
            assert_eq!(other.append(delete).await, Ok(Appended::Duplicate));
            let third = keep(&other, add.clone()).await;
            let event = one.event(third).await.unwrap().unwrap().record;
            assert_eq!(event.id, format!("{}@{between}", add.id));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_named() {
    bounded(async {
        let mut server = Server::start();
        let config = servers(&[&server]);
        server.kill();
        let error = refused(config).await.to_string();
        assert!(error.contains(&server.url()) && error.contains("check the addresses"), "{error}");
    })
    .await;
}
