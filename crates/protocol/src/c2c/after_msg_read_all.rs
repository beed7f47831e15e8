//! `C2C.CallbackAfterMsgReadAll`: told after a user marked everything as read, groups included.
//!
//! Docs: 269/128225 (edition 2026-02; China site only).
//!
//! Quirks
//! - A one-to-one command that carries groups.
//! - Whether `GroupReadInfo` is missing or empty when there was no group is not documented.
//! - The table spells the parameter of the URL `SDKAppID`, the sample URL `SdkAppid`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, UnixMillis, UserId};

/// `C2C.CallbackAfterMsgReadAll`: a user who has nothing unread any more.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterMsgReadAll {
    /// Who marked everything as read.
    #[serde(rename = "Report_Account")]
    pub reader: UserId,
    /// The groups whose unread messages were cleared.
    #[serde(default, rename = "GroupReadInfo", with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupRead>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// One group that was marked as read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct GroupRead {
    /// The group.
    pub group_id: GroupId,
    /// The sequence number of the group that the user's request carried, unsigned 32-bit.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_seq: Option<u64>,
}

impl Payload for AfterMsgReadAll {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::user(&self.reader)
    }
}
