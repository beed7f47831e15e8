//! `Room.CallbackAfterMemberEnter`: told after members came into a conference room.
//!
//! Docs: 647/60735 (command list of 2024-08).

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{RoomId, UnixMillis, UserId, open_enum};

/// `Room.CallbackAfterMemberEnter`: new members of a conference room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterMemberEnter {
    /// Who made the request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// The room.
    pub room_id: RoomId,
    /// How many members it has now.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub member_count: Option<u64>,
    /// How they came; there is one word so far.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<EnterType>,
    /// Who came.
    #[serde(rename = "MemberList_Account", with = "lenient::list")]
    pub members: Vec<UserId>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

open_enum! {
    /// How members came into a conference room.
    pub enum EnterType {
        /// By themselves, in the client.
        Enter = "Enter",
    }
}

impl Payload for AfterMemberEnter {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::room(&self.room_id)
    }
}
