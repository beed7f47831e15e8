//! `Live.CallbackAfterUpdateRoomInfo`: told after the data of a live room was changed, in the client or over REST.
//!
//! Docs: 647/67938 (command list of 2026-03). Whether only what changed is sent is not documented: a field that is
//! there need not be new.
//!
//! Quirks
//! - The sample of the page is not valid JSON: a comma is missing.

use serde::{Deserialize, Serialize};

use super::RoomInfo;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixMillis, UserId};

/// `Live.CallbackAfterUpdateRoomInfo`: what a live room is like now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterUpdateRoomInfo {
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

impl Payload for AfterUpdateRoomInfo {
    fn ordering_key(&self) -> OrderingKey {
        self.room.room_id.as_ref().map_or(OrderingKey::NONE, OrderingKey::room)
    }
}
