//! Many keys, many retries, many identities: bounded, and in order.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chathook_journal::{Appended, Journal, Record};

use crate::harness::{Home, LATER, bounded, delivered, keep, nothing, record, retry};

/// Keeps so many at once.
async fn keep_many(journal: &Journal, count: usize, of: impl Fn(usize) -> Record) {
    let mut appends = tokio::task::JoinSet::new();
    for number in 0..count {
        let (journal, record) = (journal.clone(), of(number));
        appends.spawn(async move { assert!(matches!(journal.append(record).await, Ok(Appended::Kept(_)))) });
        if appends.len() >= 512 {
            appends.join_next().await.unwrap().unwrap();
        }
    }
    appends.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_a_dead_target_reading_slows_down_and_goes_on_when_it_lives_again() {
    bounded(async {
        const EVENTS: usize = 6000;
        let home = Home::sqlite();
        let journal = home.open(&["crm"]).await;
        keep_many(&journal, EVENTS, |number| record(&format!("k{}", number % 5000))).await;
        let mut crm = journal.subscribe("crm").unwrap();
        let mut tried = 0;
        // Nothing is given out any more for a while at some time, though there are 6,000.
        while let Ok(out) = tokio::time::timeout(Duration::from_millis(500), crm.next(64)).await {
            for delivery in out.unwrap() {
                delivery.settle(retry(LATER)).await.unwrap();
                tried += 1;
            }
        }
        assert!((1000..=2100).contains(&tried), "{tried} tried");
        // Then a few.
        assert!(crm.next(64).await.unwrap().len() <= 10);
        let stats = journal.stats().await.unwrap();
        assert_eq!((stats.targets[0].backlog, stats.targets[0].retrying), (EVENTS as u64, tried));

        // After a restart too; and then it lives again.
        drop(crm);
        journal.close().await;
        let journal = home.open(&["crm"]).await;
        let mut crm = journal.subscribe("crm").unwrap();
        nothing(&mut crm).await;
        let retrying = chathook_journal::Filter {
            state: Some((None, chathook_journal::State::Retrying)),
            limit: usize::MAX,
            ..chathook_journal::Filter::default()
        };
        for event in journal.events(&retrying).await.unwrap() {
            assert_eq!(journal.replay(event.position, "crm", "ann").await, Ok(true));
        }
        let mut last = HashMap::new();
        let mut seen = HashSet::new();
        while seen.len() < EVENTS {
            for delivery in crm.next(64).await.unwrap() {
                let last = last.insert(delivery.record.key.clone(), delivery.position);
                assert!(last.is_none_or(|last| last < delivery.position), "in order");
                assert!(seen.insert(delivery.position), "given out twice");
                delivery.settle(delivered()).await.unwrap();
            }
        }
        nothing(&mut crm).await;
        assert_eq!(journal.stats().await.unwrap().targets[0].backlog, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_takes_long_holds_up_nobody_and_is_not_forgotten() {
    bounded(async {
        const EVENTS: usize = 20_000;
        let home = Home::sqlite();
        let journal = home.open(&["crm"]).await;
        let first = keep(&journal, record("slow")).await;
        let mut crm = journal.subscribe("crm").unwrap();
        let slow = crm.next(1).await.unwrap();
        keep_many(&journal, EVENTS, |number| record(&format!("k{}", number % 500))).await;
        let mut settled = 0;
        let mut settles = tokio::task::JoinSet::new();
        while settled < EVENTS {
            let out = crm.next(128).await.unwrap();
            settled += out.len();
            for delivery in out {
                settles.spawn(async move { delivery.settle(delivered()).await.unwrap() });
            }
        }
        settles.join_all().await;
        journal.close().await;
        drop((slow, crm));
        let journal = home.open(&["crm"]).await;
        let mut crm = journal.subscribe("crm").unwrap();
        let again = crm.next(64).await.unwrap();
        assert_eq!(again.iter().map(|delivery| delivery.position).collect::<Vec<_>>(), [first]);
        again[0].settle(delivered()).await.unwrap();
        nothing(&mut crm).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_are_found_among_many_and_after_a_restart() {
    bounded(async {
        const EVENTS: usize = 34_500;
        let home = Home::sqlite();
        let journal = home.open(&[]).await;
        keep_many(&journal, EVENTS, numbered).await;
        for _ in 0..2 {
            let journal = home_reopened(&home, &journal).await;
            for number in (0..EVENTS).step_by(997).chain([EVENTS - 1]) {
                assert_eq!(journal.append(numbered(number)).await, Ok(Appended::Duplicate), "id-{number}");
            }
            assert_eq!(journal.stats().await.unwrap().events, EVENTS as u64);
            journal.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_are_found_after_a_restart_whatever_was_written_between_the_events() {
    bounded(async {
        // As many as are remembered together.
        const RUN: usize = 32_768;
        let home = Home::sqlite();
        let journal = home.open(&[]).await;
        for begin in [0, RUN] {
            keep_many(&journal, RUN, |number| numbered(begin + number)).await;
            journal.set_targets(&[]).await.unwrap();
        }
        let journal = home_reopened(&home, &journal).await;
        for number in (0..2 * RUN).step_by(997) {
            assert_eq!(journal.append(numbered(number)).await, Ok(Appended::Duplicate), "id-{number}");
        }
        journal.close().await;
    })
    .await;
}

fn numbered(number: usize) -> Record {
    Record { id: format!("id-{number}"), body: "{}".into(), ..record("") }
}

async fn home_reopened(home: &Home, journal: &Journal) -> Journal {
    journal.close().await;
    home.open(&[]).await
}

#[tokio::test]
async fn an_identity_that_comes_back_after_the_window_is_kept_again() {
    bounded(async {
        let home = Home::sqlite();
        let journal = home.open(&[]).await;
        let first = record("a");
        let later = |seconds| Record { received: first.received + Duration::from_secs(seconds), ..first.clone() };
        keep(&journal, first.clone()).await;
        assert_eq!(journal.append(later(600)).await, Ok(Appended::Duplicate), "at its end");
        keep(&journal, later(601)).await;
        assert_eq!(journal.append(later(602)).await, Ok(Appended::Duplicate), "of the second one");
        // When the clock jumps back, the window counts as well: what comes a day later by then is another event.
        let earlier = |seconds| Record { received: first.received - Duration::from_secs(seconds), ..first.clone() };
        assert_eq!(journal.append(earlier(600)).await, Ok(Appended::Duplicate), "at its end");
        keep(&journal, earlier(86_400)).await;
        assert_eq!(journal.append(earlier(86_401)).await, Ok(Appended::Duplicate), "of the third one");
    })
    .await;
}

#[tokio::test]
async fn what_is_told_again_is_another_event_behind_something_else_or_after_the_window() {
    bounded(async {
        let home = Home::sqlite();
        let journal = home.open(&[]).await;
        let first = record("a");
        let told = |id: &str, seconds| Record {
            id: id.into(),
            by_content: true,
            received: first.received + Duration::from_secs(seconds),
            ..first.clone()
        };
        keep(&journal, told("add", 0)).await;
        assert_eq!(journal.append(told("add", 600)).await, Ok(Appended::Duplicate), "at its end");
        keep(&journal, told("add", 601)).await;
        let deleted = keep(&journal, told("delete", 602)).await;
        keep(&journal, told("add", 1201)).await;
        keep(&journal, told("delete", 1203)).await;
        // Nobody confuses these any more.
        keep(&journal, told("add", 2000)).await;
        let repeated = format!("add@{deleted}");
        assert_eq!(super::all_ids(&journal).await, ["add", "add", "delete", &repeated, "delete", "add"]);
    })
    .await;
}
