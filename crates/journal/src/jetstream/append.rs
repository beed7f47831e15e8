//! Keeps events, and knows whether it can.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use tokio::time::timeout_at;

use super::Shared;
use super::connect::said;
use super::names::lane;
use super::wire;
use crate::error::AppendError;
use crate::journal::Health;
use crate::record::{Appended, Position, Record};

/// Appends that may wait at once.
pub(super) const MOST_APPENDS: usize = 4096;
const AGAIN: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_secs(2);
/// After so long a full stream is tried again.
const FULL: Duration = Duration::from_secs(5);

/// So many appends in a row fail, while there is a connection, before the fault is looked for in more than the events.
const DOUBT: u32 = 3;

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
    Passing(String),
    Final(AppendError),
}

impl Shared {
    pub(super) async fn append(&self, record: Record) -> Result<Appended, AppendError> {
        if self.closing.load(Ordering::Acquire) {
            return Err(AppendError::Closed);
        }
        let Ok(_permit) = self.appends.try_acquire() else { return Err(AppendError::Busy) };
        let end = Instant::now() + self.append_timeout;
        let subject = self.names.event(record.key.as_deref().map(lane), record.app, &record.command);
        let headers = wire::headers(&record);
        let mut tries = 0_u32;
        let failure = loop {
            if !self.connected_by(end).await {
                break "not connected to any server".to_owned();
            }
            let message = PublishMessage::build().headers(headers.clone()).payload(record.body.clone());
            tries += 1;
            match self.try_append(&subject, message, end).await {
                Ok((position, duplicate)) => {
                    self.trouble.kept();
                    // What looks like a duplicate of an earlier event may be the try before, whose answer was lost.
                    let known = duplicate && tries == 1;
                    return Ok(if known { Appended::Duplicate } else { Appended::Kept(Position(position)) });
                }
                Err(Failure::Final(error)) => {
                    if let AppendError::Full(why) = &error {
                        self.trouble.found(why.clone(), true);
                    }
                    return Err(error);
                }
                Err(Failure::Passing(why)) if Instant::now() + AGAIN >= end => break why,
                Err(Failure::Passing(_)) => tokio::time::sleep(AGAIN).await,
            }
        };
        self.trouble.failed(&failure, self.client.connection_state() == State::Connected);
        Err(AppendError::Unavailable(failure))
    }

    /// Waits for a connection, but not longer than until `end`.
    async fn connected_by(&self, end: Instant) -> bool {
        if self.client.connection_state() == State::Connected {
            return true;
        }
        let mut connected = self.connected.clone();
        connected.mark_unchanged();
        while self.client.connection_state() != State::Connected {
            match timeout_at(end.into(), connected.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return false,
            }
        }
        true
    }

    async fn try_append(&self, subject: &str, message: PublishMessage, end: Instant) -> Result<(u64, bool), Failure> {
        let publish = async { self.context.send_publish(subject.to_owned(), message).await?.await };
        // What has no answer by then may have gone to a server that is gone. More tries than two would load a slow one only more.
        let until = end.min(Instant::now() + self.append_timeout / 2);
        let Ok(result) = timeout_at(until.into(), publish).await else {
            return Err(Failure::Passing("no answer in time".into()));
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
            _ => Failure::Passing(said(&error)),
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

/// Looks now and then whether the stream is there, until the journal is closed: health must not wait for an append.
pub(super) async fn watch(shared: Arc<Shared>) {
    let mut closed = shared.closed.subscribe();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = closed.wait_for(|closed| *closed) => return,
        }
        if shared.client.connection_state() != State::Connected {
            continue;
        }
        match shared.info().await {
            Ok(_) => {
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
