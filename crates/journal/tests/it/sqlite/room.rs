//! No room: nothing is lost, nothing is claimed to be kept, and it goes on when there is room again.

use std::collections::HashSet;
use std::process::Command;

use chathook_journal::{AppendError, EngineConfig, Health, Journal, Position, Record, Subscription};

use super::{all_ids, child, path, until};
use crate::harness::{Home, LATER, bounded, deliver, keep, one, record, retry};

const MAX: u64 = 2 << 20;

fn limited() -> Home {
    let mut home = Home::sqlite();
    if let EngineConfig::Sqlite(file) = &mut home.config.engine {
        file.max_size = Some(MAX);
    }
    home
}

fn sized(bytes: usize) -> Record {
    Record { body: vec![b'x'; bytes].into(), ..record("a") }
}

fn large() -> Record {
    sized(20_000)
}

async fn fill(journal: &Journal) -> usize {
    let mut kept = 0;
    loop {
        match journal.append(large()).await {
            Ok(_) => kept += 1,
            Err(AppendError::Full(reason)) => {
                assert!(reason.contains(&MAX.to_string()), "{reason}");
                return kept;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_greatest_size_nothing_is_kept_until_the_oldest_are_settled() {
    bounded(async {
        let home = limited();
        let journal = home.open(&["crm"]).await;
        let kept = fill(&journal).await;
        assert!((80..120).contains(&kept), "{kept}");
        assert!(matches!(journal.health(), Health::CannotKeep(reason) if reason.contains("greatest size")));
        // Nothing of it is lost, also over a restart.
        journal.close().await;
        let journal = home.open(&["crm"]).await;
        assert_eq!(fill(&journal).await, 0);
        let mut crm = journal.subscribe("crm").unwrap();
        deliver(&mut crm, kept).await;
        until("there is room", async || matches!(journal.health(), Health::Ok(_))).await;
        keep(&journal, large()).await;
        deliver(&mut crm, 1).await;
    })
    .await;
}

/// While events go on coming that are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_greatest_size_the_target_that_holds_everything_can_be_taken_away() {
    bounded(async {
        let home = limited();
        let journal = home.open(&["crm"]).await;
        let mut crm = journal.subscribe("crm").unwrap();
        let first = keep(&journal, large()).await;
        one(&mut crm).await.settle(retry(LATER)).await.unwrap();
        fill(&journal).await;
        let appends: Vec<_> = (0..4)
            .map(|_| {
                let journal = journal.clone();
                tokio::spawn(async move { while journal.append(large()).await.is_err() {} })
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(journal.replay(first, "crm", "ann").await, Ok(true));
        }
        journal.set_targets(&[]).await.unwrap();
        for append in appends {
            append.await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_greatest_size_the_oldest_settled_events_make_room() {
    bounded(async {
        let home = limited();
        let journal = home.open(&["crm"]).await;
        let mut crm = journal.subscribe("crm").unwrap();
        let first = keep_and_deliver(&journal, &mut crm, large()).await;
        for _ in 0..400 {
            keep_and_deliver(&journal, &mut crm, large()).await;
        }
        assert_eq!(journal.event(first).await.unwrap(), None);
        journal.close().await;
        let size = std::fs::metadata(path(&home)).unwrap().len();
        assert!(size < MAX * 3 / 2, "{size}");
    })
    .await;
}

/// A few events fill the journal each time: it has its greatest size again a moment after room was made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settled_events_make_room_as_often_as_there_is_none() {
    bounded(async {
        let home = limited();
        let journal = home.open(&["crm"]).await;
        let mut crm = journal.subscribe("crm").unwrap();
        for _ in 0..60 {
            keep_and_deliver(&journal, &mut crm, sized(700_000)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_small_events_go_as_a_large_one_needs() {
    bounded(async {
        let home = limited();
        let journal = home.open(&["crm"]).await;
        let mut crm = journal.subscribe("crm").unwrap();
        for _ in 0..1_000 {
            keep_and_deliver(&journal, &mut crm, sized(2_000)).await;
        }
        for _ in 0..4 {
            keep_and_deliver(&journal, &mut crm, sized(700_000)).await;
        }
    })
    .await;
}

/// Keeps it, and has it delivered before anything else comes.
async fn keep_and_deliver(journal: &Journal, crm: &mut Subscription, record: Record) -> Position {
    let position = keep(journal, record).await;
    assert_eq!(deliver(crm, 1).await, [position]);
    position
}

/// Real failures of `write`: the process may not make files larger. The limit is then lifted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_writing_fails_nothing_is_claimed_and_it_recovers_by_itself() {
    bounded(async {
        let home = Home::sqlite();
        let by = ["sh", "-c", "trap '' XFSZ; exec prlimit --fsize=3000000:unlimited \"$0\" \"$@\""];
        let process = child::spawn("fill", path(&home), &by);
        let kept = recovers(process, |id| {
            let lifted =
                Command::new("prlimit").args(["--fsize=unlimited:unlimited", "--pid", &id.to_string()]).status();
            assert!(lifted.unwrap().success());
        })
        .await;
        let journal = home.open(&["crm"]).await;
        assert_eq!(all_ids(&journal).await, kept);
        let mut crm = journal.subscribe("crm").unwrap();
        assert_eq!(deliver(&mut crm, kept.len() - 1).await[0].0, 2, "what was settled meanwhile is settled");
    })
    .await;
}

/// A real file system that is full: a small one in memory, that only this process sees. Then a file in it is removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_nothing_is_claimed_and_it_recovers_by_itself() {
    bounded(async {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().to_str().unwrap();
        let script = format!(
            "mount -t tmpfs -o size=6m none {place} && head -c 3000000 /dev/zero > {place}/ballast && exec \"$0\" \"$@\""
        );
        let by = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &script];
        let process = child::spawn("fill", &directory.path().join("journal.db"), &by);
        let ballast = format!("{place}/ballast");
        recovers(process, move |id| std::fs::remove_file(format!("/proc/{id}/root{ballast}")).unwrap()).await;
    })
    .await;
}

/// A mount that is read-only, for root too.
#[tokio::test]
async fn a_directory_that_is_read_only_is_refused_by_its_name() {
    bounded(async {
        let home = Home::sqlite();
        home.open(&["crm"]).await.close().await;
        let place = path(&home).parent().unwrap().to_str().unwrap();
        let script = format!("mount --bind {place} {place} && mount -o remount,bind,ro {place} && exec \"$0\" \"$@\"");
        let by = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &script];
        let said = child::spawn("hold", path(&home), &by).line().expect("`unshare` and `mount` have to work here");
        assert!(said.starts_with("refused cannot write at") && said.contains(place), "{said}");
    })
    .await;
}

/// Hears that nothing can be kept, makes room, and hears the process go on. The identities that were acknowledged.
async fn recovers(mut process: child::Process, make_room: impl FnOnce(u32) + Send + 'static) -> Vec<String> {
    let heard = tokio::task::spawn_blocking(move || {
        let mut make_room = Some(make_room);
        let (mut kept, mut found) = (Vec::new(), Vec::new());
        let mut said = Vec::new();
        while let Some(line) = process.line() {
            if let Some(id) = line.strip_prefix("kept ") {
                kept.push(id.to_owned());
                continue;
            }
            if let Some(id) = line.strip_prefix("found ") {
                found.push(id.to_owned());
                continue;
            }
            if line.starts_with("full ") {
                make_room.take().unwrap()(process.id());
            }
            said.push(line.split(' ').next().unwrap().to_owned());
        }
        assert!(process.wait());
        assert_eq!(said, ["open", "full", "healthy", "closed"]);
        assert_eq!(found, kept);
        kept
    });
    let kept = heard.await.unwrap();
    assert!(kept.len() > 10);
    assert_eq!(kept.iter().collect::<HashSet<_>>().len(), kept.len());
    kept
}
