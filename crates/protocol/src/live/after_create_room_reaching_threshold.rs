//! `Live.CallbackAfterCreateRoomReachingThreshold`: told after a new live room brought their number near the limit.
//!
//! Docs: 647/70485 (command list of 2026-03). Near is 70 % of what the application may have.
//!
//! Quirks
//! - The table types the two numbers as String and Array; the sample has numbers.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixMillis, UserId};

/// `Live.CallbackAfterCreateRoomReachingThreshold`: the number of rooms and its limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterCreateRoomReachingThreshold {
    /// Who created the last room.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// How many rooms there are.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub cur_room_count: Option<u64>,
    /// How many there may be.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub max_room_count: Option<u64>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterCreateRoomReachingThreshold {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::NONE
    }
}
