//! The file is not what it should be. It is refused, or the damage is found; and it is never touched.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use chathook_journal::{Filter, Health, Journal, Record, SqliteOpenError};

use super::{all_ids, at, path, refusal, until};
use crate::harness::{Home, bounded, deliver_any, keep, one, record, retry};

const EVENTS: usize = 3000;
const PAGE: usize = 8192;

/// A journal of some thousand events, closed.
async fn some() -> Home {
    let home = Home::sqlite();
    let journal = home.open(&["crm"]).await;
    let appends: Vec<_> = (0..EVENTS)
        .map(|number| {
            let journal = journal.clone();
            let body = vec![b'x'; 700].into();
            tokio::spawn(async move { journal.append(Record { body, ..record(&format!("k{}", number % 9)) }).await })
        })
        .collect();
    for append in appends {
        append.await.unwrap().unwrap();
    }
    journal.close().await;
    home
}

/// That the file is refused, with its path, and left as it is.
async fn refused(path: &Path, bytes: &[u8]) -> SqliteOpenError {
    fs::write(path, bytes).unwrap();
    let error = refusal(&at(path.to_path_buf())).await;
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(fs::read(path).unwrap() == bytes, "it was changed");
    error
}

/// Bytes that look like nothing, the same each time.
fn noise(seed: usize, len: usize) -> Vec<u8> {
    let mut state = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
    .take(len)
    .collect()
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_refused() {
    bounded(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        let error = refused(&path, b"[journal]\nengine = 'sqlite'\n").await;
        assert!(matches!(error, SqliteOpenError::NotADatabase(_)), "{error:?}");
        let error = refused(&path, &noise(1, 20_000)).await;
        assert!(matches!(error, SqliteOpenError::NotADatabase(_)), "{error:?}");

        fs::remove_file(&path).unwrap();
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE event (position INTEGER PRIMARY KEY); INSERT INTO event VALUES (1)").unwrap();
        drop(other);
        let error = refused(&path, &fs::read(&path).unwrap()).await;
        assert!(matches!(error, SqliteOpenError::Foreign(_)), "{error:?}");
        let other = rusqlite::Connection::open(&path).unwrap();
        other.pragma_update(None, "application_id", 7).unwrap();
        drop(other);
        let error = refused(&path, &fs::read(&path).unwrap()).await;
        assert!(matches!(error, SqliteOpenError::Foreign(_)), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_what_to_do() {
    bounded(async {
        let home = Home::sqlite();
        home.open(&[]).await.close().await;
        let database = rusqlite::Connection::open(path(&home)).unwrap();
        database.pragma_update(None, "user_version", 99).unwrap();
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        // As it is in the file, and when only the log has it.
        let error = refusal(&home.config).await;
        assert!(matches!(error, SqliteOpenError::Newer { found: 99, .. }), "{error:?}");
        database.pragma_update(None, "user_version", 98).unwrap();
        let error = refusal(&home.config).await;
        assert!(matches!(error, SqliteOpenError::Newer { .. }), "{error:?}");
        assert!(error.to_string().contains("run the newer program"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_damaged_header_is_refused() {
    bounded(async {
        let home = some().await;
        let sound = fs::read(path(&home)).unwrap();
        // All of the header; its beginning; the tree of the schema behind it; a file that was cut off.
        for (from, to) in [(0, 100), (0, 16), (100, PAGE)] {
            let mut bytes = sound.clone();
            bytes[from..to].copy_from_slice(&noise(from + to, to - from));
            let error = refused(path(&home), &bytes).await;
            let is_named = matches!(error, SqliteOpenError::NotADatabase(_) | SqliteOpenError::Damaged { .. });
            assert!(is_named, "bytes {from} to {to}: {error:?}");
        }
        refused(path(&home), &sound[..50]).await;
        refused(path(&home), &sound[..PAGE]).await;
        fs::write(path(&home), &sound).unwrap();
        let journal = home.open(&["crm"]).await;
        assert_eq!(all_ids(&journal).await.len(), EVENTS, "and nothing was lost");
    })
    .await;
}

/// The pages with bodies.
fn pages_of_events(bytes: &[u8]) -> Vec<usize> {
    let has_body = |page: &usize| bytes[page * PAGE..(page + 1) * PAGE].windows(64).any(|bytes| bytes == [b'x'; 64]);
    (1..bytes.len() / PAGE).filter(has_body).collect()
}

#[tokio::test]
async fn damage_that_somebody_reads_is_damage_that_was_found() {
    bounded(async {
        let home = some().await;
        let pages = pages_of_events(&fs::read(path(&home)).unwrap());
        // The check in the background begins with the oldest, and rests in between.
        let page = pages[pages.len() - pages.len() / 5];
        let journal = home.open(&["crm"]).await;
        let file = fs::OpenOptions::new().write(true).open(path(&home)).unwrap();
        file.write_all_at(&noise(1, PAGE), (page * PAGE) as u64).unwrap();
        let read = journal.events(&Filter { limit: 1000, ..Filter::default() }).await;
        assert!(read.is_err(), "{read:?}");
        assert!(matches!(journal.health(), Health::CannotKeep(reason) if reason.contains("is damaged")));
        assert!(journal.append(record("a")).await.is_err());
    })
    .await;
}

/// What the README says of a file that is refused, from behind `.recover` on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_saved_of_a_damaged_file_is_gone_on_with() {
    bounded(async {
        let readme = include_str!("../../../README.md");
        let script = readme.split("```sql").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let home = some().await;
        let journal = home.open(&["crm"]).await;
        let mut crm = journal.subscribe("crm").unwrap();
        for _ in 0..9 {
            one(&mut crm).await.settle(retry(Duration::from_millis(1))).await.unwrap();
        }
        journal.close().await;
        drop(crm);
        let database = rusqlite::Connection::open(path(&home)).unwrap();
        let counted = || {
            let mut segments = database.prepare("SELECT number, events, bytes, oldest, newest FROM segment").unwrap();
            let row = |row: &rusqlite::Row<'_>| <(i64, i64, i64, i64, i64)>::try_from(row);
            segments.query_map([], row).unwrap().map(Result::unwrap).collect::<Vec<_>>()
        };
        let before = counted();
        database.execute_batch(script).unwrap();
        assert_eq!(counted(), before, "it counts as the program does");
        // As `.recover` leaves it where pages are lost: their rows are not there, nor are indexes.
        let lost = database.execute("DELETE FROM event WHERE position BETWEEN 3 AND 1500", []).unwrap();
        database.execute_batch("DROP INDEX delivery_open; PRAGMA user_version = 3;").unwrap();
        database.execute_batch(script).unwrap();
        drop(database);
        let journal = home.open(&["crm"]).await;
        let mut crm = journal.subscribe("crm").unwrap();
        assert_eq!(deliver_any(&mut crm, EVENTS - lost).await.len(), EVENTS - lost);
        let stats = journal.stats().await.unwrap();
        assert_eq!((stats.events, stats.targets[0].backlog), ((EVENTS - lost) as u64, 0));
        keep(&journal, record("a")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_the_middle_is_found_and_nothing_more_is_kept() {
    bounded(async {
        let home = some().await;
        let sound = fs::read(path(&home)).unwrap();
        let pages = pages_of_events(&sound);
        assert!(pages.len() > 250);
        for (seed, page) in pages.iter().step_by(pages.len() / 7).enumerate() {
            let mut bytes = sound.clone();
            bytes[page * PAGE..(page + 1) * PAGE].copy_from_slice(&noise(seed, PAGE));
            fs::write(path(&home), &bytes).unwrap();
            let _ = fs::remove_file(path(&home).with_extension("db-wal"));
            match Journal::open(&home.config, &["crm"]).await {
                Err(error) => assert!(error.to_string().contains("is damaged"), "{error}"),
                Ok(journal) => {
                    until("the damage is found", async || matches!(journal.health(), Health::CannotKeep(_))).await;
                    let Health::CannotKeep(reason) = journal.health() else { continue };
                    assert!(reason.contains("is damaged") && reason.contains("restore"), "{reason}");
                    assert!(journal.append(record("a")).await.is_err());
                    journal.close().await;
                }
            }
            let left = fs::read(path(&home)).unwrap();
            assert!(left.len() >= sound.len(), "it was emptied");
        }
    })
    .await;
}
