//! From start to ready, and resident memory at the start and after many callbacks.
//!
//! `tests/bench start [CALLBACKS]`

use std::time::Instant;

use chathook_protocol::Command;

use crate::load::Load;
use crate::server::Server;
use crate::{median, numbers};

const STARTS: usize = 20;

pub(crate) fn run(given: &[f64]) {
    let [callbacks] = numbers(given, [1e6]);
    let start = || Server::gateway("gateway with handlers", "");
    let starts = (0..STARTS).map(|_| {
        let started = Instant::now();
        start().await_ready();
        started.elapsed().as_secs_f64() * 1e3
    });
    println!("start to ready, median of {STARTS}: {:.1} ms", median(starts));

    let server = start();
    server.await_ready();
    let at_start = server.resident();
    Load::of(Command::GroupBeforeSendMsg).send_many(callbacks as u64, &server);
    println!(
        "resident memory: {at_start:.1} MiB at start, {:.1} MiB after {callbacks} before-callbacks",
        server.resident()
    );
}
