//! Deciders that are services, asked over HTTP.

mod breaker;
mod call;
mod failure;
mod json;
mod passthrough;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chathook_protocol::AnyDecision;
use chathook_router::{Deciding, DispatchError, Question, Running};
use serde::{Deserialize, Deserializer};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use self::breaker::Breaker;
pub use self::breaker::Config as BreakerConfig;
use self::call::{Call, Service};
use self::failure::Failure;
use crate::config::{Invalid, Secret, duration, size};
use crate::http_client::{self, Url};
use crate::metrics::DeciderMetrics;
use crate::traces::Span;

/// `[decider.http]`: a service that decides.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where it is, `http` or `https`. A query of its own stays in front.
    pub url: String,
    /// What it is asked, and how it answers. Default: `passthrough`.
    #[serde(default)]
    pub format: Format,
    /// How long it may take. Default: what is left of the deadline.
    #[serde(default, deserialize_with = "some_duration")]
    pub timeout: Option<Duration>,
    /// Signs what it is asked, as Chat does. Default: `passthrough` leaves Chat's signature, `json` has none.
    #[serde(default)]
    pub token: Option<Secret>,
    /// How many requests it may have at once. Beyond that the fallback is answered. Default: 1024.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// After this time a second request is sent, if it may have another one, and the first good answer counts.
    /// Default: never.
    #[serde(default, deserialize_with = "some_duration")]
    pub hedge: Option<Duration>,
    /// When it is left alone because it fails; `false` for never. Default: as [`BreakerConfig`] says.
    #[serde(default = "default_breaker", deserialize_with = "breaker::or_false")]
    pub breaker: Option<BreakerConfig>,
    /// A PEM file with the authorities of its certificate. Default: those whom the system trusts.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The longest answer that is read, in bytes. Default: `1MiB`.
    #[serde(default = "default_max_answer", deserialize_with = "size")]
    pub max_answer: usize,
}

/// What a service is asked, and how it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As Chat asks, and as Chat is answered: for callback servers that are there already.
    #[default]
    Passthrough,
    /// The format of chathook.
    Json,
}

fn default_concurrency() -> usize {
    1024
}

#[expect(clippy::unnecessary_wraps, reason = "the type of the field")]
fn default_breaker() -> Option<BreakerConfig> {
    Some(BreakerConfig::default())
}

fn default_max_answer() -> usize {
    1 << 20
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

impl Config {
    /// A service at `url`, asked as Chat asks, and all else as it is by default.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            format: Format::default(),
            timeout: None,
            token: None,
            concurrency: default_concurrency(),
            hedge: None,
            breaker: default_breaker(),
            ca: None,
            max_answer: default_max_answer(),
        }
    }

    /// Checks what can be checked without any file.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let wrong = |key: &str, problem: &str| Err(Invalid::new(format!("http.{key}"), problem));
        let url = self.url()?;
        match self {
            Self { timeout: Some(Duration::ZERO), .. } => wrong("timeout", "must be more than zero"),
            Self { hedge: Some(Duration::ZERO), .. } => wrong("hedge", "must be more than zero"),
            Self { hedge: Some(hedge), timeout: Some(timeout), .. } if hedge >= timeout => {
                wrong("hedge", "is never sent, for `timeout` is not longer")
            }
            Self { concurrency: 0, .. } => wrong("concurrency", "must be 1 or more"),
            Self { max_answer: 0, .. } => wrong("max_answer", "must be more than zero"),
            Self { ca: Some(_), .. } if !url.is_https() => wrong("ca", "is of no use, for `url` is not https"),
            _ => self.breaker.as_ref().map_or(Ok(()), BreakerConfig::check),
        }
    }

    /// The files that it is made of.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.token.iter().filter_map(Secret::file).chain(self.ca.as_deref())
    }

    fn url(&self) -> Result<Url, Invalid> {
        Url::parse(&self.url).map_err(|problem| Invalid::new("http.url", problem))
    }
}

/// Reads an answer in the format of chathook, as if a service had given it.
///
/// # Errors
/// When it is no JSON, or not a decision on the question.
pub fn read_json(question: &Question, answer: &[u8]) -> Result<AnyDecision, DispatchError> {
    json::read(question, answer).map_err(DispatchError::from)
}

/// A service at work.
pub(crate) struct HttpDecider {
    service: Arc<Service>,
    runtime: Handle,
}

impl HttpDecider {
    /// Reads the files of `config`. Calls are made on `runtime`, whoever asks: who blocks a thread of those that answer
    /// stalls no connection.
    pub(crate) fn build(config: &Config, metrics: Arc<DeciderMetrics>, runtime: Handle) -> Result<Self, Invalid> {
        let url = config.url()?;
        let token = config.token.as_ref().map(Secret::read).transpose();
        let breaker = |config: &BreakerConfig| Arc::new(Breaker::new(config.clone(), metrics.breaker_open.clone()));
        let service = Service {
            client: http_client::build("http", &url, config.ca.as_deref(), config.timeout, config.concurrency)?,
            url,
            format: config.format,
            token: token.map_err(|problem| Invalid::new("http.token", problem))?,
            timeout: config.timeout,
            hedge: config.hedge,
            max_answer: config.max_answer,
            places: Arc::new(Semaphore::new(config.concurrency.min(Semaphore::MAX_PERMITS))),
            breaker: config.breaker.as_ref().map(breaker),
            metrics,
        };
        Ok(Self { service: Arc::new(service), runtime })
    }

    /// Asks the service, unless it has too much to do or is left alone.
    pub(crate) fn decide(&self, question: &Arc<Question>, span: Span) -> Deciding {
        match self.service.call(question, &span) {
            Ok(call) => Deciding::Running(self.run(call), self.service.timeout),
            Err(failure) => {
                span.does_not_decide((&failure).into(), || failure.to_string());
                Deciding::Done(Err(failure.into()))
            }
        }
    }

    /// The call ends when nobody wants to know any more.
    fn run(&self, call: Call) -> Running {
        let task = AbortOnDropHandle::new(self.runtime.spawn(call.run()));
        Running::new(async move {
            match task.await {
                Ok(decided) => decided.map_err(DispatchError::from),
                Err(ended) if ended.is_panic() => Err(DispatchError::Panicked),
                Err(_) => Err(Failure::Io("the program is stopping".to_owned()).into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::{Duration, SystemTime};

    use bytes::Bytes;
    use chathook_protocol::{Command, CommandName, Event, Query};
    use chathook_router::Question;
    use tokio::time::Instant;

    use super::{BreakerConfig, Config, Format};
    use crate::config::Secret;

    /// A callback with this query and body.
    pub(super) fn question(command: Command, query: &str, body: &str) -> Question {
        let mut query = Query::parse(query);
        query.command = Some(CommandName::Known(command));
        let event = Event::read(query, Bytes::from(body.to_owned()));
        Question::new(command, event, Instant::now(), SystemTime::now())
    }

    fn read(toml: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(toml)
    }

    #[test]
    fn a_url_is_enough() {
        let config = read("url = \"http://moderation:8080/callback\"").unwrap();
        assert_eq!(config, Config::new("http://moderation:8080/callback"));
        assert_eq!((config.format, config.concurrency, config.max_answer), (Format::Passthrough, 1024, 1_048_576));
        assert_eq!((config.timeout, config.hedge, config.files().count()), (None, None, 0));
        let breaker = BreakerConfig {
            error_share: 0.5,
            window: Duration::from_secs(10),
            min_calls: 20,
            open: Duration::from_secs(5),
        };
        assert_eq!(config.breaker, Some(breaker));
        config.check().unwrap();
    }

    #[test]
    fn every_key_is_read() {
        let config = read(
            r#"
            url = "https://moderation/callback"
            format = "json"
            timeout = "800ms"
            token = { file = "token" }
            concurrency = 7
            hedge = "100ms"
            breaker = { error_share = 0.25, open = "1s" }
            ca = "ca.pem"
            max_answer = "2KiB"
            "#,
        )
        .unwrap();
        let expected = Config {
            format: Format::Json,
            timeout: Some(Duration::from_millis(800)),
            token: config.token.clone(),
            concurrency: 7,
            hedge: Some(Duration::from_millis(100)),
            breaker: Some(BreakerConfig {
                error_share: 0.25,
                open: Duration::from_secs(1),
                ..BreakerConfig::default()
            }),
            ca: Some(PathBuf::from("ca.pem")),
            max_answer: 2048,
            ..Config::new("https://moderation/callback")
        };
        assert_eq!(config, expected);
        assert_eq!(config.files().collect::<Vec<_>>(), [Path::new("token"), Path::new("ca.pem")]);
        config.check().unwrap();
        assert_eq!(read("url = \"http://a\"\nbreaker = false").unwrap().breaker, None);
        assert_eq!(read("url = \"http://a\"\nbreaker = true").unwrap(), Config::new("http://a"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        for (toml, key) in [
            ("url = \"moderation:8080\"", "http.url"),
            ("url = \"https://u:p@moderation\"", "http.url"),
            ("url = \"http://a\"\ntimeout = \"0s\"", "http.timeout"),
            ("url = \"http://a\"\nhedge = \"0s\"", "http.hedge"),
            ("url = \"http://a\"\ntimeout = \"100ms\"\nhedge = \"100ms\"", "http.hedge"),
            ("url = \"http://a\"\nconcurrency = 0", "http.concurrency"),
            ("url = \"http://a\"\nmax_answer = \"0B\"", "http.max_answer"),
            ("url = \"http://a\"\nca = \"ca.pem\"", "http.ca"),
            ("url = \"http://a\"\nbreaker = { error_share = 1.0 }", "http.breaker.error_share"),
            ("url = \"http://a\"\nbreaker = { error_share = nan }", "http.breaker.error_share"),
            ("url = \"http://a\"\nbreaker = { window = \"1ms\" }", "http.breaker.window"),
            ("url = \"http://a\"\nbreaker = { min_calls = 0 }", "http.breaker.min_calls"),
            ("url = \"http://a\"\nbreaker = { open = \"0s\" }", "http.breaker.open"),
            ("url = \"http://a\"\nbreaker = { open = \"2h\" }", "http.breaker.open"),
        ] {
            assert_eq!(read(toml).unwrap().check().unwrap_err().key, key, "{toml}");
        }
        for toml in [
            "",
            "url = \"http://a\"\nformat = \"xml\"",
            "url = \"http://a\"\nretries = 3",
            "url = \"http://a\"\ntimeout = 800",
            "url = \"http://a\"\nbreaker = 5",
            "url = \"http://a\"\nbreaker = { opens = \"5s\" }",
        ] {
            assert!(read(toml).is_err(), "{toml}");
        }
    }

    #[test]
    fn a_configuration_does_not_print_its_token() {
        let config = Config { token: Some(Secret::value("k3y")), ..Config::new("http://a") };
        assert!(!format!("{config:?}").contains("k3y"));
    }
}
