use chathook_protocol::{Command, Phase};
use serde::Deserialize;
use strum::IntoEnumIterator;

use super::{Invalid, nearest};

/// Commands by name, or by patterns in which `*` stands for anything.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Commands(Vec<String>);

impl Commands {
    /// Every command.
    pub(crate) fn all() -> Self {
        Self(vec!["*".to_owned()])
    }

    /// These names and patterns.
    pub(crate) fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// Whether one of the names or patterns fits a command, which may be one that nobody knows.
    pub(crate) fn fit(&self, command: &str) -> bool {
        self.0.iter().any(|pattern| fits(pattern, command))
    }

    /// Checks that each name is a command, and that each pattern fits one.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let invalid = |problem| Invalid::new("commands", problem);
        if self.0.is_empty() {
            return Err(invalid("names no command".to_owned()));
        }
        for name in &self.0 {
            match name.contains('*') {
                true if Command::iter().any(|it| fits(name, it.as_str())) => {}
                true => return Err(invalid(format!("no command fits `{name}`"))),
                false => known(name).map(drop)?,
            }
        }
        Ok(())
    }

    /// The commands of a phase, each once. A pattern takes those of the phase that it fits.
    pub(crate) fn of_phase(&self, phase: Phase) -> Result<Vec<Command>, Invalid> {
        let invalid = |problem| Invalid::new("commands", problem);
        if self.0.is_empty() {
            return Err(invalid("names no command".to_owned()));
        }
        let mut commands = Vec::new();
        for name in &self.0 {
            if name.contains('*') {
                let before = commands.len();
                commands.extend(Command::iter().filter(|it| it.phase() == phase && fits(name, it.as_str())));
                if commands.len() == before {
                    return Err(invalid(format!("no {phase}-command fits `{name}`")));
                }
                continue;
            }
            let command = known(name)?;
            if command.phase() != phase {
                return Err(invalid(format!("{command} is no {phase}-command")));
            }
            commands.push(command);
        }
        commands.sort_unstable();
        commands.dedup();
        Ok(commands)
    }
}

fn known(name: &str) -> Result<Command, Invalid> {
    name.parse().map_err(|_| {
        let problem = match nearest(name, Command::iter().map(Command::as_str)) {
            Some(known) => format!("unknown command `{name}`; did you mean `{known}`?"),
            None => format!("unknown command `{name}`; `chathook commands` lists them"),
        };
        Invalid::new("commands", problem)
    })
}

/// Whether `name` is `pattern`, in which `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_anything() {
        for pattern in ["*", "Group.*", "*.CallbackBeforeSendMsg", "Group.*Send*", "*Before*Msg", "**"] {
            assert!(fits(pattern, "Group.CallbackBeforeSendMsg"), "{pattern}");
        }
        for pattern in ["C2C.*", "*.CallbackBefore", "Group.*Msg*Send*", "*x", "Group.CallbackBeforeSendMsg*Msg"] {
            assert!(!fits(pattern, "Group.CallbackBeforeSendMsg"), "{pattern}");
        }
    }
}
