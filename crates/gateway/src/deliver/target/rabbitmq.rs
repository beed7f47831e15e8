//! RabbitMQ as a target: persistent messages with publisher confirms.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use chathook_journal::Record;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::protocol::AMQPErrorKind;
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::cloudevent::{CloudEvent, MEDIA_TYPE};
use super::link::{Link, Sent};
use super::template::Template;
use super::{Delivered, Undelivered};
use crate::config::{Invalid, Secret, duration};
use crate::traces::Span;

/// `rabbitmq = { ... }`: an exchange gets each event as a persistent message, a structured CloudEvent.
///
/// Delivered means that the broker confirmed it: every queue that it was routed to has it, on disk if the queue is
/// durable.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where it is: `amqp://user:password@host:5672/vhost`, or `amqps://` for TLS. The virtual host `/` is written `%2f`,
    /// or left out with its slash.
    pub url: Secret,
    /// The exchange, which has to be there; empty for the default one, where the routing key is the name of a queue.
    /// Default: `chat`.
    #[serde(default = "default_exchange")]
    pub exchange: String,
    /// The routing key, in which `{app}`, `{command}` and `{key}` (the conversation) stand for what the event has.
    /// Default: `{command}`.
    #[serde(default = "default_routing_key")]
    pub routing_key: String,
    /// Whether an event that no queue is bound for is tried again; else it counts as delivered. Default: `true`.
    #[serde(default = "default_mandatory")]
    pub mandatory: bool,
    /// Authorities of its certificate, besides those that the system trusts.
    pub ca: Option<PathBuf>,
    /// How long one attempt may take, connecting included; while the broker is out of memory or disk, it goes on.
    /// Default: `10s`.
    #[serde(default = "super::default_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
}

fn default_exchange() -> String {
    "chat".to_owned()
}

fn default_routing_key() -> String {
    "{command}".to_owned()
}

fn default_mandatory() -> bool {
    true
}

impl Config {
    /// Checks what can be checked without any file.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let wrong = |key: &str, problem: &str| Err(Invalid::new(format!("rabbitmq.{key}"), problem));
        self.template()?;
        match self {
            Self { timeout: Duration::ZERO, .. } => wrong("timeout", "must be more than zero"),
            Self { exchange, .. } if exchange.len() > 127 => wrong("exchange", "must be 127 bytes or less"),
            Self { exchange, routing_key, .. } if exchange.is_empty() && routing_key.is_empty() => {
                wrong("routing_key", "is the name of the queue, where `exchange` is empty")
            }
            _ => Ok(()),
        }
    }

    /// The files that it is made of.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.url.file().into_iter().chain(self.ca.as_deref())
    }

    fn template(&self) -> Result<Template, Invalid> {
        Template::parse(&self.routing_key).map_err(|problem| Invalid::new("rabbitmq.routing_key", problem))
    }
}

/// An exchange at work.
pub(crate) struct RabbitmqTarget {
    link: Link<Arc<Connected>>,
    exchange: ShortString,
    routing_key: Template,
    mandatory: bool,
}

/// Whom to connect to.
#[derive(Clone)]
struct Broker {
    uri: AMQPUri,
    tls: OwnedTLSConfig,
}

/// A connection, which is closed when it is dropped, and channels on it that confirm. A message that no queue took is
/// returned without its number, and known by its channel alone: each has one message at a time.
struct Connected {
    connection: Connection,
    idle: Mutex<Vec<Channel>>,
    places: Semaphore,
}

/// No more messages are on their way at once.
const MAX_CHANNELS: usize = 100;

impl RabbitmqTarget {
    /// Reads the files of `config`.
    pub(crate) fn open(config: &Config) -> Result<Self, Invalid> {
        let invalid = |key: &str, problem: String| Invalid::new(format!("rabbitmq.{key}"), problem);
        let url = config.url.read().map_err(|problem| invalid("url", problem))?;
        let unusable = "is not like amqp://user:password@rabbitmq:5672/vhost";
        let uri = url.expose_secret().parse().map_err(|_| invalid("url", unusable.to_owned()))?;
        let cert_chain = config.ca.as_deref().map(|file| {
            std::fs::read_to_string(file).map_err(|error| invalid("ca", format!("{}: {error}", file.display())))
        });
        let exchange = ShortString::try_new(config.exchange.clone());
        let broker = Broker { uri, tls: OwnedTLSConfig { identity: None, cert_chain: cert_chain.transpose()? } };
        let is_open = |connected: &Arc<Connected>| connected.connection.status().connected();
        let link = Link::new(config.timeout, is_open, move || broker.clone().connect());
        Ok(Self {
            link: link.with_silence(|connected| connected.is_blocked()),
            exchange: exchange.map_err(|error| invalid("exchange", error.to_string()))?,
            routing_key: config.template()?,
            mandatory: config.mandatory,
        })
    }

    pub(crate) async fn deliver(&self, event: &Record) -> Result<Delivered, Undelivered> {
        let key = ShortString::try_new(self.routing_key.words(event));
        let key = key.map_err(|_| Undelivered::impossible("its routing key is longer than 255 bytes"))?;
        let json = CloudEvent::of(event).json()?;
        let message = Message {
            exchange: self.exchange.clone(),
            key,
            options: BasicPublishOptions { mandatory: self.mandatory, ..BasicPublishOptions::default() },
            json,
            properties: properties(event),
        };
        self.link
            .attempt(async |connected| {
                if connected.is_blocked() {
                    // What is sent now would wait, and arrive after the next attempt.
                    return Sent::Answered(Err(Undelivered::retry(
                        "the broker has blocked us: it lacks memory or disk",
                    )));
                }
                match connected.send(message).await {
                    Ok(confirmation) => Sent::Answered(confirmed(confirmation)),
                    Err(error) if is_of_a_channel(&error) => Sent::Answered(Err(failed(&error))),
                    Err(error) => Sent::Broken(failed(&error)),
                }
            })
            .await
    }
}

struct Message {
    exchange: ShortString,
    key: ShortString,
    options: BasicPublishOptions,
    json: Vec<u8>,
    properties: BasicProperties,
}

impl Connected {
    /// Sends a message on a channel of its own, and waits until it is confirmed.
    async fn send(&self, message: Message) -> Result<Confirmation, lapin::Error> {
        let Message { exchange, key, options, json, properties } = message;
        // Fails only once they are closed, which they never are.
        let _place = self.places.acquire().await.ok();
        let channel = self.channel().await?;
        let confirmation = channel.basic_publish(exchange, key, options, &json, properties).await?.await?;
        // One that was not confirmed is not used again.
        self.idle().push(channel);
        Ok(confirmation)
    }

    /// One that nobody uses.
    async fn channel(&self) -> Result<Channel, lapin::Error> {
        let idle = self.idle().pop();
        if let Some(channel) = idle {
            return Ok(channel);
        }
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the broker takes nothing for want of memory or disk. Nothing is written to it then.
    fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }
}

impl Broker {
    async fn connect(self) -> Result<Arc<Connected>, Undelivered> {
        let connection = async {
            let runtime = lapin::runtime::default_runtime()?;
            let properties = ConnectionProperties::default().with_connection_name("chathook".into());
            Connection::connect_uri_with_config(self.uri, properties, self.tls, runtime).await
        };
        let connection = connection.await.map_err(|error| failed(&error))?;
        let places = MAX_CHANNELS.min(connection.configuration().channel_max().into());
        Ok(Arc::new(Connected { connection, idle: Mutex::default(), places: Semaphore::new(places) }))
    }
}

/// Persistent, and with what consumers look for before they read the body.
fn properties(event: &Record) -> BasicProperties {
    const PERSISTENT: u8 = 2;
    let received = event.received.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(MEDIA_TYPE.into())
        .with_timestamp(received.as_secs());
    // Longer ones are in the body only.
    if let Ok(id) = ShortString::try_new(event.id.clone()) {
        properties = properties.with_message_id(id);
    }
    if let Ok(command) = ShortString::try_new(event.command.clone()) {
        properties = properties.with_type(command);
    }
    let mut headers = FieldTable::default();
    Span::current().propagate(|name, value| {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    });
    if !headers.inner().is_empty() {
        properties = properties.with_headers(headers);
    }
    properties
}

fn confirmed(confirmation: Confirmation) -> Result<Delivered, Undelivered> {
    match confirmation {
        Confirmation::Ack(None) => Ok(Delivered { detail: "confirmed".to_owned() }),
        Confirmation::Ack(Some(_)) => Err(Undelivered::retry("no queue is bound for its routing key")),
        Confirmation::Nack(_) => Err(Undelivered::retry("the broker could not keep it")),
        Confirmation::NotRequested => Err(Undelivered::retry("the broker does not confirm")),
    }
}

/// Whether it ended the channel only, such as an exchange that is not there.
fn is_of_a_channel(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.kind(), AMQPErrorKind::Soft(_)))
}

fn failed(error: &lapin::Error) -> Undelivered {
    Undelivered::retry(match error.kind() {
        // Such as `NOT_FOUND - no exchange 'chat' in vhost '/'`.
        ErrorKind::ProtocolError(error) => format!("it answered {}", error.get_message()),
        ErrorKind::IOError(error) => format!("no connection: {error}"),
        _ => format!("no answer: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::cloudevent::tests::event;
    use super::{AMQPValue, Config, RabbitmqTarget, properties};
    use crate::traces::tests::traced;

    fn read(toml: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(toml)
    }

    #[test]
    fn keys_are_read_and_checked() {
        let config = read("url = \"amqp://rabbitmq\"").unwrap();
        assert_eq!((config.exchange.as_str(), config.routing_key.as_str()), ("chat", "{command}"));
        assert!(config.mandatory && config.timeout.as_secs() == 10);
        config.check().unwrap();
        RabbitmqTarget::open(&config).unwrap();
        let long = format!("url = \"amqp://a\"\nexchange = \"{}\"", "x".repeat(128));
        for (toml, key) in [
            (long.as_str(), "rabbitmq.exchange"),
            ("url = \"amqp://a\"\nexchange = \"\"\nrouting_key = \"\"", "rabbitmq.routing_key"),
            ("url = \"amqp://a\"\nrouting_key = \"{}\"", "rabbitmq.routing_key"),
            ("url = \"amqp://a\"\ntimeout = \"0s\"", "rabbitmq.timeout"),
        ] {
            assert_eq!(read(toml).unwrap().check().unwrap_err().key, key, "{toml}");
        }
        for (toml, key) in [
            ("url = \"http://u:k3y@a\"", "rabbitmq.url"),
            ("url = { env = \"NO_SUCH_VARIABLE\" }", "rabbitmq.url"),
            ("url = \"amqps://a\"\nca = \"/nowhere\"", "rabbitmq.ca"),
        ] {
            let config = read(toml).unwrap();
            let invalid = RabbitmqTarget::open(&config).err().unwrap();
            assert_eq!(invalid.key, key, "{toml}");
            assert!(!invalid.problem.contains("k3y") && !format!("{config:?}").contains("k3y"), "{}", invalid.problem);
        }
        assert!(read("").is_err() && read("url = \"amqp://a\"\nqueue = \"q\"").is_err());
    }

    #[test]
    fn a_message_is_persistent_and_says_what_it_is() {
        let mut event = event("State.StateChange", "{}");
        let sent = properties(&event);
        assert_eq!(*sent.delivery_mode(), Some(2));
        assert_eq!(sent.content_type().as_ref().unwrap().as_str(), "application/cloudevents+json");
        assert_eq!(sent.message_id().as_ref().unwrap().as_str(), event.id);
        assert_eq!(sent.kind().as_ref().unwrap().as_str(), "State.StateChange");
        assert_eq!(*sent.timestamp(), Some(1_718_000_000));
        event.id = "x".repeat(256);
        assert_eq!(*properties(&event).message_id(), None);
    }

    #[tokio::test]
    async fn a_message_goes_on_with_the_trace_of_its_delivery() {
        let event = event("State.StateChange", "{}");
        assert_eq!(*properties(&event).headers(), None);
        let (span, traceparent) = traced();
        let sent = span.around(async { properties(&event) }).await;
        let header = sent.headers().as_ref().unwrap().inner().get("traceparent").cloned();
        assert_eq!(header, Some(AMQPValue::LongString(traceparent.into())));
    }
}
