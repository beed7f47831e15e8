//! Callbacks per second over real sockets: the gateway against an actix-web handler that reads the body and returns a
//! constant, in turns in one run, with the load from the same machine. Then memory after a million callbacks, and the
//! time from start to ready.
//!
//! `cargo bench --bench sockets [-- SECONDS_PER_ROUND ROUNDS]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and ends when something is wrong")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix_web::{App, HttpResponse, HttpServer, web};
use chathook_gateway::{Config, Gateway};
use chathook_protocol::{group, signature};
use chathook_router::Ctx;

const APP: u64 = 1_400_000_001;
const TOKEN: &str = "k3y-Example_01";
const CONNECTIONS: usize = 64;
const COMMAND: &str = "Group.CallbackBeforeSendMsg";

fn main() {
    // Cargo itself passes `--bench`.
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    match std::env::var("CHATHOOK_BENCH_SERVER").as_deref() {
        Ok("bare") => serve_bare(),
        Ok("gateway") => serve_gateway(),
        _ => compare(Duration::from_secs(numbers.first().copied().unwrap_or(3)), numbers.get(1).copied().unwrap_or(7)),
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
    println!("{} {}", server.addrs()[0], server.addrs()[0]);
    server.run().await.unwrap();
}

/// Signature check, typed decode, a handler that looks at the text.
#[tokio::main]
async fn serve_gateway() {
    let toml = format!(
        "[callbacks]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [[app]]\nsdk_app_id = {APP}\ntokens = [\"{TOKEN}\"]\nmax_age = \"1h\"\n"
    );
    let config = Config::parse(&toml, "bench.toml".as_ref(), []).unwrap();
    let gateway = Gateway::builder(config)
        .before(|_cx: Ctx, msg: group::BeforeSendMsg| async move {
            let spam = msg.body.iter().filter_map(|element| element.as_text()).any(|text| text.contains("casino"));
            Ok(if spam { group::SendDecision::refuse() } else { group::SendDecision::allow() })
        })
        .build()
        .unwrap();
    println!("{} {}", gateway.callbacks_address(), gateway.admin_address());
    gateway.run().await.unwrap();
}

/// A server in a process of its own, ended with this value.
struct Server {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Server {
    fn start(name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env("CHATHOOK_BENCH_SERVER", name)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut addresses = line.split_whitespace().map(|address| address.parse().unwrap());
        let (address, admin) = (addresses.next().unwrap(), addresses.next().unwrap());
        Self { child, address, admin }
    }

    /// CPU time of the process in seconds.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks / 100.0
    }

    /// Resident memory in MiB.
    fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A signed callback of 1 KiB, as bytes.
fn request() -> Vec<u8> {
    let mut body = format!(
        r#"{{"CallbackCommand":"{COMMAND}","GroupId":"@TGS#2KX7QWPLM","Type":"Public","From_Account":"u_501","Operator_Account":"u_501","Random":2804799576,"MsgId":"144115240871234567-1731400213-2987654321","OnlineOnlyFlag":0,"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"TEXT"}}}}],"CloudCustomData":"{{\"badge\":2}}","EventTime":1740731300456}}"#
    );
    let text = "see you at nine at the old bridge ".repeat(40);
    body = body.replace("TEXT", &text[..1024 + "TEXT".len() - body.len()]);
    assert_eq!(body.len(), 1024);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    format!(
        "POST /?SdkAppid={APP}&CallbackCommand={COMMAND}&contenttype=json&ClientIP=203.0.113.7&OptPlatform=iOS\
         &Sign={}&RequestTime={time} HTTP/1.1\r\nHost: chathook\r\nContent-Length: {}\r\n\r\n{body}",
        signature::sign(TOKEN, time),
        body.len()
    )
    .into_bytes()
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
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
            let mut connection = TcpStream::connect(server.admin).unwrap();
            connection.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).unwrap();
            if answer.starts_with("HTTP/1.1 200 ") {
                break started.elapsed().as_secs_f64() * 1e3;
            }
        }
    });
    println!("start to ready, median of 20: {:.1} ms", median(starts.collect()));
}
