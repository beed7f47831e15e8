//! Callbacks per second over real sockets: the gateway against an actix-web handler that reads the body and returns a
//! constant, in turns in one run, with the load from the same machine. Then memory after a million callbacks, and the
//! time from start to ready.
//!
//! `cargo bench --bench sockets [-- SECONDS_PER_ROUND ROUNDS]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and ends when something is wrong")]

#[path = "shared/server.rs"]
#[expect(dead_code, reason = "not every benchmark needs all of it")]
mod server;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use chathook_gateway::Gateway;
use chathook_protocol::group;
use chathook_router::Ctx;

use server::{Server, config, listens, median, numbers, role};

const CONNECTIONS: usize = 64;
const COMMAND: &str = "Group.CallbackBeforeSendMsg";

fn main() {
    let [seconds, rounds] = numbers([3, 7]);
    match role().as_deref() {
        Some("bare") => serve_bare(),
        Some(_) => serve_gateway(),
        None => compare(Duration::from_secs(seconds), rounds),
    }
}

/// Reads the body, returns a constant: the ceiling.
#[actix_web::main]
async fn serve_bare() {
    let server = HttpServer::new(|| {
        App::new().route(
            "/",
            web::post().to(async |_body: web::Bytes| {
                HttpResponse::Ok()
                    .content_type("application/json")
                    .body(r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#)
            }),
        )
    })
    .workers(std::thread::available_parallelism().unwrap().get())
    .bind("127.0.0.1:0")
    .unwrap();
    listens(server.addrs()[0], server.addrs()[0]);
    server.run().await.unwrap();
}

/// Signature check, typed decode, a handler that looks at the text.
#[tokio::main]
async fn serve_gateway() {
    let gateway = Gateway::builder(config(""))
        .before(|_cx: Ctx, msg: group::BeforeSendMsg| async move {
            let spam = msg.body.iter().filter_map(|element| element.as_text()).any(|text| text.contains("casino"));
            Ok(if spam { group::SendDecision::refuse() } else { group::SendDecision::allow() })
        })
        .build()
        .await
        .unwrap();
    listens(gateway.callbacks_address(), gateway.admin_address());
    gateway.run().await.unwrap();
}

/// A signed callback of 1 KiB, as bytes.
fn request() -> Vec<u8> {
    let body = format!(
        r#"{{"CallbackCommand":"{COMMAND}","GroupId":"@TGS#2KX7QWPLM","Type":"Public","From_Account":"u_501","Operator_Account":"u_501","Random":2804799576,"MsgId":"144115240871234567-1731400213-2987654321","OnlineOnlyFlag":0,"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"TEXT"}}}}],"CloudCustomData":"{{\"badge\":2}}","EventTime":1740731300456}}"#
    );
    server::request(COMMAND, &body)
}

/// Sends `limit` requests, or for `time`, on 64 kept connections; gives answers per second.
fn load(address: SocketAddr, time: Duration, limit: u64) -> f64 {
    let request = Arc::new(request());
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    // Few threads for many connections: the load must not cost more than what it measures.
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (request, stop, answers) = (Arc::clone(&request), Arc::clone(&stop), Arc::clone(&answers));
            std::thread::spawn(move || {
                let mut connections: Vec<_> =
                    (0..CONNECTIONS / 4).map(|_| TcpStream::connect(address).unwrap()).collect();
                let mut buffer = [0; 4096];
                for connection in &mut connections {
                    connection.write_all(&request).unwrap();
                }
                // Each connection has its next request as soon as its answer was read, as with a sender that waits.
                for i in (0..connections.len()).cycle() {
                    let length = connections[i].read(&mut buffer).unwrap();
                    let answer = &buffer[..length];
                    assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(br#""ErrorCode":0}"#));
                    answers.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
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

fn compare(round: Duration, rounds: u64) {
    let (bare, gateway) = (Server::start("bare"), Server::start("gateway"));
    for server in [&bare, &gateway] {
        load(server.address, Duration::from_millis(500), u64::MAX);
    }
    let (mut ratios, mut cpu_ratios) = (Vec::new(), Vec::new());
    for i in 0..rounds {
        let measured = |server: &Server| {
            let before = server.cpu();
            let rate = load(server.address, round, u64::MAX);
            (rate, (server.cpu() - before) / (rate * round.as_secs_f64()) * 1e6)
        };
        // The machine's speed drifts: whoever is first in one round is second in the next.
        let ((bare_rate, bare_cpu), (rate, cpu)) = match i % 2 {
            0 => {
                let first = measured(&bare);
                (first, measured(&gateway))
            }
            _ => {
                let first = measured(&gateway);
                (measured(&bare), first)
            }
        };
        println!(
            "round {}: bare {bare_rate:>7.0}/s ({bare_cpu:.1} us CPU each), gateway {rate:>7.0}/s ({cpu:.1} us), {:.1} %",
            i + 1,
            100.0 * rate / bare_rate
        );
        ratios.push(rate / bare_rate);
        cpu_ratios.push(cpu / bare_cpu);
    }
    println!("callbacks per second, gateway / bare, median of {rounds}: {:.1} %", 100.0 * median(ratios));
    println!("CPU time per callback, gateway / bare, median: {:.2}", median(cpu_ratios));

    let fresh = Server::start("gateway");
    let at_start = fresh.resident();
    load(fresh.address, Duration::from_secs(600), 1_000_000);
    println!("resident memory: {at_start:.1} MiB at start, {:.1} MiB after a million callbacks", fresh.resident());

    let starts = (0..20).map(|_| {
        let started = Instant::now();
        let server = Server::start("gateway");
        loop {
            if server.get("/readyz").starts_with("HTTP/1.1 200 ") {
                break started.elapsed().as_secs_f64() * 1e3;
            }
        }
    });
    println!("start to ready, median of 20: {:.1} ms", median(starts.collect()));
}
