//! What becomes of a stream of events that is not what it was.

use std::time::Duration;

use chathook_journal::{AppendError, Filter, Journal, Record};

use super::{Seen, Target, append, assert_in_order, config, lost, refused, servers, until};
use crate::harness::{bounded, dead, deliver, keep, one, record};
use crate::nats::Server;

async fn context(server: &Server) -> async_nats::jetstream::Context {
    async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_after_the_stream_was_removed_is_delivered() {
    bounded(async {
        let server = Server::start();
        // Once it is known by how far the target is, once by what happened and by the dead letters alone.
        for streams in [&["CHATHOOK"][..], &["CHATHOOK", "CHATHOOK_STATE"]] {
            let journal = Journal::open(&config(&server), &["crm"]).await.unwrap();
            let mut crm = journal.subscribe("crm").unwrap();
            let mut last = keep(&journal, record("a")).await;
            deliver(&mut crm, 1).await;
            for _ in 0..4 {
                last = keep(&journal, record("a")).await;
                one(&mut crm).await.settle(dead()).await.unwrap();
            }
            drop(crm);
            journal.close().await;
            for stream in streams {
                context(&server).await.delete_stream(stream).await.unwrap();
            }
            let journal = Journal::open(&config(&server), &["crm"]).await.unwrap();
            let mut crm = journal.subscribe("crm").unwrap();
            let position = keep(&journal, record("a")).await;
            assert!(position > last);
            assert_eq!(deliver(&mut crm, 1).await, [position]);
            assert_eq!(journal.stats().await.unwrap().targets[0].backlog, 0);
            journal.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_after_the_stream_lost_its_end_is_delivered() {
    bounded(async {
        let mut server = Server::start();
        let journals = [
            Journal::open(&config(&server), &["crm"]).await.unwrap(),
            Journal::open(&config(&server), &[]).await.unwrap(),
        ];
        let seen = Seen::default();
        let crm = Target::start(journals[0].subscribe("crm").unwrap(), &[&seen]);
        let before = append(journals[0].clone(), "a".into(), 20).await;
        until("every delivery", || lost(&before, &seen) == 0).await;
        server.kill();
        let earlier = server.copy();
        server.run();
        let gone = append(journals[0].clone(), "a".into(), 50).await;
        until("every delivery", || lost(&gone, &seen) == 0).await;
        while journals[1].stats().await.is_err() || progress(&server).await < 71 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // More is under way when the power goes than fits into the connection: the rest goes out over the next one.
        server.signal("-STOP");
        let under_way: Vec<_> = (0..64).map(|n| tokio::spawn(append_large(journals[1].clone(), n))).collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.kill();
        server.put_back_stream(&earlier, "CHATHOOK");
        server.run();
        for kept in under_way {
            let kept = [kept.await.unwrap()];
            until("every delivery", || lost(&kept, &seen) == 0).await;
        }
        // Of gateways that ran before, and of one that starts.
        let late = Journal::open(&config(&server), &["crm"]).await.unwrap();
        for journal in journals.iter().chain([&late]) {
            let kept = append(journal.clone(), "a".into(), 20).await;
            until("every delivery", || lost(&kept, &seen) == 0).await;
        }
        assert_in_order(&seen);
        // What only uses positions up is removed again, but the last.
        let listed = late.events(&Filter { limit: 10_000, ..Filter::default() }).await.unwrap().len();
        assert_eq!(late.stats().await.unwrap().events, listed as u64 + 1);
        crm.stop().await;
    })
    .await;
}

/// Appends until it is kept.
async fn append_large(journal: Journal, n: u64) -> String {
    let large = Record { body: vec![b'x'; 500_000].into(), ..record(&format!("large {n}")) };
    while let Err(error) = journal.append(large.clone()).await {
        assert!(matches!(error, AppendError::Unavailable(_)), "{error}");
    }
    large.id
}

/// Where some share reads on, by what is written.
async fn progress(server: &Server) -> u64 {
    let state = context(server).await.get_stream("CHATHOOK_STATE").await.unwrap();
    let record = state.get_last_raw_message_by_subject("CHATHOOK_STATE.target.crm.4").await.unwrap();
    serde_json::from_slice::<serde_json::Value>(&record.payload).unwrap()["read"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_cannot_be_of_the_same_journal_are_refused() {
    bounded(async {
        let server = Server::start();
        let journal = Journal::open(&config(&server), &["crm"]).await.unwrap();
        keep(&journal, record("a")).await;
        journal.close().await;
        let far = r#"{"from":1,"cursor":5000000,"read":5000000,"behind":[],"unsettled":0,"retrying":0,"oldest":null}"#;
        let context = context(&server).await;
        context.publish("CHATHOOK_STATE.target.crm.4", far.into()).await.unwrap().await.unwrap();
        let error = refused(servers(&[&server])).await.to_string();
        assert!(error.contains("ends at 1, and was read up to 4999999"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_key_that_was_told_again_is_found_where_it_lies() {
    bounded(async {
        let server = Server::start();
        let journal = Journal::open(&config(&server), &["crm"]).await.unwrap();
        let mut crm = journal.subscribe("crm").unwrap();
        let told = || Record { by_content: true, ..record("") };
        // Some of them lie in another share than their identity would.
        for _ in 0..4 {
            let add = told();
            keep(&journal, add.clone()).await;
            keep(&journal, told()).await;
            let again = keep(&journal, add).await;
            deliver(&mut crm, 3).await;
            let event = journal.event(again).await.unwrap().unwrap();
            assert!(event.record.id.contains('@'));
            assert_eq!(event.targets.len(), 1);
            assert_eq!(journal.replay(again, "crm", "ann").await, Ok(true));
            assert_eq!(deliver(&mut crm, 1).await, [again]);
        }
        journal.close().await;
    })
    .await;
}
