//! What the sqlite engine promises beside.

mod child;
mod crash;
mod damage;
mod keys;
mod migration;
mod place;
mod retention;
mod room;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chathook_journal::{
    Delivery, EngineConfig, Filter, Journal, JournalError, OpenError, Record, SqliteConfig, SqliteOpenError,
    Subscription,
};
use futures_util::future::join_all;

use crate::harness::{Home, LATER, bounded, deliver, deliver_any, delivered, keep, keep_keys, one, record, retry};

fn file(home: &Home) -> &SqliteConfig {
    match &home.config.engine {
        EngineConfig::Sqlite(file) => file,
        EngineConfig::JetStream(_) => panic!("another engine"),
    }
}

fn path(home: &Home) -> &Path {
    &file(home).path
}

fn at(path: PathBuf) -> chathook_journal::Config {
    crate::harness::config(EngineConfig::Sqlite(SqliteConfig { path, max_size: None }))
}

async fn refusal(config: &chathook_journal::Config) -> SqliteOpenError {
    match Journal::open(config, &["crm"]).await {
        Err(OpenError::Sqlite(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

/// Waits for something that nothing announces.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

async fn all_ids(journal: &Journal) -> Vec<String> {
    let all = journal.events(&Filter { limit: usize::MAX, ..Filter::default() }).await.unwrap();
    all.into_iter().rev().map(|event| event.id).collect()
}

#[tokio::test]
async fn the_directory_is_created() {
    bounded(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/journal.db");
        Journal::open(&at(path.clone()), &[]).await.unwrap().close().await;
        assert!(path.is_file());
    })
    .await;
}

/// Nobody can write at these places, not even root.
#[tokio::test]
async fn a_place_that_cannot_be_written_to_is_refused_by_its_name() {
    bounded(async {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let folder = directory.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        for path in [file.join("journal.db"), folder.clone(), PathBuf::from("/proc/journal.db")] {
            let error = refusal(&at(path.clone())).await;
            assert!(matches!(error, SqliteOpenError::NotWritable { .. }), "{error:?}");
            let named = path.parent().unwrap().to_str().unwrap();
            assert!(error.to_string().contains(named), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_second_process_is_refused_until_the_first_has_ended() {
    bounded(async {
        let home = Home::sqlite();
        let mut first = child::spawn("hold", path(&home), &[]);
        assert_eq!(first.line().as_deref(), Some("open"));
        let error = refusal(&home.config).await;
        assert!(matches!(error, SqliteOpenError::InUse(_)), "{error:?}");
        first.kill();
        let journal = home.open(&["crm"]).await;
        let twice = refusal(&home.config).await;
        assert!(matches!(twice, SqliteOpenError::InUse(_)), "the same process: {twice:?}");
        // One that is dropped is closed.
        drop(journal);
        home.open(&["crm"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_jumps_back_changes_no_order_and_loses_nothing() {
    bounded(async {
        let home = Home::sqlite();
        let journal = home.open(&["crm"]).await;
        let now = crate::harness::millis(std::time::SystemTime::now());
        let mut kept = Vec::new();
        for hours in 0..60 {
            let received = now - Duration::from_secs(hours * 3600);
            kept.push(keep(&journal, Record { received, ..record("a") }).await);
        }
        assert!(kept.is_sorted());
        let range = Filter {
            since: Some(now - Duration::from_secs(11 * 3600)),
            until: Some(now - Duration::from_secs(9 * 3600)),
            ..Filter::default()
        };
        let found = journal.events(&range).await.unwrap();
        assert_eq!(found.iter().map(|event| event.position).collect::<Vec<_>>(), [kept[11], kept[10]]);
        journal.close().await;
        let journal = home.open(&["crm"]).await;
        let mut crm = journal.subscribe("crm").unwrap();
        assert_eq!(deliver(&mut crm, 60).await, kept);
        // Older than 1970.
        let received = std::time::SystemTime::UNIX_EPOCH - Duration::from_millis(1500);
        let position = keep(&journal, Record { received, ..record("a") }).await;
        assert_eq!(journal.event(position).await.unwrap().unwrap().record.received, received);
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_jumps_back_makes_no_retry_wait() {
    bounded(async {
        let home = Home::sqlite();
        let journal = home.open(&["crm"]).await;
        let mut crm = journal.subscribe("crm").unwrap();
        let kept = keep_keys(&journal, &["a", "a", ""]).await;
        for _ in 0..2 {
            one(&mut crm).await.settle(retry(Duration::from_millis(1))).await.unwrap();
        }
        journal.close().await;
        drop(crm);
        // As if that had been an hour from now.
        let database = rusqlite::Connection::open(path(&home)).unwrap();
        let later =
            "UPDATE delivery SET last_attempt = last_attempt + 3600000, due = due + 3600000 WHERE due IS NOT NULL";
        assert_eq!(database.execute(later, []).unwrap(), 2);
        drop(database);
        let journal = home.open(&["crm"]).await;
        let mut crm = journal.subscribe("crm").unwrap();
        let began = Instant::now();
        assert_eq!(deliver_any(&mut crm, 3).await, kept);
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    })
    .await;
}

async fn keep_some(journal: &Journal, what: &str, count: usize) {
    join_all((0..count).map(async |number| keep(journal, record(&format!("{what} {number}"))).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_fails_for_a_thousand_conversations_gets_the_events_of_others() {
    bounded(async {
        let home = Home::sqlite();
        let journal = home.open(&["crm"]).await;
        let mut crm = journal.subscribe("crm").unwrap();
        keep_some(&journal, "bad", 1100).await;
        let mut failed = 0;
        while failed < 1100 {
            failed += fail_or_deliver(&mut crm).await.0;
        }
        let began = Instant::now();
        keep_some(&journal, "good", 50).await;
        let mut good = 0;
        while good < 50 {
            good += fail_or_deliver(&mut crm).await.1;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let target = &journal.stats().await.unwrap().targets[0];
        assert_eq!((target.backlog, target.retrying), (1100, 1100));
        journal.close().await;
    })
    .await;
}

/// How many failed, and how many were delivered.
async fn fail_or_deliver(subscription: &mut Subscription) -> (u64, u64) {
    let out = subscription.next(256).await.unwrap();
    let is_good = |delivery: &Delivery| delivery.record.key.as_ref().is_some_and(|key| key.starts_with("good"));
    let good = out.iter().filter(|delivery| is_good(delivery)).count() as u64;
    let settled =
        out.iter().map(|delivery| delivery.settle(if is_good(delivery) { delivered() } else { retry(LATER) }));
    for settled in join_all(settled).await {
        settled.unwrap();
    }
    (out.len() as u64 - good, good)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_right_behind_a_delivery_delivers_again() {
    bounded(async {
        let home = Home::sqlite();
        let journal = home.open(&["crm"]).await;
        let mut crm = journal.subscribe("crm").unwrap();
        for round in 0..100 {
            let position = keep(&journal, record(if round % 2 == 0 { "a" } else { "" })).await;
            let first = one(&mut crm).await;
            // Asked for in this order, and mostly written at once.
            let both = tokio::join!(first.settle(delivered()), journal.replay(position, "crm", "ann"));
            assert_eq!(both, (Ok(()), Ok(true)));
            assert_eq!(deliver(&mut crm, 1).await, [position]);
        }
    })
    .await;
}

#[tokio::test]
async fn any_program_can_read_it_meanwhile() {
    bounded(async {
        let home = Home::sqlite();
        let journal = home.open(&["crm"]).await;
        keep_keys(&journal, &["a", "b"]).await;
        let other = rusqlite::Connection::open(path(&home)).unwrap();
        let keys: String =
            other.query_row("SELECT group_concat(key) FROM event ORDER BY position", [], |row| row.get(0)).unwrap();
        assert_eq!(keys, "a,b");
        keep(&journal, record("c")).await;
    })
    .await;
}

#[tokio::test]
async fn the_readme_names_every_table_and_column() {
    bounded(async {
        let home = Home::sqlite();
        home.open(&[]).await.close().await;
        let database = rusqlite::Connection::open(path(&home)).unwrap();
        let mut columns = database
            .prepare(
                "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c
                 WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.cid",
            )
            .unwrap();
        let columns = columns.query_map([], |row| row.try_into()).unwrap();
        let readme = include_str!("../../README.md");
        for column in columns {
            let (table, column): (String, String) = column.unwrap();
            let section = readme.split(&format!("\n| `{table}` |")).nth(1);
            let section = section.unwrap_or_else(|| panic!("no table `{table}`"));
            let section = section.split("\n\n").next().unwrap();
            assert!(section.contains(&format!("`{column}`")), "no column `{column}` of `{table}`");
        }
    })
    .await;
}

#[tokio::test]
async fn an_unknown_target_is_an_error_everywhere() {
    bounded(async {
        let home = Home::sqlite();
        let journal = home.open(&["crm"]).await;
        let position = keep(&journal, record("a")).await;
        let unknown = Err(JournalError::NoSuchTarget("x".into()));
        assert_eq!(journal.replay(position, "x", "ann").await, unknown);
        assert_eq!(journal.discard(position, "x", "ann").await, unknown);
    })
    .await;
}
