//! NATS as a target: JetStream with acknowledgements, or core.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::client::PublishErrorKind as CoreErrorKind;
use async_nats::connection::State;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, ConnectOptions, HeaderMap, HeaderValue, ServerAddr, Subject, Subscriber};
use chathook_journal::Record;
use futures_util::StreamExt;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::cloudevent::{CloudEvent, MEDIA_TYPE};
use super::link::{Link, Sent};
use super::template::Template;
use super::{Delivered, Undelivered};
use crate::config::{Invalid, Secret, duration};
use crate::tls;
use crate::traces::Span;

/// `nats = { ... }`: a subject of NATS gets each event as a structured CloudEvent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// One or more servers, separated by commas: `nats://a:4222,nats://b:4222`, or `tls://` for TLS.
    pub url: String,
    /// The subject, in which `{app}`, `{command}` and `{key}` (the conversation) stand for what the event has.
    /// Default: `chat.{command}`.
    #[serde(default = "default_subject")]
    pub subject: String,
    /// Whether a stream has to acknowledge it; the identity of the event is its `Nats-Msg-Id`, by which the stream knows
    /// duplicates. Else it counts as delivered once the server has read it, whoever listens; that is seen by a message to
    /// ourselves, so that a user with restricted permissions needs `_INBOX.>`, too. Default: `true`.
    #[serde(default = "default_jetstream")]
    pub jetstream: bool,
    /// A credentials file.
    pub credentials: Option<PathBuf>,
    /// A user, with `password`.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// A token.
    pub token: Option<Secret>,
    /// Authorities of the servers' certificates, in place of those that the system trusts. TLS is needed then.
    pub ca: Option<PathBuf>,
    /// How long one attempt may take, connecting included. Default: `10s`.
    #[serde(default = "super::default_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
}

fn default_subject() -> String {
    "chat.{command}".to_owned()
}

fn default_jetstream() -> bool {
    true
}

impl Config {
    /// Checks what can be checked without any file.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let wrong = |key: &str, problem: &str| Err(Invalid::new(format!("nats.{key}"), problem));
        self.servers()?;
        self.template()?;
        let ways = [self.credentials.is_some(), self.user.is_some(), self.token.is_some()];
        match self {
            Self { timeout: Duration::ZERO, .. } => wrong("timeout", "must be more than zero"),
            Self { user: Some(_), password: None, .. } | Self { user: None, password: Some(_), .. } => {
                wrong("user", "`user` and `password` go together")
            }
            _ if ways.iter().filter(|is_given| **is_given).count() > 1 => {
                wrong("credentials", "give one of `credentials`, `user` and `token`")
            }
            _ => Ok(()),
        }
    }

    /// The files that it is made of.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let secrets = self.password.iter().chain(&self.token).filter_map(Secret::file);
        secrets.chain(self.credentials.as_deref()).chain(self.ca.as_deref())
    }

    fn servers(&self) -> Result<Vec<ServerAddr>, Invalid> {
        let invalid = |problem: &str| Invalid::new("nats.url", problem);
        let server = |url: &str| {
            let server: ServerAddr = url.trim().parse().map_err(|_| invalid("is not like nats://nats:4222"))?;
            match server.scheme() {
                _ if server.host().is_empty() => Err(invalid("has no host")),
                _ if server.has_user_pass() => Err(invalid("has a user; give `user` and `password`, or `token`")),
                "nats" | "tls" => Ok(server),
                _ => Err(invalid("has to begin with nats:// or tls://")),
            }
        };
        self.url.split(',').map(server).collect()
    }

    fn template(&self) -> Result<Template, Invalid> {
        let invalid = |problem: &str| Invalid::new("nats.subject", problem);
        let template = Template::parse(&self.subject).map_err(|problem| invalid(&problem))?;
        // Whatever is filled in is good: what stands around it is not, perhaps.
        let fixed = self.subject.replace(['{', '}'], "");
        if fixed.split('.').any(str::is_empty) {
            return Err(invalid("has an empty word between dots"));
        }
        if fixed.contains(|c: char| c.is_whitespace() || c.is_control() || c == '*' || c == '>') {
            return Err(invalid("has a blank or a wildcard"));
        }
        Ok(template)
    }
}

/// Subjects at work.
pub(crate) struct NatsTarget {
    link: Link<Connected>,
    subject: Template,
    timeout: Duration,
}

/// Whom to connect to, and as whom.
struct Servers {
    name: String,
    addresses: Vec<ServerAddr>,
    auth: Auth,
    tls: Option<rustls::ClientConfig>,
    is_jetstream: bool,
    timeout: Duration,
}

enum Auth {
    None,
    Credentials(SecretString),
    Password(String, SecretString),
    Token(SecretString),
}

/// A client, which connects again by itself.
#[derive(Clone)]
struct Connected {
    client: Client,
    jetstream: jetstream::Context,
    /// Without JetStream.
    echo: Option<Arc<Echo>>,
}

/// Messages to ourselves: what comes back was read by the server, and so was everything before it.
struct Echo {
    inbox: Subject,
    /// The number of the last one that was sent.
    sent: AtomicU64,
    heard: Mutex<Heard>,
}

struct Heard {
    subscriber: Subscriber,
    /// The greatest number that came back.
    newest: u64,
}

/// A line of the protocol has room for 4096 bytes, and a longer one breaks the connection.
const MAX_SUBJECT: usize = 2048;

impl NatsTarget {
    /// Reads the files of `config`.
    pub(crate) fn open(name: &str, config: &Config) -> Result<Self, Invalid> {
        let read =
            |key: &str, secret: &Secret| secret.read().map_err(|problem| Invalid::new(format!("nats.{key}"), problem));
        let auth = match (&config.credentials, &config.user, &config.password, &config.token) {
            (Some(file), ..) => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    Invalid::new("nats.credentials", format!("{} cannot be read: {error}", file.display()))
                })?;
                Auth::Credentials(text.into())
            }
            (None, Some(user), Some(password), _) => Auth::Password(user.clone(), read("password", password)?),
            (None, _, _, Some(token)) => Auth::Token(read("token", token)?),
            _ => Auth::None,
        };
        let tls = config.ca.as_deref().map(|ca| tls::client::config("nats", Some(ca))).transpose()?;
        let (name, addresses, timeout) = (name.to_owned(), config.servers()?, config.timeout);
        let servers = Arc::new(Servers { name, addresses, auth, tls, is_jetstream: config.jetstream, timeout });
        let connect = move || Arc::clone(&servers).connect();
        Ok(Self {
            // The client connects again by itself.
            link: Link::new(timeout, |_| true, connect),
            subject: config.template()?,
            timeout,
        })
    }

    pub(crate) async fn deliver(&self, event: &Record) -> Result<Delivered, Undelivered> {
        let subject = self.subject.words(event);
        if subject.len() > MAX_SUBJECT {
            return Err(Undelivered::impossible("its subject is too long"));
        }
        let payload = CloudEvent::of(event).json()?.into();
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", MEDIA_TYPE);
        if let Ok(id) = event.id.parse::<HeaderValue>() {
            headers.insert("Nats-Msg-Id", id);
        }
        Span::current().propagate(|name, value| headers.insert(name, value));
        self.link
            .attempt(async |connected| {
                if connected.client.connection_state() != State::Connected {
                    // What is sent now would wait, and be sent after the next attempt.
                    return Sent::Answered(Err(Undelivered::retry("no connection")));
                }
                Sent::Answered(match &connected.echo {
                    None => connected.acknowledged(subject, headers, payload, self.timeout).await,
                    Some(echo) => connected.echoed(echo, subject, headers, payload).await,
                })
            })
            .await
    }
}

impl Servers {
    async fn connect(self: Arc<Self>) -> Result<Connected, Undelivered> {
        let name = self.name.clone();
        let mut options = ConnectOptions::new()
            .name("chathook")
            .connection_timeout(self.timeout)
            .ping_interval(Duration::from_secs(10))
            .reconnect_delay_callback(|attempt| {
                Duration::from_millis(u64::try_from(attempt).unwrap_or(u64::MAX).saturating_mul(50).min(1000))
            })
            .event_callback(move |event| {
                tracing::info!(target_name = name, "NATS: {event}");
                std::future::ready(())
            });
        options = match &self.auth {
            Auth::None => options,
            Auth::Password(user, password) => {
                options.user_and_password(user.clone(), password.expose_secret().to_owned())
            }
            Auth::Token(token) => options.token(token.expose_secret().to_owned()),
            Auth::Credentials(text) => options
                .credentials(text.expose_secret())
                .map_err(|_| Undelivered::retry("the credentials file has no credentials"))?,
        };
        if let Some(tls) = &self.tls {
            options = options.tls_client_config(tls.clone()).require_tls(true);
        }
        let client = options
            .connect(self.addresses.clone())
            .await
            .map_err(|error| Undelivered::retry(format!("no connection: {error}")))?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(self.timeout);
        let echo = match self.is_jetstream {
            true => None,
            false => Some(Arc::new(Echo::of(&client).await?)),
        };
        Ok(Connected { client, jetstream, echo })
    }
}

impl Connected {
    async fn acknowledged(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: bytes::Bytes,
        limit: Duration,
    ) -> Result<Delivered, Undelivered> {
        let failed = |error: PublishError| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => Undelivered::refused(TOO_LARGE),
            PublishErrorKind::StreamNotFound => Undelivered::retry("no stream takes its subject"),
            PublishErrorKind::TimedOut => Undelivered::no_answer(limit),
            kind => match jetstream_error(&error) {
                Some(error) if error.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => {
                    Undelivered::refused(TOO_LARGE)
                }
                Some(error) => Undelivered::retry(format!("the stream did not take it: {error}")),
                None => Undelivered::retry(kind.to_string()),
            },
        };
        let published = self.jetstream.publish_with_headers(subject, headers, payload).await.map_err(failed)?;
        let acknowledged = published.await.map_err(failed)?;
        Ok(Delivered {
            detail: match acknowledged.duplicate {
                true => format!("{} {} (there already)", acknowledged.stream, acknowledged.sequence),
                false => format!("{} {}", acknowledged.stream, acknowledged.sequence),
            },
        })
    }

    /// Sends it, and waits until the server has read it. A client that connects again drops what it had not written, and
    /// says nothing of that.
    async fn echoed(
        &self,
        echo: &Echo,
        subject: String,
        headers: HeaderMap,
        payload: bytes::Bytes,
    ) -> Result<Delivered, Undelivered> {
        let connects = || self.client.statistics().connects.load(Ordering::Relaxed);
        let before = connects();
        self.client.publish_with_headers(subject, headers, payload).await.map_err(|error| match error.kind() {
            CoreErrorKind::MaxPayloadExceeded => Undelivered::refused(TOO_LARGE),
            CoreErrorKind::InvalidSubject => Undelivered::impossible("its subject is not allowed"),
            CoreErrorKind::Send => not_sent(&error),
        })?;
        echo.round_trip(&self.client).await?;
        match connects() == before {
            true => Ok(Delivered { detail: "sent".to_owned() }),
            false => Err(Undelivered::retry("the connection broke")),
        }
    }
}

impl Echo {
    async fn of(client: &Client) -> Result<Self, Undelivered> {
        let inbox = Subject::from(client.new_inbox());
        let subscriber = client.subscribe(inbox.clone()).await.map_err(|error| not_sent(&error))?;
        Ok(Self { inbox, sent: AtomicU64::new(0), heard: Mutex::new(Heard { subscriber, newest: 0 }) })
    }

    /// Returns once the server has read everything that was sent before, or once another connection was made.
    async fn round_trip(&self, client: &Client) -> Result<(), Undelivered> {
        // What has a greater number is sent after our event, too: its echo is as good.
        let number = self.sent.fetch_add(1, Ordering::AcqRel) + 1;
        let message = number.to_be_bytes().to_vec().into();
        client.publish(self.inbox.clone(), message).await.map_err(|error| not_sent(&error))?;
        let mut heard = self.heard.lock().await;
        while heard.newest < number {
            let message = heard.subscriber.next().await.ok_or_else(|| Undelivered::retry("no connection"))?;
            let number = message.payload.as_ref().try_into().map_or(0, u64::from_be_bytes);
            heard.newest = heard.newest.max(number);
        }
        Ok(())
    }
}

fn not_sent(error: &dyn Display) -> Undelivered {
    Undelivered::retry(format!("not sent: {error}"))
}

const TOO_LARGE: &str = "it is larger than the server takes";

/// What a stream said.
fn jetstream_error(error: &PublishError) -> Option<&jetstream::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::{Config, NatsTarget};

    #[test]
    fn keys_are_read_and_checked() {
        let read = |toml: &str| toml::from_str::<Config>(toml);
        let config = read("url = \"nats://a, tls://b:4223\"").unwrap();
        assert_eq!((config.subject.as_str(), config.jetstream, config.timeout.as_secs()), ("chat.{command}", true, 10));
        config.check().unwrap();
        NatsTarget::open("nats", &config).unwrap();
        for (toml, key) in [
            ("url = \"\"", "nats.url"),
            ("url = \"http://a\"", "nats.url"),
            ("url = \"nats://u:p@a\"", "nats.url"),
            ("url = \"nats://a\"\nsubject = \"chat..x\"", "nats.subject"),
            ("url = \"nats://a\"\nsubject = \"\"", "nats.subject"),
            ("url = \"nats://a\"\nsubject = \"chat.>\"", "nats.subject"),
            ("url = \"nats://a\"\nsubject = \"chat {app}\"", "nats.subject"),
            ("url = \"nats://a\"\nsubject = \"{user}\"", "nats.subject"),
            ("url = \"nats://a\"\nuser = \"u\"", "nats.user"),
            ("url = \"nats://a\"\ntoken = \"t\"\ncredentials = \"c\"", "nats.credentials"),
            ("url = \"nats://a\"\ntimeout = \"0s\"", "nats.timeout"),
        ] {
            assert_eq!(read(toml).unwrap().check().unwrap_err().key, key, "{toml}");
        }
        assert!(read("").is_err() && read("url = \"nats://a\"\nqueue = \"q\"").is_err());
        let missing = read("url = \"nats://a\"\nca = \"/nowhere.pem\"").unwrap();
        assert_eq!(NatsTarget::open("nats", &missing).err().unwrap().key, "nats.ca");
    }
}
