//! `Call.CallbackAfterEndCall`: told after a call ended, which is when at most one member is left.
//!
//! Docs: 647/68940 (command list of 2025-04).
//!
//! Quirks
//! - The times in the record are seconds, `EventTime` is milliseconds.
//! - The sample of the page is not valid JSON: a comma is missing.

use serde::{Deserialize, Serialize};

use super::{MediaType, RoomIdType};
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{CallId, RoomId, UnixMillis, UnixSeconds, UserId, open_enum};

/// `Call.CallbackAfterEndCall`: a call that is over.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterEndCall {
    /// What is on record of it.
    #[serde(rename = "CallRecord")]
    pub record: CallRecord,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// The record of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct CallRecord {
    /// The call.
    pub call_id: CallId,
    /// Who called.
    #[serde(default, rename = "Caller_Account", skip_serializing_if = "Option::is_none")]
    pub caller: Option<UserId>,
    /// The members. The caller may be one of them.
    #[serde(default, rename = "CalleeList_Account", with = "lenient::list")]
    pub callees: Vec<UserId>,
    /// What it carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// Whether it was for two or for more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_type: Option<CallType>,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_result: Option<CallResult>,
    /// When it was started.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub start_time: Option<UnixSeconds>,
    /// When it was answered; 0 when nobody did.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub accept_time: Option<UnixSeconds>,
    /// When it ended.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub end_time: Option<UnixSeconds>,
    /// The room that carried it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<RoomId>,
    /// How the room is named.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub room_id_type: Option<RoomIdType>,
}

open_enum! {
    /// Whether a call is for two or for more.
    pub enum CallType {
        /// For two.
        Single = "SingleCall",
        /// For more.
        Multi = "MultiCall",
    }

    /// What became of a call.
    pub enum CallResult {
        /// The caller gave up.
        Cancel = "Cancel",
        /// It was refused.
        Reject = "Reject",
        /// Nobody answered.
        NotAnswer = "NotAnswer",
        /// It took place, and was ended by those who took part.
        NormalEnd = "NormalEnd",
        /// The other side was in another call.
        CallBusy = "CallBusy",
        /// It broke off.
        Interrupt = "Interrupt",
        /// The other side was offline.
        Offline = "Offline",
    }
}

impl Payload for AfterEndCall {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::call(&self.record.call_id)
    }
}
