//! `C2C.CallbackBeforeSendMsg`: asked before a one-to-one message is delivered.
//!
//! Docs: 1047/34364, 269/1632 (edition 2025-03). Chat waits two seconds, which cannot be changed; then the console's
//! policy applies. A refusal suppresses `C2C.CallbackAfterSendMsg`, and a rewrite is what that one then shows.
//!
//! Quirks
//! - `MsgSeq` and `MsgRandom` are unsigned 32-bit: they do not fit an `i32`.
//! - `MsgId` and `EventTime` are in no table of this command, only of its siblings.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::{Identity, OrderingKey};
use crate::lenient;
use crate::message::MsgElement;
use crate::types::{MsgId, MsgKey, UnixMillis, UnixSeconds, UserId};

/// `C2C.CallbackBeforeSendMsg`: a one-to-one message that waits to be delivered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BeforeSendMsg {
    /// Who sends.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who is to receive.
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
    /// The client's identifier of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<MsgId>,
    /// Whether it goes to users who are online, and is not stored.
    #[serde(default, rename = "OnlineOnlyFlag", with = "lenient::flag")]
    pub online_only: bool,
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

impl Payload for BeforeSendMsg {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::pair(&self.from, &self.to)
    }

    fn identity(&self) -> Option<Identity> {
        Identity::of_message(self.msg_key.as_ref())
    }

    fn elements(&self) -> &[MsgElement] {
        &self.body
    }

    fn user(&self) -> Option<&UserId> {
        Some(&self.from)
    }
}
