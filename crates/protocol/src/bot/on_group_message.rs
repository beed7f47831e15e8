//! `Bot.OnGroupMessage`: told after a message that mentions a bot was sent to a group.
//!
//! Docs: 1047/68953 (edition 2025-07). The answer to this callback is not the bot's: that is sent over REST. Mentioning
//! everybody does not cause it.
//!
//! Quirks
//! - The random number is called `Random` here, and `MsgRandom` in one-to-one messages.
//! - No `MsgKey` and no `MsgId`: the group, the topic and `MsgSeq` identify the message.
//! - In the text a mention is `@@RBT#...`, because the accounts of bots begin with an at sign; users also type
//!   full-width ones.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::{Identity, OrderingKey};
use crate::lenient;
use crate::message::MsgElement;
use crate::types::{GroupId, GroupType, TopicId, UnixMillis, UnixSeconds, UserId};

/// `Bot.OnGroupMessage`: a group message that mentions a bot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct OnGroupMessage {
    /// The group.
    pub group_id: GroupId,
    /// The topic; only in communities that have topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// The type of the group.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// Who sent.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who made the request: an administrator who sends in the name of `from`, or `from`.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// The bots that are mentioned.
    #[serde(default, rename = "AtRobots_Account", with = "lenient::list")]
    pub bots: Vec<UserId>,
    /// Sequence number within the group; messages are in its order.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_seq: Option<u64>,
    /// Random number, unsigned 32-bit.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub random: Option<u64>,
    /// When it was sent, by the clock of the service.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_time: Option<UnixSeconds>,
    /// Whether it went to members who were online, and was not stored; never in live groups.
    #[serde(default, rename = "OnlineOnlyFlag", with = "lenient::flag")]
    pub online_only: bool,
    /// The elements.
    #[serde(rename = "MsgBody", with = "lenient::elements")]
    pub body: Vec<MsgElement>,
    /// Custom data that is stored with the message; absent or empty when the sender set none.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub cloud_custom_data: Option<Box<str>>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for OnGroupMessage {
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
