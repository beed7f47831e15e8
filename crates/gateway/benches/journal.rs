//! What it costs to acknowledge only what is durable: after-callbacks, kept by the engine sqlite, beside before-callbacks
//! that nobody decides on, which are read just the same and not kept.
//!
//! Callbacks per second at 64 connections, in turns in one run; then 5,000 after-callbacks a second in an open loop, with
//! a target in another process that gets them all; then a backlog of a million, and a start with it.
//!
//! `cargo bench --bench journal [-- SECONDS_PER_ROUND ROUNDS BACKLOG]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and ends when something is wrong")]

#[path = "shared/server.rs"]
mod server;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use chathook_gateway::Gateway;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use server::{Server, config, listens, median, numbers, role};

const CONNECTIONS: usize = 64;
/// The number of the message stands here, at the same width for all.
const NUMBER: &str = "1000000000";

fn main() {
    let [seconds, rounds, backlog] = numbers([3, 7, 1_000_000]);
    match role().as_deref() {
        Some("target") => serve_target(),
        Some(server) => serve_gateway(server.strip_prefix("gateway ").unwrap()),
        None => {
            compare(Duration::from_secs(seconds), rounds);
            open_loop(Duration::from_secs(10), 5000);
            pile_up(backlog);
        }
    }
}

/// Takes everything at once.
#[actix_web::main]
async fn serve_target() {
    let server = HttpServer::new(|| {
        App::new().route("/", web::post().to(async |_body: web::Bytes| HttpResponse::Ok().finish()))
    })
    .workers(1)
    .bind("127.0.0.1:0")
    .unwrap();
    listens(server.addrs()[0], server.addrs()[0]);
    server.run().await.unwrap();
}

/// The gateway, with the target at this address if there is one.
#[tokio::main]
async fn serve_gateway(target: &str) {
    let target = match target {
        "none" => String::new(),
        address => format!("[[target]]\nname = \"crm\"\nhttp.url = \"http://{address}/\"\n"),
    };
    let gateway = Gateway::builder(config(&target)).build().await.unwrap();
    listens(gateway.callbacks_address(), gateway.admin_address());
    gateway.run().await.unwrap();
}

/// A message of 1 KiB to one of a hundred groups, of which each has a number of its own.
struct Message {
    bytes: Vec<u8>,
    number: usize,
}

impl Message {
    fn new(command: &str) -> Self {
        let body = format!(
            r#"{{"CallbackCommand":"{command}","GroupId":"@TGS#00","Type":"Public","From_Account":"u_501","Operator_Account":"u_501","MsgSeq":{NUMBER},"Random":2804799576,"OnlineOnlyFlag":0,"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"TEXT"}}}}],"CloudCustomData":"","EventTime":1740731300456}}"#
        );
        let bytes = server::request(command, &body);
        let number = bytes.windows(NUMBER.len()).position(|window| window == NUMBER.as_bytes()).unwrap();
        Self { bytes, number }
    }

    fn write(&self, n: u64, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&self.bytes);
        into[self.number..self.number + NUMBER.len()].copy_from_slice(format!("{:010}", 1_000_000_000 + n).as_bytes());
        let group = self.bytes.windows(7).position(|window| window == b"@TGS#00").unwrap();
        into[group + 5..group + 7].copy_from_slice(format!("{:02}", n % 100).as_bytes());
    }
}

/// Numbers of messages: none twice in a run.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Sends `limit` callbacks, or for `time`, on 64 kept connections; gives answers per second.
fn load(address: SocketAddr, command: &str, time: Duration, limit: u64) -> f64 {
    let message = Arc::new(Message::new(command));
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (message, stop, answers) = (Arc::clone(&message), Arc::clone(&stop), Arc::clone(&answers));
            std::thread::spawn(move || {
                let mut connections: Vec<_> =
                    (0..CONNECTIONS / 4).map(|_| TcpStream::connect(address).unwrap()).collect();
                let (mut buffer, mut request) = ([0; 4096], Vec::new());
                for connection in &mut connections {
                    message.write(NEXT.fetch_add(1, Ordering::Relaxed), &mut request);
                    connection.write_all(&request).unwrap();
                }
                for i in (0..connections.len()).cycle() {
                    let length = connections[i].read(&mut buffer).unwrap();
                    is_good(&buffer[..length]);
                    answers.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    message.write(NEXT.fetch_add(1, Ordering::Relaxed), &mut request);
                    connections[i].write_all(&request).unwrap();
                }
            })
        })
        .collect();
    while started.elapsed() < time && answers.load(Ordering::Relaxed) < limit {
        std::thread::sleep(Duration::from_millis(5));
    }
    let rate = answers.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    rate
}

fn is_good(answer: &[u8]) {
    let is_good = answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(br#""ErrorCode":0}"#);
    assert!(is_good, "{}", String::from_utf8_lossy(answer));
}

const BEFORE: &str = "Group.CallbackBeforeSendMsg";
const AFTER: &str = "Group.CallbackAfterSendMsg";

fn compare(round: Duration, rounds: u64) {
    let gateway = Server::start("gateway none");
    for command in [BEFORE, AFTER] {
        load(gateway.address, command, Duration::from_millis(500), u64::MAX);
    }
    let mut ratios = Vec::new();
    for i in 0..rounds {
        let measured = |command| {
            let before = gateway.cpu();
            let rate = load(gateway.address, command, round, u64::MAX);
            (rate, (gateway.cpu() - before) / (rate * round.as_secs_f64()) * 1e6)
        };
        let ((without, without_cpu), (with, with_cpu)) = match i % 2 {
            0 => {
                let first = measured(BEFORE);
                (first, measured(AFTER))
            }
            _ => {
                let first = measured(AFTER);
                (measured(BEFORE), first)
            }
        };
        println!(
            "round {}: not kept {without:>7.0}/s ({without_cpu:.1} us CPU each), kept {with:>7.0}/s ({with_cpu:.1} us), {:.1} %",
            i + 1,
            100.0 * with / without
        );
        ratios.push(with / without);
    }
    println!("callbacks per second, kept / not kept, median of {rounds}: {:.1} %", 100.0 * median(ratios));
}

fn open_loop(time: Duration, rate: u64) {
    let target = Server::start("target");
    let gateway = Server::start(&format!("gateway {}", target.address));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let open = async {
        let mut opened = VecDeque::new();
        for _ in 0..512 {
            let connection = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
            connection.set_nodelay(true).unwrap();
            opened.push_back(connection);
        }
        opened
    };
    let idle = Arc::new(Mutex::new(runtime.block_on(open)));
    let (message, (answered, answers)) = (Message::new(AFTER), mpsc::channel());
    let started = Instant::now() + Duration::from_millis(10);
    let count = time.as_secs() * rate;
    for i in 0..count {
        let due = started + Duration::from_nanos(1_000_000_000 / rate * i);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut request = Vec::new();
        message.write(NEXT.fetch_add(1, Ordering::Relaxed), &mut request);
        let (idle, answered) = (Arc::clone(&idle), answered.clone());
        let mut connection = loop {
            match idle.lock().unwrap().pop_front() {
                Some(connection) => break connection,
                // All wait for an answer: what is late counts in full.
                None => std::thread::yield_now(),
            }
        };
        runtime.spawn(async move {
            let mut buffer = [0; 4096];
            connection.write_all(&request).await.unwrap();
            let length = connection.read(&mut buffer).await.unwrap();
            let took = due.elapsed();
            is_good(&buffer[..length]);
            idle.lock().unwrap().push_back(connection);
            let _ = answered.send(took);
        });
    }
    drop(answered);
    let sending = started.elapsed();
    let mut times: Vec<Duration> = answers.iter().collect();
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{rate}/s for {sending:.1?} with a target: acknowledged in {:.2} ms at p50, {:.2} at p90, {:.2} at p99, {:.2} at most",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
    let delivered = r#"chathook_deliveries_total{outcome="delivered""#;
    println!("delivered when the last was acknowledged: {} of {count}", gateway.metric(delivered));
    while gateway.metric(delivered) < count as f64 {
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("all delivered {:.2} s after the first was sent", started.elapsed().as_secs_f64());
}

fn pile_up(backlog: u64) {
    // Its port is free, and nobody listens there.
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut gateway = Server::start(&format!("gateway {down}"));
    let part = |gateway: &Server| load(gateway.address, AFTER, Duration::from_secs(600), backlog / 10);
    let rates: Vec<f64> = (0..10).map(|_| part(&gateway)).collect();
    println!("kept per second, tenth by tenth of {backlog}, target down: {rates:.0?}");
    println!(
        "resident memory with a backlog of {}: {:.1} MiB",
        gateway.metric("chathook_delivery_backlog"),
        gateway.resident()
    );
    let started = Instant::now();
    gateway.restart();
    while !gateway.get("/readyz").starts_with("HTTP/1.1 200 ") {}
    println!(
        "start to ready after kill -9 with it: {:.0} ms, {:.1} MiB",
        started.elapsed().as_secs_f64() * 1e3,
        gateway.resident()
    );
}
