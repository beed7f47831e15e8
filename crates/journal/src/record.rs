//! What is kept.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;

/// What is kept of a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The identity: another record with the same one is a duplicate. Printable.
    pub id: String,
    /// Whether the identity is only a hash of the content. Such a record is a duplicate as long as no other one of this kind
    /// was kept in its conversation since: who is blocked, released and blocked again tells the same twice, and means it.
    pub by_content: bool,
    /// The application (`SdkAppid`).
    pub app: Option<u64>,
    /// The command as on the wire, also an unknown one.
    pub command: String,
    /// The conversation: events with the same key are given out one after the other.
    pub key: Option<String>,
    /// When it came. Milliseconds are kept.
    pub received: SystemTime,
    /// The query as it came, without the question mark.
    pub query: String,
    /// The body, byte for byte.
    pub body: Bytes,
    /// What a before-callback was answered.
    pub answer: Option<Bytes>,
    /// Whether the body could be read.
    pub decoded: bool,
}

impl Record {
    /// Bytes of its query, body and answer.
    pub(crate) fn size(&self) -> usize {
        self.query.len() + self.body.len() + self.answer.as_ref().map_or(0, |answer| answer.len())
    }
}

/// The number of an event in the journal. Ascends in the order of appending, whatever the clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What became of a record that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is durable.
    Kept(Position),
    /// An event with this identity is kept already.
    Duplicate,
}
