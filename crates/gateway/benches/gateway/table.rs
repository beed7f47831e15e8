//! A bare actix-web handler beside gateways that do more and more, with each kind of body, in turns in one run: as many
//! callbacks as are answered on 64 connections, then a fixed number a second in an open loop. Then the simulator, as which
//! all of it was sent, beside the gateway.
//!
//! `tests/bench table [SECONDS_PER_ROUND ROUNDS CALLBACKS_PER_SECOND]`

use std::thread::available_parallelism;
use std::time::{Duration, SystemTime};

use chathook_protocol::{Command, Phase};
use chathook_simulator::{App, Population, Rate, Report, Shapes};

use crate::load::Load;
use crate::server::{APP, Server, cpu};
use crate::{median, numbers};

/// Bodies, each with its command, and with the command that has it once the message was sent.
const BODIES: [(&str, Command, Command); 4] = [
    ("one-to-one message", Command::C2cBeforeSendMsg, Command::C2cAfterSendMsg),
    ("group message", Command::GroupBeforeSendMsg, Command::GroupAfterSendMsg),
    ("state change", Command::StateChange, Command::StateChange),
    ("push", Command::PushOfflinePush, Command::PushOfflinePush),
];

/// Before anything counts.
const WARM_UP: Duration = Duration::from_millis(300);

/// A body in a situation, with what was measured of it.
struct Row {
    body: &'static str,
    situation: Situation,
    load: Load,
    server: Server,
    rounds: Vec<Round>,
    /// All callbacks that were sent.
    sent: u64,
}

/// Who answers.
#[derive(Clone, Copy, PartialEq, strum::Display)]
enum Situation {
    #[strum(serialize = "bare handler")]
    Bare,
    #[strum(serialize = "gateway, unsigned")]
    Unsigned,
    #[strum(serialize = "gateway, signed")]
    Signed,
    #[strum(serialize = "gateway, signed, decider")]
    Decider,
    #[strum(serialize = "gateway, unsigned, journal")]
    UnsignedJournal,
    #[strum(serialize = "gateway, signed, journal")]
    Journal,
}

struct Round {
    /// Callbacks in a second.
    rate: f64,
    /// CPU time of the server for each, in microseconds.
    cost: f64,
    /// The same of the simulator.
    sending: f64,
    /// In milliseconds, at the fixed rate.
    p50: f64,
    p99: f64,
}

pub(crate) fn run(given: &[f64]) {
    let [seconds, rounds, rate] = numbers(given, [1.0, 7.0, 2000.0]);
    let (time, rounds) = (Duration::from_secs_f64(seconds), rounds as usize);
    println!("{}\n", machine());
    println!(
        "{rounds} rounds of {seconds} s at 64 connections, and of {seconds} s with {rate} callbacks/s in an open loop, all in \
         turns; medians of the rounds. Load, deciders and servers share the machine.\n"
    );
    let service = Server::start("service");
    let mut rows: Vec<Row> = BODIES.iter().flat_map(|body| rows(*body, &service)).collect();
    for row in &mut rows {
        row.send(row.load.rate, WARM_UP);
    }
    for i in 0..rounds {
        for k in 0..rows.len() {
            // The machine's speed drifts: each has early and late places in the order.
            let k = (k + i * rows.len() / rounds) % rows.len();
            rows[k].measure(time, rate);
        }
    }
    rows.iter().for_each(Row::check);
    print(&rows);
    print_simulator(&rows);
}

/// Which machine, which version, and when.
fn machine() -> String {
    let cores = available_parallelism().unwrap();
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("unknown");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let date = humantime::format_rfc3339_seconds(SystemTime::now());
    format!("chathook {}, {cores} cores of {model}, Linux {}, {date}", env!("CARGO_PKG_VERSION"), kernel.trim())
}

/// A body in each situation that it can be in.
fn rows((body, command, kept): (&'static str, Command, Command), service: &Server) -> Vec<Row> {
    use Situation::{Bare, Decider, Journal, Signed, Unsigned, UnsignedJournal};
    let row = |situation| {
        let server = match situation {
            Bare => Server::start("bare"),
            Unsigned => Server::unsigned_gateway("gateway with handlers"),
            Signed => Server::gateway("gateway with handlers", ""),
            Decider => Server::gateway("gateway", &decider(command, service)),
            UnsignedJournal => Server::unsigned_gateway("gateway"),
            Journal => Server::gateway("gateway", ""),
        };
        let load = match situation {
            Bare | Signed | Decider => Load::of(command),
            Unsigned => Load { app: App::unsigned(APP), ..Load::of(command) },
            UnsignedJournal => Load { app: App::unsigned(APP), ..Load::of(kept) },
            Journal => Load::of(kept),
        };
        Row { body, situation, load, server, rounds: Vec::new(), sent: 0 }
    };
    let situations: &[_] = match command.phase() {
        Phase::Before => &[Bare, Unsigned, Signed, Decider, Journal],
        // Nobody decides on them, and whatever is acknowledged is kept.
        Phase::After => &[Bare, UnsignedJournal, Journal],
    };
    situations.iter().map(|situation| row(*situation)).collect()
}

fn decider(command: Command, service: &Server) -> String {
    format!(
        "[[decider]]\nname = \"moderation\"\ncommands = [\"{command}\"]\nhttp.url = \"http://{}/\"\n",
        service.address
    )
}

impl Row {
    fn measure(&mut self, time: Duration, rate: f64) {
        let before = (self.server.cpu(), cpu("self"));
        let full = self.send(Rate::Max, time);
        let sending = cpu("self") - before.1;
        // What it does behind its answers counts too.
        self.server.await_rest();
        let cost = self.server.cpu() - before.0;
        let open = self.send(Rate::Constant(rate), time);
        self.server.await_rest();
        let each = |seconds: f64| seconds * 1e6 / full.callbacks as f64;
        self.rounds.push(Round {
            rate: full.answered_rate,
            cost: each(cost),
            sending: each(sending),
            p50: open.all.latency_ms.p50,
            p99: open.all.latency_ms.p99,
        });
    }

    fn send(&mut self, rate: Rate, time: Duration) -> Report {
        self.load.rate = rate;
        let report = self.load.send_for(time, &self.server);
        self.sent += report.callbacks;
        report
    }

    /// A fallback lets callbacks through as well: they have to be decided, or kept.
    fn check(&self) {
        if self.situation != Situation::Bare {
            let count = |outcome| self.server.metric("chathook_callbacks_total", &format!("outcome=\"{outcome}\""));
            let done = count("decided") + count("acknowledged");
            assert!(done >= 0.999 * self.sent as f64, "{} {}: {done} of {}", self.body, self.situation, self.sent);
        }
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of))
    }

    /// The median over the rounds of something in relation to another row, which was measured in the same round.
    fn compared(&self, other: &Self, of: impl Fn(&Round, &Round) -> f64) -> f64 {
        median(self.rounds.iter().zip(&other.rounds).map(|(round, other)| of(round, other)))
    }
}

fn print(rows: &[Row]) {
    println!("| Body | Answered by | callbacks/s | of bare | p50, ms | p99, ms | CPU time, µs | resident, MiB |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for row in rows {
        let bare = find(rows, row.body, Situation::Bare).unwrap();
        println!(
            "| {} | {} | {:.0} | {:.0} % | {:.2} | {:.2} | {:.1} | {:.1} |",
            row.body,
            row.situation,
            row.median(|round| round.rate),
            100.0 * row.compared(bare, |round, bare| round.rate / bare.rate),
            row.median(|round| round.p50),
            row.median(|round| round.p99),
            row.median(|round| round.cost),
            row.server.resident(),
        );
    }
    let bodies = BODIES.map(|(body, command, _)| format!("{body} {} bytes", average(command)));
    println!(
        "\nBodies on average: {}. State changes and pushes come after the event: there is nothing to decide, and whatever is \
         acknowledged is kept. A handler in the gateway looks at the text of messages; the decider is another process, whose \
         CPU time does not count, and the journal is asked with the callback after the message.",
        bodies.join(", ")
    );
    for (body, ..) in BODIES {
        let [signed, decider, journal] =
            [Situation::Signed, Situation::Decider, Situation::Journal].map(|situation| find(rows, body, situation));
        let (Some(signed), Some(decider), Some(journal)) = (signed, decider, journal) else { continue };
        println!(
            "{body}: the decider adds {:.2} ms at p50 and {:.2} ms at p99; kept are {:.0} % of the callbacks that are \
             answered without the journal.",
            decider.compared(signed, |with, without| with.p50 - without.p50),
            decider.compared(signed, |with, without| with.p99 - without.p99),
            100.0 * journal.compared(signed, |kept, not| kept.rate / not.rate),
        );
    }
}

fn print_simulator(rows: &[Row]) {
    println!("\n| Body | simulator, callbacks/s from a core | gateway, signed, callbacks/s on a core | ratio |");
    println!("| --- | ---: | ---: | ---: |");
    for (body, ..) in BODIES {
        let signed = [Situation::Signed, Situation::Journal].iter().find_map(|situation| find(rows, body, *situation));
        let signed = signed.unwrap();
        println!(
            "| {body} | {:.0} | {:.0} | {:.2} |",
            signed.median(|round| 1e6 / round.sending),
            signed.median(|round| 1e6 / round.cost),
            signed.median(|round| round.cost / round.sending),
        );
    }
}

fn find<'a>(rows: &'a [Row], body: &str, situation: Situation) -> Option<&'a Row> {
    rows.iter().find(|row| row.body == body && row.situation == situation)
}

/// How long the bodies of a command are on average.
fn average(command: Command) -> usize {
    const COUNT: usize = 10_000;
    let mut shapes = Shapes::new(1, Population::default(), Duration::from_secs(1_764_812_305));
    (0..COUNT).map(|_| shapes.request(command).body.len()).sum::<usize>() / COUNT
}
