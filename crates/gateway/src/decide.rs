//! Decisions: deadlines, fallbacks, and who is asked besides handlers.

pub(crate) mod decider;
pub mod http;
pub(crate) mod record;
pub mod rule;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chathook_protocol::{Command, Phase, Policy};
use chathook_router::Fallbacks;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use strum::IntoEnumIterator;

pub use self::decider::{Config as DeciderConfig, Mode};
use crate::config::{Invalid, nearest};

/// `[decide]`: how long a decision may take, and what is answered when there is none.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// From the first byte of a before-callback to its answer. Chat waits two seconds, the way there and back included.
    /// Default: `1500ms`.
    pub deadline: Duration,
    /// What to answer when nobody decided in time. Default: `allow`.
    pub on_failure: Policy,
    /// How long a decider is still listened to when its time is over, for what it would have decided. Default: `3s`.
    pub late: Duration,
    /// The same for single commands, `[decide."Group.CallbackBeforeSendMsg"]`.
    pub commands: BTreeMap<Command, Settings>,
}

/// What is declared for one command, or for one application.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Settings {
    /// From the first byte to the answer.
    pub deadline: Option<Duration>,
    /// What to answer when nobody decided in time.
    pub on_failure: Option<Policy>,
}

/// `[app.decide]`: what is declared for one application; it stands above `[decide]`.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AppConfig {
    /// For all commands.
    pub all: Settings,
    /// For single commands.
    pub commands: BTreeMap<Command, Settings>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(1500),
            on_failure: Policy::Allow,
            late: Duration::from_secs(3),
            commands: BTreeMap::new(),
        }
    }
}

/// What Chat waits.
const CHAT_WAITS: Duration = Duration::from_secs(2);

/// What is declared for each command, for the callbacks of one application or of all others.
pub(crate) struct Plan {
    deadlines: Box<[Duration]>,
    pub(crate) fallbacks: Fallbacks,
}

impl Plan {
    /// The plan of an application, or of those that declare nothing of their own; the key of an error is relative to
    /// the table that it stands in.
    pub(crate) fn build(config: &Config, app: &AppConfig) -> Result<Self, Invalid> {
        let all = Settings {
            deadline: app.all.deadline.or(Some(config.deadline)),
            on_failure: app.all.on_failure.clone().or_else(|| Some(config.on_failure.clone())),
        };
        let mut plan = Self {
            deadlines: vec![config.deadline; Command::iter().len()].into(),
            fallbacks: Fallbacks::all(all.on_failure.as_ref().unwrap_or(&Policy::Allow)),
        };
        if let Some(deadline) = all.deadline {
            plan.deadlines.fill(deadline);
        }
        for (command, settings) in &config.commands {
            let hidden = Settings {
                deadline: settings.deadline.filter(|_| app.all.deadline.is_none()),
                on_failure: settings.on_failure.clone().filter(|_| app.all.on_failure.is_none()),
            };
            plan.set(*command, &hidden)?;
        }
        for (command, settings) in &app.commands {
            plan.set(*command, settings)?;
        }
        Ok(plan)
    }

    fn set(&mut self, command: Command, settings: &Settings) -> Result<(), Invalid> {
        if let Some(deadline) = settings.deadline {
            self.deadlines[command as usize] = deadline;
        }
        if let Some(policy) = &settings.on_failure {
            self.fallbacks.set(command, policy.clone()).map_err(|error| {
                Invalid::new(format!("decide.{command}.on_failure"), format!("{}: {}", word(policy), error.source))
            })?;
        }
        Ok(())
    }

    pub(crate) fn deadline(&self, command: Command) -> Duration {
        self.deadlines[command as usize]
    }
}

/// The word for a policy in the configuration.
pub(crate) fn word(policy: &Policy) -> &'static str {
    match policy {
        Policy::Allow => "allow",
        Policy::Reject { .. } => "reject",
        Policy::Drop => "drop",
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        check_deadline("decide.deadline", Some(self.deadline))?;
        check_deadlines("decide", &self.commands)?;
        Plan::build(self, &AppConfig::default()).map(drop)
    }
}

impl AppConfig {
    /// Whether there is something of its own.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.deadline.is_none() && self.all.on_failure.is_none() && self.commands.is_empty()
    }

    pub(crate) fn check(&self, config: &Config) -> Result<(), Invalid> {
        check_deadline("decide.deadline", self.all.deadline)?;
        check_deadlines("decide", &self.commands)?;
        Plan::build(config, self).map(drop)
    }
}

fn check_deadlines(table: &str, commands: &BTreeMap<Command, Settings>) -> Result<(), Invalid> {
    commands
        .iter()
        .try_for_each(|(command, settings)| check_deadline(format!("{table}.{command}.deadline"), settings.deadline))
}

fn check_deadline(key: impl Into<String>, deadline: Option<Duration>) -> Result<(), Invalid> {
    match deadline {
        Some(deadline) if deadline.is_zero() || deadline >= CHAT_WAITS => {
            Err(Invalid::new(key, "must be more than zero and less than the 2s that Chat waits"))
        }
        _ => Ok(()),
    }
}

/// `"1500ms"` as the value of a key.
#[derive(Deserialize)]
#[serde(transparent)]
struct Span(#[serde(deserialize_with = "crate::config::duration")] Duration);

/// `"reject"`, or `{ decision = "reject", code = 10101, info = "..." }`.
struct OnFailure(Policy);

impl<'de> Deserialize<'de> for OnFailure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Word {
            Allow,
            Reject,
            Drop,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            decision: Word,
            code: Option<u32>,
            #[serde(default)]
            info: String,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Table;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`allow`, `reject`, `drop` or { decision = \"reject\", code = .., info = \"..\" }")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Table, E> {
                let decision = Word::deserialize(de::value::StrDeserializer::<E>::new(word))?;
                Ok(Table { decision, code: None, info: String::new() })
            }
            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Table, A::Error> {
                Table::deserialize(de::value::MapAccessDeserializer::new(fields))
            }
        }
        match deserializer.deserialize_any(Either)? {
            Table { decision: Word::Reject, code, info } => Ok(Self(Policy::Reject { code, info })),
            Table { code: Some(_), .. } => Err(de::Error::custom("a code goes with `reject` only")),
            Table { decision: Word::Allow, .. } => Ok(Self(Policy::Allow)),
            Table { decision: Word::Drop, .. } => Ok(Self(Policy::Drop)),
        }
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            deadline: Option<Span>,
            on_failure: Option<OnFailure>,
        }
        let table = Table::deserialize(deserializer)?;
        Ok(Self { deadline: table.deadline.map(|it| it.0), on_failure: table.on_failure.map(|it| it.0) })
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Keys { deadline, on_failure, late, commands } =
            deserializer.deserialize_map(KeysVisitor { known: &["deadline", "on_failure", "late"] })?;
        let default = Self::default();
        Ok(Self {
            deadline: deadline.unwrap_or(default.deadline),
            on_failure: on_failure.unwrap_or(default.on_failure),
            late: late.unwrap_or(default.late),
            commands,
        })
    }
}

impl<'de> Deserialize<'de> for AppConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Keys { deadline, on_failure, commands, .. } =
            deserializer.deserialize_map(KeysVisitor { known: &["deadline", "on_failure"] })?;
        Ok(Self { all: Settings { deadline, on_failure }, commands })
    }
}

/// The keys of a table of settings and commands.
#[derive(Default)]
struct Keys {
    deadline: Option<Duration>,
    on_failure: Option<Policy>,
    late: Option<Duration>,
    commands: BTreeMap<Command, Settings>,
}

/// By hand: the keys are a few settings and any number of commands.
struct KeysVisitor {
    known: &'static [&'static str],
}

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of settings and commands")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Keys, A::Error> {
        let mut keys = Keys::default();
        while let Some(key) = fields.next_key::<String>()? {
            match key.as_str() {
                "deadline" => keys.deadline = Some(fields.next_value::<Span>()?.0),
                "on_failure" => keys.on_failure = Some(fields.next_value::<OnFailure>()?.0),
                "late" if self.known.contains(&"late") => keys.late = Some(fields.next_value::<Span>()?.0),
                name => {
                    let command = before_command(name, self.known).map_err(de::Error::custom)?;
                    keys.commands.insert(command, fields.next_value()?);
                }
            }
        }
        Ok(keys)
    }
}

/// The before-command of a key, or what was probably meant.
fn before_command(name: &str, known: &[&'static str]) -> Result<Command, String> {
    let Ok(command) = name.parse::<Command>() else {
        let known = Command::iter().map(Command::as_str).chain(known.iter().copied());
        return Err(match nearest(name, known) {
            Some(known) => format!("unknown key or command `{name}`; did you mean `{known}`?"),
            None => format!("unknown key or command `{name}`; `chathook commands` lists the commands"),
        });
    };
    match command.phase() {
        Phase::Before => Ok(command),
        Phase::After => Err(format!("{command} asks for no decision, so it has no fallback")),
    }
}
