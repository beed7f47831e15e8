//! `Live.CallbackAfterChangeOwner`: told after a live room got another owner, in the client or over REST.
//!
//! Docs: 647/72553 (command list of 2026-03).
//!
//! Quirks
//! - The documented query has neither `ClientIP` nor `OptPlatform`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{RoomId, UnixMillis, UserId};

/// `Live.CallbackAfterChangeOwner`: a live room and its new owner.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterChangeOwner {
    /// The room.
    pub room_id: RoomId,
    /// Who made the request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who owns it now.
    #[serde(rename = "CurrentOwner_Account")]
    pub current_owner: UserId,
    /// Who owned it before.
    #[serde(default, rename = "OriginalOwner_Account", skip_serializing_if = "Option::is_none")]
    pub original_owner: Option<UserId>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterChangeOwner {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::room(&self.room_id)
    }
}
