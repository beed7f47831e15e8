//! Any number of gateways share the work for one target.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream};
use chathook_journal::{Config, Journal, Position};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::{Got, Seen, Target, append, assert_in_order, config, in_time, leader, lost, servers, until};
use crate::harness::{bounded, delivered, keep, positions, record, several};
use crate::nats::{self, Server};

const SHARES: usize = 8;
/// Conversations under load: enough for each share to have some.
const KEYS: usize = 32;

/// A gateway with a runtime of its own, so that it can die without a last word.
struct Replica {
    runtime: Option<Runtime>,
    journal: Journal,
    crm: Option<Target>,
    /// What it got.
    seen: Seen,
}

impl Replica {
    /// Starts, and delivers to a target that takes everything. What it gets is added to `all` too.
    async fn start(config: &Config, all: &Seen) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (config, seen, all) = (config.clone(), Seen::default(), Arc::clone(all));
        let (ready, started) = oneshot::channel();
        let by = Arc::clone(&seen);
        runtime.spawn(async move {
            let journal = Journal::open(&config, &["crm"]).await.unwrap();
            let crm = Target::start(journal.subscribe("crm").unwrap(), &[&by, &all]);
            ready.send((journal, crm)).ok().unwrap();
        });
        let (journal, crm) = started.await.unwrap();
        Self { runtime: Some(runtime), journal, crm: Some(crm), seen }
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// As if with `kill -9`.
    fn die(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    async fn leave(mut self) {
        self.crm.take().unwrap().stop().await;
        self.journal.close().await;
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Who holds the shares of the target, and how many.
async fn holders(url: &str) -> BTreeMap<String, usize> {
    loop {
        // A cluster without one of its servers may not answer for a while.
        if let Ok(holders) = try_holders(url).await {
            return holders;
        }
    }
}

async fn context(url: &str) -> Result<jetstream::Context, async_nats::Error> {
    Ok(jetstream::new(async_nats::connect(url).await?))
}

async fn try_holders(url: &str) -> Result<BTreeMap<String, usize>, async_nats::Error> {
    let state = context(url).await?.get_stream("CHATHOOK_STATE").await?;
    let mut holders = BTreeMap::new();
    for share in 0..SHARES {
        let record = state.get_last_raw_message_by_subject(&format!("CHATHOOK_STATE.target.crm.{share}")).await?;
        let record: serde_json::Value = serde_json::from_slice(&record.payload)?;
        if let Some(holder) = record["holder"].as_str() {
            *holders.entry(holder.to_owned()).or_default() += 1;
        }
    }
    Ok(holders)
}

/// Of the newest message of a subject.
async fn sequence(stream: &stream::Stream, subject: &str) -> u64 {
    stream.get_last_raw_message_by_subject(subject).await.unwrap().sequence
}

/// Waits until so many replicas hold all shares, about as many each. Returns how long that took.
async fn balanced(url: &str, replicas: usize) -> Duration {
    let began = Instant::now();
    loop {
        let holders = holders(url).await;
        let counts: Vec<usize> = holders.values().copied().collect();
        let all = counts.iter().sum::<usize>() == SHARES && counts.len() == replicas;
        if all && counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1 {
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{holders:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Appends an event to each conversation `count` times. Returns what.
async fn load(journal: &Journal, count: usize) -> Vec<String> {
    let tasks = (0..KEYS).map(|n| tokio::spawn(append(journal.clone(), format!("key {n}"), count)));
    let tasks = futures_util::future::join_all(tasks).await;
    tasks.into_iter().flat_map(Result::unwrap).collect()
}

/// Appends to all conversations as long as something happens. Returns what.
async fn load_while(journal: &Journal, happens: impl Future<Output = ()>) -> Vec<String> {
    let (journal, done) = (journal.clone(), Arc::new(AtomicBool::new(false)));
    let enough = Arc::clone(&done);
    let appends = tokio::spawn(async move {
        let mut kept = Vec::new();
        while !enough.load(Ordering::Relaxed) {
            kept.extend(load(&journal, 2).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        kept
    });
    happens.await;
    done.store(true, Ordering::Relaxed);
    appends.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_one_target_and_one_that_comes_late_gets_its_part() {
    bounded(async {
        let server = Server::start();
        let (config, all) = (config(&server), Seen::default());
        let appender = Journal::open(&config, &["crm"]).await.unwrap();
        let one = Replica::start(&config, &all).await;
        let alone = balanced(&server.url(), 1).await;
        let other = Replica::start(&config, &all).await;
        let two = balanced(&server.url(), 2).await;
        let kept = load(&appender, 20).await;
        until("every delivery", || lost(&kept, &all) == 0).await;
        assert!(one.count() > 0 && other.count() > 0, "{} {}", one.count(), other.count());

        // A third comes under load.
        let mut three = Duration::ZERO;
        let kept = load_while(&appender, async {
            let third = Replica::start(&config, &all).await;
            three = balanced(&server.url(), 3).await;
            let before = third.count();
            until("deliveries to the third", || third.count() > before + 20).await;
            third.leave().await;
        })
        .await;
        until("every delivery", || lost(&kept, &all) == 0).await;
        let left = balanced(&server.url(), 2).await;
        assert_eq!(assert_in_order(&all), 0, "nothing comes twice while nobody dies");
        println!("balanced: one {alone:?}, two {two:?}, three {three:?}, two again {left:?}");
        assert!(three < Duration::from_secs(4) && left < Duration::from_secs(4), "{three:?} {left:?}");
        one.leave().await;
        other.leave().await;
        assert_eq!(holders(&server.url()).await, BTreeMap::new());
        let record = append(appender.clone(), "key 0".into(), 1).await;
        assert_eq!(appender.stats().await.unwrap().targets[0].backlog, record.len() as u64);
    })
    .await;
}

/// Replicas come, die and leave under load. Nothing is lost, and each conversation comes in order. Returns what was counted.
async fn come_and_go(config: &Config, url: &str, meanwhile: impl AsyncFnOnce()) -> String {
    let all = Seen::default();
    let appender = Journal::open(config, &["crm"]).await.unwrap();
    let stays = Replica::start(config, &all).await;
    let (dies, leaves) = (Replica::start(config, &all).await, Replica::start(config, &all).await);
    balanced(url, 3).await;
    let (mut taken_over, mut counts) = (Duration::ZERO, Vec::new());
    let mut kept = load_while(&appender, async {
        until("deliveries to each", || [&stays, &dies, &leaves].iter().all(|replica| replica.count() > 20)).await;
        counts.extend([dies.count(), leaves.count()]);
        dies.die();
        taken_over = balanced(url, 2).await;
        let late = Replica::start(config, &all).await;
        meanwhile().await;
        balanced(url, 3).await;
        leaves.leave().await;
        balanced(url, 2).await;
        late.die();
    })
    .await;
    kept.extend(load(&appender, 10).await);
    until("every delivery", || lost(&kept, &all) == 0).await;
    balanced(url, 1).await;
    let again = assert_in_order(&all);
    let delivered = all.lock().unwrap().len() - again;
    counts.push(stays.count());
    let summary = format!(
        "acknowledged {}, delivered {delivered} ({counts:?} by the first three), again {again}, dead 0, lost 0; taken over \
         after {taken_over:?}",
        kept.len()
    );
    assert!(delivered >= kept.len());
    assert!(taken_over < Duration::from_secs(5), "{taken_over:?}");
    // All is settled, also by what the stream says.
    let began = Instant::now();
    while appender.stats().await.unwrap().targets[0].backlog > 0 {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stays.leave().await;
    summary
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_come_die_and_leave_lose_nothing() {
    bounded(async {
        let server = Server::start();
        println!("{}", come_and_go(&config(&server), &server.url(), async || {}).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_come_and_go_while_one_of_three_servers_is_killed_lose_nothing() {
    bounded(async {
        let mut cluster = nats::cluster();
        let config = in_time(servers(&cluster.each_ref()));
        drop(Journal::open(&config, &["crm"]).await.unwrap());
        let leader = leader(&cluster).await;
        let url = cluster[(leader + 1) % 3].url();
        let killed = &mut cluster[leader];
        let summary = come_and_go(&config, &url, async || {
            killed.kill();
            tokio::time::sleep(Duration::from_secs(3)).await;
            killed.run();
        });
        println!("{}", summary.await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_out_is_settled_before_its_share_is_handed_over() {
    bounded(async {
        let server = Server::start();
        let (config, all) = (config(&server), Seen::default());
        let journal = Journal::open(&config, &["crm"]).await.unwrap();
        let mut crm = journal.subscribe("crm").unwrap();
        let mut kept = Vec::new();
        for n in 0..2 * KEYS {
            let record = record(&format!("key {}", n / 2));
            kept.push(record.id.clone());
            keep(&journal, record).await;
        }
        let mut out = Vec::new();
        while out.len() < KEYS {
            out.extend(crm.next(64).await.unwrap());
        }
        for delivery in &out {
            all.lock().unwrap().push(Got::of(delivery));
        }
        let other = Replica::start(&config, &all).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(other.count(), 0, "nothing of a share that is not settled");
        let settled = out.iter().map(|delivery| delivery.settle(delivered()));
        futures_util::future::try_join_all(settled).await.unwrap();
        let ours = Target::start(crm, &[&all]);
        until("every delivery", || lost(&kept, &all) == 0).await;
        balanced(&server.url(), 2).await;
        assert!(other.count() > 0);
        assert_eq!(assert_in_order(&all), 0, "nothing comes twice");
        other.leave().await;
        ours.stop().await;
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_out_when_a_journal_is_closed_is_delivered_by_another() {
    bounded(async {
        let server = Server::start();
        let (config, all) = (config(&server), Seen::default());
        let one = Journal::open(&config, &["crm"]).await.unwrap();
        let mut crm = one.subscribe("crm").unwrap();
        let kept = load(&one, 2).await;
        let out = several(&mut crm, KEYS).await;
        let other = Replica::start(&config, &all).await;
        let began = Instant::now();
        one.close().await;
        assert!(out[0].settle(delivered()).await.is_err(), "it is somebody else's now");
        until("every delivery", || lost(&kept, &all) == 0).await;
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert_eq!(assert_in_order(&all), 0, "nothing comes twice");
        other.leave().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_counted_as_gone_comes_back() {
    bounded(async {
        let server = Server::start();
        let (config, all) = (config(&server), Seen::default());
        let appender = Journal::open(&config, &["crm"]).await.unwrap();
        let replica = Replica::start(&config, &all).await;
        balanced(&server.url(), 1).await;
        let before = holders(&server.url()).await.into_keys().next().unwrap();
        let context = context(&server.url()).await.unwrap();
        let kept = load_while(&appender, async {
            let gone = r#"{"targets":[],"gone":true}"#;
            context.publish(format!("CHATHOOK_STATE.member.{before}"), gone.into()).await.unwrap().await.unwrap();
            let began = Instant::now();
            while holders(&server.url()).await.contains_key(&before) {
                assert!(began.elapsed() < Duration::from_secs(10), "it delivers under its old name");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        until("every delivery", || lost(&kept, &all) == 0).await;
        balanced(&server.url(), 1).await;
        assert_in_order(&all);
        replica.leave().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_without_events_holds_up_no_retention() {
    bounded(async {
        let server = Server::start();
        let config = Config { retention: Duration::from_secs(1), ..config(&server) };
        let all = Seen::default();
        let journal = Journal::open(&config, &["crm"]).await.unwrap();
        let crm = Target::start(journal.subscribe("crm").unwrap(), &[&all]);
        let kept = append(journal.clone(), "one conversation".into(), 20).await;
        until("every delivery", || lost(&kept, &all) == 0).await;
        while journal.stats().await.unwrap().events > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // And what comes later still comes.
        let kept = load(&journal, 2).await;
        until("every delivery", || lost(&kept, &all) == 0).await;
        assert_eq!(assert_in_order(&all), 0);
        crm.stop().await;
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_nothing_to_do_writes_twice_a_second_and_no_more() {
    bounded(async {
        let server = Server::start();
        let names = ["crm", "audit", "search"];
        let journal = Journal::open(&config(&server), &names).await.unwrap();
        let subscriptions = names.map(|name| journal.subscribe(name).unwrap());
        balanced(&server.url(), 1).await;
        let context = context(&server.url()).await.unwrap();
        let written = async || {
            let stream = context.get_stream("CHATHOOK_STATE").await.unwrap();
            stream.cached_info().state.last_sequence
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = written().await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let writes = written().await - before;
        assert!((2..=9).contains(&writes), "{writes} in four seconds");
        journal.close().await;
        drop(subscriptions);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_a_target_up_leaves_it_to_the_others() {
    bounded(async {
        let server = Server::start();
        let (config, all) = (config(&server), Seen::default());
        let one = Journal::open(&config, &["crm"]).await.unwrap();
        let ours = Target::start(one.subscribe("crm").unwrap(), &[]);
        let other = Replica::start(&config, &all).await;
        balanced(&server.url(), 2).await;
        one.set_targets(&[]).await.unwrap();
        ours.task.await.unwrap();
        let took = balanced(&server.url(), 1).await;
        assert!(took < Duration::from_secs(3), "{took:?}");
        let kept = load(&one, 1).await;
        until("every delivery", || lost(&kept, &all) == 0).await;
        // And gets its part again.
        one.set_targets(&["crm"]).await.unwrap();
        let ours = Target::start(one.subscribe("crm").unwrap(), &[]);
        balanced(&server.url(), 2).await;
        ours.stop().await;
        one.close().await;
        other.leave().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_is_handed_over_while_the_servers_take_nothing_is_delivered_afterwards() {
    bounded(async {
        let server = Server::start();
        let (config, all) = (config(&server), Seen::default());
        let one = Journal::open(&config, &["crm"]).await.unwrap();
        let mut ours = one.subscribe("crm").unwrap();
        let kept = load(&one, 1).await;
        let context = context(&server.url()).await.unwrap();
        // The last share waits for what is out, for five seconds at most; the others of the upper half are handed over before.
        let events = context.get_stream("CHATHOOK").await.unwrap();
        let mut out = Vec::new();
        for delivery in several(&mut ours, kept.len()).await {
            let subject = events.get_raw_message(delivery.position.0).await.unwrap().subject;
            if subject.starts_with(&format!("CHATHOOK.{}.", SHARES - 1)) {
                out.push(delivery);
            }
        }
        assert!(!out.is_empty());
        let other = Replica::start(&config, &all).await;
        let began = Instant::now();
        while !holders(&server.url()).await.values().any(|shares| *shares == SHARES / 2 - 1) {
            assert!(began.elapsed() < Duration::from_secs(4), "{:?}", holders(&server.url()).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let state = context.get_stream("CHATHOOK_STATE").await.unwrap().cached_info().config.clone();
        let subjects = vec!["nobody.writes.here".to_owned()];
        context.update_stream(stream::Config { subjects, ..state.clone() }).await.unwrap();
        let waiting = positions(&out);
        drop(out);
        tokio::time::sleep(Duration::from_secs(2)).await;
        context.update_stream(state).await.unwrap();
        balanced(&server.url(), 2).await;
        until("every delivery of it", || {
            let delivered: Vec<Position> = all.lock().unwrap().iter().map(|got| got.position).collect();
            waiting.iter().all(|position| delivered.contains(position))
        })
        .await;
        other.leave().await;
        one.close().await;
    })
    .await;
}

/// As after a power cut of a server that does not sync at every write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_have_an_earlier_state_again_are_delivered_from() {
    bounded(async {
        let mut server = Server::start();
        let (config, all) = (config(&server), Seen::default());
        let appender = Journal::open(&config, &["crm"]).await.unwrap();
        let (one, other) = (Replica::start(&config, &all).await, Replica::start(&config, &all).await);
        balanced(&server.url(), 2).await;
        server.kill();
        let earlier = server.copy();
        server.run();
        // Each writes that it is there, and who has what changes.
        let late = Replica::start(&config, &all).await;
        balanced(&server.url(), 3).await;
        late.leave().await;
        balanced(&server.url(), 2).await;
        let context = context(&server.url()).await.unwrap();
        let state = context.get_stream("CHATHOOK_STATE").await.unwrap();
        let before = holders(&server.url()).await;
        for name in before.keys() {
            let subject = format!("CHATHOOK_STATE.member.{name}");
            let at_first = sequence(&state, &subject).await;
            while sequence(&state, &subject).await == at_first {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        server.kill();
        server.put_back(&earlier);
        server.run();
        while holders(&server.url()).await.keys().any(|name| before.contains_key(name)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        balanced(&server.url(), 2).await;
        let kept = load(&appender, 2).await;
        until("every delivery", || lost(&kept, &all) == 0).await;
        one.leave().await;
        other.leave().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_is_delivered_by_whom_its_record_names() {
    bounded(async {
        let server = Server::start();
        let (config, all) = (config(&server), Seen::default());
        let appender = Journal::open(&config, &["crm"]).await.unwrap();
        let (one, other) = (Replica::start(&config, &all).await, Replica::start(&config, &all).await);
        balanced(&server.url(), 2).await;
        // One of them reads that it has a share which the other delivers.
        let context = context(&server.url()).await.unwrap();
        let state = context.get_stream("CHATHOOK_STATE").await.unwrap();
        let subject = "CHATHOOK_STATE.target.crm.0";
        let record = state.get_last_raw_message_by_subject(subject).await.unwrap().payload;
        let mut record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let names = holders(&server.url()).await;
        let name = names.keys().find(|name| record["holder"] != name.as_str()).unwrap();
        record["holder"] = name.as_str().into();
        let written = context.publish(subject, record.to_string().into()).await.unwrap().await.unwrap();
        while sequence(&state, subject).await == written.sequence {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let kept = load(&appender, 1).await;
        until("every delivery", || lost(&kept, &all) == 0).await;
        balanced(&server.url(), 2).await;
        one.leave().await;
        other.leave().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_becomes_due_while_nobody_knows_whose_a_share_is_comes_afterwards() {
    bounded(async {
        let server = Server::start();
        let journal = Journal::open(&config(&server), &["crm"]).await.unwrap();
        let mut crm = journal.subscribe("crm").unwrap();
        keep(&journal, record("a")).await;
        for _ in 0..2 {
            let mut out = several(&mut crm, 1).await;
            // So short that no renewal has failed when what we hold is not certain any more.
            server.signal("-STOP");
            tokio::time::sleep(Duration::from_millis(2050)).await;
            drop(out.pop());
            let next = tokio::spawn(async move {
                let delivery = several(&mut crm, 1).await;
                (crm, delivery)
            });
            tokio::time::sleep(Duration::from_millis(50)).await;
            server.signal("-CONT");
            let next = tokio::time::timeout(Duration::from_secs(10), next).await;
            drop(out);
            let (subscription, delivery) = next.expect("it is not delivered").unwrap();
            crm = subscription;
            drop(delivery);
        }
        journal.close().await;
    })
    .await;
}
