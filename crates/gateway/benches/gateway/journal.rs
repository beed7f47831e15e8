//! After-callbacks that are kept by the engine sqlite: so many a second in an open loop, with a target in another process
//! that gets them all; then a gateway with a backlog beside one without, in turns, and a start with the backlog.
//!
//! How many are kept beside those that are not is in the table.
//!
//! `tests/bench journal [SECONDS CALLBACKS_PER_SECOND BACKLOG]`

use std::net::TcpListener;
use std::time::{Duration, Instant};

use chathook_protocol::Command;
use chathook_simulator::Rate;

use crate::load::Load;
use crate::server::Server;
use crate::{median, numbers};

const COMMAND: Command = Command::GroupAfterSendMsg;

/// With a backlog and without, in turns.
const ROUNDS: usize = 15;

/// Later nothing is delivered any more.
const LIMIT: Duration = Duration::from_mins(5);

pub(crate) fn run(given: &[f64]) {
    let [seconds, rate, backlog] = numbers(given, [10.0, 5000.0, 1e6]);
    with_target(Duration::from_secs_f64(seconds), rate);
    with_backlog(backlog as u64);
}

/// A gateway with a target that listens there.
fn gateway(target: impl std::fmt::Display) -> Server {
    Server::gateway("gateway", &format!("[[target]]\nname = \"crm\"\nhttp.url = \"http://{target}/\"\n"))
}

fn with_target(time: Duration, rate: f64) {
    let target = Server::start("service");
    let gateway = gateway(target.address);
    let started = Instant::now();
    let load = Load { rate: Rate::Constant(rate), connections: 512, ..Load::of(COMMAND) };
    let report = load.send_for(time, &gateway);
    let times = report.all.latency_ms;
    println!(
        "{rate}/s for {time:?} with a target: acknowledged in {:.2} ms at p50, {:.2} at p90, {:.2} at p99, {:.2} at most",
        times.p50, times.p90, times.p99, times.max
    );
    let delivered = || gateway.metric("chathook_deliveries_total", "outcome=\"delivered\"");
    println!("delivered when the last was acknowledged: {} of {}", delivered(), report.callbacks);
    while delivered() < report.callbacks as f64 {
        assert!(started.elapsed() < time + LIMIT, "the target has only {}", delivered());
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("all delivered {:.2} s after the first was sent", started.elapsed().as_secs_f64());
}

fn with_backlog(backlog: u64) {
    // Its port is free, and nobody listens there.
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let [mut full, empty] = [gateway(down), gateway(down)];
    let load = Load::of(COMMAND);
    load.send_many(backlog, &full);
    println!(
        "resident memory with a backlog of {}, target down: {:.1} MiB",
        full.metric("chathook_delivery_backlog", ""),
        full.resident()
    );
    let part = backlog / 50;
    load.send_many(part, &empty);
    // The machine's speed drifts: who is first in one round is second in the next.
    let ratios: Vec<f64> = (0..ROUNDS)
        .map(|i| {
            let mut rates = [0.0; 2];
            for k in if i % 2 == 0 { [0, 1] } else { [1, 0] } {
                rates[k] = load.send_many(part, [&full, &empty][k]).answered_rate;
            }
            rates[1] / rates[0]
        })
        .collect();
    println!(
        "time to keep an event with it, to that without: {:.2} (rounds: {})",
        median(ratios.clone()),
        ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" ")
    );
    let started = Instant::now();
    full.restart();
    full.await_ready();
    println!(
        "start to ready after kill -9 with it: {:.0} ms, {:.1} MiB",
        started.elapsed().as_secs_f64() * 1e3,
        full.resident()
    );
}
