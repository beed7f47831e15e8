//! A report for people.

use std::fmt::{self, Write as _};

use super::{Ending, Figures, Report, Threshold};
use crate::verdict::FailureKind;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} with seed {}, to {}", self.scenario, self.seed, self.targets.join(", "))?;
        if let Some(problem) = &self.problem {
            writeln!(f, "{}: {problem}", ending(self.ending))?;
        } else if self.ending != Ending::Completed {
            writeln!(f, "{}", ending(self.ending))?;
        }
        write!(f, "{} flows in {:.1} s: {:.1}/s", self.flows, self.measured.as_secs_f64(), self.reached_rate)?;
        match self.planned_rate {
            Some(planned) => writeln!(f, " of {planned:.1}/s")?,
            None => writeln!(f)?,
        }
        writeln!(f, "{} callbacks: {:.1}/s answered", self.callbacks, self.answered_rate)?;

        let width = self.commands.keys().map(|name| name.len()).max().unwrap_or_default().max("callbacks in ms".len());
        writeln!(
            f,
            "\n{:<width$} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  what Chat did",
            "callbacks in ms", "count", "p50", "p90", "p99", "p99.9", "max"
        )?;
        for (name, figures) in [("before", &self.before), ("after", &self.after)] {
            if figures.callbacks > 0 {
                row(f, width, name, figures)?;
            }
        }
        for (name, figures) in &self.commands {
            row(f, width, name, figures)?;
        }
        let sender = &self.lateness_ms;
        writeln!(f, "\nsent late, in ms: p50 {:.2}, p99 {:.2}, max {:.2}", sender.p50, sender.p99, sender.max)?;
        writeln!(
            f,
            "connections opened: {}; sent again: {} on a connection that was closed, {} after a time-out",
            self.connections_opened, self.resent, self.retries
        )?;
        for (kind, count) in &self.all.failures {
            writeln!(f, "failed, {}: {count}{}", kind.0.to_string().replace('_', " "), advice(kind.0))?;
        }
        for threshold in &self.thresholds {
            writeln!(f, "{threshold}")?;
        }
        Ok(())
    }
}

/// What to do about a failure that is none of the other side's.
fn advice(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::OutOfFiles => "; this machine's limit: raise `ulimit -n`, or take fewer connections",
        FailureKind::OutOfPorts => "; this machine has no local port left: take fewer connections",
        _ => "",
    }
}

fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Completed => "completed",
        Ending::Stopped => "stopped before its end",
        Ending::TargetLost => "ended early, the target is gone",
    }
}

fn row(f: &mut fmt::Formatter<'_>, width: usize, name: &str, figures: &Figures) -> fmt::Result {
    let times = &figures.latency_ms;
    let mut verdicts = String::new();
    for (kind, count) in &figures.verdicts {
        let comma = if verdicts.is_empty() { "" } else { ", " };
        write!(verdicts, "{comma}{} {count}", kind.0)?;
    }
    writeln!(
        f,
        "{name:<width$} {:>9} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2}  {verdicts}",
        figures.callbacks, times.p50, times.p90, times.p99, times.p999, times.max
    )
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is, than) = match (self.name, self.holds) {
            ("rate", true) => ("ok", "at least"),
            (_, true) => ("ok", "at most"),
            ("rate", false) => ("MISSED", "at least"),
            (_, false) => ("MISSED", "at most"),
        };
        match self.name.starts_with("p99") {
            true => write!(f, "{is}: {} is {:.2} ms, asked for {than} {:.2} ms", self.name, self.value, self.limit),
            false => {
                let (value, limit) = (self.value * 100.0, self.limit * 100.0);
                write!(f, "{is}: {} is {value:.3} %, asked for {than} {limit:.3} %", self.name)
            }
        }
    }
}
