//! `Live.CallbackAfterCreateRoom`: told after a live room was created, in the client or over REST.
//!
//! Docs: 647/64422 (command list of 2026-03).
//!
//! Quirks
//! - `EventTime` is in the table only.

use serde::{Deserialize, Serialize};

use super::RoomInfo;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixMillis, UserId};

/// `Live.CallbackAfterCreateRoom`: a new live room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterCreateRoom {
    /// Who made the request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// The room.
    #[serde(rename = "RoomInfo")]
    pub room: RoomInfo,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterCreateRoom {
    fn ordering_key(&self) -> OrderingKey {
        self.room.room_id.as_ref().map_or(OrderingKey::NONE, OrderingKey::room)
    }
}
