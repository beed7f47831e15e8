//! After-callbacks that are kept by the engine sqlite: so many a second in an open loop, with a target in another process
//! that gets them all; then a backlog, and a start with it.
//!
//! How many are kept beside those that are not is in the table.
//!
//! `tests/bench journal [SECONDS CALLBACKS_PER_SECOND BACKLOG]`

use std::net::TcpListener;
use std::time::{Duration, Instant};

use chathook_protocol::Command;
use chathook_simulator::Rate;

use crate::load::Load;
use crate::numbers;
use crate::server::Server;

const COMMAND: Command = Command::GroupAfterSendMsg;

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
    let mut gateway = gateway(down);
    let load = Load::of(COMMAND);
    let part = |_| load.send_many(backlog / 10, &gateway).answered_rate;
    let rates: Vec<f64> = (0..10).map(part).collect();
    println!("kept per second, tenth by tenth of {backlog}, target down: {rates:.0?}");
    println!(
        "resident memory with a backlog of {}: {:.1} MiB",
        gateway.metric("chathook_delivery_backlog", ""),
        gateway.resident()
    );
    let started = Instant::now();
    gateway.restart();
    gateway.await_ready();
    println!(
        "start to ready after kill -9 with it: {:.0} ms, {:.1} MiB",
        started.elapsed().as_secs_f64() * 1e3,
        gateway.resident()
    );
}
