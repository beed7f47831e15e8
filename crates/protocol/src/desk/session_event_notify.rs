//! `Desk.SessionEventNotify`: told of every message of a customer-service session, and of every step in its life.
//!
//! Docs: 269/111212, 1229/68989 (edition 2025-04). One command for many events: what else is there depends on `event`.
//! A callback that timed out may come again, with the same `RequestID` in its query.
//!
//! Quirks
//! - The list of events could be read in part only. Besides messages the page speaks of the begin and the end of a
//!   session, the transfer to a human and its outcome, a change of agent, and a user who did not answer in time.
//! - `MsgKey` is not made of three numbers here.

use serde::{Deserialize, Serialize};

use super::ChannelType;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::message::MsgElement;
use crate::types::{MsgKey, SessionId, UnixMillis, UserId, open_enum};

/// `Desk.SessionEventNotify`: a message of a session, or a step in its life.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct SessionEventNotify {
    /// The session.
    pub session_id: SessionId,
    /// What happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<SessionEvent>,
    /// How the user came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_type: Option<ChannelType>,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_user_id: Option<UserId>,
    /// The account behind which the agents stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_service_id: Option<UserId>,
    /// The human agent, by e-mail address, if there is one.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<Box<str>>,
    /// The agent who handed the session over. In the newer edition only, and perhaps empty.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub forward_from_agent_id: Option<Box<str>>,
    /// Whether the agent wrote first.
    #[serde(default, with = "lenient::boolean", skip_serializing_if = "Option::is_none")]
    pub is_contact_user: Option<bool>,
    /// The user's rating, 1 to 5.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub satisfaction_selected: Option<u64>,
    /// Identifies the message, for events that are messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_key: Option<MsgKey>,
    /// The elements of the message; none for other events.
    #[serde(default, rename = "MsgBody", with = "lenient::elements", skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<MsgElement>,
    /// Custom data that is stored with the message.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub cloud_custom_data: Option<Box<str>>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

open_enum! {
    /// What happens in a session: the words that are known of a longer list.
    pub enum SessionEvent {
        /// It began.
        SessionBegin = "SessionBegin",
        /// The user wrote to the bot.
        UserMessageToBot = "ChatBot.UserSendMsg",
        /// The bot wrote to the user.
        BotMessage = "ChatBot.RobotSendMsg",
    }
}

impl Payload for SessionEventNotify {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::session(&self.session_id)
    }

    fn elements(&self) -> &[MsgElement] {
        &self.body
    }
}
