//! `Call.CallbackAfterStartCall`: told after a user started a call in the client.
//!
//! Docs: 647/68941 (command list of 2025-04).
//!
//! Quirks
//! - The table of the page says `MediaType` where its sample says `CallMediaType`: either is read.
//! - `User_Account` is a bare integer in the sample, a string in the table.
//! - The group and the room are there but empty when the call has none.

use serde::{Deserialize, Serialize};

use super::{CallUser, MediaType, RoomIdType};
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{CallId, GroupId, RoomId, UnixMillis};

/// `Call.CallbackAfterStartCall`: a call that began to ring.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterStartCall {
    /// The call.
    #[serde(rename = "CallInfo")]
    pub call: CallInfo,
    /// Who takes part.
    #[serde(default, rename = "UserList", with = "lenient::list")]
    pub users: Vec<CallUser>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// A call and its room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct CallInfo {
    /// The call.
    pub call_id: CallId,
    /// What it carries, by the name of the sample; see [`media`](Self::media).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_media_type: Option<MediaType>,
    /// What it carries, by the name of the table; see [`media`](Self::media).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The group in which it was started; empty when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_group_id: Option<GroupId>,
    /// The room that carries it; empty when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<RoomId>,
    /// How the room is named.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub room_id_type: Option<RoomIdType>,
}

impl CallInfo {
    /// What the call carries, under whichever name it was sent.
    #[must_use]
    pub fn media(&self) -> Option<&MediaType> {
        self.call_media_type.as_ref().or(self.media_type.as_ref())
    }
}

impl Payload for AfterStartCall {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::call(&self.call.call_id)
    }
}
