//! What is too old, or in the way, is removed: but never what a target has not settled.

use std::time::Duration;

use chathook_journal::{Journal, Outcome, Record};

use super::{all_ids, until};
use crate::harness::{
    Home, LATER, attempt, bounded, dead, deliver, delivered, keep, millis, nothing, one, record, retry,
};

const EVENTS: usize = 700;

fn home() -> Home {
    let mut home = Home::sqlite();
    home.config.retention = Duration::from_secs(3600);
    home
}

async fn keep_old(journal: &Journal, count: usize) {
    let received = millis(std::time::SystemTime::now()) - Duration::from_secs(7200);
    for number in 0..count {
        keep(journal, Record { received, ..record(&format!("k{}", number % 3)) }).await;
    }
}

async fn events(journal: &Journal) -> u64 {
    journal.stats().await.unwrap().events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_go_when_every_target_has_settled_them() {
    bounded(async {
        let home = home();
        let journal = home.open(&["crm", "audit"]).await;
        keep_old(&journal, EVENTS).await;
        let young = record("k0");
        keep(&journal, young.clone()).await;
        let (mut crm, mut audit) = (journal.subscribe("crm").unwrap(), journal.subscribe("audit").unwrap());
        deliver(&mut crm, EVENTS + 1).await;
        deliver(&mut audit, 300).await;
        until("what both have is gone", async || events(&journal).await == (EVENTS - 300 + 1) as u64).await;
        // The rest is still there for the one that did not have it.
        deliver(&mut audit, EVENTS - 300).await;
        until("the rest is gone", async || events(&journal).await == 1).await;
        assert_eq!(all_ids(&journal).await, std::slice::from_ref(&young.id));
        assert_eq!(journal.stats().await.unwrap().bytes, (young.query.len() + young.body.len()) as u64);
        journal.close().await;
        drop((crm, audit));
        // Positions are not used again, and what is counted is the same after a restart.
        let journal = home.open(&["crm", "audit"]).await;
        assert_eq!(events(&journal).await, 1);
        assert_eq!(keep(&journal, record("a")).await.0, EVENTS as u64 + 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_came_while_the_clock_was_ahead_holds_up_nobody() {
    bounded(async {
        let home = home();
        let journal = home.open(&[]).await;
        let received = millis(std::time::SystemTime::now()) + Duration::from_secs(365 * 86_400);
        let ahead = Record { received, ..record("a") };
        keep(&journal, ahead.clone()).await;
        keep_old(&journal, EVENTS).await;
        until("the old ones are gone", async || events(&journal).await == 1).await;
        assert_eq!(all_ids(&journal).await, [ahead.id]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_position_of_the_newest_event_is_not_used_again_when_it_is_gone() {
    bounded(async {
        let home = home();
        let journal = home.open(&[]).await;
        keep_old(&journal, 3).await;
        until("all are gone", async || events(&journal).await == 0).await;
        let received = millis(std::time::SystemTime::now()) - Duration::from_secs(7200);
        assert_eq!(keep(&journal, Record { received, ..record("a") }).await.0, 4);
        until("that one too", async || events(&journal).await == 0).await;
        journal.close().await;
        let journal = home.open(&[]).await;
        assert_eq!(keep(&journal, record("a")).await.0, 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_last_goes_with_its_event() {
    bounded(async {
        let home = home();
        let journal = home.open(&[]).await;
        let received = millis(std::time::SystemTime::now()) - Duration::from_secs(7200);
        for number in 0..300 {
            let key = ["", "a", "b"][number % 3];
            keep(&journal, Record { received, by_content: true, ..record(key) }).await;
        }
        let young = Record { by_content: true, ..record("b") };
        let last = keep(&journal, young).await;
        until("the old ones are gone", async || events(&journal).await == 1).await;
        let database = rusqlite::Connection::open(super::path(&home)).unwrap();
        let left: Vec<i64> = database
            .prepare("SELECT position FROM latest")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(left, [last.0.cast_signed()]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_event_keeps_only_itself_and_what_waits_for_it() {
    bounded(async {
        let home = home();
        let journal = home.open(&["crm"]).await;
        keep_old(&journal, EVENTS).await;
        let mut crm = journal.subscribe("crm").unwrap();
        let poison = one(&mut crm).await;
        poison.settle(retry(LATER)).await.unwrap();
        let of_its_key = EVENTS.div_ceil(3);
        deliver(&mut crm, EVENTS - of_its_key).await;
        nothing(&mut crm).await;
        until("the others are gone", async || events(&journal).await == of_its_key as u64).await;
        assert!(journal.event(poison.position).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_gone_holds_up_nothing() {
    bounded(async {
        let home = home();
        let journal = home.open(&["crm", "gone"]).await;
        let mut gone = journal.subscribe("gone").unwrap();
        keep_old(&journal, EVENTS).await;
        one(&mut gone).await.settle(retry(LATER)).await.unwrap();
        let mut crm = journal.subscribe("crm").unwrap();
        deliver(&mut crm, EVENTS).await;
        assert_eq!(events(&journal).await, EVENTS as u64);
        drop(gone);
        journal.set_targets(&["crm"]).await.unwrap();
        until("all are gone", async || events(&journal).await == 0).await;
        // It comes back, and gets what is there.
        journal.set_targets(&["crm", "gone"]).await.unwrap();
        let next = keep(&journal, record("a")).await;
        let mut gone = journal.subscribe("gone").unwrap();
        assert_eq!(deliver(&mut gone, 1).await, [next]);
        assert_eq!(journal.stats().await.unwrap().targets[1].backlog, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_go_with_their_age_and_are_counted() {
    bounded(async {
        let home = home();
        let journal = home.open(&["crm"]).await;
        keep_old(&journal, 5).await;
        let mut crm = journal.subscribe("crm").unwrap();
        for outcome in [dead(), delivered(), dead(), attempt(Outcome::Skipped), delivered()] {
            one(&mut crm).await.settle(outcome).await.unwrap();
        }
        until("all are gone", async || events(&journal).await == 0).await;
        let stats = journal.stats().await.unwrap();
        assert_eq!((stats.expired_dead_letters, stats.targets[0].dead_letters), (2, 0));
    })
    .await;
}
