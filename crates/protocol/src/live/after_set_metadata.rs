//! `Live.CallbackAfterSetMetadata`: told after metadata of a live room was set, in the client or over REST.
//!
//! Docs: 647/68222 (command list of 2026-03).

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{KeyValue, RoomId, UnixMillis, UserId};

/// `Live.CallbackAfterSetMetadata`: keys of a live room and their new values.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterSetMetadata {
    /// Who made the request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// The room.
    pub room_id: RoomId,
    /// What was set.
    #[serde(with = "lenient::list")]
    pub metadata: Vec<KeyValue>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterSetMetadata {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::room(&self.room_id)
    }
}
