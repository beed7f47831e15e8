//! `Live.CallbackAfterModifyAdmin`: told after administrators of a live room were added or removed.
//!
//! Docs: 647/72554 (command list of 2026-03). It is done in the client or over REST.
//!
//! Quirks
//! - `opType` begins with a small letter.
//! - The documented query has neither `ClientIP` nor `OptPlatform`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{RoomId, UnixMillis, UserId, open_enum};

/// `Live.CallbackAfterModifyAdmin`: users who are administrators of a live room now, or no longer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterModifyAdmin {
    /// The room.
    pub room_id: RoomId,
    /// Who made the request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// The users.
    #[serde(rename = "Admin_Account", with = "lenient::list")]
    pub admins: Vec<UserId>,
    /// What was done with them.
    #[serde(default, rename = "opType", skip_serializing_if = "Option::is_none")]
    pub op_type: Option<AdminChange>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

open_enum! {
    /// What was done with administrators.
    pub enum AdminChange {
        /// They became administrators.
        Add = "add",
        /// They are no longer.
        Delete = "delete",
    }
}

impl Payload for AfterModifyAdmin {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::room(&self.room_id)
    }
}
