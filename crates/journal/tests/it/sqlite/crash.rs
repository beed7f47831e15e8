//! The process is killed, or the power goes.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use chathook_journal::{DeadFilter, EngineConfig, Filter, Journal, Position, SqliteConfig};

use super::{all_ids, at, child, path};
use crate::harness::{Home, bounded, config, delivered, keep, nothing, record};

/// How often the process is killed, unless `JOURNAL_KILLS` says otherwise.
const KILLS: usize = 50;

/// What the killed processes said.
#[derive(Default)]
struct Said {
    kept: HashSet<String>,
    settled: HashSet<Position>,
    out: HashMap<Position, String>,
    retried: HashSet<Position>,
    given_out: usize,
    duplicates: usize,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        let word = words.next().unwrap();
        let position = |word: Option<&str>| Position(word.unwrap().parse().unwrap());
        match word {
            "open" => {}
            "kept" => assert!(self.kept.insert(words.next().unwrap().to_owned())),
            "settled" => assert!(self.settled.insert(position(words.next()))),
            "retried" => {
                self.retried.insert(position(words.next()));
            }
            "out" => {
                let position = position(words.next());
                self.give_out(position, words.next().unwrap());
            }
            word => panic!("{word}"),
        }
    }

    fn give_out(&mut self, position: Position, id: &str) {
        self.given_out += 1;
        assert!(!self.settled.contains(&position), "{position} was settled, and came back");
        let before = self.out.insert(position, id.to_owned());
        if let Some(before) = before {
            assert_eq!(before, id, "one position, one event");
            self.duplicates += usize::from(!self.retried.remove(&position));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_being_killed_at_any_moment() {
    let kills = std::env::var("JOURNAL_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let home = Home::sqlite();
    let mut said = Said::default();
    let began = Instant::now();
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(std::process::id());
    for round in 0..kills {
        // Killed at most so long after it opened.
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut process = child::spawn_round("load", path(&home), &[], round);
        assert_eq!(process.line().as_deref(), Some("open"));
        let killed_at = Instant::now() + Duration::from_millis((chance >> 33) % 200);
        let mut lines = Vec::new();
        while Instant::now() < killed_at {
            lines.extend(process.line());
        }
        process.kill();
        lines.extend(std::iter::from_fn(|| process.line()));
        for line in lines {
            said.hear(&line);
        }
        let journal = home.open(&["crm"]).await;
        let of_round = Filter { commands: vec![format!("Round.{round}")], limit: usize::MAX, ..Filter::default() };
        let found = journal.events(&of_round).await.unwrap();
        let found: HashSet<&str> = found.iter().map(|event| event.id.as_str()).collect();
        let of_round = format!("{round}-");
        let lost: Vec<_> =
            said.kept.iter().filter(|id| id.starts_with(&of_round) && !found.contains(id.as_str())).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        journal.close().await;
    }

    let journal = home.open(&["crm"]).await;
    let dead = DeadFilter { limit: usize::MAX, ..DeadFilter::default() };
    let dead: HashSet<Position> = journal.dead_letters(&dead).await.unwrap().iter().map(|it| it.position).collect();
    let settled_as_dead: HashSet<Position> = said.settled.iter().copied().filter(|it| it.0 % 10 == 1).collect();
    assert!(dead.is_superset(&settled_as_dead), "lost dead letters: {:?}", settled_as_dead.difference(&dead));

    // What is left is delivered once more or for the first time, each conversation in order.
    let ids = all_ids(&journal).await;
    let backlog = journal.stats().await.unwrap().targets[0].backlog;
    let mut crm = journal.subscribe("crm").unwrap();
    let mut last: HashMap<Option<String>, Position> = HashMap::new();
    for _ in 0..backlog {
        let delivery = crm.next(1).await.unwrap().remove(0);
        said.give_out(delivery.position, &delivery.record.id);
        delivery.settle(delivered()).await.unwrap();
        assert!(said.settled.insert(delivery.position));
        let last = last.insert(delivery.record.key.clone(), delivery.position);
        assert!(last.is_none_or(|last| last < delivery.position), "in order");
    }
    nothing(&mut crm).await;
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "kept twice");
    let delivered: HashSet<&String> = said.out.values().collect();
    // A settlement can be durable though nobody was told; then its event was out.
    let lost = said.kept.iter().filter(|id| !delivered.contains(id)).count();
    println!(
        "{kills} kills in {:.0?}: {} acknowledged, {} kept, {} given out, {} duplicates, {} dead, {lost} lost",
        began.elapsed(),
        said.kept.len(),
        ids.len(),
        said.given_out,
        said.duplicates,
        dead.len()
    );
    assert_eq!(lost, 0);
    assert_eq!(delivered.len(), ids.len(), "every event was delivered");
    assert!(said.kept.len() > kills && said.duplicates < said.given_out / 4, "the test tests something");
}

/// What the system calls say: the disk had written the log when an append was acknowledged. No killed process shows that.
#[tokio::test]
async fn every_append_is_synced_before_it_is_acknowledged() {
    bounded(async {
        const APPENDS: usize = 200;
        let home = Home::sqlite();
        let trace = path(&home).with_extension("trace");
        let to = trace.to_str().unwrap();
        let by = ["strace", "-f", "-y", "-e", "trace=write,fsync,fdatasync", "-o", to];
        let mut process = child::spawn_round("one by one", path(&home), &by, APPENDS);
        let heard = std::iter::from_fn(|| process.line()).filter(|line| line.starts_with("kept ")).count();
        assert!(process.wait() && heard == APPENDS, "{heard}");
        let trace = fs::read_to_string(&trace).unwrap();
        let (mut synced, mut acknowledged) = (Syncs::default(), 0);
        for call in trace.lines() {
            synced.hear(call);
            if call.contains("asked ") {
                synced.since = 0;
            } else if call.contains("kept ") {
                acknowledged += 1;
                assert!(synced.since > 0, "append {acknowledged} was acknowledged without a sync of the log");
            }
        }
        assert_eq!(acknowledged, APPENDS);
    })
    .await;
}

/// How often the log was synced, told from lines of `strace` such as `17 fdatasync(9</tmp/journal.db-wal>) = 0`.
#[derive(Default)]
struct Syncs {
    since: usize,
    /// Threads that are at it, when another one's call came in between.
    under_way: HashSet<String>,
}

impl Syncs {
    fn hear(&mut self, call: &str) {
        let (thread, call) = call.split_once(' ').unwrap();
        let is_sync = call.contains("fdatasync") || call.contains("fsync");
        if is_sync && call.contains("journal.db-wal>") && call.contains("<unfinished") {
            self.under_way.insert(thread.to_owned());
        } else if is_sync && (call.contains("journal.db-wal>") || self.under_way.remove(thread)) {
            self.since += usize::from(call.ends_with("= 0"));
        }
    }
}

/// Copies the database and so many bytes of its log.
fn cut(from: &Path, to: &Path, log: &[u8]) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
    fs::write(to.with_extension("db-wal"), log).unwrap();
}

/// As after a power cut: what the disk did not get is missing at the end of the log, or is something else. What is there has no
/// gap, and all that is in the database; it is everything when the log is whole. It is delivered, each conversation in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_cut_off_has_the_first_events_without_a_gap() {
    bounded(async {
        const EVENTS: usize = 120;
        const FOLDED: usize = 20;
        // The log must not have been folded into the database meanwhile: then a cut log is no power cut.
        let (home, journal, ids, log) = loop {
            let home = Home::sqlite();
            let mut ids = Vec::new();
            let journal = home.open(&["crm"]).await;
            keep_some(&journal, FOLDED, &mut ids).await;
            journal.close().await;
            let journal = home.open(&["crm"]).await;
            let before = fs::read(path(&home)).unwrap();
            keep_some(&journal, EVENTS - FOLDED, &mut ids).await;
            let log = fs::read(path(&home).with_extension("db-wal")).unwrap();
            let after = fs::read(path(&home)).unwrap();
            if before == after {
                break (home, journal, ids, log);
            }
        };
        let database = home.config_path_copy();
        let directory = tempfile::tempdir().unwrap();
        let mut lengths: Vec<usize> = (1..40).map(|part| log.len() * part / 40 + part * 37).collect();
        lengths.extend([0, 31, 32, 33, log.len() - 1, log.len()]);
        lengths.sort_unstable();
        let mut last = FOLDED;
        for (number, length) in lengths.into_iter().map(|length| length.min(log.len())).enumerate() {
            for tail in [&b""[..], &[0xa5; 5000]] {
                let copy = directory.path().join(format!("{number}-{}/journal.db", tail.len()));
                cut(&database, &copy, &[&log[..length], tail].concat());
                let journal = Journal::open(&at(copy.clone()), &["crm"]).await.unwrap();
                let found = all_ids(&journal).await;
                assert_eq!(found, ids[..found.len()], "cut at {length} of {}", log.len());
                assert!(found.len() >= last, "more of the log has not fewer events");
                last = found.len();
                let next = record("a");
                let all: Vec<String> = found.into_iter().chain([next.id.clone()]).collect();
                assert_eq!(keep(&journal, next).await, Position(all.len() as u64));
                assert_eq!(deliver_in_order(&journal, all.len()).await, HashSet::from_iter(all), "cut at {length}");
                journal.close().await;
            }
        }
        assert_eq!(last, EVENTS, "a whole log has everything");
        journal.close().await;
    })
    .await;
}

/// Keeps so many events of two conversations, and of none.
async fn keep_some(journal: &Journal, count: usize, ids: &mut Vec<String>) {
    for number in 0..count {
        let record = record(["a", "b", ""][number % 3]);
        ids.push(record.id.clone());
        keep(journal, record).await;
    }
}

/// Delivers so many, which is all there is: each once, and those of a conversation in order.
async fn deliver_in_order(journal: &Journal, count: usize) -> HashSet<String> {
    let mut crm = journal.subscribe("crm").unwrap();
    let (mut came, mut last) = (HashSet::new(), HashMap::new());
    while came.len() < count {
        for delivery in crm.next(count).await.unwrap() {
            delivery.settle(delivered()).await.unwrap();
            assert!(came.insert(delivery.record.id.clone()), "{} came twice", delivery.position);
            if let Some(key) = &delivery.record.key {
                let before = last.insert(key.clone(), delivery.position);
                assert!(before.is_none_or(|before| before < delivery.position), "{} in {key}", delivery.position);
            }
        }
    }
    assert_eq!(journal.stats().await.unwrap().targets[0].backlog, 0);
    came
}

impl Home {
    /// Where the database is now: its log is not folded into it.
    fn config_path_copy(&self) -> std::path::PathBuf {
        let copy = path(self).with_extension("copy");
        fs::copy(path(self), &copy).unwrap();
        copy
    }
}

/// The database is gone, and its log is there: nothing is begun anew over it.
#[tokio::test]
async fn a_log_without_its_database_is_refused() {
    bounded(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        let log = path.with_extension("db-wal");
        fs::write(&log, [7; 5000]).unwrap();
        let engine = EngineConfig::Sqlite(SqliteConfig { path: path.clone(), max_size: None });
        let error = super::refusal(&config(engine)).await;
        assert!(matches!(error, chathook_journal::SqliteOpenError::Orphaned(_)), "{error:?}");
        assert_eq!(fs::read(&log).unwrap(), [7; 5000]);
    })
    .await;
}
