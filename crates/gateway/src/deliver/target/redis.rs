//! Redis as a target: entries of streams.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chathook_journal::Record;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisError, TlsCertificates};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::cloudevent::CloudEvent;
use super::link::{Link, Sent};
use super::template::Template;
use super::{Delivered, Undelivered};
use crate::config::{Invalid, Secret, duration};

/// `redis = { ... }`: a stream gets each event as an entry with the fields `id`, `command`, `key` (the conversation,
/// where there is one) and `event`, a structured CloudEvent.
///
/// Delivered means that Redis has it. How much of that survives a crash of Redis is what `appendfsync` says there.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where it is: `redis://host:6379/0`, or `rediss://` for TLS; user and password may stand in it.
    pub url: Secret,
    /// The password, in place of one in `url`.
    pub password: Option<Secret>,
    /// The key of the stream, in which `{app}`, `{command}` and `{key}` stand for what the event has. Default: `chat`.
    #[serde(default = "default_stream")]
    pub stream: String,
    /// About how many entries stay in a stream; older ones go, read or not. `0`: all stay. Default: 1000000.
    #[serde(default = "default_max_len")]
    pub max_len: u64,
    /// Authorities of its certificate, in place of those that the system trusts.
    pub ca: Option<PathBuf>,
    /// How long one attempt may take, connecting included. Default: `10s`.
    #[serde(default = "super::default_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
}

fn default_stream() -> String {
    "chat".to_owned()
}

fn default_max_len() -> u64 {
    1_000_000
}

impl Config {
    /// Checks what can be checked without any file.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        self.template()?;
        match self {
            Self { timeout: Duration::ZERO, .. } => Err(Invalid::new("redis.timeout", "must be more than zero")),
            Self { stream, .. } if stream.is_empty() => Err(Invalid::new("redis.stream", "is empty")),
            _ => Ok(()),
        }
    }

    /// The files that it is made of.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let secrets = [&self.url].into_iter().chain(&self.password).filter_map(Secret::file);
        secrets.chain(self.ca.as_deref())
    }

    fn template(&self) -> Result<Template, Invalid> {
        Template::parse(&self.stream).map_err(|problem| Invalid::new("redis.stream", problem))
    }

    fn client(&self) -> Result<Client, Invalid> {
        let invalid = |key: &str, problem: String| Invalid::new(format!("redis.{key}"), problem);
        let url = self.url.read().map_err(|problem| invalid("url", problem))?;
        // What is wrong is not said with the words of the client, which may quote the password.
        let unusable = |_: RedisError| invalid("url", "is not like redis://redis:6379/0".to_owned());
        let mut info = url.expose_secret().into_connection_info().map_err(unusable)?;
        if let Some(password) = &self.password {
            let password = password.read().map_err(|problem| invalid("password", problem))?;
            let settings = info.redis_settings().clone().set_password(password.expose_secret());
            info = info.set_redis_settings(settings);
        }
        let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let Some(file) = &self.ca else { return Client::open(info).map_err(unusable) };
        if !is_tls {
            return Err(invalid("ca", "is of no use, for `url` does not begin with rediss://".to_owned()));
        }
        let problem = |error: &dyn std::fmt::Display| invalid("ca", format!("{}: {error}", file.display()));
        let ca = std::fs::read(file).map_err(|error| problem(&error))?;
        let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca) };
        Client::build_with_tls(info, certificates).map_err(|error| problem(&error))
    }
}

/// A stream at work.
pub(crate) struct RedisTarget {
    link: Link<MultiplexedConnection>,
    stream: Template,
    max_len: u64,
}

impl RedisTarget {
    /// Reads the files of `config`.
    pub(crate) fn open(config: &Config) -> Result<Self, Invalid> {
        let (client, limit) = (config.client()?, config.timeout);
        let link = Link::new(limit, |_| true, move || connect(client.clone(), limit));
        Ok(Self { link, stream: config.template()?, max_len: config.max_len })
    }

    pub(crate) async fn deliver(&self, event: &Record) -> Result<Delivered, Undelivered> {
        let add = self.add(event)?;
        self.link
            .attempt(async |mut connection| match add.query_async::<String>(&mut connection).await {
                Ok(id) => Sent::Answered(Ok(Delivered { detail: id })),
                // It may be another server that does better: one that was a replica, or the same after a restart.
                Err(error) => Sent::Broken(failed(&error)),
            })
            .await
    }

    fn add(&self, event: &Record) -> Result<redis::Cmd, Undelivered> {
        let json = CloudEvent::of(event).json()?;
        let mut add = redis::cmd("XADD");
        add.arg(self.stream.plain(event));
        if self.max_len > 0 {
            add.arg("MAXLEN").arg("~").arg(self.max_len);
        }
        add.arg("*").arg("id").arg(&event.id).arg("command").arg(&event.command);
        if let Some(key) = &event.key {
            add.arg("key").arg(key);
        }
        add.arg("event").arg(json);
        Ok(add)
    }
}

/// Connects. Commands of all deliveries share the connection, and none waits for the answer to another.
async fn connect(client: Client, limit: Duration) -> Result<MultiplexedConnection, Undelivered> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(limit)).set_response_timeout(None);
    let connected = client.get_multiplexed_async_connection_with_config(&config).await;
    connected.map_err(|error| failed(&error))
}

/// An answer of Redis is known by its first word: the rest may name the stream, and with it a conversation.
fn failed(error: &RedisError) -> Undelivered {
    Undelivered::retry(match error.code() {
        Some(code) => format!("it answered {code}"),
        None if error.is_io_error() => format!("no connection: {error}"),
        None => error.category().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::cloudevent::tests::event;
    use super::{Config, RedisTarget};

    fn read(toml: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(toml)
    }

    #[test]
    fn keys_are_read_and_checked() {
        let config = read("url = \"redis://redis\"").unwrap();
        assert_eq!((config.stream.as_str(), config.max_len, config.timeout.as_secs()), ("chat", 1_000_000, 10));
        config.check().unwrap();
        RedisTarget::open(&config).unwrap();
        for (toml, key) in [
            ("url = \"redis://a\"\nstream = \"\"", "redis.stream"),
            ("url = \"redis://a\"\nstream = \"{user}\"", "redis.stream"),
            ("url = \"redis://a\"\ntimeout = \"0s\"", "redis.timeout"),
        ] {
            assert_eq!(read(toml).unwrap().check().unwrap_err().key, key, "{toml}");
        }
        for (toml, key) in [
            ("url = \"http://u:k3y@a\"", "redis.url"),
            ("url = \"redis://u:k3y@a:b\"", "redis.url"),
            ("url = { file = \"/nowhere\" }", "redis.url"),
            ("url = \"redis://a\"\npassword = { file = \"/nowhere\" }", "redis.password"),
            ("url = \"redis://a\"\nca = \"ca.pem\"", "redis.ca"),
            ("url = \"rediss://a\"\nca = \"/nowhere\"", "redis.ca"),
        ] {
            let config = read(toml).unwrap();
            let invalid = RedisTarget::open(&config).err().unwrap();
            assert_eq!(invalid.key, key, "{toml}");
            assert!(!invalid.problem.contains("k3y") && !format!("{config:?}").contains("k3y"), "{}", invalid.problem);
        }
        assert!(read("").is_err() && read("url = \"redis://a\"\ndb = 1").is_err());
    }

    #[test]
    fn an_entry_has_what_consumers_look_for() {
        let added = |toml: &str, command: &str| {
            let target = RedisTarget::open(&read(toml).unwrap()).unwrap();
            let add = target.add(&event(command, "{}")).unwrap();
            String::from_utf8_lossy(&add.get_packed_command()).split("\r\n").map(str::to_owned).collect::<Vec<_>>()
        };
        let entry = added("url = \"redis://a\"\nmax_len = 7\nstream = \"chat:{app}\"", "State.StateChange");
        let words: Vec<&str> = entry.iter().skip(2).step_by(2).map(String::as_str).collect();
        let start = ["XADD", "chat:1400000001", "MAXLEN", "~", "7", "*", "id", "1400000001/State.StateChange/a%20b"];
        assert_eq!(words[..8], start);
        assert_eq!(words[8..13], ["command", "State.StateChange", "key", "group/@TGS#1", "event"]);
        assert!(words[13].starts_with(r#"{"specversion":"1.0","#));
        assert!(!added("url = \"redis://a\"\nmax_len = 0", "State.StateChange").contains(&"MAXLEN".to_owned()));
    }
}
