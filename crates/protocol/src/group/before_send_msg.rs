//! `Group.CallbackBeforeSendMsg`: asked before a group message is delivered.
//!
//! Docs: 269/1619 (edition 2025-02), 1047/34374 (edition 2024-04); live rooms: trtc.io/document/74347. Chat waits two
//! seconds, which cannot be changed; then the console's policy applies. A REST call can keep the callback from being
//! sent (`ForbidCallbackControl`). The vendor advises against moderating texts here.
//!
//! Quirks
//! - The message has neither `MsgSeq` nor `MsgTime` yet.
//! - `Random` is unsigned 32-bit: it does not fit an `i32`.
//! - `MsgId` is new in 2025, and live rooms have no `OnlineOnlyFlag`.
//! - `MsgPriority` is in no edition, but was seen in 2022.
//! - `EventTime` is a number in the table and a string in many samples; older editions have none.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::{Identity, OrderingKey};
use crate::lenient;
use crate::message::MsgElement;
use crate::types::{GroupId, GroupType, MsgId, TopicId, UnixMillis, UserId};

/// `Group.CallbackBeforeSendMsg`: a group message that waits to be delivered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BeforeSendMsg {
    /// The group.
    pub group_id: GroupId,
    /// Its type; `Live` for a live room.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// Who sends; `@TLS#NOT_FOUND` or another pseudo account where a REST call names nobody.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who made the request; another than `from` where an administrator sends for a user.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Random number, unsigned 32-bit. Named `MsgRandom` in one-to-one messages.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub random: Option<u64>,
    /// The client's identifier of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<MsgId>,
    /// Whether it goes to members who are online, and is not stored; never so in an `AVChatRoom`.
    #[serde(default, rename = "OnlineOnlyFlag", with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub online_only: Option<bool>,
    /// The elements.
    #[serde(rename = "MsgBody", with = "lenient::elements")]
    pub body: Vec<MsgElement>,
    /// Custom data that is stored with the message; absent when the sender set none.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub cloud_custom_data: Option<Box<str>>,
    /// The topic of a community that the message belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// Undocumented: `Normal` where it was seen, in live groups.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub msg_priority: Option<Box<str>>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for BeforeSendMsg {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::topic(&self.group_id, self.topic_id.as_ref())
    }

    fn identity(&self) -> Option<Identity> {
        let id = self.msg_id.as_ref().filter(|id| !id.as_str().is_empty())?;
        Some(Identity::of(&[id]))
    }

    fn elements(&self) -> &[MsgElement] {
        &self.body
    }

    fn user(&self) -> Option<&UserId> {
        Some(&self.from)
    }

    fn group(&self) -> Option<&GroupId> {
        Some(&self.group_id)
    }

    fn group_type(&self) -> Option<&GroupType> {
        self.group_type.as_ref()
    }
}
