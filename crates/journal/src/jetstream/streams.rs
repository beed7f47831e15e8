//! The streams: created when they are missing, checked when they are there.

use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, ErrorCode};

use super::connect::said;
use super::names::Names;
use super::{ELECTION, OWN_RECORDS, OpenError, Patience, positions};
use crate::config::JetStreamConfig;

/// Servers count nanoseconds in 63 bits.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
/// None at all would be the server's default.
const SHORTEST_WINDOW: Duration = Duration::from_millis(100);

/// So many replays and discards are remembered.
const AUDIT_ENTRIES: i64 = 100_000;

/// What a journal needs of a stream. The rest is the operator's: limits, placement, compression, description.
struct Wanted {
    name: String,
    subject: String,
    replicas: usize,
    duplicate_window: Duration,
    max_age: Duration,
    max_messages: Option<i64>,
    per_subject: i64,
    discard: DiscardPolicy,
    /// Bytes that a message may have.
    largest: usize,
    /// Where it begins when it is made.
    first: u64,
}

/// Creates or checks all streams of a journal. Returns how many replicas each of them has at least.
pub(super) async fn ensure(
    client: &Client,
    context: &Context,
    names: &Names,
    config: &JetStreamConfig,
    dedup_window: Duration,
    retention: Duration,
) -> Result<usize, OpenError> {
    let wanted = |name: &str, replicas| Wanted {
        name: name.to_owned(),
        subject: format!("{name}.>"),
        replicas,
        duplicate_window: Duration::from_secs(120),
        max_age: Duration::ZERO,
        max_messages: None,
        per_subject: -1,
        discard: DiscardPolicy::Old,
        largest: OWN_RECORDS,
        first: 1,
    };
    // What takes no more events says so, instead of dropping the oldest; what is old enough is removed by `keep`.
    let events = Wanted {
        subject: names.every_event(),
        duplicate_window: dedup_window.clamp(SHORTEST_WINDOW, LONGEST),
        discard: DiscardPolicy::New,
        largest: config.max_event,
        ..wanted(&names.events, config.replicas)
    };
    let there = ensure_one(context, &events, false).await?;
    // Without the others nobody knows what was delivered: none has fewer replicas than the events.
    let replicas = there.unwrap_or(config.replicas).max(config.replicas);
    // An attempt may belong to an event that is as old as events get.
    let lives = retention.saturating_mul(2).clamp(Duration::from_secs(600), LONGEST);
    let others = [
        Wanted { max_age: lives, ..wanted(&names.attempts, replicas) },
        Wanted { per_subject: 1, ..wanted(&names.dead, replicas) },
        Wanted { per_subject: 1, ..wanted(&names.state, replicas) },
        Wanted { max_messages: Some(AUDIT_ENTRIES), ..wanted(&names.audit, replicas) },
    ];
    for other in &others {
        ensure_one(context, other, true).await?;
    }
    if let Some(replicas) = there {
        return Ok(replicas);
    }
    let patience = Patience::new();
    let first = loop {
        match positions::first(client, context, names).await {
            Ok(first) => break first,
            Err(error) => patience.again(error).await?,
        }
    };
    let made = ensure_one(context, &Wanted { first, ..events }, true).await?;
    Ok(made.unwrap_or(replicas))
}

/// As long as the servers are electing a leader, it is tried again. Returns how many replicas it has; none: it is not there,
/// and not to be made.
async fn ensure_one(context: &Context, wanted: &Wanted, make: bool) -> Result<Option<usize>, OpenError> {
    let end = Instant::now() + ELECTION;
    loop {
        match try_ensure(context, wanted, make).await {
            Err(Failure::Passing(reason)) if Instant::now() < end => {
                tracing::info!(stream = wanted.name, reason, "waiting for the servers");
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            Err(Failure::Passing(reason)) => return Err(OpenError::Stream { stream: wanted.name.clone(), reason }),
            Err(Failure::Final(error)) => return Err(error),
            Ok(replicas) => return Ok(replicas),
        }
    }
}

enum Failure {
    /// It may be over soon.
    Passing(String),
    Final(OpenError),
}

/// The servers of a cluster have not found each other, or no leader yet.
fn is_passing(refusal: &jetstream::Error) -> bool {
    refusal.code() == 503 || refusal.error_code() == ErrorCode::CLUSTER_NO_PEERS
}

async fn try_ensure(context: &Context, wanted: &Wanted, make: bool) -> Result<Option<usize>, Failure> {
    let passing = |error: &dyn std::error::Error| Failure::Passing(said(error));
    let refused = |error: &dyn std::error::Error| {
        Failure::Final(OpenError::Stream { stream: wanted.name.clone(), reason: said(error) })
    };
    let found = match context.get_stream(&wanted.name).await {
        Ok(stream) => stream.cached_info().config.clone(),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(server) if server.code() == 404 && !make => return Ok(None),
            GetStreamErrorKind::JetStream(server) if server.code() == 404 => {
                tracing::info!(stream = wanted.name, replicas = wanted.replicas, "creating the stream");
                // Another gateway may be creating it at the same time; the same configuration is no error.
                let first_sequence = (wanted.first > 1).then_some(wanted.first);
                let config = wanted.apply(&Config { name: wanted.name.clone(), first_sequence, ..Config::default() });
                return match context.create_stream(config).await {
                    Ok(stream) => Ok(Some(stream.cached_info().config.num_replicas)),
                    Err(error) => Err(match error.kind() {
                        CreateStreamErrorKind::JetStream(server) if is_passing(&server) => passing(&error),
                        // Another gateway made it, with a beginning of its own.
                        CreateStreamErrorKind::JetStream(server)
                            if server.error_code() == ErrorCode::STREAM_NAME_EXIST =>
                        {
                            passing(&error)
                        }
                        CreateStreamErrorKind::TimedOut => passing(&error),
                        _ => refused(&error),
                    }),
                };
            }
            GetStreamErrorKind::JetStream(server) if is_passing(&server) => return Err(passing(&error)),
            GetStreamErrorKind::Request => return Err(passing(&error)),
            _ => return Err(refused(&error)),
        },
    };
    let different = |difference| Failure::Final(OpenError::Different { stream: wanted.name.clone(), difference });
    let refused = wanted.fixed_differences(&found);
    if !refused.is_empty() {
        return Err(different(refused.join("; ")));
    }
    let difference = wanted.differences(&found).join("; ");
    if difference.is_empty() {
        return Ok(Some(found.num_replicas));
    }
    tracing::warn!(stream = wanted.name, difference, "changing the stream");
    match context.update_stream(wanted.apply(&found)).await {
        Ok(info) => Ok(Some(info.config.num_replicas)),
        Err(error) => Err(different(format!("{difference} (the server does not change that: {})", said(&error)))),
    }
}

impl Wanted {
    /// The configuration of a stream with what we need of it.
    fn apply(&self, found: &Config) -> Config {
        let mut config = found.clone();
        config.subjects = vec![self.subject.clone()];
        config.retention = RetentionPolicy::Limits;
        config.storage = StorageType::File;
        // A stream that has more replicas than asked for keeps them.
        config.num_replicas = found.num_replicas.max(self.replicas);
        config.duplicate_window = self.duplicate_window;
        config.max_age = self.max_age;
        config.max_messages_per_subject = self.per_subject;
        if let Some(most) = self.max_messages {
            config.max_messages = most;
        }
        config.discard = self.discard;
        config.allow_direct = true;
        config
    }

    /// What an update cannot mend, or must not: the stream may be somebody else's.
    fn fixed_differences(&self, found: &Config) -> Vec<String> {
        let mut differences = Vec::new();
        let mut check = |same: bool, text: String| {
            if !same {
                differences.push(text);
            }
        };
        check(found.subjects == [self.subject.as_str()], {
            format!("its subjects are {:?}, ours would be `{}`", found.subjects, self.subject)
        });
        check(found.storage == StorageType::File, "its storage is memory, not file".into());
        check(
            found.retention == RetentionPolicy::Limits,
            format!("its retention is by {}, not by limits", format!("{:?}", found.retention).to_lowercase()),
        );
        let takes = usize::try_from(found.max_message_size).ok().filter(|most| *most > 0).unwrap_or(usize::MAX);
        check(takes >= self.largest, {
            format!("it takes messages of {takes} bytes (`max_msg_size`), and ours may have {}", self.largest)
        });
        check(!found.no_ack, "it does not acknowledge (`no_ack`)".into());
        check(!found.sealed, "it is sealed".into());
        check(!found.deny_purge, "it cannot be purged (`deny_purge`), so nothing old could be removed".into());
        check(found.mirror.is_none(), "it is a mirror".into());
        check(found.sources.as_ref().is_none_or(Vec::is_empty), "it takes in other streams".into());
        check(
            !matches!(found.persist_mode, Some(PersistenceMode::Async)),
            "it acknowledges before it has written (`persist_mode` async)".into(),
        );
        differences
    }

    /// What an update mends.
    fn differences(&self, found: &Config) -> Vec<String> {
        let better = self.apply(found);
        let mut differences = Vec::new();
        let mut check = |what: &str, is: String, wanted: String| {
            if is != wanted {
                differences.push(format!("{what} is {is}, wanted {wanted}"));
            }
        };
        check("replicas", found.num_replicas.to_string(), better.num_replicas.to_string());
        check("duplicate window", format!("{:?}", found.duplicate_window), format!("{:?}", better.duplicate_window));
        check("max age", format!("{:?}", found.max_age), format!("{:?}", better.max_age));
        check("messages", found.max_messages.to_string(), better.max_messages.to_string());
        check(
            "messages of a subject",
            found.max_messages_per_subject.to_string(),
            better.max_messages_per_subject.to_string(),
        );
        check("discard", format!("{:?}", found.discard), format!("{:?}", better.discard));
        check("direct reads", found.allow_direct.to_string(), better.allow_direct.to_string());
        differences
    }
}
