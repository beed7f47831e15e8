//! `Live.CallbackAfterEndBattle`: told after a battle between live rooms ended, or never began.
//!
//! Docs: 647/68261 (command list of 2026-03).
//!
//! Quirks
//! - `Duration` is in milliseconds, the three times are in seconds.
//! - The owners are bare integers in the sample, strings when the battle begins.
//! - The table types `FromRoomInfo` as String; the sample has an object.

use serde::{Deserialize, Serialize};

use super::BattleRoom;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixMillis, UnixSeconds, open_code};

/// `Live.CallbackAfterEndBattle`: a battle that is over, and its scores.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterEndBattle {
    /// Identifies the battle. Opaque.
    #[serde(with = "lenient::text")]
    pub battle_id: Box<str>,
    /// How long it was to last, in milliseconds.
    #[serde(default, rename = "Duration", with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// When it was created.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub create_time: Option<UnixSeconds>,
    /// When it began.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub start_time: Option<UnixSeconds>,
    /// When it ended.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub end_time: Option<UnixSeconds>,
    /// Why it is over.
    #[serde(default, rename = "OpType", with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub cause: Option<BattleEnd>,
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

open_code! {
    /// Why a battle is over.
    pub enum BattleEnd {
        /// Its time was up.
        TimeUp = 0,
        /// All owners had left.
        AllLeft = 1,
        /// It never began.
        NeverStarted = 2,
    }
}

impl Payload for AfterEndBattle {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::room(&self.from_room.room_id)
    }
}
