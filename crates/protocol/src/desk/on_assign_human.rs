//! `ChatBot.OnAssignHuman`: asked for an agent when a user of the bot wants a human.
//!
//! Docs: 679/116643, 1229/68988 (edition 2025-07). Sent where Desk leaves the assignment to the application. What a
//! time-out or a failure means is not documented. `ChatBot.OnAssignAgent` is the older name.
//!
//! Quirks
//! - A capital B, unlike `Chatbot.InterfaceInvocation`.
//! - One table types `EventTime` as String; one sample is not valid JSON.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{SessionId, UnixMillis, UserId};

/// `ChatBot.OnAssignHuman`: a session that waits for a human.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct OnAssignHuman {
    /// The session.
    pub session_id: SessionId,
    /// The user.
    pub client_user_id: UserId,
    /// The account behind which the agents stand; with the light integration of the SDK only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_service_id: Option<UserId>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for OnAssignHuman {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::session(&self.session_id)
    }

    fn user(&self) -> Option<&UserId> {
        Some(&self.client_user_id)
    }
}
