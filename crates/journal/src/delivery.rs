//! One event for one target, and how attempts to deliver it end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use strum::{Display, EnumString, IntoStaticStr};

use crate::error::JournalError;
use crate::jetstream;
use crate::record::{Position, Record};
use crate::sqlite;

/// One event for one target, to be delivered now. Dropped before it was settled, it is given out again.
#[derive(Debug)]
pub struct Delivery {
    /// The event's number.
    pub position: Position,
    /// The event.
    pub record: Arc<Record>,
    /// Attempts made before this one, since the event was kept or replayed.
    pub attempts: u32,
    /// When the first of them was made.
    pub first_attempt: Option<SystemTime>,
    pub(crate) lease: Lease,
}

/// The right to settle a delivery.
#[derive(Debug)]
pub(crate) enum Lease {
    Sqlite(sqlite::Lease),
    JetStream(jetstream::Lease),
}

impl Delivery {
    /// Records how the attempt ended. Returns when that is durable; many at once share the cost.
    ///
    /// While the journal cannot write, this waits until it can: what was delivered is not delivered again because of a full disk.
    ///
    /// # Errors
    /// When the delivery was settled before, was taken away together with its subscription, or the journal was closed.
    pub async fn settle(&self, attempt: Attempt) -> Result<(), JournalError> {
        match &self.lease {
            Lease::Sqlite(lease) => lease.settle(attempt).await,
            Lease::JetStream(lease) => lease.settle(attempt).await,
        }
    }
}

/// One try of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The target has it.
    Delivered {
        /// What the target said, short: `200`.
        detail: String,
    },
    /// To be tried again.
    Retry {
        /// Not before this time from now.
        after: Duration,
        /// What went wrong, short.
        cause: String,
    },
    /// Not to be tried again: a dead letter.
    Dead {
        /// Whose fault it is.
        class: DeadClass,
        /// What went wrong, short.
        cause: String,
    },
    /// The target does not want it. Nothing is recorded of it, and it may be asked about again after a crash.
    Skipped,
}

/// Whose fault a dead letter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum DeadClass {
    /// The target's: it refused the event, or did not take it in all attempts.
    Target,
    /// Ours.
    Gateway,
    /// Nobody could read the event, and the target refused it.
    Undecodable,
}

/// How far an event is with one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum State {
    /// Not tried yet.
    Pending,
    /// Tried, and to be tried again.
    Retrying,
    /// The target has it.
    Delivered,
    /// A dead letter.
    Dead,
}
