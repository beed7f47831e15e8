//! `Live.CallbackAfterMemberStateChanged`: told after members of a live room came, went, or lost the connection.
//!
//! Docs: 647/64424 (command list of 2026-03). Nothing more is sent for a room once it is dissolved.
//!
//! Quirks
//! - The table of the page names the command `Live.CallbackMemberStateChanged`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{Member, RoomId, UnixMillis, open_enum};

/// `Live.CallbackAfterMemberStateChanged`: who is in a live room, or no longer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterMemberStateChanged {
    /// The room.
    pub room_id: RoomId,
    /// What the members are now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<MemberState>,
    /// How that came about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_cause: Option<StateCause>,
    /// The members.
    #[serde(rename = "MemberList", with = "lenient::list")]
    pub members: Vec<Member>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

open_enum! {
    /// Whether a member is in the room.
    pub enum MemberState {
        /// They are.
        Online = "Online",
        /// They are not.
        Offline = "Offline",
    }

    /// How a member came into that state.
    pub enum StateCause {
        /// Came in.
        Enter = "Enter",
        /// Went out.
        Leave = "Leave",
        /// The client was no longer heard of.
        HeartbeatInterrupt = "HeartbeatInterrupt",
        /// The client was heard of again.
        HeartbeatRecover = "HeartbeatRecover",
    }
}

impl Payload for AfterMemberStateChanged {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::room(&self.room_id)
    }
}
