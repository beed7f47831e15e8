//! `C2C.CallbackAfterSendMsg`: told after a one-to-one message was sent, or was not.
//!
//! Docs: 1047/34365, 269/2716 (edition 2025-03). Not sent for a message that the before-callback refused.
//!
//! Quirks
//! - *After* is not *delivered*: see `send_msg_result`.
//! - `ErrorInfo` is a field of the request here, with another meaning than in answers.
//! - `UnreadMsgNum` may be -1, and newer editions of sibling callbacks have dropped it.
//! - `EventTime` is in no table of this command, only of its siblings.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::{Identity, OrderingKey};
use crate::lenient;
use crate::message::MsgElement;
use crate::types::{MsgId, MsgKey, UnixMillis, UnixSeconds, UserId};

/// `C2C.CallbackAfterSendMsg`: a one-to-one message and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterSendMsg {
    /// Who sent.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who was to receive.
    #[serde(rename = "To_Account")]
    pub to: UserId,
    /// Sequence number, unsigned 32-bit; orders messages of the same second, and has gaps.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_seq: Option<u64>,
    /// Random number, unsigned 32-bit.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_random: Option<u64>,
    /// When it was sent; messages are in order of this, then of `msg_seq`.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_time: Option<UnixSeconds>,
    /// Identifies the message; a recall or an edit over REST asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_key: Option<MsgKey>,
    /// The clients' identifier of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<MsgId>,
    /// Whether it went to users who were online, and was not stored.
    #[serde(default, rename = "OnlineOnlyFlag", with = "lenient::flag")]
    pub online_only: bool,
    /// 0 when it was delivered, else the error code of the failure.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub send_msg_result: Option<i64>,
    /// The text of the failure; `send msg succeed` when there was none.
    #[serde(default, with = "lenient::text")]
    pub error_info: Box<str>,
    /// Unread one-to-one messages of the receiver over all conversations; -1 when the delivery failed.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub unread_msg_num: Option<i64>,
    /// The elements.
    #[serde(rename = "MsgBody", with = "lenient::elements")]
    pub body: Vec<MsgElement>,
    /// Custom data that is stored with the message; absent when the sender set none.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub cloud_custom_data: Option<Box<str>>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterSendMsg {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::pair(&self.from, &self.to)
    }

    fn identity(&self) -> Option<Identity> {
        Identity::of_message(self.msg_key.as_ref())
    }

    fn elements(&self) -> &[MsgElement] {
        &self.body
    }
}
