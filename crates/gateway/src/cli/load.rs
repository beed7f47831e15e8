//! `chathook load`: plays the Chat backend under load.

mod progress;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chathook_simulator::{
    Ending, Extent, Flow, Rate, Report, Run, RunError, Scenario, ScenarioError, SendError, Target, Threshold,
};
use serde::Serialize;
use tokio::sync::oneshot;

use super::backend::{Backend, Consent};
use super::{Failed, print};
use crate::shutdown::{Signals, Stop};

#[derive(clap::Args)]
pub(super) struct Args {
    /// What is sent: a scenario of --list, or a file of one's own.
    #[arg(default_value = "mixed")]
    scenario: String,
    /// The URL of the console. With more than one they take turns.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/")]
    url: Vec<Target>,
    #[command(flatten)]
    backend: Backend,
    #[command(flatten)]
    consent: Consent,
    /// Lists the scenarios that are built in.
    #[arg(long, conflicts_with = "print")]
    list: bool,
    /// Prints a built-in scenario as TOML, to start a file of one's own from.
    #[arg(long)]
    print: bool,
    /// Prints the report as JSON, or writes it to a file beside the table.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    json: Option<Option<PathBuf>>,
    /// Threads that send. One is enough for a gateway on one core.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    threads: usize,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    limits: Limits,
}

/// What is to be other than in the scenario.
#[derive(clap::Args)]
#[command(next_help_heading = "In place of what the scenario says")]
struct Changes {
    /// Flows that arrive in a second, evenly spaced: 500, 10000/min, or max for as many as are answered.
    #[arg(long, allow_hyphen_values = true)]
    rate: Option<Rate>,
    /// How long it lasts, such as 30s. The warm-up comes before.
    #[arg(long, value_parser = humantime::parse_duration, conflicts_with = "count", allow_hyphen_values = true)]
    duration: Option<Duration>,
    /// How many flows there are.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    count: Option<u64>,
    /// How long is sent before anything counts.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, allow_hyphen_values = true)]
    warm_up: Option<Duration>,
    /// Connections that are kept.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    connections: Option<usize>,
    /// The same seed draws the same flows, users, contents and times of arrival; dates, and the numbers and keys of messages,
    /// count from the instant that the run begins.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    seed: Option<u64>,
    /// Flows or commands with their weights, such as one-to-one=3,State.StateChange=1.
    #[arg(long, value_name = "NAME=WEIGHT", value_delimiter = ',', value_parser = weighted)]
    mix: Option<Vec<(Flow, u32)>>,
}

/// What makes the exit code 1, in place of what the scenario says.
#[derive(clap::Args)]
#[command(next_help_heading = "Exit code 1 unless")]
struct Limits {
    /// 99 of 100 callbacks take no longer, such as 300ms.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, allow_hyphen_values = true)]
    max_p99: Option<Duration>,
    /// 99 of 100 before-callbacks take no longer.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, allow_hyphen_values = true)]
    max_p99_before: Option<Duration>,
    /// 99 of 100 after-callbacks take no longer.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, allow_hyphen_values = true)]
    max_p99_after: Option<Duration>,
    /// No larger share fails, for whatever reason: 0.1% or 0.001. Where neither this nor the scenario says it, 1%, or what
    /// --max-timed-out is, if that is more.
    #[arg(long, value_name = "SHARE", value_parser = share, allow_hyphen_values = true)]
    max_failed: Option<f64>,
    /// No larger share is not answered within two seconds.
    #[arg(long, value_name = "SHARE", value_parser = share, allow_hyphen_values = true)]
    max_timed_out: Option<f64>,
    /// That share of the flows begins that are due, such as 99%.
    #[arg(long, value_name = "SHARE", value_parser = share, allow_hyphen_values = true)]
    min_rate: Option<f64>,
}

pub(super) async fn run(args: Args) -> Result<(), Failed> {
    if args.list {
        return list();
    }
    if args.print {
        return print_built_in(&args.scenario);
    }
    let scenario = scenario(&args)?;
    let mut targets = Vec::new();
    for target in args.url {
        // What was checked is what is connected to, whatever the name is said to be a moment later.
        let target = look_up(target).await?;
        args.consent.check(&target).await?;
        targets.push(target);
    }
    let output = Output::open(args.json)?;

    let mut signals = Signals::new().map_err(|error| Failed::Outcome(error.to_string()))?;
    let has_limit = scenario.thresholds.failed.is_some();
    let run = Run::new(scenario, targets, args.backend.app()).ca(args.backend.ca).workers(args.threads);
    let shown = tokio::spawn(progress::show(run.progress()));
    let (stop, stopped) = oneshot::channel();
    let hurry = async {
        signals.first().await;
        let _ = stop.send(());
        signals.first().await;
    };
    let report = tokio::select! {
        report = run.until(async { let _ = stopped.await; }) => Some(report),
        () = hurry => None,
    };
    let _ = shown.await;
    let report = report.ok_or_else(|| Failed::Outcome("stopped at once, without a report".to_owned()))?;
    let report = report.map_err(|error| match error {
        RunError::Scenario(_) | RunError::NoTarget | RunError::Unreachable { source: SendError::TlsSetup(_), .. } => {
            Failed::Usage(error.to_string())
        }
        error => Failed::Outcome(error.to_string()),
    })?;
    output.write(&report)?;
    judge(&report, has_limit)
}

/// Nobody waits longer for a name to be looked up.
const LOOK_UP: Duration = Duration::from_secs(5);

async fn look_up(target: Target) -> Result<Target, Failed> {
    let host = target.host().to_owned();
    let pinned = tokio::time::timeout(LOOK_UP, target.pinned()).await;
    let pinned = pinned.map_err(|_| Failed::Outcome(format!("{host}: no answer to the look-up")))?;
    pinned.map_err(|error| Failed::Outcome(error.to_string()))
}

/// The scenario with what the arguments have in place of its own.
fn scenario(args: &Args) -> Result<Scenario, Failed> {
    let usage = |error: ScenarioError| Failed::Usage(format!("{}: {error}", args.scenario));
    let mut scenario = Scenario::load(&args.scenario).map_err(|error| match error {
        // These name it themselves.
        ScenarioError::Unknown { .. } | ScenarioError::File { .. } => Failed::Usage(error.to_string()),
        error => usage(error),
    })?;
    let Changes { rate, duration, count, warm_up, connections, seed, mix } = &args.changes;
    replace(&mut scenario.rate, *rate);
    replace(&mut scenario.extent, duration.map(Extent::Duration).or(count.map(Extent::Count)));
    replace(&mut scenario.warm_up, *warm_up);
    replace(&mut scenario.connections, *connections);
    replace(&mut scenario.seed, *seed);
    replace(&mut scenario.mix, mix.clone());
    let Limits { max_p99, max_p99_before, max_p99_after, max_failed, max_timed_out, min_rate } = &args.limits;
    let thresholds = &mut scenario.thresholds;
    thresholds.p99 = max_p99.or(thresholds.p99);
    thresholds.p99_before = max_p99_before.or(thresholds.p99_before);
    thresholds.p99_after = max_p99_after.or(thresholds.p99_after);
    thresholds.failed = max_failed.or(thresholds.failed);
    thresholds.timed_out = max_timed_out.or(thresholds.timed_out);
    thresholds.rate = min_rate.or(thresholds.rate);
    scenario.check().map_err(usage)?;
    Ok(scenario)
}

fn replace<T>(value: &mut T, other: Option<T>) {
    if let Some(other) = other {
        *value = other;
    }
}

fn list() -> Result<(), Failed> {
    for name in Scenario::built_in_names() {
        let scenario = Scenario::load(&name).map_err(|error| Failed::Outcome(format!("{name}: {error}")))?;
        print(&format!("{name:<18} {}", scenario.description));
    }
    Ok(())
}

fn print_built_in(name: &str) -> Result<(), Failed> {
    match Scenario::built_in_text(name) {
        Some(text) => print(text.trim_end()),
        None => {
            let names = Scenario::built_in_names().join(", ");
            return Err(Failed::Usage(format!("--print: `{name}` is not built in; there are {names}")));
        }
    }
    Ok(())
}

/// Where the report goes.
enum Output {
    Table,
    Json,
    /// The table, and JSON in a file.
    Both(PathBuf, File),
}

impl Output {
    /// Opens what cannot be opened before anything is sent. What stands in a file is kept until there is a report.
    fn open(json: Option<Option<PathBuf>>) -> Result<Self, Failed> {
        let path = match json {
            None => return Ok(Self::Table),
            Some(None) => return Ok(Self::Json),
            Some(Some(path)) => path,
        };
        let file = File::options().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| Failed::Usage(format!("--json: {}: {error}", path.display())))?;
        Ok(Self::Both(path, file))
    }

    fn write(self, report: &Report) -> Result<(), Failed> {
        match self {
            Self::Table => print(report.to_string().trim_end()),
            Self::Json => print(&json(report)?),
            Self::Both(path, file) => {
                print(report.to_string().trim_end());
                write(file, &path, &(json(report)? + "\n"))?;
            }
        }
        Ok(())
    }
}

fn write(mut file: File, path: &Path, text: &str) -> Result<(), Failed> {
    // A pipe has nothing to cut off.
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    let emptied = if is_file { file.set_len(0) } else { Ok(()) };
    let written = emptied.and_then(|()| file.write_all(text.as_bytes()));
    written.map_err(|error| Failed::Outcome(format!("{}: {error}", path.display())))
}

fn json(report: &Report) -> Result<String, Failed> {
    #[derive(Serialize)]
    struct Document<'a> {
        passed: bool,
        #[serde(flatten)]
        report: &'a Report,
    }
    let document = Document { passed: report.passed(), report };
    serde_json::to_string_pretty(&document).map_err(|error| Failed::Outcome(error.to_string()))
}

/// Whether the run was good enough, and why not. `has_limit` says whether somebody has said what may fail.
fn judge(report: &Report, has_limit: bool) -> Result<(), Failed> {
    if report.passed() {
        return Ok(());
    }
    let mut problems: Vec<String> = report.thresholds.iter().filter(|threshold| !threshold.holds).map(broken).collect();
    let is_missed = |name: &str| report.thresholds.iter().any(|threshold| threshold.name == name && !threshold.holds);
    if !has_limit && is_missed("failed") {
        problems.push("nobody has said what may fail: see --max-failed".to_owned());
    }
    match report.ending {
        Ending::Completed => {}
        Ending::Stopped => {
            let problem = report.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
            problems.insert(0, format!("stopped before its end{problem}"));
        }
        Ending::TargetLost => {
            let problem = report.problem.clone();
            problems.insert(0, problem.unwrap_or_else(|| "nobody takes connections any more".to_owned()));
        }
    }
    if report.ending != Ending::TargetLost && report.all.callbacks > 0 && report.all.failed() == report.all.callbacks {
        problems.push("nothing was answered well: `chathook doctor` finds out why".to_owned());
    }
    Err(Failed::Outcome(problems.join("; ")))
}

/// A threshold that does not hold, in words.
fn broken(Threshold { name, limit, value, .. }: &Threshold) -> String {
    match name.starts_with("p99") {
        true => format!("{name} is {value:.1} ms; it may be {limit:.1} ms"),
        false if *name == "rate" => {
            format!("{:.1}% of the flows that were due began; {:.1}% have to", value * 1e2, limit * 1e2)
        }
        false => format!("{name} is {:.3}%; it may be {:.3}%", value * 1e2, limit * 1e2),
    }
}

/// `NAME=WEIGHT`.
fn weighted(text: &str) -> Result<(Flow, u32), String> {
    let (name, weight) = text.split_once('=').ok_or("write NAME=WEIGHT, such as one-to-one=3")?;
    let flow = name.trim().parse().map_err(|error: chathook_simulator::UnknownFlow| error.to_string())?;
    let weight = weight.trim().parse().map_err(|_| format!("the weight of `{name}` is not a whole number"))?;
    Ok((flow, weight))
}

/// `0.1%` or `0.001`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(percent) => (percent, 100.0),
        None => (text, 1.0),
    };
    let share = number.trim().parse::<f64>().ok().map(|number| number / unit);
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "has to be from 0% to 100%, such as 0.1%".to_owned())
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_are_percent_or_parts_of_one() {
        assert_eq!(share("50%"), Ok(0.5));
        assert_eq!(share("0.25"), Ok(0.25));
        assert_eq!(share("0"), Ok(0.0));
        for wrong in ["101%", "2", "-1%", "NaN", "%", "few"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
