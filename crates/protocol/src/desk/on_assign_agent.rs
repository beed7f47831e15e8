//! `ChatBot.OnAssignAgent`: asked for an agent when a user of the bot wants a human.
//!
//! Docs: 1047/63270 (edition 2025-02). The older name of `ChatBot.OnAssignHuman`, on the international site of Chat;
//! the answer is the same. What a time-out or a failure means is not documented.
//!
//! Quirks
//! - A capital B, unlike `Chatbot.InterfaceInvocation`.
//! - One table types `EventTime` as String.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{SessionId, UnixMillis, UserId};

/// `ChatBot.OnAssignAgent`: a session that waits for a human.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct OnAssignAgent {
    /// The session.
    pub session_id: SessionId,
    /// The user.
    pub client_user_id: UserId,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for OnAssignAgent {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::session(&self.session_id)
    }

    fn user(&self) -> Option<&UserId> {
        Some(&self.client_user_id)
    }
}
