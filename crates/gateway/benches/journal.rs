//! What it costs to acknowledge only what is durable: after-callbacks, kept by the engine sqlite, beside before-callbacks
//! that nobody decides on, which are read just the same and not kept.
//!
//! Callbacks per second at 64 connections, in turns in one run; then 5,000 after-callbacks a second in an open loop, with
//! a target in another process that gets them all; then a backlog of a million, and a start with it.
//!
//! `cargo bench --bench journal [-- SECONDS_PER_ROUND ROUNDS BACKLOG]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and ends when something is wrong")]

#[path = "shared/load.rs"]
mod load;
#[path = "shared/server.rs"]
mod server;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use chathook_gateway::Gateway;

use load::{Side, Times};
use server::{Server, config, listens, numbers, role};

const AFTER: &str = "Group.CallbackAfterSendMsg";
/// The number of the message stands here, and its group, at the same width for all.
const NUMBER: &str = "1000000000";
const GROUP: &str = "@TGS#00";

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
    group: usize,
}

impl Message {
    fn new(command: &str) -> Self {
        let body = format!(
            r#"{{"CallbackCommand":"{command}","GroupId":"{GROUP}","Type":"Public","From_Account":"u_501","Operator_Account":"u_501","MsgSeq":{NUMBER},"Random":2804799576,"OnlineOnlyFlag":0,"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"TEXT"}}}}],"CloudCustomData":"","EventTime":1740731300456}}"#
        );
        let bytes = server::request(command, &body);
        let place = |of: &str| bytes.windows(of.len()).position(|window| window == of.as_bytes()).unwrap();
        Self { number: place(NUMBER), group: place(GROUP), bytes }
    }

    /// The next one: none comes twice in a run.
    fn write(&self, into: &mut Vec<u8>) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        into.extend_from_slice(&self.bytes);
        into[self.number..][..NUMBER.len()].copy_from_slice(format!("{:010}", 1_000_000_000 + n).as_bytes());
        into[self.group..][..GROUP.len()].copy_from_slice(format!("@TGS#{:02}", n % 100).as_bytes());
    }
}

fn compare(round: Duration, rounds: u64) {
    let gateway = Server::start("gateway none");
    let [before, after] = ["Group.CallbackBeforeSendMsg", AFTER].map(Message::new);
    let sides = [
        Side { name: "not kept", server: &gateway, next: &|into| before.write(into) },
        Side { name: "kept", server: &gateway, next: &|into| after.write(into) },
    ];
    let (rate, cost) = load::compare(sides, round, rounds);
    println!("callbacks per second, kept / not kept, median of {rounds}: {:.1} %", 100.0 * rate);
    println!("CPU time per callback, kept / not kept, median: {cost:.2}");
}

fn open_loop(time: Duration, rate: u64) {
    let target = Server::start("target");
    let gateway = Server::start(&format!("gateway {}", target.address));
    let message = Message::new(AFTER);
    let started = Instant::now();
    let times = load::open(gateway.address, 512, |into| message.write(into), time, rate);
    let (sending, count) = (started.elapsed(), times.len());
    let times = Times::new(times);
    println!(
        "{rate}/s for {sending:.1?} with a target: acknowledged in {:.2} ms at p50, {:.2} at p90, {:.2} at p99, {:.2} at most",
        times.at(0.5),
        times.at(0.9),
        times.at(0.99),
        times.at(1.0)
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
    let message = Message::new(AFTER);
    let next = |into: &mut Vec<u8>| message.write(into);
    let part = |_| load::closed(gateway.address, &next, Duration::from_secs(600), backlog / 10);
    let rates: Vec<f64> = (0..10).map(part).collect();
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
