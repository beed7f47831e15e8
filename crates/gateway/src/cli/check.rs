use std::path::Path;
use std::time::Duration;

use chathook_protocol::{Command, Phase, Policy};
use strum::IntoEnumIterator;
use tokio::runtime::Handle;

use super::{Failed, print};
use crate::Config;
use crate::config::Invalid;
use crate::decide::decider::Deciders;
use crate::decide::{Mode, Plan};
use crate::deliver::{self, Selection};
use crate::gateway::Live;
use crate::metrics::Metrics;
use crate::tls::Material;
use crate::traces::Traces;

pub(super) fn run(file: &Path) -> Result<(), Failed> {
    let config = Config::load(file).map_err(|error| Failed::Usage(error.to_string()))?;
    let wrong = |invalid| Failed::Usage(config.error(invalid).to_string());
    let metrics = Metrics::new().map_err(|error| Failed::Outcome(error.to_string()))?;
    let live = Live::build(&config, None, &metrics, &Handle::current()).map_err(wrong)?;
    config.callbacks.tls.as_ref().map(Material::read).transpose().map_err(wrong)?;
    Traces::start(&config.traces, &Handle::current()).map_err(wrong)?;

    let targets = targets(&config).map_err(wrong)?;
    row(["COMMAND", "PHASE", "DEADLINE", "FALLBACK", "DECIDERS", "TARGETS"]);
    let with_plan: Vec<u64> =
        config.app.iter().filter(|app| !app.decide.is_empty()).map(|app| app.sdk_app_id).collect();
    for command in Command::iter() {
        let phase: &str = command.phase().into();
        let targets = targets_of(&targets, command, config.journal.decisions);
        if command.phase() == Phase::After {
            row([command.as_str(), phase, "-", "-", "-", &targets]);
            continue;
        }
        let (deadline, fallback) = declared(live.plan(None), command);
        row([command.as_str(), phase, &deadline, &fallback, &deciders(&live.deciders, command), &targets]);
        for app in &with_plan {
            let (deadline, fallback) = declared(live.plan(Some(*app)), command);
            row([&format!("  in application {app}"), phase, &deadline, &fallback, "the same", "the same"]);
        }
    }
    print(&format!("\n{}: good", file.display()));
    Ok(())
}

fn row([command, phase, deadline, fallback, deciders, targets]: [&str; 6]) {
    print(&format!("{command:<52} {phase:<8} {deadline:<9} {fallback:<14} {deciders:<16} {targets}"));
}

/// The configured targets, and what each of them wants.
fn targets(config: &Config) -> Result<Vec<(String, Selection)>, Invalid> {
    let target = |config: &deliver::Config| {
        let when = config.when.as_ref().map_or("", |_| ", when");
        Ok((format!("{} ({}{when})", config.name, config.kind()), Selection::build(config)?))
    };
    config.target.iter().map(target).collect()
}

/// Who gets a command.
fn targets_of(targets: &[(String, Selection)], command: Command, keeps_decisions: bool) -> String {
    if command.phase() == Phase::Before && !keeps_decisions {
        return "not kept".to_owned();
    }
    let targets = targets.iter().filter(|(_, selection)| selection.has_command(command.as_str()));
    let targets: Vec<_> = targets.map(|(target, _)| target.as_str()).collect();
    if targets.is_empty() { "kept only".to_owned() } else { targets.join(", ") }
}

/// Deadline and fallback of a command.
fn declared(plan: &Plan, command: Command) -> (String, String) {
    let deadline: Duration = plan.deadline(command);
    let fallback = match plan.fallbacks.policy(command) {
        Policy::Allow => "allow".to_owned(),
        Policy::Reject { code: None, .. } => "reject".to_owned(),
        Policy::Reject { code: Some(code), .. } => format!("reject({code})"),
        Policy::Drop => "drop".to_owned(),
    };
    (format!("{}ms", deadline.as_millis()), fallback)
}

/// The chain of a command.
fn deciders(deciders: &Deciders, command: Command) -> String {
    let chain = deciders.of(command).iter().map(|decider| {
        let config = decider.config();
        let mut traits = vec![match &config.rule {
            Some(rule) => format!("rule: {}", rule.then),
            None => "http".to_owned(),
        }];
        traits.extend((config.mode == Mode::Shadow).then(|| "shadow".to_owned()));
        traits.extend(config.when.as_ref().map(|_| "when".to_owned()));
        format!("{} ({})", config.name, traits.join(", "))
    });
    let chain: Vec<_> = chain.collect();
    if chain.is_empty() { "nobody: allowed".to_owned() } else { chain.join(" > ") }
}
