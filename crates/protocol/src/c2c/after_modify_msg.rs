//! `C2C.CallbackAfterModifyMsg`: told after a one-to-one message was edited.
//!
//! Docs: 269/128224 (edition 2026-02; China site only).
//!
//! Quirks
//! - Elements and custom data can be edited one without the other; whether the untouched one is sent is not documented.
//! - A bot that streams its answer by editing causes one of these for each piece.
//! - `CallbackCommand` stands behind other keys in the sample.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::{Identity, OrderingKey};
use crate::lenient;
use crate::message::MsgElement;
use crate::types::{MsgKey, UnixMillis, UnixSeconds, UserId};

/// `C2C.CallbackAfterModifyMsg`: a one-to-one message as it stands after an edit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterModifyMsg {
    /// Who edited it.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who had sent it.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who had received it.
    #[serde(rename = "To_Account")]
    pub to: UserId,
    /// Sequence number of the message, unsigned 32-bit.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_seq: Option<u64>,
    /// Random number of the message, unsigned 32-bit.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_random: Option<u64>,
    /// When it was sent; the edit does not change that.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_time: Option<UnixSeconds>,
    /// The message, by the key that it was sent under.
    pub msg_key: MsgKey,
    /// The elements after the edit; empty where they are not sent.
    #[serde(default, rename = "MsgBody", with = "lenient::elements", skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<MsgElement>,
    /// The custom data after the edit.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub cloud_custom_data: Option<Box<str>>,
    /// When it was edited.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterModifyMsg {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::pair(&self.from, &self.to)
    }

    fn identity(&self) -> Option<Identity> {
        self.event_time.map(|time| Identity::of(&[&self.msg_key, &time]))
    }

    fn elements(&self) -> &[MsgElement] {
        &self.body
    }
}
