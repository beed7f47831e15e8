#![doc = include_str!("../README.md")]

pub mod callback;
pub mod callbacks;
pub mod command;
pub mod query;
pub mod signature;
pub mod identity;
pub mod reply;
pub mod message;
pub mod types;
pub mod raw;
pub mod event;
pub mod error;
pub mod lenient;
mod rewrite;
mod walk;

pub mod ops;
pub mod state;
pub mod profile;
pub mod sns;
pub mod follow;
pub mod c2c;
pub mod group;
pub mod bot;
pub mod content;
pub mod official_account;
pub mod push;
pub mod desk;
pub mod call;
pub mod live;
pub mod mic;
pub mod room;

pub use callback::{Callback, FromEvent, Payload, Phase};
pub use callbacks::{AnyCallback, Command, Decoded};
pub use command::{CommandName, Family};
pub use error::DecodeError;
pub use event::{Event, Parts};
pub use identity::{EventId, Identity, OrderingKey};
pub use message::{MsgContent, MsgElement};
pub use query::Query;
pub use raw::Raw;
pub use reply::{Ack, Answer, AnyDecision, Decision, Effect, IllegalDecision, Policy, Proposal, Reply};
pub use types::{GroupId, GroupType, Platform, TopicId, UnixMillis, UnixSeconds, UserId};
