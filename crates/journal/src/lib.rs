#![doc = include_str!("../README.md")]

mod config;
mod error;
mod record;
mod delivery;
mod look;
mod journal;
mod sqlite;
mod jetstream;

pub use config::{Config, EngineConfig, JetStreamConfig, NatsAuth, SqliteConfig};
pub use delivery::{Attempt, DeadClass, Delivery, Outcome, State};
pub use error::{AppendError, JournalError, OpenError};
pub use jetstream::OpenError as JetStreamOpenError;
pub use journal::{Health, Journal, Subscription};
pub use look::{
    AttemptMade, AuditAction, AuditEntry, DeadFilter, DeadLetter, Filter, Kept, Stats, Summary, TargetHistory,
    TargetStats,
};
pub use record::{Appended, Position, Record};
pub use sqlite::OpenError as SqliteOpenError;
