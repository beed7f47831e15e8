//! Scenarios: what is sent, how much of it, and how fast. A file of TOML.

mod rate;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use toml::{Table, Value};

pub(crate) use self::rate::Arrivals;
pub use self::rate::{Rate, RateError};
use crate::flow::{Flow, UnknownFlow, did_you_mean, nearest};
use crate::report::Thresholds;
use crate::verdict::{Console, OnTimeout};

#[derive(rust_embed::Embed)]
#[folder = "scenarios"]
struct BuiltIn;

/// What a run sends.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it plays, in a sentence.
    pub description: String,
    /// The same seed sends the same flows, among the same users, with the same contents, at the same distances in time. What
    /// counts from the instant that a run begins differs: times, and the numbers and keys of messages.
    pub seed: u64,
    /// How long it lasts, the warm-up not counted.
    pub extent: Extent,
    /// How long is sent before anything counts.
    pub warm_up: Duration,
    /// How many flows arrive in a second.
    pub rate: Rate,
    /// Connections that are kept. More flows at a time wait for one, and their time counts.
    pub connections: usize,
    /// Whether callbacks have a `RequestID`.
    pub request_id: bool,
    /// Who takes part.
    pub population: Population,
    /// What happens, and how often in relation to the rest.
    pub mix: Vec<(Flow, u32)>,
    /// What is set in the console.
    pub console: Console,
    /// What makes the run a failure.
    pub thresholds: Thresholds,
}

/// When a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// After a time.
    Duration(Duration),
    /// After so many flows.
    Count(u64),
}

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Population {
    /// Users.
    pub users: u32,
    /// Ordinary groups.
    pub groups: u32,
    /// Communities.
    pub communities: u32,
    /// Topics in each community.
    pub topics: u32,
    /// Live rooms.
    pub live_rooms: u32,
    /// Official accounts.
    pub channels: u32,
}

impl Default for Population {
    fn default() -> Self {
        Self { users: 10_000, groups: 200, communities: 10, topics: 8, live_rooms: 5, channels: 5 }
    }
}

/// A scenario cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    File {
        /// The file.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is neither a built-in scenario nor a file of that name.
    #[error("there is no scenario and no file `{name}`{}; built in: {}", did_you_mean(.nearest.as_deref()), built_in())]
    Unknown {
        /// The name.
        name: String,
        /// The built-in name that looks most like it.
        nearest: Option<String>,
    },
    /// Not TOML.
    #[error("not TOML: {0}")]
    Toml(String),
    /// TOML, but a key is missing, or a value is of another type.
    #[error("{0}")]
    Value(String),
    /// A key that no scenario has.
    #[error("unknown key `{key}`{}", did_you_mean(.nearest.as_deref()))]
    UnknownKey {
        /// The key, with the tables that it stands in.
        key: String,
        /// The key that looks most like it.
        nearest: Option<String>,
    },
    /// A name in the mix that is neither a flow nor a command.
    #[error("mix: {0}")]
    UnknownFlow(#[from] UnknownFlow),
    /// A value that makes no sense.
    #[error("{key}: {problem}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What is wrong with it, and what to write.
        problem: String,
    },
}

fn built_in() -> String {
    Scenario::built_in_names().join(", ")
}

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default = "one")]
    seed: u64,
    #[serde(default, deserialize_with = "duration")]
    duration: Option<Duration>,
    #[serde(default)]
    count: Option<u64>,
    #[serde(default, deserialize_with = "duration")]
    warm_up: Option<Duration>,
    rate: Rate,
    #[serde(default = "connections")]
    connections: usize,
    #[serde(default)]
    request_id: bool,
    #[serde(default)]
    population: Population,
    mix: Table,
    #[serde(default)]
    console: ConsoleTable,
    #[serde(default)]
    thresholds: ThresholdsTable,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct ConsoleTable {
    #[serde(deserialize_with = "duration")]
    timeout: Option<Duration>,
    on_timeout: OnTimeout,
    retries: u32,
    #[serde(deserialize_with = "duration")]
    retry_after: Option<Duration>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct ThresholdsTable {
    #[serde(deserialize_with = "duration")]
    p99: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    p99_before: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    p99_after: Option<Duration>,
    failed: Option<f64>,
    timed_out: Option<f64>,
    rate: Option<f64>,
}

/// The keys of each table; a wrong one is refused together with the one that was meant.
const KEYS: [(&str, &[&str]); 4] = [
    (
        "",
        &[
            "name",
            "description",
            "seed",
            "duration",
            "count",
            "warm_up",
            "rate",
            "connections",
            "request_id",
            "population",
            "mix",
            "console",
            "thresholds",
        ],
    ),
    ("population", &["users", "groups", "communities", "topics", "live_rooms", "channels"]),
    ("console", &["timeout", "on_timeout", "retries", "retry_after"]),
    ("thresholds", &["p99", "p99_before", "p99_after", "failed", "timed_out", "rate"]),
];

/// More connections than anybody's machine has ports for.
const MAX_CONNECTIONS: usize = 50_000;

fn one() -> u64 {
    1
}

fn connections() -> usize {
    64
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = Duration;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time in quotes, such as \"3s\"")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
            let wrong = |error| E::custom(format_args!("`{text}` is no time, such as \"3s\": {error}"));
            humantime::parse_duration(text).map_err(wrong)
        }
    }
    deserializer.deserialize_str(Text).map(Some)
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// When it is not TOML, has a key or a name that nobody knows, or could not be run.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        Self::read(text, "unnamed")
    }

    /// Reads a scenario that is called `name`, unless it says otherwise.
    fn read(text: &str, name: &str) -> Result<Self, ScenarioError> {
        let table: Table = text.parse().map_err(|error| ScenarioError::Toml(with_place(&error, text, false)))?;
        check_keys(&table)?;
        let file: File = toml::from_str(text).map_err(|error| ScenarioError::Value(with_place(&error, text, true)))?;
        file.named(name)
    }

    /// A built-in scenario by its name, or one from a file.
    ///
    /// # Errors
    /// When there is neither, or it cannot be run.
    pub fn load(name: &str) -> Result<Self, ScenarioError> {
        if let Some(text) = Self::built_in_text(name) {
            return Self::parse(&text);
        }
        match std::fs::read_to_string(Path::new(name)) {
            Ok(text) => Self::read(&text, &Path::new(name).file_stem().unwrap_or_default().to_string_lossy()),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound && !name.ends_with(".toml") => {
                let names = Self::built_in_names();
                let nearest = nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
                Err(ScenarioError::Unknown { name: name.to_owned(), nearest })
            }
            Err(source) => Err(ScenarioError::File { file: name.to_owned(), source }),
        }
    }

    /// The names of the built-in scenarios, in the order of the alphabet.
    #[must_use]
    pub fn built_in_names() -> Vec<String> {
        let mut names: Vec<_> =
            BuiltIn::iter().filter_map(|file| file.strip_suffix(".toml").map(str::to_owned)).collect();
        names.sort();
        names
    }

    /// A built-in scenario as it is written, for copying and changing.
    #[must_use]
    pub fn built_in_text(name: &str) -> Option<String> {
        let file = BuiltIn::get(&format!("{name}.toml"))?;
        Some(String::from_utf8_lossy(&file.data).into_owned())
    }

    /// Checks what was changed after reading.
    ///
    /// # Errors
    /// When it could not be run.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let invalid = |key, problem: &str| Err(ScenarioError::Invalid { key, problem: problem.to_owned() });
        if self.connections == 0 || self.connections > MAX_CONNECTIONS {
            return invalid("connections", &format!("has to be from 1 to {MAX_CONNECTIONS}"));
        }
        if self.mix.iter().all(|(_, weight)| *weight == 0) {
            return invalid("mix", "needs a flow with a weight above 0, such as one-to-one = 1");
        }
        if self.mix.iter().map(|(_, weight)| u64::from(*weight)).sum::<u64>() > u64::from(u32::MAX) {
            return invalid("mix", "the weights are too large together");
        }
        self.population.check()?;
        match self.extent {
            Extent::Duration(duration) if duration.is_zero() => return invalid("duration", "has to be above 0"),
            Extent::Duration(duration) if duration > MAX_DURATION => {
                return invalid("duration", "has to be at most 30 days");
            }
            Extent::Count(0) => return invalid("count", "has to be above 0"),
            Extent::Duration(_) | Extent::Count(_) => {}
        }
        if self.warm_up > MAX_DURATION {
            return invalid("warm_up", "has to be at most 30 days");
        }
        if self.console.timeout.is_zero() || self.console.timeout > Duration::from_mins(10) {
            return invalid("console.timeout", "has to be above 0 and at most 10 minutes");
        }
        if self.console.retries > 100 || self.console.retry_after > Duration::from_mins(10) {
            return invalid("console.retries", "are 100 at most, and 10 minutes apart at most");
        }
        self.rate.check().map_err(|error| ScenarioError::Invalid { key: "rate", problem: error.to_string() })?;
        if let Extent::Count(count) = self.extent
            && self.rate.seconds(count, self.warm_up) > MAX_DURATION.as_secs_f64()
        {
            return invalid("count", &format!("{count} flows take longer than 30 days at this rate"));
        }
        let Thresholds { failed, timed_out, rate, .. } = self.thresholds;
        for (key, share) in
            [("thresholds.failed", failed), ("thresholds.timed_out", timed_out), ("thresholds.rate", rate)]
        {
            if share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
                return invalid(key, "is a share, from 0 to 1");
            }
        }
        Ok(())
    }
}

impl Population {
    /// No machine keeps count of more.
    const MOST: u32 = 1_000_000;

    fn check(&self) -> Result<(), ScenarioError> {
        let invalid = |key, problem: String| Err(ScenarioError::Invalid { key, problem });
        if self.users < 2 {
            return invalid("population.users", "has to be at least 2: one sends, one receives".to_owned());
        }
        for (key, number) in [
            ("population.users", self.users),
            ("population.groups", self.groups),
            ("population.communities", self.communities),
            ("population.topics", self.topics),
            ("population.live_rooms", self.live_rooms),
            ("population.channels", self.channels),
        ] {
            if number > Self::MOST {
                return invalid(key, format!("has to be at most {}", Self::MOST));
            }
        }
        if u64::from(self.communities) * u64::from(self.topics) > u64::from(Self::MOST) {
            return invalid("population.topics", format!("have to be at most {} in all communities", Self::MOST));
        }
        Ok(())
    }
}

/// Nobody watches a run for longer.
const MAX_DURATION: Duration = Duration::from_hours(30 * 24);

impl File {
    /// The scenario, called `name` unless it says otherwise.
    fn named(self, name: &str) -> Result<Scenario, ScenarioError> {
        let file = self;
        let extent = match (file.duration, file.count) {
            (Some(duration), None) => Extent::Duration(duration),
            (None, Some(count)) => Extent::Count(count),
            (None, None) => Extent::Duration(Duration::from_mins(1)),
            (Some(_), Some(_)) => {
                let problem = "stands beside `duration`; a run ends after one of them".to_owned();
                return Err(ScenarioError::Invalid { key: "count", problem });
            }
        };
        let defaults = Console::default();
        let scenario = Scenario {
            name: file.name.unwrap_or_else(|| name.to_owned()),
            description: file.description,
            seed: file.seed,
            extent,
            warm_up: file.warm_up.unwrap_or_default(),
            rate: file.rate,
            connections: file.connections,
            request_id: file.request_id,
            population: file.population,
            mix: mix(&file.mix)?,
            console: Console {
                timeout: file.console.timeout.unwrap_or(defaults.timeout),
                on_timeout: file.console.on_timeout,
                retries: file.console.retries,
                retry_after: file.console.retry_after.unwrap_or(defaults.retry_after),
            },
            thresholds: Thresholds {
                p99: file.thresholds.p99,
                p99_before: file.thresholds.p99_before,
                p99_after: file.thresholds.p99_after,
                failed: file.thresholds.failed,
                timed_out: file.thresholds.timed_out,
                rate: file.thresholds.rate,
            },
        };
        scenario.check()?;
        Ok(scenario)
    }
}

/// The flows with their weights, in the order of their names.
fn mix(table: &Table) -> Result<Vec<(Flow, u32)>, ScenarioError> {
    let weight = |name: &str, value: &Value| {
        value.as_integer().and_then(|weight| u32::try_from(weight).ok()).ok_or_else(|| ScenarioError::Invalid {
            key: "mix",
            problem: format!("the weight of `{name}` has to be a whole number, 0 or above"),
        })
    };
    // A command has a dot in its name: unquoted, TOML reads it as a table.
    table
        .iter()
        .flat_map(|(name, value)| match value {
            Value::Table(inner) => inner.iter().map(|(rest, value)| (format!("{name}.{rest}"), value)).collect(),
            value => vec![(name.clone(), value)],
        })
        .map(|(name, value)| Ok((name.parse()?, weight(&name, value)?)))
        .collect()
}

fn check_keys(file: &Table) -> Result<(), ScenarioError> {
    for (table, known) in KEYS {
        let found = if table.is_empty() { Some(file) } else { file.get(table).and_then(Value::as_table) };
        let mut unknown = found.into_iter().flat_map(Table::keys).filter(|key| !known.contains(&key.as_str()));
        if let Some(key) = unknown.next() {
            let path = if table.is_empty() { key.clone() } else { format!("{table}.{key}") };
            let nearest = nearest(key, known.iter().copied()).map(str::to_owned);
            return Err(ScenarioError::UnknownKey { key: path, nearest });
        }
    }
    match ["rate", "mix"].into_iter().find(|key| !file.contains_key(*key)) {
        Some(key) => Err(ScenarioError::Invalid { key, problem: "is missing".to_owned() }),
        None => Ok(()),
    }
}

/// What TOML says, with the line, and the key that stands there.
fn with_place(error: &toml::de::Error, text: &str, has_key: bool) -> String {
    let message = error.message().trim_end().replace('\n', ", ");
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return message };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default();
    match line.split_once('=').filter(|_| has_key) {
        Some((key, _)) => format!("line {}: {}: {message}", number + 1, key.trim()),
        None => format!("line {}: {message}", number + 1),
    }
}
