//! `Group.CallbackAfterModifyMsg`: told after a group message was edited.
//!
//! Docs: 269/129193 (edition 2026-03). Sent for clients and for the REST call that changes stored messages.
//!
//! Quirks
//! - `TopicId` is there for ordinary groups too, and empty.
//! - `CloudCustomData`, which can be edited as well, is in neither table nor sample.
//! - `CallbackCommand` is not the first key of the body.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::{Identity, OrderingKey};
use crate::lenient;
use crate::message::MsgElement;
use crate::types::{GroupId, TopicId, UnixMillis, UserId};

/// `Group.CallbackAfterModifyMsg`: a group message as it is after an edit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterModifyMsg {
    /// Who edited.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// The group.
    pub group_id: GroupId,
    /// The topic of a community that the message is in; empty for an ordinary group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// The sequence number of the message, unsigned 32-bit.
    #[serde(with = "lenient::number")]
    pub msg_seq: u64,
    /// The new elements.
    #[serde(default, rename = "MsgBody", with = "lenient::elements", skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<MsgElement>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterModifyMsg {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::topic(&self.group_id, self.topic_id.as_ref())
    }

    fn identity(&self) -> Option<Identity> {
        let topic = self.topic_id.as_ref().map_or("", TopicId::as_str);
        let event_time = self.event_time?;
        Some(Identity::of(&[&self.group_id, &topic, &self.msg_seq, &event_time]))
    }

    fn elements(&self) -> &[MsgElement] {
        &self.body
    }
}
