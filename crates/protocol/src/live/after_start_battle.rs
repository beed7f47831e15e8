//! `Live.CallbackAfterStartBattle`: told after a battle between live rooms began.
//!
//! Docs: 647/68260 (command list of 2026-03). It begins at once, or when all called owners answered and one agreed.
//!
//! Quirks
//! - `Duration` is in milliseconds, the two times are in seconds.
//! - The table types `FromRoomInfo` as String; the sample has an object, and a trailing comma.

use serde::{Deserialize, Serialize};

use super::BattleRoom;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixMillis, UnixSeconds};

/// `Live.CallbackAfterStartBattle`: a battle that began.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterStartBattle {
    /// Identifies the battle. Opaque.
    #[serde(with = "lenient::text")]
    pub battle_id: Box<str>,
    /// How long it is to last, in milliseconds.
    #[serde(default, rename = "Duration", with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// When it was created.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub create_time: Option<UnixSeconds>,
    /// When it began.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub start_time: Option<UnixSeconds>,
    /// The room that called.
    #[serde(rename = "FromRoomInfo")]
    pub from_room: BattleRoom,
    /// The rooms that were called.
    #[serde(default, rename = "ToRoomList", with = "lenient::list")]
    pub to_rooms: Vec<BattleRoom>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterStartBattle {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::room(&self.from_room.room_id)
    }
}
