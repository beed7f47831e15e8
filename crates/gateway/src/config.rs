//! Configuration: defaults, then the file, then the environment. Leaves live with the parts that they configure.

mod commands;
mod key;
mod list;
mod secret;
mod value;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::{fmt, fs, io};

use serde::Deserialize;

pub use self::commands::Commands;
pub(crate) use self::key::{explain, nearest};
pub(crate) use self::list::Entries;
pub use self::list::List;
pub use self::secret::Secret;
pub(crate) use self::secret::list as secrets;
pub(crate) use self::value::{duration, networks, size, some_size};
use crate::reload::Stamp;
use crate::{decide, deliver, http, journal, telemetry, traces, verify};

/// Everything that can be configured. `config/chathook.toml` explains each key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// The public side.
    pub callbacks: http::Config,
    /// Metrics, health and the API.
    pub admin: http::AdminConfig,
    /// The applications whose callbacks are taken.
    pub app: Vec<verify::AppConfig>,
    /// Deadlines and fallbacks.
    pub decide: decide::Config,
    /// Who decides besides handlers, in order.
    pub decider: Vec<decide::DeciderConfig>,
    /// Where events are kept.
    pub journal: journal::Config,
    /// Who gets events.
    pub target: Vec<deliver::Config>,
    /// The log.
    pub log: telemetry::Config,
    /// Who gets traces.
    pub traces: traces::Config,
    /// What happens on SIGTERM.
    pub shutdown: http::ShutdownConfig,
    /// Where it was read from, for reading it again.
    #[serde(skip)]
    pub(crate) origin: Option<Stamp>,
}

/// Why a configuration cannot be used: which file or variable, which key, and what about it.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    place: String,
    key: String,
    problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.place, self.problem),
            key => write!(f, "{}: {key}: {}", self.place, self.problem),
        }
    }
}

/// What is wrong with the value of a key.
#[derive(Debug)]
pub(crate) struct Invalid {
    pub(crate) key: String,
    pub(crate) problem: String,
}

impl Invalid {
    pub(crate) fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

/// Changes with what the files hold.
pub(crate) fn contents<'a>(files: impl IntoIterator<Item = &'a Path>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        fs::read(file).ok().hash(&mut hasher);
    }
    hasher.finish()
}

impl Config {
    /// Reads `file`, then the variables `CHATHOOK__SECTION__KEY` of the environment, and checks the whole.
    ///
    /// # Errors
    /// When the file cannot be read, a key or a command is unknown, or a value is wrong.
    pub fn load(file: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let file = file.as_ref();
        let origin = Stamp::of(file);
        let text = fs::read_to_string(file).map_err(|error| ConfigError {
            place: file.display().to_string(),
            key: String::new(),
            problem: match error.kind() {
                io::ErrorKind::NotFound => "no such file; name one with --config".to_owned(),
                _ => format!("cannot be read: {error}"),
            },
        })?;
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut config = Self::parse(&text, file, variables)?;
        config.origin = Some(origin);
        Ok(config)
    }

    /// Reads a configuration from text; `file` is its name in error messages.
    ///
    /// # Errors
    /// When a key or a command is unknown, or a value is wrong.
    pub fn parse(
        text: &str,
        file: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let place = file.display().to_string();
        let mut table: toml::Table = toml::from_str(text).map_err(|error| {
            // Its own display quotes the line, which may hold a token.
            let (line, column) = value::position(text, error.span().map_or(0, |span| span.start));
            ConfigError {
                place: format!("{place}:{line}:{column}"),
                key: String::new(),
                problem: error.message().lines().next().unwrap_or_default().to_owned(),
            }
        })?;
        let in_file = table.clone();
        let overrides = key::override_from(&mut table, variables)
            .map_err(|(place, Invalid { key, problem })| ConfigError { place, key, problem })?;
        let place_of = |key: &str| match overrides.iter().find(|(path, _)| key::comes_from(key, path, &in_file)) {
            Some((_, variable)) => variable.clone(),
            None => place.clone(),
        };
        let config: Self = serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|error| {
            let Invalid { key, problem } = key::explain(&error);
            ConfigError { place: place_of(&key), key, problem }
        })?;
        config.check().map_err(|Invalid { key, problem }| ConfigError { place: place_of(&key), key, problem })?;
        Ok(config)
    }

    /// The configuration as it is now: what the file and the environment say, or itself where it was made in code.
    pub(crate) fn again(&self) -> Result<Self, ConfigError> {
        match &self.origin {
            Some(origin) => Self::load(origin.file()),
            None => Ok(self.clone()),
        }
    }

    /// The files whose change means something.
    pub(crate) fn files(&self) -> Vec<&Path> {
        let tokens = self.app.iter().flat_map(|app| &app.tokens).filter_map(Secret::file);
        let tls = self.callbacks.tls.iter().flat_map(|tls| tls.files());
        let deciders = self.decider.iter().flat_map(decide::DeciderConfig::files);
        let targets = self.target.iter().flat_map(deliver::Config::files);
        self.origin.iter().map(Stamp::file).chain(tokens).chain(tls).chain(deciders).chain(targets).collect()
    }

    fn check(&self) -> Result<(), Invalid> {
        self.callbacks.check()?;
        self.admin.check()?;
        self.log.check()?;
        self.traces.check()?;
        self.decide.check()?;
        verify::check(&self.app, &self.decide)?;
        decide::decider::check(&self.decider)?;
        self.journal.check()?;
        deliver::check(&self.target)
    }

    /// An error in the use of a checked configuration: a secret that cannot be read, say.
    pub(crate) fn error(&self, Invalid { key, problem }: Invalid) -> ConfigError {
        let place = match &self.origin {
            Some(origin) => origin.file().display().to_string(),
            None => "configuration".to_owned(),
        };
        ConfigError { place, key, problem }
    }
}
