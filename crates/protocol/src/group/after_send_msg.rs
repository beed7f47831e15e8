//! `Group.CallbackAfterSendMsg`: told after a group message was sent.
//!
//! Docs: 269/2661 (edition 2025-09), 1047/34375 (edition 2025-02); live rooms: trtc.io/document/74348, 454/125496. A
//! REST call can keep the callback from being sent (`ForbidCallbackControl`). A message that was not sent is told of
//! by `Group.CallbackSendMsgException`.
//!
//! Quirks
//! - `MsgTime` is in seconds, `EventTime` in milliseconds.
//! - `Random` is unsigned 32-bit: it does not fit an `i32`.
//! - `MsgId` is new in 2025; of the two pages on live rooms one has no `OnlineOnlyFlag` and no `GroupAtInfo`.
//! - `MsgPriority` is in no edition, but was seen in 2022.
//! - `EventTime` is a number in the table and a string in many samples; older editions have none.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::{Identity, OrderingKey};
use crate::lenient;
use crate::message::MsgElement;
use crate::types::{GroupId, GroupType, MsgId, TopicId, UnixMillis, UnixSeconds, UserId};

/// `Group.CallbackAfterSendMsg`: a group message that was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterSendMsg {
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
    /// Sequence number, unsigned 32-bit; identifies the message in its group or topic, and puts messages in order.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_seq: Option<u64>,
    /// When it was sent, by Chat's clock.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_time: Option<UnixSeconds>,
    /// The client's identifier of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<MsgId>,
    /// Whether it went to members who were online, and was not stored; never so in an `AVChatRoom`.
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
    /// Who is mentioned, 30 members at most.
    #[serde(default, rename = "GroupAtInfo", with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<Mention>,
    /// Undocumented: `Normal` where it was seen, in live groups.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub msg_priority: Option<Box<str>>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// One mention in a group message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Mention {
    /// Whether all members are meant.
    #[serde(default, rename = "GroupAtAllFlag", with = "lenient::flag")]
    pub all: bool,
    /// The member who is meant, unless all are.
    #[serde(default, rename = "GroupAt_Account", skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
}

impl Payload for AfterSendMsg {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::topic(&self.group_id, self.topic_id.as_ref())
    }

    fn identity(&self) -> Option<Identity> {
        let topic = self.topic_id.as_ref().map_or("", TopicId::as_str);
        Some(Identity::of(&[&self.group_id, &topic, &self.msg_seq?]))
    }

    fn elements(&self) -> &[MsgElement] {
        &self.body
    }
}
