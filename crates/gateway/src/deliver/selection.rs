//! Which events a target gets.

use chathook_journal::Record;
use chathook_protocol::{CommandName, Phase};

use super::Config;
use crate::condition::{Condition, Facts};
use crate::config::{Commands, Invalid};

/// What a target wants: commands, phases, and a condition.
pub(crate) struct Selection {
    commands: Commands,
    decisions: bool,
    condition: Option<Condition>,
}

impl Selection {
    pub(crate) fn build(config: &Config) -> Result<Self, Invalid> {
        config.commands.check()?;
        let compile = |text| Condition::compile(text).map_err(|error| Invalid::new("when", error.to_string()));
        let condition = config.when.as_deref().map(compile).transpose()?;
        Ok(Self { commands: config.commands.clone(), decisions: config.decisions, condition })
    }

    /// Whether a command may be wanted.
    pub(crate) fn has_command(&self, command: &str) -> bool {
        let phase = CommandName::from(command).known().map(|command| command.phase());
        (self.decisions || phase != Some(Phase::Before)) && self.commands.fit(command)
    }

    /// Whether the command alone does not tell.
    pub(crate) fn has_condition(&self) -> bool {
        self.condition.is_some()
    }

    /// Whether an event is wanted.
    ///
    /// # Errors
    /// When the condition cannot be evaluated on it.
    pub(crate) fn wants(&self, record: &Record) -> Result<bool, String> {
        if !self.has_command(&record.command) {
            return Ok(false);
        }
        let Some(condition) = &self.condition else { return Ok(true) };
        let facts = Facts::new(&record.query, &record.body, record.received);
        condition.holds(&facts).map_err(|error| format!("when: {error}"))
    }
}
