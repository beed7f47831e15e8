//! Where and how long events are kept.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a journal keeps.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where events are kept.
    pub engine: EngineConfig,
    /// A record with the identity of an event that is not older than this is a duplicate.
    pub dedup_window: Duration,
    /// Events older than this are removed, once every target has settled them.
    pub retention: Duration,
}

/// Where events are kept.
#[derive(Debug, Clone)]
pub enum EngineConfig {
    /// In a database file of this machine.
    Sqlite(SqliteConfig),
    /// In a stream that several gateways share.
    JetStream(JetStreamConfig),
}

/// A database file.
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// The file. It and its directory are created when missing.
    pub path: PathBuf,
    /// Bytes of the file that may be in use; none: the disk is the limit. Beyond it the oldest settled events are removed,
    /// and when there are none, nothing more is kept.
    pub max_size: Option<u64>,
}

/// A stream on NATS servers (2.11 or newer, with JetStream).
#[derive(Debug, Clone)]
pub struct JetStreamConfig {
    /// `nats://` or `tls://` addresses of the servers.
    pub urls: Vec<String>,
    /// Name of the stream; others next to it begin with it.
    pub stream: String,
    /// On how many servers an event is before it is acknowledged. A stream that has more keeps them.
    pub replicas: usize,
    /// Whether to refuse to start on less than durable: 3 replicas, or `sync_always`.
    pub require_durable: bool,
    /// The servers sync at every write (`sync_interval: always` in their configuration). Clients cannot ask them.
    pub sync_always: bool,
    /// Bytes that the body of an event may have. Where servers take smaller messages (`max_payload`, 1 MiB if it is not set), that is
    /// said, and larger events fail.
    pub max_event: usize,
    /// How long an append waits for a server at most.
    pub append_timeout: Duration,
    /// Who we are to the servers.
    pub auth: Option<NatsAuth>,
    /// The authority that signed the servers' certificates (PEM); none: those that the machine trusts. With it, TLS is required.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key (PEM), where the servers ask for one. With it, TLS is required.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

impl Default for JetStreamConfig {
    /// Three replicas at a server of this machine, with events of up to a million bytes.
    fn default() -> Self {
        Self {
            urls: vec!["nats://127.0.0.1:4222".into()],
            stream: "CHATHOOK".into(),
            replicas: 3,
            require_durable: true,
            sync_always: false,
            max_event: 1_000_000,
            append_timeout: Duration::from_secs(1),
            auth: None,
            ca: None,
            client_certificate: None,
        }
    }
}

/// Who we are to the servers.
#[derive(Clone)]
pub enum NatsAuth {
    /// A file with a JWT and a seed.
    Credentials(PathBuf),
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token(String),
}

impl fmt::Debug for NatsAuth {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credentials(path) => f.debug_tuple("Credentials").field(path).finish(),
            Self::Password { user, .. } => f.debug_struct("Password").field("user", user).finish_non_exhaustive(),
            Self::Token(_) => f.debug_tuple("Token").finish_non_exhaustive(),
        }
    }
}
