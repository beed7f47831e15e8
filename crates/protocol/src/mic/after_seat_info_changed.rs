//! `Mic.CallbackAfterSeatInfoChanged`: told after a seat of a room was taken, left, locked or muted.
//!
//! Docs: 647/64425 (command list of 2026-03). Live and Room both send it.
//!
//! Quirks
//! - Who sits there is a bare integer in the sample, a string in the table, and missing when nobody does.
//! - `EventTime` is in the sample only, which is not valid JSON: a comma is missing.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{RoomId, UnixMillis, UserId};

/// `Mic.CallbackAfterSeatInfoChanged`: the seats of a room as they are now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterSeatInfoChanged {
    /// The room.
    pub room_id: RoomId,
    /// Its seats.
    #[serde(rename = "SeatList", with = "lenient::list")]
    pub seats: Vec<Seat>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// One seat.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Seat {
    /// Its number.
    #[serde(with = "lenient::number")]
    pub index: u64,
    /// Who sits there; absent when it is free.
    #[serde(default, rename = "Member_Account", skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// Whether it is locked.
    #[serde(default, with = "lenient::boolean")]
    pub is_taken_disabled: bool,
    /// Whether its camera is blocked.
    #[serde(default, with = "lenient::boolean")]
    pub is_video_disabled: bool,
    /// Whether its microphone is blocked.
    #[serde(default, with = "lenient::boolean")]
    pub is_audio_disabled: bool,
}

impl Payload for AfterSeatInfoChanged {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::room(&self.room_id)
    }
}
