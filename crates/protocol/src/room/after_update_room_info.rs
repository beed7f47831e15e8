//! `Room.CallbackAfterUpdateRoomInfo`: told after the data of a conference room was changed, in the client or over
//! REST.
//!
//! Docs: 647/60731 (command list of 2024-08).
//!
//! Quirks
//! - The command list of 2024-04 calls it `Room.CallbackUpdateRoomInfo`.
//! - `IsCloudRecordingDisabled` is the text `"false"` in the sample, which is not valid JSON for its commas.

use serde::{Deserialize, Serialize};

use super::RoomInfo;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixMillis, UserId};

/// `Room.CallbackAfterUpdateRoomInfo`: what a conference room is like now.
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
