//! `Group.CallbackAfterRecallMsg`: told after messages of a group were recalled.
//!
//! Docs: 269/73141, 1047/46979 (both edition 2025-02). Sent for clients and for the REST API.
//!
//! Quirks
//! - `MsgSeqList` is a list of objects, not of numbers; a REST call recalls up to ten messages at once.
//! - `MsgId` is new in 2025.
//! - The reason that a REST call may give is not in it.
//! - `EventTime` is a number in the table and a string in many samples.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, MsgId, TopicId, UnixMillis, UserId};

/// `Group.CallbackAfterRecallMsg`: messages of a group that were recalled.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterRecallMsg {
    /// Who recalled them.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// The type of the group.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// The group.
    pub group_id: GroupId,
    /// The messages.
    #[serde(rename = "MsgSeqList", with = "lenient::list")]
    pub messages: Vec<RecalledMsg>,
    /// The topic of a community that they were in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// One message that was recalled.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct RecalledMsg {
    /// Its sequence number, unsigned 32-bit.
    #[serde(with = "lenient::number")]
    pub msg_seq: u64,
    /// The client's identifier of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<MsgId>,
}

impl Payload for AfterRecallMsg {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::topic(&self.group_id, self.topic_id.as_ref())
    }
}
