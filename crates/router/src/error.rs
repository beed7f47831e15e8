use std::panic::Location;

use chathook_protocol::{Command, DecodeError};

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
    /// The handler panicked.
    #[error("the handler panicked")]
    Panicked,
    /// The handler was not ready in time.
    #[error("the handler was not ready in time")]
    TimedOut,
}
