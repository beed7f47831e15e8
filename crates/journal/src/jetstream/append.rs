//! Keeps events, and knows whether it can.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::connection::State;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use tokio::time::timeout_at;

use super::Shared;
use super::connect::said;
use super::read::{self, Query};
use super::wire::{self, millis};
use crate::error::{AppendError, JournalError};
use crate::journal::Health;
use crate::record::{Appended, Position, Record};

/// Appends that may wait at once.
pub(super) const MOST_APPENDS: usize = 4096;
const AGAIN: Duration = Duration::from_millis(50);
/// Events read at once when looking for what was told before.
const PAGE: usize = 256;
const LOOK: Duration = Duration::from_secs(2);
/// After so long a full stream is tried again.
const FULL: Duration = Duration::from_secs(5);

/// So many appends in a row fail, while there is a connection, before the fault is looked for in more than the events.
const DOUBT: u32 = 3;

/// What was read of a conversation.
struct Told {
    /// Where to read on.
    next: u64,
    /// Where the last record is that is known by its content, if that is another content.
    last: Option<u64>,
}

/// Whether it is the same telling, not only the same told.
fn is_same(one: &Record, other: &Record) -> bool {
    millis(one.received) == millis(other.received) && one.query == other.query && one.body == other.body
}

/// Why events cannot be kept at the moment.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Appends that failed since one was kept.
    failed: AtomicU32,
    any: AtomicBool,
    why: Mutex<Option<Why>>,
}

#[derive(Debug)]
struct Why {
    text: String,
    /// It is full, and was found so at this time.
    full: Option<Instant>,
}

impl Trouble {
    fn found(&self, text: String, full: bool) {
        let mut why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if why.is_none() {
            tracing::error!(reason = text, "events cannot be kept");
        }
        *why = Some(Why { text, full: full.then(Instant::now) });
        self.any.store(true, Ordering::Release);
    }

    /// An append failed. That is trouble when there is no connection, or when others before it failed too.
    fn failed(&self, text: &str, connected: bool) {
        let failed = self.failed.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if !connected || failed >= DOUBT {
            self.found(text.to_owned(), false);
        } else {
            tracing::warn!(reason = text, "an event could not be kept");
        }
    }

    fn kept(&self) {
        self.failed.store(0, Ordering::Relaxed);
        self.over();
    }

    fn over(&self) {
        if self.any.swap(false, Ordering::AcqRel) {
            *self.why.lock().unwrap_or_else(PoisonError::into_inner) = None;
            tracing::info!("events can be kept again");
        }
    }
}

enum Failure {
    /// Trying again may help.
    Passing {
        why: String,
        /// It may be kept nevertheless.
        in_doubt: bool,
    },
    Final(AppendError),
}

/// What a server said to an event.
struct Published {
    position: u64,
    /// There is one with this identity, at that position.
    duplicate: bool,
    /// That may be a try before, whose answer was lost.
    in_doubt: bool,
}

impl Published {
    fn appended(&self) -> Appended {
        if self.duplicate && !self.in_doubt { Appended::Duplicate } else { Appended::Kept(Position(self.position)) }
    }
}

impl Shared {
    pub(super) async fn append(&self, record: Record) -> Result<Appended, AppendError> {
        if self.closing.load(Ordering::Acquire) {
            return Err(AppendError::Closed);
        }
        let Ok(_permit) = self.appends.try_acquire() else { return Err(AppendError::Busy) };
        let end = Instant::now() + self.append_timeout;
        let subject = self.names.event(&record);
        let mut headers = wire::headers(&record);
        let payload = wire::payload(&record);
        let published = self.publish(&subject, &mut headers, &payload, end).await?;
        if !(published.duplicate && record.by_content) {
            return Ok(published.appended());
        }
        match self.told_since(&record, &published, end).await? {
            None => Ok(published.appended()),
            Some(other) => {
                wire::set_id(&mut headers, &format!("{}@{other}", record.id));
                Ok(self.publish(&subject, &mut headers, &payload, end).await?.appended())
            }
        }
    }

    /// Stores an event, in as many tries as there is time for.
    async fn publish(
        &self,
        subject: &str,
        headers: &mut HeaderMap,
        payload: &Bytes,
        end: Instant,
    ) -> Result<Published, AppendError> {
        let mut doubt = false;
        let mut connections = self.connections();
        let failure = loop {
            if let Err(why) = self.ready_by(end).await {
                break why;
            }
            let message = PublishMessage::build().headers(headers.clone()).payload(payload.clone());
            match self.try_append(subject, message, end).await {
                Ok((position, duplicate)) => {
                    // What went out over an earlier connection may have arrived before the stream was brought beyond what is known.
                    if (doubt || !duplicate) && self.connections() != connections {
                        match self.is_passed_by(position, end).await {
                            Ok(false) => {}
                            Ok(true) => {
                                wire::tell_again(headers, position);
                                (doubt, connections) = (false, self.connections());
                                continue;
                            }
                            Err(why) => break why,
                        }
                    }
                    self.trouble.kept();
                    return Ok(Published { position, duplicate, in_doubt: doubt });
                }
                Err(Failure::Final(error)) => {
                    if let AppendError::Full(why) = &error {
                        self.trouble.found(why.clone(), true);
                    }
                    return Err(error);
                }
                Err(Failure::Passing { why, .. }) if Instant::now() + AGAIN >= end => break why,
                Err(Failure::Passing { in_doubt, .. }) => {
                    doubt |= in_doubt;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        self.trouble.failed(&failure, self.client.connection_state() == State::Connected);
        Err(AppendError::Unavailable(failure))
    }

    /// The last record that is known by its content only and was kept in the conversation since an equal one was; none when
    /// that is the last one itself.
    async fn told_since(&self, record: &Record, equal: &Published, end: Instant) -> Result<Option<u64>, AppendError> {
        let mut told = Told { next: equal.position, last: None };
        let subject = self.names.conversation(record.key.as_deref());
        let failure = loop {
            match timeout_at(end.into(), self.read_told(record, equal, &subject, &mut told)).await {
                Ok(Ok(())) => return Ok(told.last),
                Ok(Err(error)) if Instant::now() + AGAIN >= end => break error.to_string(),
                Ok(Err(_)) => tokio::time::sleep(AGAIN).await,
                Err(_) => break "what was told before could not be read in time".to_owned(),
            }
        };
        Err(AppendError::Unavailable(failure))
    }

    /// Reads on to the end of the conversation, as the stream's leader sees it.
    async fn read_told(
        &self,
        record: &Record,
        equal: &Published,
        subject: &str,
        told: &mut Told,
    ) -> Result<(), JournalError> {
        loop {
            let query = Query::from(told.next, Some(subject.to_owned()), PAGE);
            let page = read::page(&self.client, &self.names.events, &query).await?;
            for found in page.messages {
                told.next = found.sequence + 1;
                let Some(other) = wire::record(&found.headers, found.payload) else { continue };
                if equal.in_doubt && found.sequence == equal.position && is_same(record, &other) {
                    // Our own: what came since came after it.
                    return Ok(());
                }
                if other.by_content && other.key == record.key {
                    let is_equal =
                        other.id.strip_prefix(&record.id).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'));
                    told.last = (!is_equal).then_some(found.sequence);
                }
            }
            // A server that lags does not see the newest.
            if page.more == 0 && self.first_of(subject, told.next).await?.is_none() {
                return Ok(());
            }
        }
    }

    /// Waits for a connection over which the stream was checked, but not longer than until `end`.
    async fn ready_by(&self, end: Instant) -> Result<(), String> {
        let (mut connected, mut checked) = (self.connected.clone(), self.checked.subscribe());
        loop {
            connected.mark_unchanged();
            let why = if self.client.connection_state() != State::Connected {
                "not connected to any server"
            } else if *checked.borrow_and_update() != self.connections() {
                "the stream could not be looked at in time"
            } else {
                return Ok(());
            };
            let changed = async {
                tokio::select! {
                    changed = connected.changed() => changed,
                    changed = checked.changed() => changed,
                }
            };
            match timeout_at(end.into(), changed).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(why.to_owned()),
            }
        }
    }

    /// Whether an event of this position may never be read.
    async fn is_passed_by(&self, position: u64, end: Instant) -> Result<bool, String> {
        self.ready_by(end).await?;
        match timeout_at(end.into(), self.is_passed(position)).await {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    async fn try_append(&self, subject: &str, message: PublishMessage, end: Instant) -> Result<(u64, bool), Failure> {
        let publish = async { self.context.send_publish(subject.to_owned(), message).await?.await };
        // What has no answer by then may have gone to a server that is gone. More tries than two would load a slow one only more.
        let until = end.min(Instant::now() + self.append_timeout / 2);
        let Ok(result) = timeout_at(until.into(), publish).await else {
            return Err(Failure::Passing { why: "no answer in time".into(), in_doubt: true });
        };
        let error = match result {
            Ok(ack) => return Ok((ack.sequence, ack.duplicate)),
            Err(error) => error,
        };
        if error.kind() == PublishErrorKind::MaxPayloadExceeded {
            return Err(Failure::Final(AppendError::Failed(format!(
                "the event is larger than the server takes: {}; raise its `max_payload`",
                said(&error)
            ))));
        }
        let refused = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
        Err(match refused.map(jetstream::Error::error_code) {
            Some(
                ErrorCode::INSUFFICIENT_RESOURCES
                | ErrorCode::STORAGE_RESOURCES_EXCEEDED
                | ErrorCode::STREAM_STORE_FAILED
                | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
            ) => Failure::Final(AppendError::Full(said(&error))),
            Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM) => Failure::Final(AppendError::Failed(said(&error))),
            // Another replica keeps it at this moment: what is there then is not ours.
            Some(ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT) => {
                Failure::Passing { why: said(&error), in_doubt: false }
            }
            _ => Failure::Passing { why: said(&error), in_doubt: true },
        })
    }

    pub(super) fn health(&self) -> Health {
        if self.closing.load(Ordering::Acquire) {
            return Health::CannotKeep("the journal is closed".into());
        }
        if self.client.connection_state() != State::Connected {
            return Health::CannotKeep("not connected to any NATS server".into());
        }
        if self.trouble.any.load(Ordering::Acquire) {
            let why = self.trouble.why.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(why) = why.as_ref() {
                return Health::CannotKeep(why.text.clone());
            }
        }
        Health::Ok(self.durability.clone())
    }
}

/// Looks whether the stream is there and may be used, at each new connection and now and then, until the journal is closed:
/// health must not wait for an append.
pub(super) async fn watch(shared: Arc<Shared>) {
    let (mut closed, mut connected) = (shared.closed.subscribe(), shared.connected.clone());
    loop {
        let pause = if *shared.checked.borrow() == shared.connections() { LOOK } else { AGAIN };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = connected.changed() => {}
            _ = closed.wait_for(|closed| *closed) => return,
        }
        if shared.client.connection_state() != State::Connected {
            continue;
        }
        match shared.check().await {
            Ok(()) => {
                let full = {
                    let why = shared.trouble.why.lock().unwrap_or_else(PoisonError::into_inner);
                    why.as_ref().and_then(|why| why.full)
                };
                // Whether there is room again only an append can tell; so let one try.
                if full.is_none_or(|since| since.elapsed() >= FULL) {
                    shared.trouble.over();
                }
            }
            Err(error) => shared.trouble.found(error.to_string(), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_append_that_fails_is_no_trouble_while_there_is_a_connection() {
        let trouble = Trouble::default();
        let is_there = || trouble.any.load(Ordering::Acquire);
        for _ in 0..10 {
            trouble.failed("no answer in time", true);
            assert!(!is_there());
            trouble.kept();
        }
        for _ in 0..DOUBT {
            assert!(!is_there());
            trouble.failed("no answer in time", true);
        }
        assert!(is_there());
        trouble.kept();
        assert!(!is_there());
        trouble.failed("not connected to any server", false);
        assert!(is_there());
    }
}
