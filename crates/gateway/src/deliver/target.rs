//! Targets: where events are delivered.

mod cloudevent;
pub mod file;
pub mod http;
pub mod kafka;
mod lines;
mod link;
pub mod nats;
pub mod rabbitmq;
pub mod redis;
pub mod stdout;
mod template;

use std::path::Path;
use std::time::Duration;

use chathook_journal::{DeadClass, Record};
use tokio::time::timeout;

pub(crate) use self::cloudevent::timestamp;
use self::file::FileTarget;
use self::http::HttpTarget;
use self::kafka::KafkaTarget;
use self::nats::NatsTarget;
use self::rabbitmq::RabbitmqTarget;
use self::redis::RedisTarget;
use self::stdout::StdoutTarget;
use crate::config::Invalid;

/// What a target is: the one table of a `[[target]]` that says so.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Config {
    /// A service.
    Http(http::Config),
    /// A subject of NATS.
    Nats(nats::Config),
    /// A stream of Redis.
    Redis(redis::Config),
    /// An exchange of RabbitMQ.
    Rabbitmq(rabbitmq::Config),
    /// A topic of Kafka.
    Kafka(kafka::Config),
    /// A file.
    File(file::Config),
    /// The standard output.
    Stdout(stdout::Config),
}

impl Config {
    /// Checks what can be checked without any file. Keys begin with the name of the table: `http.url`.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::Http(config) => config.check(),
            Self::Nats(config) => config.check(),
            Self::Redis(config) => config.check(),
            Self::Rabbitmq(config) => config.check(),
            Self::Kafka(config) => config.check(),
            Self::File(config) => config.check(),
            Self::Stdout(_) => Ok(()),
        }
    }

    /// The name of the table.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Nats(_) => "nats",
            Self::Redis(_) => "redis",
            Self::Rabbitmq(_) => "rabbitmq",
            Self::Kafka(_) => "kafka",
            Self::File(_) => "file",
            Self::Stdout(_) => "stdout",
        }
    }

    /// The files that it is made of: when one changes, the target is opened anew.
    pub(crate) fn files(&self) -> Vec<&Path> {
        match self {
            Self::Http(config) => config.files().collect(),
            Self::Nats(config) => config.files().collect(),
            Self::Redis(config) => config.files().collect(),
            Self::Rabbitmq(config) => config.files().collect(),
            Self::Kafka(config) => config.files().collect(),
            Self::File(_) | Self::Stdout(_) => Vec::new(),
        }
    }
}

/// How long an attempt may take where nothing else is said.
fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

/// A target at work. What is connected, is connected by the first delivery, and again after a failure.
pub(crate) enum Target {
    Http(Box<HttpTarget>),
    Nats(Box<NatsTarget>),
    Redis(Box<RedisTarget>),
    Rabbitmq(Box<RabbitmqTarget>),
    Kafka(Box<KafkaTarget>),
    File(FileTarget),
    Stdout(StdoutTarget),
}

/// The target has the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// What the target said, short: `200`.
    pub(crate) detail: String,
}

/// The target does not have the event, or did not say that it has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub(crate) struct Undelivered {
    pub(crate) next: Next,
    /// Whose fault it is, should this have been the last attempt.
    pub(crate) class: DeadClass,
    /// What went wrong, without anything of users, and without secrets.
    pub(crate) cause: String,
}

/// What is to be done with an event that was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another attempt.
    Retry,
    /// Another attempt, but not before this time: the target asked for it.
    RetryAfter(Duration),
    /// None: it would end the same.
    Dead,
}

impl Undelivered {
    /// It may go better the next time.
    pub(super) fn retry(cause: impl Into<String>) -> Self {
        Self { next: Next::Retry, class: DeadClass::Target, cause: cause.into() }
    }

    /// It may go better, but not before this time.
    pub(super) fn retry_after(after: Duration, cause: impl Into<String>) -> Self {
        Self { next: Next::RetryAfter(after), ..Self::retry(cause) }
    }

    /// The target does not want this event.
    pub(super) fn refused(cause: impl Into<String>) -> Self {
        Self { next: Next::Dead, class: DeadClass::Target, cause: cause.into() }
    }

    /// This event cannot be put into what the target takes.
    pub(super) fn impossible(cause: impl Into<String>) -> Self {
        Self { next: Next::Dead, class: DeadClass::Gateway, cause: cause.into() }
    }

    /// The target said nothing for so long.
    fn no_answer(limit: Duration) -> Self {
        Self::retry(format!("no answer within {}", humantime::format_duration(limit)))
    }

    /// Delivering panicked. The log has the place.
    pub(super) fn panicked() -> Self {
        Self { class: DeadClass::Gateway, ..Self::retry("delivering panicked") }
    }

    /// Who refuses what nobody could read is not to blame.
    fn about(mut self, event: &Record) -> Self {
        if self.next == Next::Dead && self.class == DeadClass::Target && !event.decoded {
            self.class = DeadClass::Undecodable;
        }
        self
    }
}

/// A disk or a pipe may hang, too.
async fn soon(delivering: impl Future<Output = Result<Delivered, Undelivered>>) -> Result<Delivered, Undelivered> {
    const LIMIT: Duration = Duration::from_secs(30);
    timeout(LIMIT, delivering).await.unwrap_or_else(|_| Err(Undelivered::retry(format!("not written in {LIMIT:?}"))))
}

impl Target {
    /// Reads the files of `config`, and connects to nothing: a target that is down keeps nobody from starting. `name` is
    /// for the log.
    pub(crate) fn open(name: &str, config: &Config) -> Result<Self, Invalid> {
        Ok(match config {
            Config::Http(config) => Self::Http(Box::new(HttpTarget::open(config)?)),
            Config::Nats(config) => Self::Nats(Box::new(NatsTarget::open(name, config)?)),
            Config::Redis(config) => Self::Redis(Box::new(RedisTarget::open(config)?)),
            Config::Rabbitmq(config) => Self::Rabbitmq(Box::new(RabbitmqTarget::open(config)?)),
            Config::Kafka(config) => Self::Kafka(Box::new(KafkaTarget::open(config)?)),
            Config::File(config) => Self::File(FileTarget::open(name, config)?),
            Config::Stdout(_) => Self::Stdout(StdoutTarget::open()?),
        })
    }

    /// Delivers one event. Many may be on their way at once; of those with the same key, one after the other. When it is
    /// dropped half-way, the target may have the event or not.
    pub(crate) async fn deliver(&self, event: &Record) -> Result<Delivered, Undelivered> {
        let delivered = match self {
            Self::Http(target) => target.deliver(event).await,
            Self::Nats(target) => target.deliver(event).await,
            Self::Redis(target) => target.deliver(event).await,
            Self::Rabbitmq(target) => target.deliver(event).await,
            Self::Kafka(target) => target.deliver(event).await,
            Self::File(target) => soon(target.deliver(event)).await,
            Self::Stdout(target) => soon(target.deliver(event)).await,
        };
        delivered.map_err(|undelivered| undelivered.about(event))
    }
}
