//! Kafka as a target, or whatever speaks its protocol.

mod partitioner;
mod producer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use chathook_journal::Record;
use chrono::DateTime;
use rskafka::BackoffConfig;
use rskafka::client::partition::UnknownTopicHandling;
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::time::Instant;

use self::producer::{Producer, failed};
use super::cloudevent::{CloudEvent, MEDIA_TYPE};
use super::link::{Link, Sent};
use super::{Delivered, Next, Undelivered};
use crate::config::{Invalid, Secret, duration};
use crate::tls;
use crate::traces::Span;

/// `kafka = { ... }`: a topic gets each event as a record, whose key is the conversation and whose value is a structured
/// CloudEvent.
///
/// Delivered means that all replicas in sync have it (`acks=all`). Keys go to the partitions that the Java client would
/// choose; events without a conversation go round.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The brokers to begin with, such as `["kafka-0:9092", "kafka-1:9092"]`.
    pub brokers: Vec<String>,
    /// The topic, which has to be there. Default: `chat`.
    #[serde(default = "default_topic")]
    pub topic: String,
    /// Whether to speak TLS. Default: `false`.
    #[serde(default)]
    pub tls: bool,
    /// Authorities of the brokers' certificates, in place of those that the system trusts.
    pub ca: Option<PathBuf>,
    /// A user, with `password` (SASL).
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// How the password is shown. Default: `plain`.
    #[serde(default)]
    pub mechanism: Mechanism,
    /// How long one attempt may take, connecting included. Default: `10s`.
    #[serde(default = "super::default_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
}

/// How a password is shown to a broker (SASL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// As it is: with TLS only.
    #[default]
    Plain,
    /// `SCRAM-SHA-256`.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// `SCRAM-SHA-512`.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

fn default_topic() -> String {
    "chat".to_owned()
}

impl Config {
    /// Checks what can be checked without any file.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let wrong = |key: &str, problem: &str| Err(Invalid::new(format!("kafka.{key}"), problem));
        let is_address = |broker: &String| {
            broker
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse().is_ok_and(|port: u16| port > 0))
        };
        let is_in_topics = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match self {
            Self { brokers, .. } if brokers.is_empty() => wrong("brokers", "names no broker"),
            Self { brokers, .. } if !brokers.iter().all(is_address) => {
                wrong("brokers", "has to have a host and a port each, such as kafka:9092")
            }
            Self { topic, .. } if topic.is_empty() || topic.len() > 249 || !topic.chars().all(is_in_topics) => {
                wrong("topic", "must be 1 to 249 letters, digits, `.`, `_` and `-`")
            }
            Self { user: Some(_), password: None, .. } | Self { user: None, password: Some(_), .. } => {
                wrong("user", "`user` and `password` go together")
            }
            Self { tls: false, ca: Some(_), .. } => wrong("ca", "is of no use without `tls = true`"),
            Self { timeout: Duration::ZERO, .. } => wrong("timeout", "must be more than zero"),
            _ => Ok(()),
        }
    }

    /// The files that it is made of.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.password.iter().filter_map(Secret::file).chain(self.ca.as_deref())
    }
}

/// A topic at work.
pub(crate) struct KafkaTarget {
    cluster: Arc<Cluster>,
    topic: Link<Topic>,
    /// Those that were used: one that has no leader concerns its events only.
    partitions: Mutex<BTreeMap<usize, Arc<Partition>>>,
    /// Counts events without a key.
    round: AtomicUsize,
}

type Partition = Link<Arc<Producer>>;

/// Whom to connect to, and as whom.
struct Cluster {
    brokers: Vec<String>,
    topic: String,
    tls: Option<Arc<rustls::ClientConfig>>,
    sasl: Option<SaslConfig>,
    timeout: Duration,
}

/// What is known of the topic.
#[derive(Clone, Copy)]
struct Topic {
    partitions: usize,
    since: Instant,
}

/// Partitions that were added are found after this time.
const MAX_AGE: Duration = Duration::from_mins(5);

impl KafkaTarget {
    /// Reads the files of `config`.
    pub(crate) fn open(config: &Config) -> Result<Self, Invalid> {
        let password = config.password.as_ref().map(Secret::read).transpose();
        let password = password.map_err(|problem| Invalid::new("kafka.password", problem))?;
        let sasl = config.user.clone().zip(password).map(|(user, password)| {
            let credentials = Credentials::new(user, password.expose_secret().to_owned());
            match config.mechanism {
                Mechanism::Plain => SaslConfig::Plain(credentials),
                Mechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
                Mechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
            }
        });
        let tls = config.tls.then(|| tls::client::config("kafka", config.ca.as_deref())).transpose()?;
        let cluster = Cluster {
            brokers: config.brokers.clone(),
            topic: config.topic.clone(),
            tls: tls.map(Arc::new),
            sasl,
            timeout: config.timeout,
        };
        let cluster = Arc::new(cluster);
        let is_young = |topic: &Topic| topic.since.elapsed() < MAX_AGE;
        let read = {
            let cluster = Arc::clone(&cluster);
            move || Arc::clone(&cluster).topic()
        };
        let topic = Link::new(config.timeout, is_young, read);
        Ok(Self { cluster, topic, partitions: Mutex::default(), round: AtomicUsize::new(0) })
    }

    pub(crate) async fn deliver(&self, event: &Record) -> Result<Delivered, Undelivered> {
        let record = record(event)?;
        let deadline = Instant::now() + self.cluster.timeout;
        let topic = self.topic.get_until(deadline).await?;
        let partition = self.partition(self.number(&record, topic.partitions));
        partition
            .attempt_until(deadline, async |producer| match producer.produce(record).await {
                Err(failure) if failure.next != Next::Dead => Sent::Broken(failure),
                produced => Sent::Answered(produced),
            })
            .await
    }

    fn partition(&self, number: usize) -> Arc<Partition> {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let partition = partitions.entry(number).or_insert_with(|| {
            let cluster = Arc::clone(&self.cluster);
            Arc::new(Link::new(self.cluster.timeout, |_| true, move || Arc::clone(&cluster).producer(number)))
        });
        Arc::clone(partition)
    }

    /// Which of `count` partitions a record goes to.
    fn number(&self, record: &rskafka::record::Record, count: usize) -> usize {
        match &record.key {
            Some(key) => partitioner::partition(key, count),
            None => self.round.fetch_add(1, Ordering::Relaxed).checked_rem(count).unwrap_or_default(),
        }
    }
}

impl Cluster {
    async fn topic(self: Arc<Self>) -> Result<Topic, Undelivered> {
        let topics = self.client().await?.list_topics().await.map_err(|error| failed(&error))?;
        match topics.into_iter().find(|topic| topic.name == self.topic) {
            Some(topic) if topic.partitions.is_empty() => Err(Undelivered::retry("the topic has no partition")),
            // Their numbers are 0, 1, 2 and so on.
            Some(topic) => Ok(Topic { partitions: topic.partitions.len(), since: Instant::now() }),
            None => Err(Undelivered::retry(format!("there is no topic {}", self.topic))),
        }
    }

    /// Connects to the leader of a partition. The client is its own: a connection that hangs goes with it.
    async fn producer(self: Arc<Self>, number: usize) -> Result<Arc<Producer>, Undelivered> {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        let client = self.client().await?;
        let partition = client.partition_client(&self.topic, number, UnknownTopicHandling::Error);
        let partition = partition.await.map_err(|error| failed(&error))?;
        Ok(Arc::new(Producer::new(partition, self.timeout)))
    }

    async fn client(&self) -> Result<Client, Undelivered> {
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
            deadline: Some(self.timeout),
        };
        let mut client = ClientBuilder::new(self.brokers.clone()).client_id("chathook").backoff_config(backoff);
        if let Some(tls) = &self.tls {
            client = client.tls_config(Arc::clone(tls));
        }
        if let Some(sasl) = &self.sasl {
            client = client.sasl_config(sasl.clone());
        }
        client.build().await.map_err(|error| failed(&error))
    }
}

fn record(event: &Record) -> Result<rskafka::record::Record, Undelivered> {
    let received = event.received.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut headers = BTreeMap::from([("content-type".to_owned(), MEDIA_TYPE.as_bytes().to_vec())]);
    Span::current().propagate(|name, value| {
        headers.insert(name.to_owned(), value.as_bytes().to_vec());
    });
    let milliseconds = i64::try_from(received.as_millis()).unwrap_or(i64::MAX);
    Ok(rskafka::record::Record {
        key: event.key.as_ref().map(|key| key.as_bytes().to_vec()),
        value: Some(CloudEvent::of(event).json()?),
        headers,
        timestamp: DateTime::from_timestamp_millis(milliseconds).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::cloudevent::tests::event;
    use super::{Config, KafkaTarget, Mechanism, record};
    use crate::traces::tests::traced;

    #[test]
    fn keys_are_read_and_checked() {
        let read = |toml: &str| toml::from_str::<Config>(toml);
        let config = read("brokers = [\"a:9092\", \"[::1]:9092\"]").unwrap();
        assert_eq!((config.topic.as_str(), config.tls, config.mechanism), ("chat", false, Mechanism::Plain));
        config.check().unwrap();
        KafkaTarget::open(&config).unwrap();
        let scram = "brokers = [\"a:1\"]\nuser = \"u\"\npassword = \"k3y\"\nmechanism = \"scram-sha-512\"\ntls = true";
        let scram = read(scram).unwrap();
        assert_eq!(scram.mechanism, Mechanism::ScramSha512);
        assert!(scram.check().is_ok() && !format!("{scram:?}").contains("k3y"));
        for (toml, key) in [
            ("brokers = []", "kafka.brokers"),
            ("brokers = [\"kafka\"]", "kafka.brokers"),
            ("brokers = [\"kafka:0\"]", "kafka.brokers"),
            ("brokers = [\":9092\"]", "kafka.brokers"),
            ("brokers = [\"a:1\"]\ntopic = \"\"", "kafka.topic"),
            ("brokers = [\"a:1\"]\ntopic = \"chat {app}\"", "kafka.topic"),
            ("brokers = [\"a:1\"]\nuser = \"u\"", "kafka.user"),
            ("brokers = [\"a:1\"]\nca = \"ca.pem\"", "kafka.ca"),
            ("brokers = [\"a:1\"]\ntimeout = \"0s\"", "kafka.timeout"),
        ] {
            assert_eq!(read(toml).unwrap().check().unwrap_err().key, key, "{toml}");
        }
        assert!(read("").is_err() && read("brokers = \"a:1\"").is_err());
        assert!(read("brokers = [\"a:1\"]\nmechanism = \"gssapi\"").is_err());
    }

    #[test]
    fn a_record_has_the_conversation_as_its_key() {
        let mut event = event("State.StateChange", "{}");
        let sent = record(&event).unwrap();
        assert_eq!(sent.key.as_deref(), Some(&b"group/@TGS#1"[..]));
        assert_eq!(sent.headers["content-type"], b"application/cloudevents+json");
        assert_eq!(sent.timestamp.timestamp_millis(), 1_718_000_000_123);
        assert!(sent.value.unwrap().starts_with(br#"{"specversion":"1.0","#));
        event.key = None;
        assert_eq!(record(&event).unwrap().key, None);
    }

    #[tokio::test]
    async fn a_record_goes_on_with_the_trace_of_its_delivery() {
        let event = event("State.StateChange", "{}");
        assert!(!record(&event).unwrap().headers.contains_key("traceparent"));
        let (span, traceparent) = traced();
        let sent = span.around(async { record(&event) }).await.unwrap();
        assert_eq!(sent.headers["traceparent"], traceparent.as_bytes());
    }
}
