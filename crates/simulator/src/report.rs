//! What came of a run.

mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

use crate::verdict::{FailureKind, VerdictKind};

/// What came of a run: everything that was due after the warm-up. Serialises to JSON; displays as a table.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// Its seed.
    pub seed: u64,
    /// Where callbacks were sent.
    pub targets: Vec<String>,
    /// How the run ended.
    pub ending: Ending,
    /// How long was measured: from the end of the warm-up to the last flow that was due.
    #[serde(rename = "measured_seconds", serialize_with = "seconds")]
    pub measured: Duration,
    /// Flows that began.
    pub flows: u64,
    /// Flows that were due; for `max`, those that began.
    pub flows_due: u64,
    /// Flows in a second that the scenario asks for; none for `max` and for a ramp.
    pub planned_rate: Option<f64>,
    /// Flows in a second that began.
    pub reached_rate: f64,
    /// Callbacks, retries included.
    pub callbacks: u64,
    /// Callbacks in a second that were answered.
    pub answered_rate: f64,
    /// All callbacks together.
    pub all: Figures,
    /// The before-callbacks.
    pub before: Figures,
    /// The after-callbacks.
    pub after: Figures,
    /// Each command that was sent.
    pub commands: BTreeMap<&'static str, Figures>,
    /// After-callbacks that were sent again after a time-out.
    pub retries: u64,
    /// Connections that were opened, the first ones included.
    pub connections_opened: u64,
    /// Callbacks that were sent again at once, because the other side had closed the connection that it had kept.
    pub resent: u64,
    /// How late the simulator itself began to send, in milliseconds: waiting for a free connection included.
    pub lateness_ms: Latency,
    /// What was asked of the run.
    pub thresholds: Vec<Threshold>,
    /// What happened in words, if something did: why the run ended early.
    pub problem: Option<String>,
}

impl Report {
    /// Whether the run came to its end, and all that was asked of it holds.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.ending == Ending::Completed && self.thresholds.iter().all(|threshold| threshold.holds)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Ending {
    /// All was sent.
    Completed,
    /// It was stopped before all was sent.
    Stopped,
    /// Nobody took connections any more.
    TargetLost,
}

/// What came of some of the callbacks.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// How many.
    pub callbacks: u64,
    /// From the instant that each was due until its answer was whole, or given up, in milliseconds.
    pub latency_ms: Latency,
    /// The same from the instant that it was sent: what the other side takes once it is asked.
    pub service_ms: Latency,
    /// What Chat did with the answers.
    pub verdicts: BTreeMap<Name<VerdictKind>, u64>,
    /// Why it counted callbacks as failed.
    pub failures: BTreeMap<Name<FailureKind>, u64>,
}

impl Figures {
    /// How many failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.verdicts.get(&Name(VerdictKind::Failed)).copied().unwrap_or_default()
    }

    /// How many had no answer in time, those included that could not be sent in time.
    #[must_use]
    pub fn timed_out(&self) -> u64 {
        let count = |kind| self.failures.get(&Name(kind)).copied().unwrap_or_default();
        count(FailureKind::TimedOut) + count(FailureKind::Unsent)
    }

    /// That many of all callbacks, from 0 to 1.
    #[must_use]
    pub fn share(&self, some: u64) -> f64 {
        if self.callbacks == 0 { 0.0 } else { some as f64 / self.callbacks as f64 }
    }
}

/// One of a closed set of words; serialises as the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name<T>(pub T);

impl<T: Copy + Into<&'static str>> Serialize for Name<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.into())
    }
}

/// Times, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// The mean.
    pub mean: f64,
    /// Half of all.
    pub p50: f64,
    /// 90 of 100.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Latency {
    /// Of a histogram of microseconds.
    pub(crate) fn of(micros: &Histogram<u64>) -> Self {
        if micros.is_empty() {
            return Self::default();
        }
        let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            mean: micros.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros.max() as f64 / 1e3,
        }
    }
}

/// What makes a run a failure. Shares are from 0 to 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thresholds {
    /// 99 of 100 callbacks take no longer.
    pub p99: Option<Duration>,
    /// 99 of 100 before-callbacks take no longer.
    pub p99_before: Option<Duration>,
    /// 99 of 100 after-callbacks take no longer.
    pub p99_after: Option<Duration>,
    /// The largest share of callbacks that fail, for whatever reason. Where it is not set, [`FAILED`](Self::FAILED) or
    /// what `timed_out` is, if that is more.
    pub failed: Option<f64>,
    /// The largest share of callbacks that are not answered in time.
    pub timed_out: Option<f64>,
    /// The smallest share of the flows that were due that begin.
    pub rate: Option<f64>,
}

/// One thing that was asked of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Threshold {
    /// Which: the key of the scenario.
    pub name: &'static str,
    /// What was asked: milliseconds or a share.
    pub limit: f64,
    /// What it was.
    pub value: f64,
    /// Whether that is good enough.
    pub holds: bool,
}

impl Thresholds {
    /// The share of callbacks that may fail where nothing is said about it: one of 100.
    pub const FAILED: f64 = 0.01;

    /// Compares `report` with what is asked of it.
    pub(crate) fn judge(&self, report: &Report) -> Vec<Threshold> {
        let at_most = |name, limit: Option<f64>, value: f64| {
            limit.map(|limit| Threshold { name, limit, value, holds: value <= limit })
        };
        let millis = |limit: Option<Duration>| limit.map(|limit| limit.as_secs_f64() * 1e3);
        let all = &report.all;
        let reached = if report.flows_due == 0 { 1.0 } else { report.flows as f64 / report.flows_due as f64 };
        let failed = self.failed.unwrap_or_else(|| Self::FAILED.max(self.timed_out.unwrap_or_default()));
        [
            at_most("p99", millis(self.p99), all.latency_ms.p99),
            at_most("p99_before", millis(self.p99_before), report.before.latency_ms.p99),
            at_most("p99_after", millis(self.p99_after), report.after.latency_ms.p99),
            at_most("failed", Some(failed), all.share(all.failed())),
            at_most("timed_out", self.timed_out, all.share(all.timed_out())),
            self.rate.map(|limit| Threshold { name: "rate", limit, value: reached, holds: reached >= limit }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
