//! `Group.CallbackAfterReadReceipt`: told who has read messages of a group.
//!
//! Docs: 269/105355 (edition 2024-04), 1047/60395 (edition 2025-03). Sent when a message that asks for receipts is
//! sent, and when a member tells that such messages were read. Communities are documented as not supported.
//!
//! Quirks
//! - The table lists the fields of a receipt without their nesting.
//! - No operator: the reader is in `ReadReceiptMembers`, which may be empty or missing when a message is just sent.
//! - `EventTime` is a number in the table and a string in the samples.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, Member, UnixMillis};

/// `Group.CallbackAfterReadReceipt`: messages of a group and how many have read them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterReadReceipt {
    /// The group.
    pub group_id: GroupId,
    /// Its type.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// One for each message.
    #[serde(rename = "GroupMsgReceiptList", with = "lenient::list")]
    pub receipts: Vec<Receipt>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// How many have read one message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Receipt {
    /// The sequence number of the message, unsigned 32-bit.
    #[serde(with = "lenient::number")]
    pub msg_seq: u64,
    /// How many members have read it.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub read_num: Option<u64>,
    /// How many members have not.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub unread_num: Option<u64>,
    /// The members who have read it now.
    #[serde(default, rename = "ReadReceiptMembers", with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<Member>,
}

impl Payload for AfterReadReceipt {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::group(&self.group_id)
    }
}
