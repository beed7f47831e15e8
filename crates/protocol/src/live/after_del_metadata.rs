//! `Live.CallbackAfterDelMetadata`: told after metadata of a live room was deleted, in the client or over REST.
//!
//! Docs: 647/68223 (command list of 2026-03).
//!
//! Quirks
//! - The table of the page names the command `Live.CallbackAfterSetMetadata`; list and sample name this one.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{RoomId, UnixMillis, UserId};

/// `Live.CallbackAfterDelMetadata`: keys that a live room no longer has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterDelMetadata {
    /// Who made the request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// The room.
    pub room_id: RoomId,
    /// What was deleted.
    #[serde(with = "lenient::texts")]
    pub keys: Vec<Box<str>>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterDelMetadata {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::room(&self.room_id)
    }
}
