//! Looking into the journal.

use std::time::{Duration, SystemTime};

use strum::{Display, EnumString, IntoStaticStr};

use crate::delivery::{DeadClass, State};
use crate::record::{Position, Record};

/// Which events.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Received at this time or later.
    pub since: Option<SystemTime>,
    /// Received before this time.
    pub until: Option<SystemTime>,
    /// Of one of these commands; empty: of any.
    pub commands: Vec<String>,
    /// Of this conversation.
    pub key: Option<String>,
    /// These bytes are in the body.
    pub contains: Option<String>,
    /// In this state with the named target, or with any.
    pub state: Option<(Option<String>, State)>,
    /// Before this one: the next page begins before the last event of the page before.
    pub before: Option<Position>,
    /// At most so many.
    pub limit: usize,
}

impl Default for Filter {
    /// The newest hundred.
    fn default() -> Self {
        Self {
            since: None,
            until: None,
            commands: Vec::new(),
            key: None,
            contains: None,
            state: None,
            before: None,
            limit: 100,
        }
    }
}

/// An event without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its number.
    pub position: Position,
    /// Its identity.
    pub id: String,
    /// The application.
    pub app: Option<u64>,
    /// The command as on the wire.
    pub command: String,
    /// The conversation.
    pub key: Option<String>,
    /// When it came.
    pub received: SystemTime,
    /// Bytes of the body.
    pub size: u64,
    /// Whether the body could be read.
    pub decoded: bool,
    /// How far it is with each target that is to have it.
    pub targets: Vec<(String, State)>,
}

/// An event with all that happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub position: Position,
    /// The event.
    pub record: Record,
    /// What happened at each target, also at those that are gone.
    pub targets: Vec<TargetHistory>,
}

/// What happened to an event at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetHistory {
    /// The target.
    pub target: String,
    /// How far it is; none when the target did not want it or was not there yet.
    pub state: Option<State>,
    /// When it is tried again.
    pub due: Option<SystemTime>,
    /// Whose fault it is that it is a dead letter.
    pub class: Option<DeadClass>,
    /// Every attempt, oldest first.
    pub attempts: Vec<AttemptMade>,
}

/// An attempt as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptMade {
    /// When it began.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What it led to: delivered, retrying or dead.
    pub led_to: State,
    /// What the target said, or what went wrong.
    pub detail: String,
}

/// Which dead letters.
#[derive(Debug, Clone)]
pub struct DeadFilter {
    /// Of this target.
    pub target: Option<String>,
    /// Of this class.
    pub class: Option<DeadClass>,
    /// Whose event was received at this time or later.
    pub since: Option<SystemTime>,
    /// Whose event was received before this time.
    pub until: Option<SystemTime>,
    /// Of one of these commands; empty: of any.
    pub commands: Vec<String>,
    /// Of this conversation.
    pub key: Option<String>,
    /// These bytes are in the body.
    pub contains: Option<String>,
    /// Before this position: the next page.
    pub before: Option<Position>,
    /// At most so many.
    pub limit: usize,
}

impl Default for DeadFilter {
    /// The newest hundred.
    fn default() -> Self {
        Self {
            target: None,
            class: None,
            since: None,
            until: None,
            commands: Vec::new(),
            key: None,
            contains: None,
            before: None,
            limit: 100,
        }
    }
}

/// An event that a target could not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event's number.
    pub position: Position,
    /// The target.
    pub target: String,
    /// Whose fault it is.
    pub class: DeadClass,
    /// What went wrong at last.
    pub cause: String,
    /// Attempts made.
    pub attempts: u32,
    /// When it was given up.
    pub died: SystemTime,
    /// The event's identity.
    pub id: String,
    /// The command as on the wire.
    pub command: String,
    /// The conversation.
    pub key: Option<String>,
    /// When the event came.
    pub received: SystemTime,
}

/// How much is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Events kept.
    pub events: u64,
    /// Bytes that they take: bodies, answers and queries.
    pub bytes: u64,
    /// Dead letters that went because of their age, or to make room, since the journal was opened.
    pub expired_dead_letters: u64,
    /// Each target that was set.
    pub targets: Vec<TargetStats>,
}

/// How far a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStats {
    /// The target.
    pub target: String,
    /// Events not yet settled.
    pub backlog: u64,
    /// Of these, events that wait for their next attempt.
    pub retrying: u64,
    /// Its dead letters.
    pub dead_letters: u64,
    /// When the oldest event came that is not yet settled.
    pub oldest: Option<SystemTime>,
}

/// Something an operator did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number, which ascends.
    pub number: u64,
    /// When.
    pub at: SystemTime,
    /// Who.
    pub by: String,
    /// What.
    pub action: AuditAction,
    /// With which event.
    pub position: Position,
    /// For which target.
    pub target: String,
}

/// What an operator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum AuditAction {
    /// Delivered again.
    Replay,
    /// Gave a dead letter up.
    Discard,
}
