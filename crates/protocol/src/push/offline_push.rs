//! `Push.OfflinePush`: told how far the pushes of ordinary messages have come.
//!
//! Docs: 269/102567, 1047/67552. What exceeds about 1000 callbacks per second is delayed and sent again: events may
//! come late and out of order.
//!
//! Quirks
//! - The body is a batch of 1 to 100 events; the command stands in each of them, not beside them.
//! - No `ClientIP` and no `OptPlatform` in the URL.
//! - `EventTime` and `MsgTime` are seconds.
//! - `EventType` means something else in `Push.AllMemberPush`.
//! - The group is called `GroupID` here, and `GroupId` in all callbacks of groups.
//! - The table says that `MsgRandom` is empty for groups; the sample of a group has it.

use serde::{Deserialize, Serialize};

use super::{PushPlatform, PushStage};
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, MsgKey, UnixSeconds, UserId, open_code};

/// `Push.OfflinePush`: a batch of what became of pushes of messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct OfflinePush {
    /// 1 to 100 events, of any conversations.
    #[serde(with = "lenient::list")]
    pub events: Vec<OfflinePushEvent>,
}

/// What became of the push of one message to one user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct OfflinePushEvent {
    /// The command, once more.
    #[serde(default, rename = "CallbackCommand", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub command: Option<Box<str>>,
    /// What kind of message it is.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_type: Option<MsgKind>,
    /// When the event happened.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixSeconds>,
    /// Who sent the message.
    #[serde(default, rename = "From_Account", skip_serializing_if = "Option::is_none")]
    pub from: Option<UserId>,
    /// Whom the push was for.
    #[serde(rename = "To_Account")]
    pub to: UserId,
    /// The channel.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub push_platform: Option<PushPlatform>,
    /// How far it has come.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub push_stage: Option<PushStage>,
    /// Identifies a one-to-one message; empty or absent for groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_key: Option<MsgKey>,
    /// The group, if it is a group message.
    #[serde(default, rename = "GroupID", skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    /// Sequence number of the message, unsigned 32-bit.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_seq: Option<u64>,
    /// Random number of the message, unsigned 32-bit.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_random: Option<u64>,
    /// When the message was sent.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_time: Option<UnixSeconds>,
    /// Identifies the push; the console can look for it. Older editions have none.
    #[serde(default, rename = "PushID", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub push_id: Option<Box<str>>,
    /// 0 for success, else the code of the failure.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub err_code: Option<i64>,
    /// The text of the failure; may be empty.
    #[serde(default, with = "lenient::text")]
    pub err_info: Box<str>,
}

open_code! {
    /// What kind of message is pushed.
    pub enum MsgKind {
        /// A one-to-one message.
        C2c = 1,
        /// A group message.
        Group = 2,
    }
}

impl Payload for OfflinePush {
    /// A batch is about many conversations, and comes out of order anyway.
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::NONE
    }
}
