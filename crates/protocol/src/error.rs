//! Why a body was not read.

use crate::CommandName;

/// A body is not what its command promises.
#[derive(Debug, thiserror::Error)]
#[error("{command}: cannot read {}", place(.path))]
#[non_exhaustive]
pub struct DecodeError {
    /// The command in whose name the body arrived.
    pub command: CommandName,
    /// Where it went wrong, as a JSON pointer of at most 256 bytes; empty for the body as a whole.
    pub path: String,
    /// What was wrong.
    pub source: DecodeErrorKind,
}

/// What was wrong with a body.
#[derive(Debug, thiserror::Error)]
pub enum DecodeErrorKind {
    /// Not JSON, or not of the documented shape.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Not UTF-8.
    #[error(transparent)]
    Utf8(#[from] std::str::Utf8Error),
}

fn place(path: &str) -> &str {
    if path.is_empty() { "the body" } else { path }
}
