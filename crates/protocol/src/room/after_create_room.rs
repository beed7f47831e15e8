//! `Room.CallbackAfterCreateRoom`: told after a conference room was created, in the client or over REST.
//!
//! Docs: 647/60733 (command list of 2024-08).
//!
//! Quirks
//! - The table lists `ScheduleStartTime` twice; the second one is `ScheduleEndTime` in the sample.
//! - `ScheduleInviteeList_Account` is in the sample only.

use serde::{Deserialize, Serialize};

use super::RoomInfo;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixMillis, UserId};

/// `Room.CallbackAfterCreateRoom`: a new conference room.
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
    /// Who is invited to it.
    #[serde(
        default,
        rename = "ScheduleInviteeList_Account",
        with = "lenient::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub schedule_invitees: Vec<UserId>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterCreateRoom {
    fn ordering_key(&self) -> OrderingKey {
        self.room.room_id.as_ref().map_or(OrderingKey::NONE, OrderingKey::room)
    }
}
