//! The journal, whichever engine keeps it.

use crate::config::{Config, EngineConfig};
use crate::delivery::Delivery;
use crate::error::{AppendError, JournalError, OpenError};
use crate::jetstream::{self, JetStream};
use crate::look::{AuditEntry, DeadFilter, DeadLetter, Filter, Kept, Stats, Summary};
use crate::record::{Appended, Position, Record};
use crate::sqlite::{self, Sqlite};

/// Keeps events and gives them out. Clones share one journal.
#[derive(Debug, Clone)]
pub struct Journal {
    engine: Engine,
}

#[derive(Debug, Clone)]
enum Engine {
    Sqlite(Sqlite),
    JetStream(JetStream),
}

/// Whether the journal can keep events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can. Says how durable an acknowledged event is.
    Ok(String),
    /// It cannot, and why.
    CannotKeep(String),
}

/// Passes a call on to the engine.
macro_rules! engine {
    ($self:ident, $engine:ident => $call:expr) => {
        match &$self.engine {
            Engine::Sqlite($engine) => $call,
            Engine::JetStream($engine) => $call,
        }
    };
}

impl Journal {
    /// Opens or creates a journal, with these targets (see [`Journal::set_targets`]).
    ///
    /// # Errors
    /// Whatever keeps the engine from keeping events, with what to do. What is there is never removed or emptied.
    pub async fn open(config: &Config, targets: &[&str]) -> Result<Self, OpenError> {
        let engine = match &config.engine {
            EngineConfig::Sqlite(file) => {
                Engine::Sqlite(Sqlite::open(file, config.dedup_window, config.retention, targets).await?)
            }
            EngineConfig::JetStream(servers) => {
                Engine::JetStream(JetStream::open(servers, config.dedup_window, config.retention, targets).await?)
            }
        };
        Ok(Self { engine })
    }

    /// Keeps a record. Returns when it is durable. A duplicate by identity within the window is not kept twice.
    ///
    /// # Errors
    /// When it is not kept; [`AppendError::Unavailable`] when nobody knows.
    pub async fn append(&self, record: Record) -> Result<Appended, AppendError> {
        engine!(self, engine => engine.append(record).await)
    }

    /// Says which targets there are now. A new one begins at the present end; one that was known before goes on where it
    /// stopped; one that is not named any more gets nothing and holds up nothing.
    ///
    /// # Errors
    /// When that cannot be made durable.
    pub async fn set_targets(&self, names: &[&str]) -> Result<(), JournalError> {
        engine!(self, engine => engine.set_targets(names).await)
    }

    /// The deliveries of one target. At most one subscription of a target in a process at a time. With streams, the processes
    /// that have subscribed to a target share its conversations.
    ///
    /// # Errors
    /// When there is no such target, or it has a subscription already.
    pub fn subscribe(&self, target: &str) -> Result<Subscription, JournalError> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.subscribe(target).map(Subscription::Sqlite),
            Engine::JetStream(engine) => engine.subscribe(target).map(Subscription::JetStream),
        }
    }

    /// Whether events can be kept now. Cheap: reads nothing.
    pub fn health(&self) -> Health {
        engine!(self, engine => engine.health())
    }

    /// How much is kept, and how far the targets are.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn stats(&self) -> Result<Stats, JournalError> {
        engine!(self, engine => engine.stats().await)
    }

    /// Events, newest first.
    ///
    /// # Errors
    /// When the journal cannot be read, or the filter names a target that was never there.
    pub async fn events(&self, filter: &Filter) -> Result<Vec<Summary>, JournalError> {
        engine!(self, engine => engine.events(filter).await)
    }

    /// One event with all that happened to it.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn event(&self, position: Position) -> Result<Option<Kept>, JournalError> {
        engine!(self, engine => engine.event(position).await)
    }

    /// Dead letters, newest event first.
    ///
    /// # Errors
    /// When the journal cannot be read, or the filter names a target that was never there.
    pub async fn dead_letters(&self, filter: &DeadFilter) -> Result<Vec<DeadLetter>, JournalError> {
        engine!(self, engine => engine.dead_letters(filter).await)
    }

    /// Delivers an event to a target again, or for the first time, and records who wanted it. False when there is no such
    /// event. One that is on its way anyway is not delivered twice; one that waits for its next attempt is tried at once.
    ///
    /// # Errors
    /// When there is no such target, or it cannot be made durable.
    pub async fn replay(&self, position: Position, target: &str, by: &str) -> Result<bool, JournalError> {
        engine!(self, engine => engine.replay(position, target, by).await)
    }

    /// Gives a dead letter up, and records who wanted it. False when there is no such dead letter.
    ///
    /// # Errors
    /// When there is no such target, or it cannot be made durable.
    pub async fn discard(&self, position: Position, target: &str, by: &str) -> Result<bool, JournalError> {
        engine!(self, engine => engine.discard(position, target, by).await)
    }

    /// The last replays and discards, newest first: at most `limit`, from before the one with the number `before` on.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, JournalError> {
        engine!(self, engine => engine.audit(before, limit).await)
    }

    /// Flushes, hands deliveries that are out back, and closes. Afterwards every call fails with `Closed`.
    pub async fn close(&self) {
        engine!(self, engine => engine.close().await);
    }
}

/// The deliveries of one target. Dropped, it hands back what is out.
#[derive(Debug)]
pub enum Subscription {
    /// From a database file.
    #[doc(hidden)]
    Sqlite(sqlite::Subscription),
    /// From streams.
    #[doc(hidden)]
    JetStream(jetstream::Subscription),
}

impl Subscription {
    /// Waits until at least one delivery is due, and gives at most `most`.
    ///
    /// No two deliveries with the same key are out at once, and a key's events come in order: none comes while an earlier one
    /// of its key is out or waits for its next attempt. Events without key do not wait for each other. Cancel safe.
    ///
    /// # Errors
    /// When the journal cannot be read, was closed, or the target was removed.
    pub async fn next(&mut self, most: usize) -> Result<Vec<Delivery>, JournalError> {
        match self {
            Self::Sqlite(subscription) => subscription.next(most).await,
            Self::JetStream(subscription) => subscription.next(most).await,
        }
    }
}
