//! `Room.CallbackAfterMemberLeave`: told after members left a conference room, were removed or lost the connection.
//!
//! Docs: 647/60734 (command list of 2024-08).

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{RoomId, UnixMillis, UserId, open_enum};

/// `Room.CallbackAfterMemberLeave`: members who are no longer in a conference room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterMemberLeave {
    /// Who made the request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// The room.
    pub room_id: RoomId,
    /// How many members it has now.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub member_count: Option<u64>,
    /// How they went.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<LeaveType>,
    /// Who went.
    #[serde(rename = "MemberList_Account", with = "lenient::list")]
    pub members: Vec<UserId>,
    /// Why, in words.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

open_enum! {
    /// How members went out of a conference room.
    pub enum LeaveType {
        /// By themselves.
        Leave = "Leave",
        /// They were removed.
        Kicked = "Kicked",
        /// Their client was no longer heard of.
        Expired = "Expired",
    }
}

impl Payload for AfterMemberLeave {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::room(&self.room_id)
    }
}
