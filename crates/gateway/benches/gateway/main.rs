//! What the gateway does over sockets: servers in processes of their own, and the simulator as load, on the same machine.
//! Then its keyword lists, without a socket.
//!
//! `tests/bench` runs all of it, `tests/bench NAME NUMBERS` one part; each part says which numbers it takes.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark prints, and ends when something is wrong"
)]

mod server;
mod load;
mod table;
mod decider;
mod journal;
mod start;
mod words;

use std::process::ExitCode;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A name, and what runs under it with the numbers that were given.
type Part = (&'static str, fn(&[f64]));

/// In the order in which they run.
const PARTS: [Part; 5] = [
    ("table", table::run),
    ("decider", decider::run),
    ("journal", journal::run),
    ("start", start::run),
    ("words", words::run),
];

fn main() -> ExitCode {
    if let Some(role) = server::role() {
        server::serve(&role);
        return ExitCode::SUCCESS;
    }
    // Cargo itself passes `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let name = arguments.next();
    let numbers: Result<Vec<f64>, _> = arguments.map(|number| number.parse()).collect();
    let is_chosen = |part: &str| name.as_ref().is_none_or(|name| name == part);
    let chosen: Vec<_> = PARTS.iter().filter(|(part, _)| is_chosen(part)).collect();
    let (false, Ok(numbers)) = (chosen.is_empty(), numbers) else {
        eprintln!("usage: tests/bench [{} [NUMBER...]]", PARTS.map(|(part, _)| part).join("|"));
        return ExitCode::from(2);
    };
    for (part, run) in chosen {
        println!("\n## {part}\n");
        run(&numbers);
    }
    ExitCode::SUCCESS
}

/// The numbers that were given, in their order, and defaults for the rest.
fn numbers<const N: usize>(given: &[f64], defaults: [f64; N]) -> [f64; N] {
    std::array::from_fn(|i| given.get(i).copied().unwrap_or(defaults[i]))
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
