use std::panic::Location;

use chathook_protocol::{Command, DecodeError};

use crate::FallbackReason;

/// Whatever a handler fails with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a router cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two handlers for one command: which one would decide?
    #[error("{command} has two handlers: one registered at {first}, another at {second}")]
    Duplicate {
        /// The command.
        command: Command,
        /// Where the first was registered.
        first: &'static Location<'static>,
        /// Where the second was registered.
        second: &'static Location<'static>,
    },
    /// Two handlers for what has no handler.
    #[error("`unhandled` was given twice: at {first} and at {second}")]
    DuplicateUnhandled {
        /// Where the first was given.
        first: &'static Location<'static>,
        /// Where the second was given.
        second: &'static Location<'static>,
    },
}

/// Why a handler gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError {
    /// The body was not read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The handler said so.
    #[error("the handler failed")]
    Handler(#[source] BoxError),
    /// A decider other than a handler gave no decision.
    #[error("{source}")]
    Decider {
        /// What was wrong, in one word of a closed set, for metrics.
        reason: &'static str,
        /// What the fallback is counted as.
        counts_as: FallbackReason,
        /// What was wrong.
        source: BoxError,
    },
    /// The handler did not object to a body that was not read, and nobody else can read it.
    #[error("the body was not read, and not everybody was asked")]
    Unread,
    /// A handler or another decider panicked.
    #[error("panicked")]
    Panicked,
    /// Somebody was not ready in time.
    #[error("not ready in time")]
    TimedOut,
}

impl DispatchError {
    /// What was wrong in one word of a closed set, for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Decider { reason, .. } => reason,
            other => FallbackReason::from(other).into(),
        }
    }
}

impl From<&DispatchError> for FallbackReason {
    fn from(error: &DispatchError) -> Self {
        match error {
            DispatchError::Decode(_) | DispatchError::Unread => Self::Decode,
            DispatchError::Handler(_) => Self::Error,
            DispatchError::Decider { counts_as, .. } => *counts_as,
            DispatchError::Panicked => Self::Panic,
            DispatchError::TimedOut => Self::Timeout,
        }
    }
}
