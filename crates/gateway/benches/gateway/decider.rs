//! What a decider that stalls does to the callbacks on which it does not. One-to-one messages, a tenth of all, it keeps for
//! three seconds; group messages it lets pass at once. Beside it, in turns, one that lets pass both.
//!
//! What a decider adds to the time of an answer is in the table.
//!
//! `tests/bench decider [SECONDS_PER_ROUND ROUNDS CALLBACKS_PER_SECOND]`

use std::time::Duration;

use chathook_protocol::Command;
use chathook_simulator::{Latency, Rate};

use crate::load::Load;
use crate::server::Server;
use crate::{median, numbers};

const DEADLINE: Duration = Duration::from_millis(1500);
const QUICK: Command = Command::GroupBeforeSendMsg;
const STALLED: Command = Command::C2cBeforeSendMsg;

pub(crate) fn run(given: &[f64]) {
    let [seconds, rounds, rate] = numbers(given, [5.0, 5.0, 2000.0]);
    let time = Duration::from_secs_f64(seconds);
    let services = ["service", "stalling service"].map(Server::start);
    let gateways = services.each_ref().map(gateway);
    let load = Load {
        mix: vec![(QUICK, 9), (STALLED, 1)],
        rate: Rate::Constant(rate),
        // What is in flight when every tenth waits for the deadline, and as much again.
        connections: ((rate * 0.4) as usize).max(64),
        ..Load::of(QUICK)
    };
    for gateway in &gateways {
        load.send_for(2 * DEADLINE, gateway);
    }
    let (mut quick, mut latest) = ([const { Vec::new() }; 2], 0.0_f64);
    for i in 0..rounds as usize {
        // The machine's speed drifts: who is first in one round is second in the next.
        for k in if i % 2 == 0 { [0, 1] } else { [1, 0] } {
            let report = load.send_for(time, &gateways[k]);
            let times = |command: Command| report.commands.get(command.as_str()).unwrap().latency_ms;
            quick[k].push(times(QUICK));
            if k == 1 {
                latest = latest.max(times(STALLED).max);
            }
        }
    }
    println!("{rate} callbacks/s in an open loop, {rounds} rounds of {time:?} each, median of the rounds, ms:");
    println!("{:<36} {:>7} {:>7} {:>7} {:>7}", "", "p50", "p90", "p99", "p99.9");
    for (name, rounds) in ["no stalls", "a tenth stalls, the other nine"].into_iter().zip(&quick) {
        let at = |of: fn(&Latency) -> f64| median(rounds.iter().map(of));
        let [p50, p90, p99, p999] = [at(|all| all.p50), at(|all| all.p90), at(|all| all.p99), at(|all| all.p999)];
        println!("{name:<36} {p50:>7.3} {p90:>7.3} {p99:>7.3} {p999:>7.3}");
    }
    let [calm, beside] = &quick;
    let ratios: Vec<f64> = beside.iter().zip(calm).map(|(beside, calm)| beside.p99 / calm.p99).collect();
    println!(
        "p99 of the nine beside a stalling tenth, to that without stalls: {:.2} (rounds: {})",
        median(ratios.clone()),
        ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" ")
    );
    let late = latest - DEADLINE.as_secs_f64() * 1e3;
    println!("the latest answer of those that stalled: {late:.1} ms after the deadline");
    let failures = |gateway: &Server, reason| gateway.metric("chathook_decider_errors_total", reason);
    let [calm, beside] = &gateways;
    assert_eq!(failures(calm, ""), 0.0, "each was answered by the decider");
    let timeouts = failures(beside, "reason=\"timeout\"");
    assert!(timeouts > 0.0 && timeouts == failures(beside, ""), "the breaker stays closed");
}

/// A gateway that asks this service.
fn gateway(service: &Server) -> Server {
    let (deadline, address) = (DEADLINE.as_millis(), service.address);
    Server::gateway(
        "gateway",
        &format!(
            "[decide]\ndeadline = \"{deadline}ms\"\n\
             [[decider]]\nname = \"moderation\"\ncommands = [\"{QUICK}\", \"{STALLED}\"]\nhttp.url = \"http://{address}/\"\n"
        ),
    )
}
