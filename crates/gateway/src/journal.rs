//! `[journal]`: where events are kept before they are acknowledged.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chathook_journal::{EngineConfig, JetStreamConfig, NatsAuth, Record, SqliteConfig};
use chathook_protocol::Event;
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::config::{Invalid, Secret, duration, some_size};

/// `[journal]`: where events are kept, and for how long.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// What keeps them. Default: `sqlite`.
    pub engine: EngineName,
    /// The database of the engine `sqlite`; it and its folder are created. Default: `data/journal.db`.
    pub path: PathBuf,
    /// How large the database may grow. Default: as large as the disk is.
    #[serde(deserialize_with = "some_size")]
    pub max_size: Option<usize>,
    /// The servers of the engine `jetstream`.
    pub nats: Option<NatsConfig>,
    /// For how long a second event with the same identity is a duplicate. Default: `10m`.
    #[serde(deserialize_with = "duration")]
    pub dedup_window: Duration,
    /// For how long events are kept that every target has settled. Default: `7d`.
    #[serde(deserialize_with = "duration")]
    pub retention: Duration,
    /// Whether before-callbacks are kept too, with the decision that was sent. Default: `false`.
    pub decisions: bool,
}

/// What keeps events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum EngineName {
    /// A database file of this machine.
    #[default]
    Sqlite,
    /// NATS JetStream, which any number of gateways share.
    JetStream,
}

/// `[journal.nats]`: the servers of the engine `jetstream`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NatsConfig {
    /// One or more servers, separated by commas: `nats://a:4222,nats://b:4222`, or `tls://` for TLS.
    pub url: String,
    /// The stream that holds events; what else is needed begins with its name. Default: `CHATHOOK`.
    #[serde(default = "stream")]
    pub stream: String,
    /// How many servers keep each event. Default: 1.
    #[serde(default = "one")]
    pub replicas: usize,
    /// Whether to start only where an acknowledged event survives the loss of a server or a power cut.
    /// Default: `false`.
    #[serde(default)]
    pub require_durable: bool,
    /// The servers write each message to disk before they acknowledge it (`sync_interval: always`); clients cannot ask
    /// them. Default: `false`.
    #[serde(default)]
    pub sync_always: bool,
    /// A credentials file.
    pub credentials: Option<PathBuf>,
    /// A user, with `password`.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// A token.
    pub token: Option<Secret>,
    /// Authorities of the servers' certificates, in place of those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The gateway's own certificate, with `key`.
    pub cert: Option<PathBuf>,
    /// The key of the certificate.
    pub key: Option<PathBuf>,
    /// How long an append waits for the servers. Default: `1s`.
    #[serde(default = "one_second", deserialize_with = "duration")]
    pub timeout: Duration,
}

fn stream() -> String {
    "CHATHOOK".to_owned()
}

fn one() -> usize {
    1
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: EngineName::Sqlite,
            path: PathBuf::from("data/journal.db"),
            max_size: None,
            nats: None,
            dedup_window: Duration::from_secs(10 * 60),
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            decisions: false,
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        match (self.engine, &self.nats) {
            (EngineName::JetStream, None) => {
                return Err(Invalid::new("journal.nats", "is needed for the engine `jetstream`"));
            }
            (EngineName::Sqlite, Some(_)) => {
                return Err(Invalid::new("journal.nats", "is for `engine = \"jetstream\"` only"));
            }
            (EngineName::JetStream, Some(nats)) => nats.check()?,
            (EngineName::Sqlite, None) if self.path.as_os_str().is_empty() => {
                return Err(Invalid::new("journal.path", "is empty"));
            }
            (EngineName::Sqlite, None) => {}
        }
        if self.engine == EngineName::JetStream && self.max_size.is_some() {
            return Err(Invalid::new("journal.max_size", "is for `engine = \"sqlite\"` only"));
        }
        if self.retention.is_zero() {
            return Err(Invalid::new("journal.retention", "must be more than zero"));
        }
        if self.dedup_window > self.retention {
            return Err(Invalid::new("journal.dedup_window", "must be at most `journal.retention`"));
        }
        Ok(())
    }

    /// Whether a running journal needs no other opening.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        *self == Self { decisions: self.decisions, ..other.clone() }
    }

    /// The database, where that is the engine.
    pub(crate) fn file(&self) -> Option<&Path> {
        (self.engine == EngineName::Sqlite).then_some(self.path.as_path())
    }

    /// What the journal is opened with, where callbacks have bodies of at most `max_body` bytes.
    pub(crate) fn open(&self, max_body: usize) -> Result<chathook_journal::Config, Invalid> {
        let engine = match &self.nats {
            Some(nats) => EngineConfig::JetStream(nats.open(max_body)?),
            None => EngineConfig::Sqlite(SqliteConfig {
                path: self.path.clone(),
                max_size: self.max_size.map(|size| size as u64),
            }),
        };
        Ok(chathook_journal::Config { engine, dedup_window: self.dedup_window, retention: self.retention })
    }
}

impl NatsConfig {
    fn check(&self) -> Result<(), Invalid> {
        if self.replicas == 0 || self.replicas > 5 {
            return Err(Invalid::new("journal.nats.replicas", "must be 1 to 5"));
        }
        if self.user.is_some() != self.password.is_some() {
            return Err(Invalid::new("journal.nats.user", "`user` and `password` go together"));
        }
        if self.cert.is_some() != self.key.is_some() {
            return Err(Invalid::new("journal.nats.cert", "`cert` and `key` go together"));
        }
        let ways = [self.credentials.is_some(), self.user.is_some(), self.token.is_some()];
        if ways.iter().filter(|is_given| **is_given).count() > 1 {
            return Err(Invalid::new("journal.nats.credentials", "give one of `credentials`, `user` and `token`"));
        }
        Ok(())
    }

    fn open(&self, max_body: usize) -> Result<JetStreamConfig, Invalid> {
        Ok(JetStreamConfig {
            urls: self.url.split(',').map(|url| url.trim().to_owned()).collect(),
            stream: self.stream.clone(),
            replicas: self.replicas,
            require_durable: self.require_durable,
            sync_always: self.sync_always,
            max_event: max_body,
            append_timeout: self.timeout,
            auth: self.auth()?,
            ca: self.ca.clone(),
            client_certificate: self.cert.clone().zip(self.key.clone()),
        })
    }

    fn auth(&self) -> Result<Option<NatsAuth>, Invalid> {
        let read = |key: &str, secret: &Secret| match secret.read() {
            Ok(secret) => Ok(secret.expose_secret().to_owned()),
            Err(problem) => Err(Invalid::new(format!("journal.nats.{key}"), problem)),
        };
        Ok(match (&self.credentials, &self.user, &self.password, &self.token) {
            (Some(file), ..) => Some(NatsAuth::Credentials(file.clone())),
            (None, Some(user), Some(password), _) => {
                Some(NatsAuth::Password { user: user.clone(), password: read("password", password)? })
            }
            (None, _, _, Some(token)) => Some(NatsAuth::Token(read("token", token)?)),
            _ => None,
        })
    }
}

/// How many bytes more the disk of `file` takes from us; `None` where that cannot be told.
pub(crate) fn free(file: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(file).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// What is kept of an event.
pub(crate) fn record(event: &Event, received: SystemTime) -> Record {
    let id = event.id();
    Record {
        by_content: id.is_of_content(),
        id: id.into(),
        app: event.query().sdk_app_id,
        command: event.command().as_str().to_owned(),
        key: event.ordering_key().as_str().map(str::to_owned),
        received,
        query: event.query().as_str().to_owned(),
        // A copy: what came is a slice of all that its connection has read, and would keep that.
        body: Bytes::copy_from_slice(event.body()),
        answer: None,
        decoded: !matches!(event.callback(), Some(Err(_))),
    }
}

/// The same of a before-callback, which is decided again when it comes again: each is an event of its own.
pub(crate) fn decision(event: &Event, received: SystemTime) -> Record {
    let record = record(event, received);
    let since = received.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Record { id: format!("{}/{}", record.id, since.as_nanos()), by_content: false, ..record }
}
