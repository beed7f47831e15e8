//! What can go wrong.

use crate::jetstream;
use crate::sqlite;

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database file.
    #[error(transparent)]
    Sqlite(#[from] sqlite::OpenError),
    /// The streams.
    #[error(transparent)]
    JetStream(#[from] jetstream::OpenError),
}

/// Why a record was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// More is waiting to be kept than may wait. It was turned away at once.
    #[error("more events wait to be kept than may wait")]
    Busy,
    /// There is no room, and nothing that may be removed.
    #[error("no room for more events: {0}")]
    Full(String),
    /// It could not be made durable in time. It may be kept nevertheless.
    #[error("the journal did not answer in time: {0}")]
    Unavailable(String),
    /// Writing failed.
    #[error("cannot write to the journal: {0}")]
    Failed(String),
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

/// Why the journal did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The name is not one of the targets that were set.
    #[error("there is no target `{0}`")]
    NoSuchTarget(String),
    /// Only one subscription of a target at a time.
    #[error("the deliveries of target `{0}` are taken by somebody already")]
    Subscribed(String),
    /// Settled before, or taken away with its subscription.
    #[error("the delivery is no longer out")]
    NotOut,
    /// The engine cannot be reached.
    #[error("the journal cannot be reached: {0}")]
    Unavailable(String),
    /// Reading or writing failed.
    #[error("the journal failed: {0}")]
    Failed(String),
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}
