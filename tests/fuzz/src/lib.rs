//! What must hold for every input, whoever sends it.
//!
//! Each target is a function that panics where a promise is broken. cargo-fuzz drives them with coverage
//! (`targets/`), and an ordinary test with the seeds and a seeded mutation of them ([`try_for`]).
#![forbid(unsafe_code)]

pub mod body;
#[cfg(feature = "gateway")]
pub mod config;
#[cfg(feature = "gateway")]
pub mod decider;
pub mod decision;
mod mutate;
pub mod query;
pub mod signature;
mod wire;

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use self::mutate::Mutator;

/// A function that panics for an input that breaks a promise, and what to begin with.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name for cargo-fuzz.
    pub name: &'static str,
    /// The function.
    pub check: fn(&[u8]),
    /// Inputs that mean something.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
#[must_use]
pub fn targets() -> Vec<Target> {
    vec![
        Target { name: "query", check: query::check, seeds: query::seeds },
        Target { name: "signature", check: signature::check, seeds: signature::seeds },
        Target { name: "body", check: body::check, seeds: body::seeds },
        Target { name: "decision", check: decision::check, seeds: decision::seeds },
        #[cfg(feature = "gateway")]
        Target { name: "decider", check: decider::check, seeds: decider::seeds },
        #[cfg(feature = "gateway")]
        Target { name: "config", check: config::check, seeds: config::seeds },
    ]
}

/// Tries each file that the program is called with.
///
/// # Errors
/// When one cannot be read.
pub fn try_files(check: fn(&[u8])) -> io::Result<()> {
    for file in std::env::args_os().skip(1) {
        check(&fs::read(file)?);
    }
    Ok(())
}

/// Tries the seeds of `target`, and then inputs made of them for as long as `time`; gives how many there were. The n-th
/// input is the same in every run.
#[must_use]
pub fn try_for(target: &Target, time: Duration) -> usize {
    let (seeds, dictionary, ends) = ((target.seeds)(), dictionary(), Instant::now() + time);
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    let mut tried = 0;
    for seed in &seeds {
        try_one(target, tried, seed);
        tried += 1;
    }
    let mut mutator = Mutator::new(&seeds, &dictionary);
    while Instant::now() < ends {
        let input = mutator.next();
        try_one(target, tried, &input);
        tried += 1;
    }
    tried
}

fn try_one(target: &Target, number: usize, input: &[u8]) {
    /// Shows the input where trying it panics.
    struct Shown<'a>(&'a str, usize, &'a [u8]);
    impl Drop for Shown<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("target {}, input {}: b\"{}\"", self.0, self.1, self.2.escape_ascii());
            }
        }
    }
    let _shown = Shown(target.name, number, input);
    (target.check)(input);
}

/// The words of `dictionary.txt`, which libFuzzer reads too: a string in quotes a line, with `\\`, `\"` and `\xAB`.
fn dictionary() -> Vec<Vec<u8>> {
    let text = include_str!("../dictionary.txt");
    let quoted = text.lines().filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix('"'));
    quoted.map(unescaped).collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        (bytes, rest) = match (*first, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("two digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal digits"));
                (bytes, tail)
            }
            (b'\\', [escaped, tail @ ..]) => {
                bytes.push(*escaped);
                (bytes, tail)
            }
            (plain, tail) => {
                bytes.push(plain);
                (bytes, tail)
            }
        };
    }
    bytes
}

/// A folder of the repository.
fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{dictionary, targets, try_for};

    /// How long each target is tried: `CHATHOOK_FUZZ_SECONDS`, or 3 seconds.
    fn time() -> Duration {
        let seconds = std::env::var("CHATHOOK_FUZZ_SECONDS").map(|text| text.parse().expect("a number of seconds"));
        Duration::from_secs(seconds.unwrap_or(3))
    }

    fn try_target(name: &str) {
        let target = targets().into_iter().find(|target| target.name == name).expect("a target of this name");
        println!("{name}: {} inputs", try_for(&target, time()));
    }

    #[test]
    fn a_query_is_read_as_it_is_written() {
        try_target("query");
    }

    #[test]
    fn no_sign_but_the_right_one_is_taken() {
        try_target("signature");
    }

    #[test]
    fn what_is_read_of_a_body_is_read_again_from_what_it_is_written_as() {
        try_target("body");
    }

    #[test]
    fn what_callback_servers_answer_is_refused_or_what_chat_takes() {
        try_target("decision");
    }

    #[cfg(feature = "gateway")]
    #[test]
    fn what_deciders_answer_is_refused_or_what_chat_takes() {
        try_target("decider");
    }

    #[cfg(feature = "gateway")]
    #[test]
    fn a_configuration_is_refused_in_one_line_or_means_the_same_when_written_again() {
        try_target("config");
    }

    #[test]
    fn words_of_the_dictionary_are_the_bytes_that_they_stand_for() {
        let words = dictionary();
        for word in [&b"\"ActionStatus\":"[..], b"\\u0000", b"\xff", b"&Sign="] {
            assert!(words.iter().any(|known| known == word), "{}", word.escape_ascii());
        }
    }
}
