//! What the sqlite engine does, with every commit on the disk: `cargo bench -p chathook-journal`.
//!
//! Prints a table. A directory as argument is where the database is put (default: the system's temporary one), a number how
//! many events the backlog has (default: a million).

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on has nothing to measure, and prints"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use chathook_journal::{
    Appended, Attempt, Config, Delivery, EngineConfig, Filter, Journal, Outcome, Record, SqliteConfig,
};
use tokio::task::JoinSet;

const BODY: usize = 1024;
const RATE: u64 = 5000;
const KEYS: u64 = 2000;

fn config(path: &Path) -> Config {
    Config {
        engine: EngineConfig::Sqlite(SqliteConfig { path: path.to_path_buf(), max_size: None }),
        dedup_window: Duration::from_secs(600),
        retention: Duration::from_secs(7 * 86_400),
    }
}

fn record(number: u64, body: &Bytes) -> Record {
    Record {
        id: format!("b1c5c7e0-0c4f-4d2a-9d2e-{number:012x}"),
        app: Some(1_400_000_001),
        command: "C2C.CallbackAfterSendMsg".into(),
        key: Some(format!("c2c:u_{:04}:u_{:04}", number % KEYS, number % 97)),
        received: SystemTime::now(),
        query: "SdkAppid=1400000001&CallbackCommand=C2C.CallbackAfterSendMsg&contenttype=json&ClientIP=203.0.113.7&OptPlatform=iOS".into(),
        body: body.clone(),
        answer: None,
        by_content: false,
        decoded: true,
    }
}

struct Bench {
    number: Arc<AtomicU64>,
    body: Bytes,
}

impl Bench {
    fn next(&self) -> Record {
        record(self.number.fetch_add(1, Ordering::Relaxed), &self.body)
    }

    /// So many records in flight all the time: appends a second, and how long they took.
    async fn closed(&self, journal: &Journal, in_flight: usize, limit: Duration) -> (f64, Times) {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..in_flight {
            let (journal, number, body) = (journal.clone(), Arc::clone(&self.number), self.body.clone());
            tasks.spawn(async move {
                let mut times = Vec::new();
                while began.elapsed() < limit {
                    let record = record(number.fetch_add(1, Ordering::Relaxed), &body);
                    let started = Instant::now();
                    kept(journal.append(record).await);
                    times.push(started.elapsed());
                }
                times
            });
        }
        let times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
        let rate = times.len() as f64 / began.elapsed().as_secs_f64();
        (rate, Times::new(times))
    }

    /// At a fixed rate, whatever the answers take; each is measured from when it was due.
    async fn open(&self, journal: &Journal, rate: u64, limit: Duration) -> Times {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        let mut times = Vec::new();
        let count = rate * limit.as_secs();
        let mut sent = 0;
        while sent < count {
            let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
            while sent < due.min(count) {
                let (journal, record) = (journal.clone(), self.next());
                let at = began + Duration::from_secs_f64(sent as f64 / rate as f64);
                tasks.spawn(async move {
                    kept(journal.append(record).await);
                    at.elapsed()
                });
                sent += 1;
            }
            while let Some(time) = tasks.try_join_next() {
                times.extend(time);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.extend(tasks.join_all().await);
        Times::new(times)
    }
}

fn kept(appended: Result<Appended, chathook_journal::AppendError>) {
    assert!(matches!(appended, Ok(Appended::Kept(_))), "{appended:?}");
}

struct Times(Vec<Duration>);

impl Times {
    fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    fn at(&self, part: f64) -> f64 {
        let index = (self.0.len() as f64 * part) as usize;
        self.0.get(index.min(self.0.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }
}

/// Takes deliveries and settles each, 64 out at once, until it is stopped. Counts them.
fn drain(journal: &Journal, target: &str, count: &Arc<AtomicU64>) -> tokio::task::JoinHandle<()> {
    let mut subscription = journal.subscribe(target).unwrap();
    let count = Arc::clone(count);
    tokio::spawn(async move {
        let mut out = JoinSet::new();
        loop {
            while out.len() < 64 {
                let next = match out.is_empty() {
                    true => subscription.next(64).await,
                    false => match tokio::time::timeout(Duration::ZERO, subscription.next(64 - out.len())).await {
                        Ok(next) => next,
                        Err(_) => break,
                    },
                };
                for delivery in next.unwrap() {
                    out.spawn(settle(delivery, Arc::clone(&count)));
                }
            }
            out.join_next().await;
        }
    })
}

async fn settle(delivery: Delivery, count: Arc<AtomicU64>) {
    let outcome = Outcome::Delivered { detail: "200".into() };
    delivery.settle(Attempt { at: SystemTime::now(), took: Duration::from_millis(1), outcome }).await.unwrap();
    count.fetch_add(1, Ordering::Relaxed);
}

/// Resident memory of this process in MiB.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
}

async fn run(directory: &Path, backlog: u64) {
    let path = directory.join("journal.db");
    let bench = Bench { number: Arc::default(), body: vec![b'x'; BODY].into() };
    let journal = Journal::open(&config(&path), &[]).await.unwrap();
    println!("records of {BODY} bytes, every commit on the disk, {} in memory at the start", mib(memory()));

    println!("\n{:<34} {:>10} {:>9} {:>9}", "append, in flight", "records/s", "p50 ms", "p99 ms");
    for in_flight in [1, 64, 256] {
        let (rate, times) = bench.closed(&journal, in_flight, Duration::from_secs(4)).await;
        println!("{in_flight:<34} {rate:>10.0} {:>9.2} {:>9.2}", times.at(0.5), times.at(0.99));
    }

    println!(
        "\n{:<34} {:>10} {:>9} {:>9} {:>9}",
        "append at 5,000/s for 10 s", "drained/s", "p50 ms", "p99 ms", "max ms"
    );
    let row = |name: &str, drained: Option<f64>, times: &Times| {
        let drained = drained.map_or("-".into(), |drained| format!("{drained:.0}"));
        println!("{name:<34} {drained:>10} {:>9.2} {:>9.2} {:>9.2}", times.at(0.5), times.at(0.99), times.at(1.0));
    };
    let limit = Duration::from_secs(10);
    let empty = bench.open(&journal, RATE, limit).await;
    row("no target", None, &empty);

    journal.set_targets(&["crm"]).await.unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let crm = drain(&journal, "crm", &count);
    let times = bench.open(&journal, RATE, limit).await;
    row("one target that keeps up", Some(count.load(Ordering::Relaxed) as f64 / limit.as_secs_f64()), &times);
    crm.abort();
    let _ = crm.await;

    // A target that takes nothing: everything from here on is its backlog.
    journal.set_targets(&["slow"]).await.unwrap();
    let already = bench.number.load(Ordering::Relaxed);
    let mut tasks = JoinSet::new();
    for _ in 0..256 {
        let (journal, number, body) = (journal.clone(), Arc::clone(&bench.number), bench.body.clone());
        tasks.spawn(async move {
            loop {
                let next = number.fetch_add(1, Ordering::Relaxed);
                if next >= already + backlog {
                    return;
                }
                kept(journal.append(record(next, &body)).await);
            }
        });
    }
    tasks.join_all().await;
    let stats = journal.stats().await.unwrap();
    println!("\nbacklog of {} events, {} in memory", stats.targets[0].backlog, mib(memory()));
    let full = bench.open(&journal, RATE, limit).await;
    row("next to it", None, &full);
    println!(
        "append time with backlog / without: p50 {:.2}, p99 {:.2}",
        full.at(0.5) / empty.at(0.5),
        full.at(0.99) / empty.at(0.99)
    );
    for in_flight in [1, 64] {
        let (rate, times) = bench.closed(&journal, in_flight, Duration::from_secs(4)).await;
        println!("{in_flight:<34} {rate:>10.0} {:>9.2} {:>9.2}   (closed loop)", times.at(0.5), times.at(0.99));
    }

    let log = std::fs::metadata(path.with_extension("db-wal")).map_or(0, |file| file.len());
    println!("its log has {:.0} MiB on the disk", log as f64 / 1_048_576.0);
    let began = Instant::now();
    let nobody = Filter { contains: Some("\"u_501\"".into()), ..Filter::default() };
    assert!(journal.events(&nobody).await.unwrap().is_empty());
    println!("searched in all bodies in {:.0} ms", began.elapsed().as_secs_f64() * 1000.0);
    let size = std::fs::metadata(&path).map_or(0, |file| file.len());
    journal.close().await;
    drop(journal);
    let began = Instant::now();
    let journal = Journal::open(&config(&path), &["slow"]).await.unwrap();
    println!(
        "opened with it in {:.0} ms ({:.0} MiB on the disk)",
        began.elapsed().as_secs_f64() * 1000.0,
        size as f64 / 1_048_576.0
    );

    let count = Arc::new(AtomicU64::new(0));
    let slow = drain(&journal, "slow", &count);
    let times = bench.open(&journal, RATE, limit).await;
    row("draining it next to appends", Some(count.load(Ordering::Relaxed) as f64 / limit.as_secs_f64()), &times);
    let before = count.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(4)).await;
    println!("{:<34} {:>10.0}", "draining it alone", (count.load(Ordering::Relaxed) - before) as f64 / 4.0);
    println!("{} in memory at the end", mib(memory()));
    slow.abort();
    let _ = slow.await;
    journal.close().await;
}

fn mib(mib: f64) -> String {
    format!("{mib:.0} MiB")
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let number = arguments.iter().find_map(|argument| argument.parse().ok());
    let place = arguments.iter().find(|argument| argument.parse::<u64>().is_err());
    let directory = match place {
        Some(place) => tempfile::tempdir_in(place),
        None => tempfile::tempdir(),
    };
    let directory = directory.unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(run(directory.path(), number.unwrap_or(1_000_000)));
}
