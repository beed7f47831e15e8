//! `C2C.CallbackAfterMsgReport`: told after a user had read a one-to-one conversation.
//!
//! Docs: 269/61696, 1047/43465 (edition 2025-03). It reports a whole conversation by time;
//! `C2C.CallbackAfterMsgReadReceipt` reports single messages.
//!
//! Quirks
//! - Seconds and milliseconds in one body.
//! - `UnreadMsgNum` is of the international edition, `EventTime` of the Chinese one: either, both or neither may come.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixMillis, UnixSeconds, UserId};

/// `C2C.CallbackAfterMsgReport`: a conversation that was read up to a moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterMsgReport {
    /// Who has read.
    #[serde(rename = "Report_Account")]
    pub reader: UserId,
    /// The other side of the conversation.
    #[serde(rename = "Peer_Account")]
    pub peer: UserId,
    /// Up to when everything is read.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub last_read_time: Option<UnixSeconds>,
    /// One-to-one messages that the reader has not read yet, over all conversations.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub unread_msg_num: Option<i64>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterMsgReport {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::pair(&self.reader, &self.peer)
    }
}
