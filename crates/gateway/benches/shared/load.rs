//! The load: callbacks on kept connections, from the same machine.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{Server, median};

const CONNECTIONS: usize = 64;
/// Few for many connections: the load must not cost more than what it measures.
const THREADS: usize = 4;

/// Writes the next callback into a buffer that is empty.
pub(crate) type Next<'a> = &'a (dyn Fn(&mut Vec<u8>) + Sync);

/// As many callbacks as are answered on 64 connections, for `time` or until there were `limit`. Answers per second.
pub(crate) fn closed(address: SocketAddr, next: Next<'_>, time: Duration, limit: u64) -> f64 {
    let (stop, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| send(address, next, &stop, &answers));
        }
        while started.elapsed() < time && answers.load(Ordering::Relaxed) < limit {
            std::thread::sleep(Duration::from_millis(5));
        }
        let rate = answers.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        rate
    })
}

/// Each connection has its next callback as soon as its answer was read, as with a sender that waits.
fn send(address: SocketAddr, next: Next<'_>, stop: &AtomicBool, answers: &AtomicU64) {
    let (mut buffer, mut request) = ([0; 4096], Vec::new());
    let mut write = |connection: &mut TcpStream| {
        request.clear();
        next(&mut request);
        connection.write_all(&request).unwrap();
    };
    let mut connections: Vec<_> = (0..CONNECTIONS / THREADS).map(|_| TcpStream::connect(address).unwrap()).collect();
    connections.iter_mut().for_each(&mut write);
    while !stop.load(Ordering::Relaxed) {
        for connection in &mut connections {
            let length = connection.read(&mut buffer).unwrap();
            check(&buffer[..length]);
            answers.fetch_add(1, Ordering::Relaxed);
            write(connection);
        }
    }
}

fn check(answer: &[u8]) {
    let is_good = answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(br#""ErrorCode":0}"#);
    assert!(is_good, "{}", String::from_utf8_lossy(answer));
}

/// A server, and what it is asked.
pub(crate) struct Side<'a> {
    pub(crate) name: &'static str,
    pub(crate) server: &'a Server,
    pub(crate) next: Next<'a>,
}

/// Two sides in turns, round by round. The second's callbacks per second and CPU time of each callback as shares of the
/// first's, medians.
pub(crate) fn compare(sides: [Side<'_>; 2], round: Duration, rounds: u64) -> (f64, f64) {
    for side in &sides {
        closed(side.server.address, side.next, Duration::from_millis(500), u64::MAX);
    }
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for i in 0..rounds {
        let mut measured = [(0.0, 0.0); 2];
        // The machine's speed drifts: whoever is first in one round is second in the next.
        for k in if i % 2 == 0 { [0, 1] } else { [1, 0] } {
            let Side { server, next, .. } = sides[k];
            let before = server.cpu();
            let rate = closed(server.address, next, round, u64::MAX);
            measured[k] = (rate, (server.cpu() - before) / (rate * round.as_secs_f64()) * 1e6);
        }
        let [(first, first_cost), (second, second_cost)] = measured;
        println!(
            "round {}: {} {first:>7.0}/s ({first_cost:.1} us CPU each), {} {second:>7.0}/s ({second_cost:.1} us), {:.1} %",
            i + 1,
            sides[0].name,
            sides[1].name,
            100.0 * second / first
        );
        rates.push(second / first);
        costs.push(second_cost / first_cost);
    }
    (median(rates), median(costs))
}

/// `rate` callbacks a second for `time`, whatever the answers take. The time of each answer, in the order of the callbacks:
/// it counts from the moment that the callback was due.
pub(crate) fn open(
    address: SocketAddr,
    connections: usize,
    mut next: impl FnMut(&mut Vec<u8>),
    time: Duration,
    rate: u64,
) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // Opened anew each time: servers close those that were idle while others were measured.
    let idle = runtime.block_on(async {
        let mut opened = VecDeque::new();
        for _ in 0..connections {
            let connection = tokio::net::TcpStream::connect(address).await.unwrap();
            connection.set_nodelay(true).unwrap();
            opened.push_back(connection);
        }
        Arc::new(Mutex::new(opened))
    });
    let (answered, answers) = mpsc::channel();
    let started = Instant::now() + Duration::from_millis(10);
    let count = usize::try_from(u64::try_from(time.as_millis()).unwrap() * rate / 1000).unwrap();
    for i in 0..count {
        let due = started + Duration::from_nanos(1_000_000_000 / rate * i as u64);
        // Short sleeps are exact to about 60 microseconds; what is missing then counts.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut request = Vec::new();
        next(&mut request);
        // Each connection has its turn. Where all wait for an answer, what is late counts in full.
        let mut connection = loop {
            match idle.lock().unwrap().pop_front() {
                Some(connection) => break connection,
                None => std::thread::sleep(Duration::from_micros(50)),
            }
        };
        let (idle, answered) = (Arc::clone(&idle), answered.clone());
        runtime.spawn(async move {
            let mut buffer = [0; 4096];
            connection.write_all(&request).await.unwrap();
            let length = connection.read(&mut buffer).await.unwrap();
            let took = due.elapsed();
            check(&buffer[..length]);
            idle.lock().unwrap().push_back(connection);
            let _ = answered.send((i, took));
        });
    }
    drop(answered);
    let mut times = vec![None; count];
    for (i, took) in answers {
        times[i] = Some(took);
    }
    times.into_iter().map(|took| took.expect("each callback has its answer")).collect()
}

/// Times in ascending order.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort();
        Self(times)
    }

    /// The time in milliseconds that this share did not exceed.
    pub(crate) fn at(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
    }
}
