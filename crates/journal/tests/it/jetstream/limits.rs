//! What becomes of events where there is no room, or too much of something.

use std::time::Duration;

use chathook_journal::{AppendError, Config, DeadFilter, Journal, Record};
use futures_util::future::join_all;

use super::{config, in_time, on, refused, servers};
use crate::harness::{bounded, dead, deliver, delivered, keep, one, record, retry};
use crate::nats::{self, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_full_take_more_when_what_is_settled_is_old() {
    bounded(async {
        let server = Server::with_room("max_file_store: 8MB");
        let config = Config { retention: Duration::from_secs(2), ..config(&server) };
        let journal = Journal::open(&config, &["crm"]).await.unwrap();
        let mut crm = journal.subscribe("crm").unwrap();
        // More than there is room for, and what exceeds it cannot be recorded either.
        for _ in 0..20 {
            let large = Record { body: vec![b'x'; 700_000].into(), ..record("a") };
            while let Err(error) = journal.append(large.clone()).await {
                assert!(matches!(error, AppendError::Full(_)), "{error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            one(&mut crm).await.settle(delivered()).await.unwrap();
        }
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_take_too_little_at_once_are_refused() {
    bounded(async {
        let server = Server::with("max_payload: 300000");
        let error = refused(servers(&[&server])).await.to_string();
        assert!(
            error.contains("takes messages of 300000 bytes") && error.contains("raise its `max_payload`"),
            "{error}"
        );

        let server = Server::start();
        drop(Journal::open(&config(&server), &[]).await.unwrap());
        let context = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
        let mut attempts = context.get_stream("CHATHOOK_ATTEMPTS").await.unwrap().cached_info().config.clone();
        attempts.max_message_size = 100_000;
        context.update_stream(attempts).await.unwrap();
        let error = refused(servers(&[&server])).await.to_string();
        assert!(error.contains("CHATHOOK_ATTEMPTS") && error.contains("takes messages of 100000 bytes"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_event_stays_until_it_is_delivered_however_old() {
    bounded(async {
        let server = Server::start();
        let config = Config { retention: Duration::from_secs(3), ..config(&server) };
        let journal = Journal::open(&config, &["crm"]).await.unwrap();
        let mut crm = journal.subscribe("crm").unwrap();
        let position = keep(&journal, record("a")).await;
        one(&mut crm).await.settle(dead()).await.unwrap();
        assert_eq!(journal.replay(position, "crm", "ann").await, Ok(true));
        one(&mut crm).await.settle(retry(Duration::from_secs(8))).await.unwrap();
        assert_eq!(deliver(&mut crm, 1).await, [position]);
        // Then it goes.
        while journal.event(position).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(journal.dead_letters(&DeadFilter::default()).await.unwrap(), []);
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_reads_on_when_nothing_is_left_of_what_is_behind() {
    bounded(async {
        let server = Server::start();
        let journal = Journal::open(&config(&server), &["crm"]).await.unwrap();
        keep(&journal, record("a")).await;
        journal.close().await;
        let context = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
        context.get_stream("CHATHOOK").await.unwrap().purge().await.unwrap();
        // More conversations are behind than may be, and an operator removed every event of them.
        let behind: Vec<_> = (0..4000_u64).map(|n| serde_json::json!([{"k": n}, 1, 1, 1, 0])).collect();
        let record_ = serde_json::json!({
            "from": 1, "cursor": 2, "read": 2, "behind": behind, "unsettled": 4000, "retrying": 0, "oldest": null,
        });
        context.publish("CHATHOOK_STATE.target.crm.4", record_.to_string().into()).await.unwrap().await.unwrap();
        let journal = Journal::open(&config(&server), &["crm"]).await.unwrap();
        keep(&journal, record("a")).await;
        let mut crm = journal.subscribe("crm").unwrap();
        deliver(&mut crm, 1).await;
        journal.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_reported_holds_for_all_streams() {
    bounded(async {
        let cluster = nats::cluster();
        let one =
            chathook_journal::JetStreamConfig { replicas: 1, require_durable: false, ..servers(&cluster.each_ref()) };
        drop(Journal::open(&on(one.clone()), &["crm"]).await.unwrap());
        let context = async_nats::jetstream::new(async_nats::connect(cluster[0].url()).await.unwrap());
        let mut events = context.get_stream("CHATHOOK").await.unwrap().cached_info().config.clone();
        events.num_replicas = 3;
        context.update_stream(events).await.unwrap();
        let journal = Journal::open(&on(one), &["crm"]).await.unwrap();
        assert_eq!(journal.health(), chathook_journal::Health::Ok("stream CHATHOOK: 3 replicas".into()));
        for name in ["ATTEMPTS", "DEAD", "STATE", "AUDIT"] {
            let stream = context.get_stream(format!("CHATHOOK_{name}")).await.unwrap();
            assert_eq!(stream.cached_info().config.num_replicas, 3, "{name}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_start_at_once_all_start() {
    bounded(async {
        let cluster = nats::cluster();
        let config = in_time(servers(&cluster.each_ref()));
        for round in 0..4 {
            let names: Vec<String> = (0..4).map(|n| format!("target {round} {n}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let opened = join_all((0..4).map(|_| Journal::open(&config, &names))).await;
            for journal in opened {
                journal.unwrap().close().await;
            }
        }
    })
    .await;
}
