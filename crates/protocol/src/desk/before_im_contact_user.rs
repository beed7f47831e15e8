//! `Desk.CallbackBeforeIMContactUser`: asked before an agent contacts a user who did not ask for it.
//!
//! Docs: 269/120667 (edition 2025-07). Agents do so by hand, administrators over REST. What a time-out means is not
//! documented; neither is the form of a refusal, which goes out as `ErrorCode` 1 as everywhere else.
//!
//! Quirks
//! - `GroupId` is no chat group but a group of agents; the table says String, the sample has a number.

use serde::{Deserialize, Serialize};

use super::ChannelType;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{NumberOrText, UnixMillis, UserId};

/// `Desk.CallbackBeforeIMContactUser`: an agent who is about to write first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BeforeImContactUser {
    /// Whom the agent wants to contact.
    pub client_user_id: UserId,
    /// The account behind which the agents stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<UserId>,
    /// By which way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_type: Option<ChannelType>,
    /// The skill group of the agent.
    #[serde(default, rename = "GroupId", skip_serializing_if = "Option::is_none")]
    pub skill_group: Option<NumberOrText>,
    /// The agent, by e-mail address.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub member_id: Option<Box<str>>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for BeforeImContactUser {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::user(&self.client_user_id)
    }

    fn user(&self) -> Option<&UserId> {
        Some(&self.client_user_id)
    }
}
