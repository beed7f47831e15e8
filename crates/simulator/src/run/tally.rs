//! Counts and times, while a run goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use chathook_protocol::{Command, Phase};
use hdrhistogram::Histogram;
use strum::{EnumCount, IntoEnumIterator};

use crate::report::{Figures, Latency, Name};
use crate::verdict::{FailureKind, Verdict, VerdictKind};

/// What one worker has seen.
#[derive(Debug)]
pub(super) struct Tally {
    commands: Vec<Option<Box<Counts>>>,
    /// How late callbacks were sent.
    lateness: Histogram<u64>,
    /// Since the last look at it, the warm-up included.
    recent: Histogram<u64>,
    pub(super) callbacks: u64,
    pub(super) failed: u64,
    pub(super) flows: u64,
    pub(super) retries: u64,
    pub(super) resent: u64,
    pub(super) opened: u64,
}

/// What came of one command, or of several.
#[derive(Debug)]
struct Counts {
    latency: Histogram<u64>,
    service: Histogram<u64>,
    verdicts: [u64; VerdictKind::COUNT],
    failures: BTreeMap<FailureKind, u64>,
}

/// One callback that was answered or given up.
pub(super) struct Observed<'a> {
    pub(super) command: Command,
    /// Since it was due.
    pub(super) latency: Duration,
    /// Since it was sent; none for one that was not.
    pub(super) service: Option<Duration>,
    pub(super) verdict: &'a Verdict,
    /// Whether the warm-up is over.
    pub(super) counts: bool,
}

/// Three significant digits, from a microsecond to an hour.
#[expect(clippy::expect_used, reason = "constant bounds, which are right or wrong for good")]
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("bounds in their order")
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Counts {
    fn new() -> Self {
        Self {
            latency: histogram(),
            service: histogram(),
            verdicts: [0; VerdictKind::COUNT],
            failures: BTreeMap::new(),
        }
    }

    fn add(&mut self, other: &Self) {
        let _ = self.latency.add(&other.latency);
        let _ = self.service.add(&other.service);
        self.verdicts.iter_mut().zip(other.verdicts).for_each(|(sum, more)| *sum += more);
        for (kind, count) in &other.failures {
            *self.failures.entry(*kind).or_default() += count;
        }
    }

    fn figures(&self) -> Figures {
        let verdicts = VerdictKind::iter().zip(self.verdicts).filter(|(_, count)| *count > 0);
        Figures {
            callbacks: self.verdicts.iter().sum(),
            latency_ms: Latency::of(&self.latency),
            service_ms: Latency::of(&self.service),
            verdicts: verdicts.map(|(kind, count)| (Name(kind), count)).collect(),
            failures: self.failures.iter().map(|(kind, count)| (Name(*kind), *count)).collect(),
        }
    }
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            commands: (0..Command::COUNT).map(|_| None).collect(),
            lateness: histogram(),
            recent: histogram(),
            callbacks: 0,
            failed: 0,
            flows: 0,
            retries: 0,
            resent: 0,
            opened: 0,
        }
    }

    pub(super) fn observe(&mut self, observed: &Observed<'_>) {
        self.callbacks += 1;
        let latency = micros(observed.latency);
        self.recent.saturating_record(latency);
        let failure = match observed.verdict {
            Verdict::Failed(failure) => Some(failure.kind()),
            _ => None,
        };
        self.failed += u64::from(failure.is_some());
        let Some(slot) = self.commands.get_mut(observed.command as usize).filter(|_| observed.counts) else { return };
        let counts = slot.get_or_insert_with(|| Box::new(Counts::new()));
        counts.latency.saturating_record(latency);
        if let Some(service) = observed.service {
            counts.service.saturating_record(micros(service));
            self.lateness.saturating_record(micros(observed.latency.saturating_sub(service)));
        }
        if let Some(count) = counts.verdicts.get_mut(observed.verdict.kind() as usize) {
            *count += 1;
        }
        if let Some(failure) = failure {
            *counts.failures.entry(failure).or_default() += 1;
        }
    }

    /// The times since the last call.
    pub(super) fn take_recent(&mut self, sum: &mut Histogram<u64>) {
        let _ = sum.add(&self.recent);
        self.recent.reset();
    }

    pub(super) fn empty_times() -> Histogram<u64> {
        histogram()
    }

    /// Takes in what another worker has seen.
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, more) in self.commands.iter_mut().zip(&other.commands) {
            if let Some(more) = more {
                sum.get_or_insert_with(|| Box::new(Counts::new())).add(more);
            }
        }
        let _ = self.lateness.add(&other.lateness);
        self.callbacks += other.callbacks;
        self.failed += other.failed;
        self.flows += other.flows;
        self.retries += other.retries;
        self.resent += other.resent;
        self.opened += other.opened;
    }

    pub(super) fn lateness(&self) -> Latency {
        Latency::of(&self.lateness)
    }

    /// Each command that was sent.
    pub(super) fn commands(&self) -> BTreeMap<&'static str, Figures> {
        self.seen().map(|(command, counts)| (command.as_str(), counts.figures())).collect()
    }

    /// All commands of a phase together, or simply all.
    pub(super) fn together(&self, phase: Option<Phase>) -> Figures {
        let mut sum = Counts::new();
        for (command, counts) in self.seen() {
            if phase.is_none_or(|phase| command.phase() == phase) {
                sum.add(counts);
            }
        }
        sum.figures()
    }

    fn seen(&self) -> impl Iterator<Item = (Command, &Counts)> {
        Command::iter().zip(&self.commands).filter_map(|(command, counts)| Some((command, counts.as_deref()?)))
    }
}
