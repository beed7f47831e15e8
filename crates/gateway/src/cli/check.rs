use std::path::Path;

use chathook_protocol::{Command, Phase, Policy};
use strum::IntoEnumIterator;

use super::{Failed, print};
use crate::Config;
use crate::gateway::Live;
use crate::tls::Material;

pub(super) fn run(file: &Path) -> Result<(), Failed> {
    let config = Config::load(file).map_err(|error| Failed::Usage(error.to_string()))?;
    let wrong = |invalid| Failed::Usage(config.error(invalid).to_string());
    let live = Live::build(&config).map_err(wrong)?;
    config.callbacks.tls.as_ref().map(Material::read).transpose().map_err(wrong)?;

    print(&format!("{:<52} {:<8} {:<10} FALLBACK", "COMMAND", "PHASE", "DECIDER"));
    for command in Command::iter() {
        let phase: &str = command.phase().into();
        let (decider, fallback) = match command.phase() {
            Phase::Before => ("allow", fallback(live.fallbacks.policy(command))),
            Phase::After => ("-", "-"),
        };
        print(&format!("{:<52} {phase:<8} {decider:<10} {fallback}", command.as_str()));
    }
    print(&format!("\n{}: good", file.display()));
    Ok(())
}

fn fallback(policy: &Policy) -> &'static str {
    match policy {
        Policy::Allow => "allow",
        Policy::Reject { .. } => "reject",
        Policy::Drop => "drop",
    }
}
