//! `Live.CallbackAfterCreateBattle`: told after a live room called others to a battle, in the client or over REST.
//!
//! Docs: 647/68259 (command list of 2026-03).

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{RoomId, UnixMillis, UserId};

/// `Live.CallbackAfterCreateBattle`: a battle that waits to begin.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterCreateBattle {
    /// Who made the request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Identifies the battle. Opaque.
    #[serde(with = "lenient::text")]
    pub battle_id: Box<str>,
    /// The room that calls.
    pub from_room_id: RoomId,
    /// The rooms that are called.
    #[serde(default, rename = "ToRoomIdList", with = "lenient::list")]
    pub to_room_ids: Vec<RoomId>,
    /// How long the call waits for answers, in milliseconds.
    #[serde(default, rename = "Timeout", with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How long the battle is to last, in milliseconds.
    #[serde(default, rename = "Duration", with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Whether the owners of the called rooms have to agree; if not, the battle begins at once.
    #[serde(default, with = "lenient::boolean")]
    pub need_response: bool,
    /// Data of the application.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub extension_info: Option<Box<str>>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterCreateBattle {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::room(&self.from_room_id)
    }
}
