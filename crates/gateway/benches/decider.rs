//! What a decider in another process adds to the time of an answer, and what one that stalls does to the others.
//!
//! Callbacks come in an open loop, so many a second whatever the answers do; the time of an answer counts from the moment
//! that its callback was due. Four situations take turns in one run: nobody decides, a `passthrough` decider, the same
//! with a decider that keeps every tenth callback for three seconds, and a bare actix-web handler.
//!
//! `cargo bench --bench decider [-- SECONDS_PER_ROUND ROUNDS CALLBACKS_PER_SECOND]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and ends when something is wrong")]

#[path = "shared/load.rs"]
#[expect(dead_code, reason = "not every benchmark needs all of it")]
mod load;
#[path = "shared/server.rs"]
#[expect(dead_code, reason = "not every benchmark needs all of it")]
mod server;

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use chathook_gateway::Gateway;

use load::Times;
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

/// What is measured.
struct Situation {
    name: &'static str,
    address: SocketAddr,
    /// Whether every tenth callback stalls.
    stalls: bool,
}

/// What one round took.
struct Round {
    /// Callbacks that are answered at once.
    quick: Times,
    /// Callbacks that the decider keeps.
    stalled: Vec<Duration>,
}

impl Situation {
    /// Sends `rate` callbacks a second for `time`.
    fn run(&self, time: Duration, rate: u64) -> Round {
        // What is in flight when every tenth waits for the deadline, and as much again.
        let connections = usize::try_from(rate * 2 / 5).unwrap().max(64);
        let [quick, stalling] = ["u_501", STALLS].map(request);
        let is_stalled = |i: usize| self.stalls && i % 10 == 9;
        let mut i = 0;
        let next = |into: &mut Vec<u8>| {
            into.extend_from_slice(if is_stalled(i) { &stalling } else { &quick });
            i += 1;
        };
        let times = load::open(self.address, connections, next, time, rate);
        let (stalled, quick): (Vec<_>, Vec<_>) = times.into_iter().enumerate().partition(|(i, _)| is_stalled(*i));
        Round {
            quick: Times::new(quick.into_iter().map(|(_, took)| took)),
            stalled: stalled.into_iter().map(|(_, took)| took).collect(),
        }
    }
}

fn compare(round: Duration, rounds: u64, rate: u64) {
    // A decider of its own for the stalls: what they cost it is not what is measured.
    let deciders = [Server::start("decider"), Server::start("decider")];
    let alone = Server::start("gateway none");
    let asking = Server::start(&format!("gateway {}", deciders[0].address));
    let stalling = Server::start(&format!("gateway {}", deciders[1].address));
    let situation = |name, server: &Server, stalls| Situation { name, address: server.address, stalls };
    let situations = [
        situation("bare handler", &deciders[0], false),
        situation("nobody decides", &alone, false),
        situation("decider", &asking, false),
        situation("decider, no stalls", &stalling, false),
        situation("decider, every tenth stalls", &stalling, true),
    ];
    for situation in &situations {
        situation.run(2 * DEADLINE, rate);
    }
    let mut rounds_of: Vec<Vec<Round>> = situations.iter().map(|_| Vec::new()).collect();
    for i in 0..rounds {
        for k in 0..situations.len() {
            // The machine's speed drifts: each situation has each place in the order.
            let k = (k + usize::try_from(i).unwrap()) % situations.len();
            rounds_of[k].push(situations[k].run(round, rate));
        }
    }
    println!("{rate} callbacks/s in an open loop, {rounds} rounds of {round:?} each, median of the rounds, ms:");
    println!("{:<28} {:>7} {:>7} {:>7} {:>7}", "", "p50", "p90", "p99", "p99.9");
    let at = |k: usize, share: f64| rounds_of[k].iter().map(|round| round.quick.at(share)).collect::<Vec<_>>();
    for (k, Situation { name, .. }) in situations.iter().enumerate() {
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
    let stalled: Vec<_> = rounds_of[4].iter().flat_map(|round| &round.stalled).collect();
    let latest = stalled.iter().max().unwrap();
    assert_eq!(failures(&asking), [""; 0], "each was answered by the decider");
    let failures = failures(&stalling);
    assert!(failures.len() == 1 && failures[0].contains("timeout"), "the breaker stays closed: {failures:?}");
    println!(
        "{} stalled: the latest answer {:.1} ms after the deadline",
        stalled.len(),
        latest.saturating_sub(DEADLINE).as_secs_f64() * 1e3
    );
}
