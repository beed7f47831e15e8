//! What is promised whatever the engine.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use chathook_journal::{
    AppendError, Appended, AuditAction, DeadClass, DeadFilter, Filter, Health, Journal, JournalError, Outcome,
    Position, Record, State,
};

use crate::harness::{
    Home, LATER, SOON, attempt, dead, deliver, deliver_any, delivered, keep, keep_keys, millis, nothing, one,
    positions, record, retry, several,
};

pub(crate) async fn what_is_kept_is_given_out_byte_for_byte(home: Home) {
    let journal = home.open(&["crm"]).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let long: Bytes = vec![b'x'; 700_000].into();
    let records = [
        Record { answer: Some("群".repeat(70_000).into()), ..record("a") },
        Record {
            body: every_byte.into(),
            decoded: false,
            command: "New.Command\u{e9} \u{1f600}".into(),
            ..record("group:@TGS#1 2\u{4e00}")
        },
        Record { app: None, body: Bytes::new(), query: String::new(), ..record("") },
        Record { body: long, answer: Some(Bytes::from_static(b"{\"ErrorCode\":0}\0\xff")), ..record("a") },
        Record { answer: Some(Bytes::new()), query: "a=%20&b=\u{df}&c=\"'".into(), ..record("b") },
    ];
    let mut crm = journal.subscribe("crm").unwrap();
    for kept in &records {
        let position = keep(&journal, kept.clone()).await;
        let delivery = one(&mut crm).await;
        assert_eq!((delivery.position, &*delivery.record), (position, kept));
        assert_eq!((delivery.attempts, delivery.first_attempt), (0, None));
        delivery.settle(delivered()).await.unwrap();
        assert_eq!(journal.event(position).await.unwrap().unwrap().record, *kept);
    }
    journal.close().await;
    let journal = home.open(&["crm"]).await;
    let newest = journal.events(&Filter::default()).await.unwrap();
    let ids: Vec<&str> = newest.iter().rev().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, records.each_ref().map(|record| record.id.as_str()));
    assert_eq!(newest[1].size, 700_000);
}

pub(crate) async fn the_events_of_a_key_come_one_after_the_other(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let mut kept = keep_keys(&journal, &["a"; 50]).await;
    for round in 0..100 {
        let out = crm.next(16).await.unwrap();
        assert_eq!(positions(&out), [kept[round]], "one of the key at a time, in order");
        if round < 50 {
            kept.push(keep(&journal, record("a")).await);
        }
        out[0].settle(delivered()).await.unwrap();
    }
    nothing(&mut crm).await;
}

pub(crate) async fn events_without_key_do_not_wait_for_each_other(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let kept = keep_keys(&journal, &[""; 20]).await;
    assert_eq!(positions(&several(&mut crm, 20).await), kept);
}

pub(crate) async fn a_key_does_not_wait_for_another(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    // One busy conversation, of which nothing is settled, and a quiet one behind it.
    for _ in 0..300 {
        keep(&journal, record("busy")).await;
    }
    let quiet = keep(&journal, record("quiet")).await;
    let out = several(&mut crm, 2).await;
    assert_eq!(out[1].position, quiet);
}

pub(crate) async fn a_dead_target_delays_nobody_else(home: Home) {
    let journal = home.open(&["dead", "crm"]).await;
    let (mut dead, mut crm) = (journal.subscribe("dead").unwrap(), journal.subscribe("crm").unwrap());
    let kept = keep_keys(&journal, &["a", "b", "a", "", "b"]).await;
    let held = several(&mut dead, 3).await;
    for delivery in held {
        delivery.settle(retry(LATER)).await.unwrap();
    }
    let mut seen = deliver(&mut crm, 5).await;
    seen.sort();
    assert_eq!(seen, kept);
}

pub(crate) async fn a_duplicate_is_kept_once(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let first = record("a");
    let kept = keep(&journal, first.clone()).await;
    let other_body = Record { body: Bytes::from_static(b"{}"), ..first.clone() };
    assert_eq!(journal.append(other_body).await, Ok(Appended::Duplicate));
    let again = Record { received: first.received + Duration::from_secs(1), ..first };
    let (one_by_one, other) = tokio::join!(journal.append(again.clone()), journal.append(again));
    assert_eq!((one_by_one, other), (Ok(Appended::Duplicate), Ok(Appended::Duplicate)));
    let next = keep(&journal, record("a")).await;
    assert_eq!(deliver(&mut crm, 2).await, [kept, next]);

    // At the same time.
    let twins = record("a");
    let both = tokio::join!(journal.append(twins.clone()), journal.append(twins));
    assert!(matches!(
        both,
        (Ok(Appended::Kept(_)), Ok(Appended::Duplicate)) | (Ok(Appended::Duplicate), Ok(Appended::Kept(_)))
    ));
    assert_eq!(journal.stats().await.unwrap().events, 3);
}

pub(crate) async fn a_duplicate_is_found_after_a_restart(home: Home) {
    let journal = home.open(&[]).await;
    let (first, second) = (record("a"), record(""));
    keep(&journal, first.clone()).await;
    keep(&journal, second.clone()).await;
    journal.close().await;
    let journal = home.open(&[]).await;
    assert_eq!(journal.append(first).await, Ok(Appended::Duplicate));
    assert_eq!(journal.append(second).await, Ok(Appended::Duplicate));
    keep(&journal, record("a")).await;
    assert_eq!(journal.stats().await.unwrap().events, 3);
}

/// An event of which only the content is known.
fn told(key: &str, content: &str) -> Record {
    Record { id: format!("sha256:{content}"), body: content.to_owned().into(), by_content: true, ..record(key) }
}

pub(crate) async fn what_is_told_twice_with_something_else_between_is_kept_twice(home: Home) {
    let mut journal = home.open(&["crm"]).await;
    let mut told_before = Vec::new();
    // A conversation, another one, and what belongs to none.
    for key in ["a", "b", ""] {
        let (add, delete) = (|| told(key, &format!("add {key}")), || told(key, &format!("delete {key}")));
        let added = keep(&journal, add()).await;
        assert_eq!(journal.append(add()).await, Ok(Appended::Duplicate));
        // What has a name of its own, and what another conversation tells, does not count.
        keep(&journal, record(key)).await;
        keep(&journal, told("other", &format!("beside {key}"))).await;
        assert_eq!(journal.append(add()).await, Ok(Appended::Duplicate));
        let deleted = keep(&journal, delete()).await;
        assert_eq!(journal.append(delete()).await, Ok(Appended::Duplicate));
        let added_again = keep(&journal, add()).await;
        assert_eq!(journal.append(add()).await, Ok(Appended::Duplicate), "of the second one");

        journal.close().await;
        journal = home.open(&["crm"]).await;
        assert_eq!(journal.append(add()).await, Ok(Appended::Duplicate), "after a restart");
        let deleted_again = keep(&journal, delete()).await;
        let added_last = keep(&journal, add()).await;
        assert_eq!(journal.append(add()).await, Ok(Appended::Duplicate), "of the third one");
        told_before.extend([
            (added, add().id),
            (deleted, delete().id),
            (added_again, format!("{}@{deleted}", add().id)),
            (deleted_again, format!("{}@{added_again}", delete().id)),
            (added_last, format!("{}@{deleted_again}", add().id)),
        ]);
    }
    // Each is an event of its own to a target, and to who looks.
    let mut crm = journal.subscribe("crm").unwrap();
    let mut given_out = Vec::new();
    for _ in 0..told_before.len() + 6 {
        let delivery = one(&mut crm).await;
        delivery.settle(delivered()).await.unwrap();
        let kept = journal.event(delivery.position).await.unwrap().unwrap().record;
        assert_eq!(kept, *delivery.record);
        given_out.push((delivery.position, kept.id));
    }
    given_out.retain(|given_out| told_before.contains(given_out));
    given_out.sort();
    assert_eq!(given_out, told_before);
    nothing(&mut crm).await;
}

pub(crate) async fn what_is_told_again_after_the_window_is_kept_twice(mut home: Home) {
    home.config.dedup_window = Duration::from_secs(2);
    let journal = home.open(&[]).await;
    let first = told("a", "add");
    keep(&journal, first.clone()).await;
    assert_eq!(journal.append(told("a", "add")).await, Ok(Appended::Duplicate));
    // Engines may have clocks of their own.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    keep(&journal, told("a", "add")).await;
    assert_eq!(journal.append(told("a", "add")).await, Ok(Appended::Duplicate), "of the second one");
    assert_eq!(journal.stats().await.unwrap().events, 2);
}

pub(crate) async fn a_retry_comes_when_it_is_due_and_counts(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    for key in ["a", ""] {
        let kept = keep(&journal, record(key)).await;
        let first = one(&mut crm).await;
        let first_attempt = retry(Duration::from_millis(200));
        let began = Instant::now();
        first.settle(first_attempt.clone()).await.unwrap();
        let second = one(&mut crm).await;
        assert!(began.elapsed() >= Duration::from_millis(199), "after {:?}", began.elapsed());
        assert_eq!((second.position, second.attempts, second.first_attempt), (kept, 1, Some(first_attempt.at)));
        second.settle(retry(SOON)).await.unwrap();
        let third = one(&mut crm).await;
        assert_eq!((third.position, third.attempts, third.first_attempt), (kept, 2, Some(first_attempt.at)));
        third.settle(delivered()).await.unwrap();
    }
    nothing(&mut crm).await;
}

pub(crate) async fn a_poison_event_holds_up_its_key_only(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let poison = keep(&journal, record("a")).await;
    let poisoned = one(&mut crm).await;
    let before = keep_keys(&journal, &["a", "b", "a"]).await;
    assert_eq!(deliver(&mut crm, 1).await, [before[1]]);
    poisoned.settle(retry(LATER)).await.unwrap();
    let after = keep_keys(&journal, &["a", "c", ""]).await;
    // Many others, so that what waits is not in memory.
    for _ in 0..100 {
        keep_keys(&journal, &["b", "c"]).await;
    }
    assert_eq!(deliver(&mut crm, 202).await.iter().filter(|position| after[1..].contains(position)).count(), 2);

    assert_eq!(journal.replay(poison, "crm", "ann").await, Ok(true));
    let again = one(&mut crm).await;
    assert_eq!((again.position, again.attempts), (poison, 1));
    again.settle(dead()).await.unwrap();
    assert_eq!(deliver(&mut crm, 3).await, [before[0], before[2], after[0]]);
    nothing(&mut crm).await;
}

pub(crate) async fn what_was_settled_does_not_come_back_after_a_restart(home: Home) {
    let journal = home.open(&["crm", "audit"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let kept = keep_keys(&journal, &["a", "b", "", "c", "d"]).await;
    // Settled out of order, so that no cursor alone can tell.
    let out = several(&mut crm, 5).await;
    for index in [4, 1] {
        out[index].settle(delivered()).await.unwrap();
    }
    out[2].settle(dead()).await.unwrap();
    journal.close().await;
    drop((crm, out));

    let journal = home.open(&["crm", "audit"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    assert_eq!(deliver_any(&mut crm, 2).await, [kept[0], kept[3]]);
    nothing(&mut crm).await;
    let mut audit = journal.subscribe("audit").unwrap();
    assert_eq!(deliver_any(&mut audit, 5).await, kept, "the other target gets all of them");
}

pub(crate) async fn what_was_out_comes_back_after_a_restart(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let kept = keep_keys(&journal, &["a", "b", "a"]).await;
    let out = several(&mut crm, 2).await;
    journal.close().await;
    drop((crm, out, journal));
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let seen = deliver(&mut crm, 3).await;
    let of_a: Vec<_> = seen.iter().filter(|position| **position != kept[1]).copied().collect();
    assert_eq!((seen.len(), of_a), (3, vec![kept[0], kept[2]]));
}

pub(crate) async fn a_restart_keeps_the_order_behind_a_retry(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let kept = keep_keys(&journal, &["a", "a", "b", "", "a"]).await;
    for delivery in several(&mut crm, 3).await {
        delivery.settle(retry(Duration::from_millis(1500))).await.unwrap();
    }
    let late = keep_keys(&journal, &["a", "b"]).await;
    nothing(&mut crm).await;
    journal.close().await;
    drop((crm, journal));

    let journal = home.open(&["crm"]).await;
    let last = keep(&journal, record("a")).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let mut of_a = Vec::new();
    let mut of_b = Vec::new();
    for _ in 0..8 {
        let delivery = one(&mut crm).await;
        delivery.settle(delivered()).await.unwrap();
        match delivery.record.key.as_deref() {
            Some("a") => of_a.push((delivery.position, delivery.attempts)),
            Some(_) => of_b.push((delivery.position, delivery.attempts)),
            None => assert_eq!((delivery.position, delivery.attempts), (kept[3], 1)),
        }
    }
    assert_eq!(of_a, [(kept[0], 1), (kept[1], 0), (kept[4], 0), (late[0], 0), (last, 0)]);
    assert_eq!(of_b, [(kept[2], 1), (late[1], 0)]);
    nothing(&mut crm).await;
}

pub(crate) async fn a_restart_keeps_the_order_of_long_queues(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let mut kept = Vec::new();
    for _ in 0..150 {
        kept.extend(keep_keys(&journal, &["a", "b"]).await);
    }
    let out = several(&mut crm, 2).await;
    nothing(&mut crm).await;
    journal.close().await;
    drop((crm, out));
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let last = keep_keys(&journal, &["a", "b"]).await;
    let seen = deliver(&mut crm, 302).await;
    for key in 0..2 {
        let of_key: Vec<_> = seen.iter().filter(|position| position.0 % 2 == kept[key].0 % 2).copied().collect();
        let expected: Vec<_> = kept.iter().chain(&last).skip(key).step_by(2).copied().collect();
        assert_eq!(of_key, expected);
    }
    nothing(&mut crm).await;
}

pub(crate) async fn a_delivery_that_is_dropped_comes_back(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let kept = keep_keys(&journal, &["a", "a"]).await;
    drop(one(&mut crm).await);
    assert_eq!(deliver(&mut crm, 2).await, kept);
}

pub(crate) async fn a_delivery_is_settled_once(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let position = keep(&journal, record("a")).await;
    let delivery = one(&mut crm).await;
    delivery.settle(delivered()).await.unwrap();
    assert_eq!(delivery.settle(dead()).await, Err(JournalError::NotOut));
    let event = journal.event(position).await.unwrap().unwrap();
    assert_eq!((event.targets[0].state, event.targets[0].attempts.len()), (Some(State::Delivered), 1));
}

pub(crate) async fn a_target_has_one_subscription(home: Home) {
    let journal = home.open(&["crm"]).await;
    let crm = journal.subscribe("crm").unwrap();
    assert_eq!(journal.subscribe("crm").unwrap_err(), JournalError::Subscribed("crm".into()));
    assert_eq!(journal.subscribe("cmr").unwrap_err(), JournalError::NoSuchTarget("cmr".into()));
    drop(crm);
    journal.subscribe("crm").unwrap();
}

pub(crate) async fn a_subscription_that_is_dropped_hands_back(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let kept = keep_keys(&journal, &["a", "b", "a"]).await;
    let out = several(&mut crm, 2).await;
    out[1].settle(delivered()).await.unwrap();
    drop(crm);
    assert_eq!(out[0].settle(delivered()).await, Err(JournalError::NotOut));
    let mut crm = journal.subscribe("crm").unwrap();
    assert_eq!(deliver(&mut crm, 2).await, [kept[0], kept[2]]);
    nothing(&mut crm).await;
}

pub(crate) async fn next_can_be_given_up_without_loss(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let appends = async {
        let mut kept = Vec::new();
        for _ in 0..100 {
            kept.push(keep(&journal, record("")).await);
        }
        kept
    };
    let takes = async {
        let mut out = Vec::new();
        while out.len() < 100 {
            if let Ok(next) = tokio::time::timeout(Duration::from_micros(200), crm.next(3)).await {
                out.extend(next.unwrap());
            }
        }
        out
    };
    let (kept, out) = tokio::join!(appends, takes);
    let mut seen = positions(&out);
    seen.sort();
    assert_eq!(seen, kept);
}

pub(crate) async fn a_new_target_begins_at_the_end(home: Home) {
    let journal = home.open(&["crm"]).await;
    let old = keep_keys(&journal, &["a", "b"]).await;
    journal.set_targets(&["crm", "new"]).await.unwrap();
    let young = keep_keys(&journal, &["a", "c"]).await;
    let mut new = journal.subscribe("new").unwrap();
    assert_eq!(deliver_any(&mut new, 2).await, young);
    nothing(&mut new).await;
    let mut crm = journal.subscribe("crm").unwrap();
    assert_eq!(deliver_any(&mut crm, 4).await, [old, young].concat());
}

pub(crate) async fn a_target_that_comes_back_goes_on(home: Home) {
    let journal = home.open(&["crm", "other"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let before = keep_keys(&journal, &["a", "a"]).await;
    assert_eq!(deliver(&mut crm, 1).await, before[..1]);
    drop(crm);
    journal.set_targets(&["other"]).await.unwrap();
    let meanwhile = keep(&journal, record("a")).await;
    journal.close().await;
    let journal = home.open(&["other", "crm"]).await;
    let after = keep(&journal, record("a")).await;
    let mut crm = journal.subscribe("crm").unwrap();
    assert_eq!(deliver(&mut crm, 3).await, [before[1], meanwhile, after]);
}

pub(crate) async fn a_target_that_is_gone_gets_nothing(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    nothing(&mut crm).await;
    journal.set_targets(&[]).await.unwrap();
    keep(&journal, record("a")).await;
    assert_eq!(crm.next(1).await.unwrap_err(), JournalError::NoSuchTarget("crm".into()));
    drop(crm);
    assert_eq!(journal.subscribe("crm").unwrap_err(), JournalError::NoSuchTarget("crm".into()));
    assert_eq!(journal.stats().await.unwrap().targets, []);
}

pub(crate) async fn what_is_skipped_is_settled(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let kept = keep_keys(&journal, &["a", "a", "b"]).await;
    for _ in 0..3 {
        one(&mut crm).await.settle(attempt(Outcome::Skipped)).await.unwrap();
    }
    assert_eq!(journal.stats().await.unwrap().targets[0].backlog, 0);
    journal.close().await;
    drop(crm);
    let journal = home.open(&["crm"]).await;
    let event = journal.event(kept[0]).await.unwrap().unwrap();
    assert!(event.targets.iter().all(|target| target.state.is_none() && target.attempts.is_empty()), "{event:?}");
    let mut crm = journal.subscribe("crm").unwrap();
    let next = keep(&journal, record("a")).await;
    assert_eq!(deliver(&mut crm, 1).await, [next]);
}

pub(crate) async fn what_is_skipped_after_an_attempt_or_a_replay_is_open_no_more(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let mut kept = Vec::new();
    for first in [retry(Duration::from_millis(1)), dead()] {
        let is_dead = matches!(first.outcome, Outcome::Dead { .. });
        let position = keep(&journal, record("a")).await;
        one(&mut crm).await.settle(first).await.unwrap();
        if is_dead {
            assert!(journal.replay(position, "crm", "ops").await.unwrap());
        }
        one(&mut crm).await.settle(attempt(Outcome::Skipped)).await.unwrap();
        kept.push(position);
    }
    let check = async |journal: &Journal| {
        for position in &kept {
            let target = &journal.event(*position).await.unwrap().unwrap().targets[0];
            assert_eq!((target.state, target.due, target.attempts.len()), (None, None, 1), "{target:?}");
        }
        assert_eq!(journal.stats().await.unwrap().targets[0].backlog, 0);
        assert_eq!(journal.dead_letters(&DeadFilter::default()).await.unwrap(), []);
    };
    check(&journal).await;
    journal.close().await;
    drop(crm);
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let next = keep(&journal, record("a")).await;
    assert_eq!(deliver(&mut crm, 1).await, [next]);
    check(&journal).await;
}

async fn die(journal: &Journal, key: &str, class: DeadClass) -> Position {
    let mut crm = journal.subscribe("crm").unwrap();
    let position = keep(journal, record(key)).await;
    let delivery = one(&mut crm).await;
    assert_eq!(delivery.position, position);
    delivery.settle(retry(SOON)).await.unwrap();
    let cause = format!("410 of {key}");
    one(&mut crm).await.settle(attempt(Outcome::Dead { class, cause })).await.unwrap();
    position
}

pub(crate) async fn a_dead_letter_is_listed_with_its_cause(home: Home) {
    let journal = home.open(&["crm"]).await;
    let before = SystemTime::now();
    let first = die(&journal, "a", DeadClass::Target).await;
    let second = die(&journal, "b", DeadClass::Undecodable).await;
    let third = die(&journal, "c", DeadClass::Gateway).await;
    let all = journal.dead_letters(&DeadFilter::default()).await.unwrap();
    let listed: Vec<_> = all.iter().map(|letter| (letter.position, letter.class, letter.cause.as_str())).collect();
    assert_eq!(
        listed,
        [
            (third, DeadClass::Gateway, "410 of c"),
            (second, DeadClass::Undecodable, "410 of b"),
            (first, DeadClass::Target, "410 of a")
        ]
    );
    assert_eq!((all[0].target.as_str(), all[0].attempts, all[0].key.as_deref()), ("crm", 2, Some("c")));
    assert!(all[0].died >= millis(before) && all[0].died <= SystemTime::now());

    let by = async |filter: DeadFilter| {
        let found = journal.dead_letters(&filter).await.unwrap();
        found.iter().map(|letter| letter.position).collect::<Vec<_>>()
    };
    assert_eq!(by(DeadFilter { class: Some(DeadClass::Target), ..DeadFilter::default() }).await, [first]);
    assert_eq!(by(DeadFilter { key: Some("b".into()), ..DeadFilter::default() }).await, [second]);
    assert_eq!(by(DeadFilter { limit: 2, ..DeadFilter::default() }).await, [third, second]);
    assert_eq!(by(DeadFilter { before: Some(second), ..DeadFilter::default() }).await, [first]);
    assert_eq!(by(DeadFilter { commands: vec!["No.Such".into()], ..DeadFilter::default() }).await, []);
    let came = all[1].received;
    let earlier = all.iter().filter(|letter| letter.received < came).map(|letter| letter.position);
    assert_eq!(by(DeadFilter { until: Some(came), ..DeadFilter::default() }).await, earlier.collect::<Vec<_>>());
    let later = all.iter().filter(|letter| letter.received >= came).map(|letter| letter.position);
    assert_eq!(by(DeadFilter { since: Some(came), ..DeadFilter::default() }).await, later.collect::<Vec<_>>());
    let body = journal.event(second).await.unwrap().unwrap().record.body;
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(by(DeadFilter { contains: Some(text), ..DeadFilter::default() }).await, [second]);
    assert_eq!(by(DeadFilter { target: Some("crm".into()), ..DeadFilter::default() }).await, [third, second, first]);
    let unknown = DeadFilter { target: Some("cmr".into()), ..DeadFilter::default() };
    assert_eq!(journal.dead_letters(&unknown).await, Err(JournalError::NoSuchTarget("cmr".into())));
}

pub(crate) async fn a_dead_letter_lets_its_key_go_on(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let kept = keep_keys(&journal, &["a", "a"]).await;
    one(&mut crm).await.settle(dead()).await.unwrap();
    assert_eq!(deliver(&mut crm, 1).await, kept[1..]);
}

pub(crate) async fn a_replay_delivers_again(home: Home) {
    let journal = home.open(&["crm"]).await;
    let position = die(&journal, "a", DeadClass::Target).await;
    assert_eq!(journal.replay(Position(position.0 + 1000), "crm", "ann").await, Ok(false));
    assert_eq!(journal.replay(position, "cmr", "ann").await, Err(JournalError::NoSuchTarget("cmr".into())));
    assert_eq!(journal.replay(position, "crm", "ann").await, Ok(true));
    assert_eq!(journal.dead_letters(&DeadFilter::default()).await.unwrap(), []);
    assert_eq!(journal.stats().await.unwrap().targets[0].backlog, 1);

    // It survives a restart, and begins to count anew.
    journal.close().await;
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let again = one(&mut crm).await;
    assert_eq!((again.position, again.attempts, again.first_attempt), (position, 0, None));
    again.settle(delivered()).await.unwrap();
    nothing(&mut crm).await;

    // What was delivered too, while the subscription is there.
    assert_eq!(journal.replay(position, "crm", "bob").await, Ok(true));
    let again = one(&mut crm).await;
    assert_eq!((again.position, again.attempts), (position, 0));
    again.settle(delivered()).await.unwrap();
    let event = journal.event(position).await.unwrap().unwrap();
    assert_eq!(event.targets[0].attempts.len(), 4);
    assert_eq!(event.targets[0].state, Some(State::Delivered));
    let audit = journal.audit(None, 10).await.unwrap();
    let entries: Vec<_> =
        audit.iter().map(|entry| (entry.by.as_str(), entry.action, entry.position, entry.target.as_str())).collect();
    assert_eq!(entries, [("bob", AuditAction::Replay, position, "crm"), ("ann", AuditAction::Replay, position, "crm")]);
    assert_eq!(journal.audit(None, 1).await.unwrap(), audit[..1]);
    assert_eq!(journal.audit(Some(audit[0].number), 10).await.unwrap(), audit[1..]);
    assert_eq!(journal.audit(Some(audit[1].number), 10).await.unwrap(), []);

    // What waits for its next attempt is tried at once.
    assert_eq!(journal.replay(position, "crm", "bob").await, Ok(true));
    one(&mut crm).await.settle(retry(LATER)).await.unwrap();
    assert_eq!(journal.replay(position, "crm", "bob").await, Ok(true));
    assert_eq!(deliver(&mut crm, 1).await, [position]);
    nothing(&mut crm).await;
}

pub(crate) async fn a_replay_to_another_target_delivers_for_the_first_time(home: Home) {
    let journal = home.open(&["crm"]).await;
    let old = keep_keys(&journal, &["a", ""]).await;
    journal.set_targets(&["crm", "new"]).await.unwrap();
    let mut new = journal.subscribe("new").unwrap();
    nothing(&mut new).await;
    for position in &old {
        assert_eq!(journal.replay(*position, "new", "ann").await, Ok(true));
        assert_eq!(deliver(&mut new, 1).await, [*position]);
    }
    let mut crm = journal.subscribe("crm").unwrap();
    // Not delivered yet: replaying it does not deliver it twice.
    assert_eq!(journal.replay(old[1], "crm", "ann").await, Ok(true));
    assert_eq!(deliver_any(&mut crm, 2).await, old);
    nothing(&mut crm).await;
}

pub(crate) async fn a_replay_of_what_was_not_delivered_yet_delivers_it_once(home: Home) {
    let journal = home.open(&["crm"]).await;
    let kept = keep_keys(&journal, &["a", ""]).await;
    for position in &kept {
        assert_eq!(journal.replay(*position, "crm", "ann").await, Ok(true));
    }
    let mut crm = journal.subscribe("crm").unwrap();
    assert_eq!(deliver_any(&mut crm, 2).await, kept);
    while journal.stats().await.unwrap().targets[0].backlog > 0 {
        nothing(&mut crm).await;
    }
    nothing(&mut crm).await;
    let event = journal.event(kept[0]).await.unwrap().unwrap();
    assert_eq!((event.targets[0].state, event.targets[0].attempts.len()), (Some(State::Delivered), 1));
}

pub(crate) async fn a_replay_comes_before_later_events_of_its_key(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let kept = keep_keys(&journal, &["a", "a", "a"]).await;
    one(&mut crm).await.settle(dead()).await.unwrap();
    let second = one(&mut crm).await;
    assert_eq!(journal.replay(kept[0], "crm", "ann").await, Ok(true));
    second.settle(delivered()).await.unwrap();
    assert_eq!(deliver(&mut crm, 2).await, [kept[0], kept[2]]);
    nothing(&mut crm).await;
}

pub(crate) async fn a_discarded_dead_letter_is_gone(home: Home) {
    let journal = home.open(&["crm"]).await;
    let position = die(&journal, "a", DeadClass::Target).await;
    let other = die(&journal, "a", DeadClass::Target).await;
    assert_eq!(journal.discard(Position(position.0 + 1000), "crm", "ann").await, Ok(false));
    assert_eq!(journal.discard(position, "crm", "ann").await, Ok(true));
    assert_eq!(journal.discard(position, "crm", "ann").await, Ok(false));
    let left = journal.dead_letters(&DeadFilter::default()).await.unwrap();
    assert_eq!(left.iter().map(|letter| letter.position).collect::<Vec<_>>(), [other]);
    let audit = journal.audit(None, 10).await.unwrap();
    assert_eq!(audit.len(), 1);
    assert_eq!((audit[0].by.as_str(), audit[0].action, audit[0].position), ("ann", AuditAction::Discard, position));
    // And it stays gone.
    journal.close().await;
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    nothing(&mut crm).await;
    assert_eq!(journal.event(position).await.unwrap().unwrap().targets[0].attempts.len(), 2, "the event is kept");
}

pub(crate) async fn a_dead_letter_of_a_target_that_is_gone_can_be_discarded(home: Home) {
    let journal = home.open(&["crm"]).await;
    let position = die(&journal, "a", DeadClass::Target).await;
    journal.set_targets(&["other"]).await.unwrap();
    assert_eq!(journal.replay(position, "crm", "ann").await, Err(JournalError::NoSuchTarget("crm".into())));
    assert_eq!(journal.discard(position, "cmr", "ann").await, Err(JournalError::NoSuchTarget("cmr".into())));
    assert_eq!(journal.discard(position, "crm", "ann").await, Ok(true));
    assert_eq!(journal.discard(position, "crm", "ann").await, Ok(false));
    assert_eq!(journal.dead_letters(&DeadFilter::default()).await.unwrap(), []);
    let audit = journal.audit(None, 10).await.unwrap();
    assert_eq!(audit.len(), 1);
    assert_eq!((audit[0].action, audit[0].position, audit[0].target.as_str()), (AuditAction::Discard, position, "crm"));
}

pub(crate) async fn every_attempt_can_be_looked_at(home: Home) {
    let journal = home.open(&["crm", "audit"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let position = keep(&journal, record("a")).await;
    let (first, second) = (retry(SOON), delivered());
    one(&mut crm).await.settle(first.clone()).await.unwrap();
    let retrying = journal.event(position).await.unwrap().unwrap();
    let of = |event: &chathook_journal::Kept, target: &str| {
        event.targets.iter().find(|history| history.target == target).unwrap().clone()
    };
    assert_eq!(of(&retrying, "crm").state, Some(State::Retrying));
    assert!(of(&retrying, "crm").due.is_some());
    assert_eq!(of(&retrying, "audit").state, Some(State::Pending));
    one(&mut crm).await.settle(second.clone()).await.unwrap();

    let event = journal.event(position).await.unwrap().unwrap();
    let history = of(&event, "crm");
    assert_eq!((history.state, history.due, history.class), (Some(State::Delivered), None, None));
    let attempts: Vec<_> = history.attempts.iter().map(|made| (made.at, made.led_to, made.detail.as_str())).collect();
    assert_eq!(attempts, [(first.at, State::Retrying, "500"), (second.at, State::Delivered, "200")]);
    assert_eq!(history.attempts[0].took, first.took);
    assert_eq!(journal.event(Position(position.0 + 1)).await.unwrap(), None);
    assert_eq!(journal.event(Position(u64::MAX)).await.unwrap(), None);
}

async fn found(journal: &Journal, filter: Filter) -> Vec<Position> {
    journal.events(&filter).await.unwrap().iter().map(|event| event.position).collect()
}

pub(crate) async fn events_are_found_by_what_they_are(home: Home) {
    let journal = home.open(&["crm"]).await;
    let now = millis(SystemTime::now());
    let ago = |seconds| now - Duration::from_secs(seconds);
    let first =
        keep(&journal, Record { received: ago(30), command: "Sns.CallbackFriendAdd".into(), ..record("a") }).await;
    let second =
        keep(&journal, Record { received: ago(20), body: r#"{"To_Account":"u_x"}"#.into(), ..record("a") }).await;
    let third = keep(&journal, Record { received: ago(10), decoded: false, ..record("b") }).await;
    let all = Filter::default;
    assert_eq!(found(&journal, all()).await, [third, second, first]);
    assert_eq!(found(&journal, Filter { commands: vec!["Sns.CallbackFriendAdd".into()], ..all() }).await, [first]);
    let two = vec!["Sns.CallbackFriendAdd".into(), "C2C.CallbackAfterSendMsg".into()];
    assert_eq!(found(&journal, Filter { commands: two, ..all() }).await, [third, second, first]);
    assert_eq!(found(&journal, Filter { key: Some("a".into()), ..all() }).await, [second, first]);
    assert_eq!(found(&journal, Filter { contains: Some("\"u_x\"".into()), ..all() }).await, [second]);
    assert_eq!(found(&journal, Filter { contains: Some("\"u_y\"".into()), ..all() }).await, []);
    assert_eq!(found(&journal, Filter { since: Some(ago(20)), ..all() }).await, [third, second]);
    assert_eq!(found(&journal, Filter { until: Some(ago(20)), ..all() }).await, [first]);
    assert_eq!(found(&journal, Filter { since: Some(ago(25)), until: Some(ago(15)), ..all() }).await, [second]);
    assert_eq!(found(&journal, Filter { limit: 0, ..all() }).await, []);
    let summary = journal.events(&Filter { limit: 1, ..all() }).await.unwrap().remove(0);
    assert_eq!((summary.key.as_deref(), summary.received, summary.decoded), (Some("b"), ago(10), false));
    assert_eq!(summary.targets, [("crm".to_owned(), State::Pending)]);
}

pub(crate) async fn events_are_found_by_their_state(home: Home) {
    let journal = home.open(&["crm", "audit"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let kept = keep_keys(&journal, &["a", "b", "c", "d"]).await;
    let out = several(&mut crm, 4).await;
    out[0].settle(delivered()).await.unwrap();
    out[1].settle(retry(LATER)).await.unwrap();
    out[2].settle(dead()).await.unwrap();
    let by = async |target: Option<&str>, state| {
        found(&journal, Filter { state: Some((target.map(str::to_owned), state)), ..Filter::default() }).await
    };
    assert_eq!(by(Some("crm"), State::Delivered).await, [kept[0]]);
    assert_eq!(by(Some("crm"), State::Retrying).await, [kept[1]]);
    assert_eq!(by(Some("crm"), State::Dead).await, [kept[2]]);
    assert_eq!(by(Some("crm"), State::Pending).await, [kept[3]]);
    assert_eq!(by(None, State::Dead).await, [kept[2]]);
    assert_eq!(by(Some("audit"), State::Pending).await, [kept[3], kept[2], kept[1], kept[0]]);
    assert_eq!(by(Some("audit"), State::Delivered).await, []);
    let unknown = Filter { state: Some((Some("cmr".into()), State::Dead)), ..Filter::default() };
    assert_eq!(journal.events(&unknown).await, Err(JournalError::NoSuchTarget("cmr".into())));
}

pub(crate) async fn events_come_in_pages_newest_first(home: Home) {
    let journal = home.open(&[]).await;
    let mut kept = Vec::new();
    for _ in 0..25 {
        kept.push(keep(&journal, record("a")).await);
    }
    let mut pages = Vec::new();
    let mut before = None;
    loop {
        let page = found(&journal, Filter { before, limit: 10, ..Filter::default() }).await;
        let Some(last) = page.last() else { break };
        before = Some(*last);
        pages.extend(page);
    }
    kept.reverse();
    assert_eq!(pages, kept);
}

pub(crate) async fn stats_tell_how_far_each_target_is(home: Home) {
    let journal = home.open(&["crm", "audit"]).await;
    assert!(matches!(journal.health(), Health::Ok(_)));
    let mut crm = journal.subscribe("crm").unwrap();
    let received = millis(SystemTime::now()) - Duration::from_secs(9);
    for key in ["a", "a", "b", "c"] {
        keep(&journal, Record { received, ..record(key) }).await;
    }
    let out = several(&mut crm, 3).await;
    out[0].settle(retry(LATER)).await.unwrap();
    out[1].settle(dead()).await.unwrap();
    let stats = journal.stats().await.unwrap();
    assert_eq!(stats.events, 4);
    assert!(stats.bytes > 0);
    let of = |name: &str| stats.targets.iter().find(|target| target.target == name).unwrap();
    let crm = of("crm");
    assert_eq!((crm.backlog, crm.retrying, crm.dead_letters, crm.oldest), (3, 1, 1, Some(received)));
    let audit = of("audit");
    assert_eq!((audit.backlog, audit.retrying, audit.dead_letters, audit.oldest), (4, 0, 0, Some(received)));
}

pub(crate) async fn many_at_once_are_all_kept_and_delivered(home: Home) {
    const WRITERS: usize = 16;
    const EACH: usize = 50;
    let journal = home.open(&["crm", "audit"]).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let journal = journal.clone();
            tokio::spawn(async move { keep_keys(&journal, &[&*format!("k{writer}"); EACH]).await })
        })
        .collect();
    let mut seen = HashSet::new();
    for target in ["crm", "audit"] {
        let mut subscription = journal.subscribe(target).unwrap();
        let mut last_of = std::collections::HashMap::new();
        let mut delivered_count = 0;
        while delivered_count < WRITERS * EACH {
            let deliveries = subscription.next(64).await.unwrap();
            let keys: HashSet<_> = deliveries.iter().map(|delivery| delivery.record.key.clone()).collect();
            assert_eq!(keys.len(), deliveries.len(), "one of a key at a time");
            for delivery in &deliveries {
                let last = last_of.insert(delivery.record.key.clone(), delivery.position);
                assert!(last.is_none_or(|last| last < delivery.position), "in order");
                seen.insert(delivery.position);
            }
            let settled = deliveries.iter().map(|delivery| delivery.settle(delivered()));
            for settled in futures(settled).await {
                settled.unwrap();
            }
            delivered_count += deliveries.len();
        }
    }
    for writer in writers {
        for position in writer.await.unwrap() {
            assert!(seen.remove(&position));
        }
    }
    assert!(seen.is_empty());
}

/// All of them at once.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = all.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        pending.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if pending.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

pub(crate) async fn a_closed_journal_does_nothing(home: Home) {
    let journal = home.open(&["crm"]).await;
    let mut crm = journal.subscribe("crm").unwrap();
    let position = keep(&journal, record("a")).await;
    let delivery = one(&mut crm).await;
    let (next, ()) = tokio::join!(crm.next(1), journal.close());
    assert_eq!(next.unwrap_err(), JournalError::Closed);
    assert_eq!(journal.append(record("a")).await, Err(AppendError::Closed));
    assert_eq!(delivery.settle(delivered()).await, Err(JournalError::Closed));
    assert_eq!(journal.stats().await, Err(JournalError::Closed));
    assert_eq!(journal.replay(position, "crm", "ann").await, Err(JournalError::Closed));
    assert_eq!(journal.set_targets(&[]).await, Err(JournalError::Closed));
    assert_eq!(journal.subscribe("crm").unwrap_err(), JournalError::Closed);
    assert!(matches!(journal.health(), Health::CannotKeep(_)));
    journal.close().await;
}
