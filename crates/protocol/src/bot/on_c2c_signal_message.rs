//! `Chatbot.OnC2CSignalMessage`: asked for what a managed bot is to answer to a signal of the application.
//!
//! Docs: 269/103730; the protocol of signals is 1047/59009, 1047/59057. It is filed among the after-callbacks, and yet
//! Chat uses the answer. What a time-out means is not documented.
//!
//! Quirks
//! - The prefix is `Chatbot.`, not `Bot.`.
//! - `Data` and the `RspData` of the answer are strings, also where they hold JSON.
//! - No `MsgTime` and no `MsgBody`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::{Identity, OrderingKey};
use crate::lenient;
use crate::types::{MsgKey, UnixMillis, UserId};

/// `Chatbot.OnC2CSignalMessage`: a signal to a managed bot that waits for its content.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct OnC2cSignalMessage {
    /// Who sent the signal.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// The bot.
    #[serde(rename = "To_Account")]
    pub to: UserId,
    /// Sequence number of the message, unsigned 32-bit.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_seq: Option<u64>,
    /// Random number of the message, unsigned 32-bit.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_random: Option<u64>,
    /// Identifies the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_key: Option<MsgKey>,
    /// What the application's client says: text of its own, often JSON.
    #[serde(with = "lenient::text")]
    pub data: Box<str>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for OnC2cSignalMessage {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::pair(&self.from, &self.to)
    }

    fn identity(&self) -> Option<Identity> {
        Identity::of_message(self.msg_key.as_ref())
    }

    fn user(&self) -> Option<&UserId> {
        Some(&self.from)
    }
}
