//! Deadlines and fallbacks.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chathook_protocol::{Command, Policy};
use chathook_router::Fallbacks;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use strum::IntoEnumIterator;

use crate::config::{Invalid, nearest};

/// `[decide]`: how long a decision may take, and what is answered when there is none.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// From the arrival of a before-callback to its answer. Chat waits two seconds, the way there and back included.
    /// Default: `1500ms`.
    pub deadline: Duration,
    /// What to answer when nobody decided in time. Default: `allow`.
    pub on_failure: OnFailure,
    /// The same for single commands, `[decide."Group.CallbackBeforeSendMsg"]`.
    pub commands: BTreeMap<Command, OnFailure>,
}

/// What to answer when nobody decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum OnFailure {
    /// Let the event happen.
    #[default]
    Allow,
    /// Refuse it, where the command can be refused.
    Reject,
    /// Discard the message silently, where the command can; else refuse.
    Drop,
}

impl From<OnFailure> for Policy {
    fn from(on_failure: OnFailure) -> Self {
        match on_failure {
            OnFailure::Allow => Self::Allow,
            OnFailure::Reject => Self::reject(),
            OnFailure::Drop => Self::Drop,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { deadline: Duration::from_millis(1500), on_failure: OnFailure::Allow, commands: BTreeMap::new() }
    }
}

/// What Chat waits.
const CHAT_WAITS: Duration = Duration::from_secs(2);

impl Config {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if self.deadline.is_zero() || self.deadline >= CHAT_WAITS {
            return Err(Invalid::new("decide.deadline", "must be more than zero and less than the 2s that Chat waits"));
        }
        self.fallbacks().map(drop)
    }

    /// The fallback of every command.
    pub(crate) fn fallbacks(&self) -> Result<Fallbacks, Invalid> {
        let mut fallbacks = Fallbacks::all(&self.on_failure.into());
        for (command, on_failure) in &self.commands {
            fallbacks.set(*command, (*on_failure).into()).map_err(|error| {
                Invalid::new(format!("decide.{command}.on_failure"), format!("{on_failure}: {}", error.source))
            })?;
        }
        Ok(fallbacks)
    }
}

/// What `[decide."..."]` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PerCommand {
    on_failure: OnFailure,
}

/// By hand: the keys are two settings and any number of commands.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Config;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of settings and commands")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Config, A::Error> {
                let mut config = Config::default();
                while let Some(key) = fields.next_key::<String>()? {
                    match key.as_str() {
                        "deadline" => config.deadline = fields.next_value::<Span>()?.0,
                        "on_failure" => config.on_failure = fields.next_value()?,
                        name => {
                            let command = before_command(name).map_err(de::Error::custom)?;
                            config.commands.insert(command, fields.next_value::<PerCommand>()?.on_failure);
                        }
                    }
                }
                Ok(config)
            }
        }

        #[derive(Deserialize)]
        struct Span(#[serde(deserialize_with = "crate::config::duration")] Duration);

        deserializer.deserialize_map(Keys)
    }
}

/// The before-command of a key, or what was probably meant.
fn before_command(name: &str) -> Result<Command, String> {
    let Ok(command) = name.parse::<Command>() else {
        let known = Command::iter().map(Command::as_str).chain(["deadline", "on_failure"]);
        return Err(match nearest(name, known) {
            Some(known) => format!("unknown key or command `{name}`; did you mean `{known}`?"),
            None => format!("unknown key or command `{name}`; `chathook commands` lists the commands"),
        });
    };
    match command.phase() {
        chathook_protocol::Phase::Before => Ok(command),
        chathook_protocol::Phase::After => Err(format!("{command} asks for no decision, so it has no fallback")),
    }
}
