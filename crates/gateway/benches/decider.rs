//! What a decider in another process adds to the time of an answer, and what one that stalls does to the others.
//!
//! Callbacks come in an open loop, so many a second whatever the answers do; the time of an answer counts from the moment
//! that its callback was due. Four situations take turns in one run: nobody decides, a `passthrough` decider, the same
//! with a decider that keeps every tenth callback for three seconds, and a bare actix-web handler.
//!
//! `cargo bench --bench decider [-- SECONDS_PER_ROUND ROUNDS CALLBACKS_PER_SECOND]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and ends when something is wrong")]

#[path = "shared/server.rs"]
#[expect(dead_code, reason = "not every benchmark needs all of it")]
mod server;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use chathook_gateway::Gateway;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use server::{Server, config, listens, median, numbers, role};

const COMMAND: &str = "Group.CallbackBeforeSendMsg";
const DEADLINE: Duration = Duration::from_millis(1500);
/// What a callback carries that the decider keeps.
const STALLS: &str = "u_stall";

fn main() {
    let [seconds, rounds, rate] = numbers([5, 5, 2000]);
    match role().as_deref() {
        Some("decider") => serve_decider(),
        Some(server) => serve_gateway(server.strip_prefix("gateway ").unwrap()),
        None => compare(Duration::from_secs(seconds), rounds, rate),
    }
}

/// Allows at once, but for what it keeps for three seconds.
#[actix_web::main]
async fn serve_decider() {
    let server = HttpServer::new(|| {
        App::new().route(
            "/",
            web::post().to(async |body: web::Bytes| {
                if has(&body, STALLS.as_bytes()) {
                    tokio::time::sleep(Duration::from_secs(3)).await;
                }
                HttpResponse::Ok()
                    .content_type("application/json")
                    .body(r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#)
            }),
        )
    })
    .workers(1)
    .bind("127.0.0.1:0")
    .unwrap();
    listens(server.addrs()[0], server.addrs()[0]);
    server.run().await.unwrap();
}

fn has(body: &[u8], word: &[u8]) -> bool {
    body.windows(word.len()).any(|window| window == word)
}

/// The gateway, with the decider at this address if there is one.
#[tokio::main]
async fn serve_gateway(decider: &str) {
    let decider = match decider {
        "none" => String::new(),
        address => format!(
            "[[decider]]\nname = \"moderation\"\ncommands = [\"{COMMAND}\"]\nhttp.url = \"http://{address}/\"\n"
        ),
    };
    let deadline = format!("[decide]\ndeadline = \"{}ms\"\n", DEADLINE.as_millis());
    let gateway = Gateway::builder(config(&(deadline + &decider))).build().await.unwrap();
    listens(gateway.callbacks_address(), gateway.admin_address());
    gateway.run().await.unwrap();
}

/// Callbacks on which the decider gave no decision, by the reason.
fn failures(server: &Server) -> Vec<String> {
    let metrics = server.get("/metrics");
    let failures = metrics.lines().filter(|line| line.starts_with("chathook_decider_errors_total{"));
    failures.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
}

/// A signed callback of 1 KiB, as bytes.
fn request(sender: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"CallbackCommand":"{COMMAND}","GroupId":"@TGS#2KX7QWPLM","Type":"Public","From_Account":"{sender}","Operator_Account":"{sender}","Random":2804799576,"MsgId":"144115240871234567-1731400213-2987654321","OnlineOnlyFlag":0,"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"TEXT"}}}}],"CloudCustomData":"{{\"badge\":2}}","EventTime":1740731300456}}"#
    );
    server::request(COMMAND, &body)
}

/// What one round took, in ascending order.
struct Times {
    /// Callbacks that are answered at once.
    quick: Vec<Duration>,
    /// Callbacks that the decider keeps.
    stalled: Vec<Duration>,
}

impl Times {
    fn at(&self, share: f64) -> Duration {
        self.quick[((self.quick.len() - 1) as f64 * share) as usize]
    }
}

/// The load for one server.
struct Load {
    address: SocketAddr,
    connections: usize,
    runtime: tokio::runtime::Runtime,
}

impl Load {
    fn new(address: SocketAddr, connections: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { address, connections, runtime }
    }

    /// Opens all connections anew: servers close those that were idle while others were measured.
    fn open(&self) -> VecDeque<TcpStream> {
        self.runtime.block_on(async {
            let mut opened = VecDeque::new();
            for _ in 0..self.connections {
                let connection = TcpStream::connect(self.address).await.unwrap();
                connection.set_nodelay(true).unwrap();
                opened.push_back(connection);
            }
            opened
        })
    }

    /// Sends `rate` callbacks a second for `time`; every tenth stalls if `stalls`.
    fn run(&self, time: Duration, rate: u64, stalls: bool) -> Times {
        let (quick, stalling) = (request("u_501"), request(STALLS));
        let requests: [Arc<[u8]>; 2] = [quick.into(), stalling.into()];
        let idle = Arc::new(Mutex::new(self.open()));
        let (answered, answers) = mpsc::channel();
        let started = Instant::now() + Duration::from_millis(10);
        let count = u64::try_from(time.as_millis()).unwrap() * rate / 1000;
        for i in 0..count {
            let due = started + Duration::from_nanos(1_000_000_000 / rate * i);
            // Short sleeps are exact to about 60 microseconds; what is missing then counts.
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let is_stalled = stalls && i % 10 == 9;
            let request = Arc::clone(&requests[usize::from(is_stalled)]);
            let (idle, answered) = (Arc::clone(&idle), answered.clone());
            // There are more connections than callbacks in flight, and each has its turn.
            let mut connection = idle.lock().unwrap().pop_front().unwrap();
            self.runtime.spawn(async move {
                let mut buffer = [0; 4096];
                connection.write_all(&request).await.unwrap();
                let length = connection.read(&mut buffer).await.unwrap();
                let took = due.elapsed();
                let answer = &buffer[..length];
                assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(br#""ErrorCode":0}"#));
                idle.lock().unwrap().push_back(connection);
                let _ = answered.send((is_stalled, took));
            });
        }
        drop(answered);
        let (mut quick, mut stalled) = (Vec::new(), Vec::new());
        for (is_stalled, took) in answers {
            if is_stalled { stalled.push(took) } else { quick.push(took) }
        }
        assert_eq!(quick.len() + stalled.len(), usize::try_from(count).unwrap(), "each callback has its answer");
        quick.sort();
        stalled.sort();
        Times { quick, stalled }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn compare(round: Duration, rounds: u64, rate: u64) {
    // A decider of its own for the stalls: what they cost it is not what is measured.
    let deciders = [Server::start("decider"), Server::start("decider")];
    let alone = Server::start("gateway none");
    let asking = Server::start(&format!("gateway {}", deciders[0].address));
    let stalling = Server::start(&format!("gateway {}", deciders[1].address));
    // What is in flight when every tenth waits for the deadline, and as much again.
    let connections = usize::try_from(rate * 2 / 5).unwrap().max(64);
    let situations = [
        ("bare handler", Load::new(deciders[0].address, connections), false),
        ("nobody decides", Load::new(alone.address, connections), false),
        ("decider", Load::new(asking.address, connections), false),
        ("decider, no stalls", Load::new(stalling.address, connections), false),
        ("decider, every tenth stalls", Load::new(stalling.address, connections), true),
    ];
    // Twice the deadline, so that each connection that will be needed was opened.
    for (_, load, stalls) in &situations {
        load.run(2 * DEADLINE, rate, *stalls);
    }
    let mut rounds_of: Vec<Vec<Times>> = situations.iter().map(|_| Vec::new()).collect();
    for i in 0..rounds {
        for k in 0..situations.len() {
            // The machine's speed drifts: each situation has each place in the order.
            let k = (k + usize::try_from(i).unwrap()) % situations.len();
            let (_, load, stalls) = &situations[k];
            rounds_of[k].push(load.run(round, rate, *stalls));
        }
    }
    println!("{rate} callbacks/s in an open loop, {rounds} rounds of {round:?} each, median of the rounds, ms:");
    println!("{:<28} {:>7} {:>7} {:>7} {:>7}", "", "p50", "p90", "p99", "p99.9");
    let at = |k: usize, share: f64| rounds_of[k].iter().map(|times| milliseconds(times.at(share))).collect::<Vec<_>>();
    for (k, (name, ..)) in situations.iter().enumerate() {
        let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(|share| median(at(k, share)));
        println!("{name:<28} {p50:>7.3} {p90:>7.3} {p99:>7.3} {p999:>7.3}");
    }
    let added = at(2, 0.99).into_iter().zip(at(1, 0.99)).map(|(with, without)| with - without);
    println!("p99 that the decider adds: {:.3} ms", median(added.collect()));
    let ratios = at(4, 0.99).into_iter().zip(at(3, 0.99)).map(|(with, without)| with / without);
    let ratios: Vec<f64> = ratios.collect();
    println!(
        "p99 of the nine beside a stalling tenth, to that without stalls: {:.2} (rounds: {})",
        median(ratios.clone()),
        ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" ")
    );
    let stalled: Vec<_> = rounds_of[4].iter().flat_map(|times| &times.stalled).collect();
    let latest = stalled.iter().max().unwrap();
    assert_eq!(failures(&asking), [""; 0], "each was answered by the decider");
    let failures = failures(&stalling);
    assert!(failures.len() == 1 && failures[0].contains("timeout"), "the breaker stays closed: {failures:?}");
    println!(
        "{} stalled: the latest answer {:.1} ms after the deadline",
        stalled.len(),
        milliseconds(latest.saturating_sub(DEADLINE))
    );
}
