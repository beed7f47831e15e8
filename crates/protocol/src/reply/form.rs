use std::ops::RangeInclusive;

use super::sealed::LeftOut;

/// What Chat accepts as the answer to a command: the one description that decisions are made, read and written by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(hidden)]
pub enum Form {
    /// Nothing but an acknowledgement.
    Ack,
    /// A message: allowed, changed, refused, dropped.
    Message(Option<CodeRange>),
    /// Yes or no.
    Permission(Option<CodeRange>),
    /// Users who join: all, none, or all but some.
    Join(LeftOut, Option<CodeRange>),
    /// One verdict for each friend.
    Friends,
    /// Content for a bot, which is there even where it is empty.
    Signal,
    /// The choice of an agent.
    Assignment,
    /// *Done*, and nothing else.
    Invoked,
}

/// The codes of one's own that Chat passes on, the first and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(hidden)]
pub struct CodeRange(pub(crate) u32, pub(crate) u32);

impl CodeRange {
    pub(crate) fn codes(self) -> RangeInclusive<u32> {
        self.0..=self.1
    }
}

impl std::fmt::Display for CodeRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}
