//! `C2C.CallbackAfterMsgWithDraw`: told after a one-to-one message was recalled.
//!
//! Docs: 269/61697 (edition 2023-12), 1047/43466 (2024-02).
//!
//! Quirks
//! - The `D` of `WithDraw` is a capital.
//! - Who recalled it is not in the body; `OptPlatform=RESTAPI` in the URL means an administrator.
//! - `UnreadMsgNum` is of the international edition, `EventTime` of the Chinese one: either, both or neither may come.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::{Identity, OrderingKey};
use crate::lenient;
use crate::types::{MsgKey, UnixMillis, UserId};

/// `C2C.CallbackAfterMsgWithDraw`: a one-to-one message that was recalled.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterMsgWithDraw {
    /// Who had sent it.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who had received it.
    #[serde(rename = "To_Account")]
    pub to: UserId,
    /// The message, by the key that it was sent under.
    pub msg_key: MsgKey,
    /// One-to-one messages that the receiver has not read yet, over all conversations.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub unread_msg_num: Option<i64>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterMsgWithDraw {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::pair(&self.from, &self.to)
    }

    fn identity(&self) -> Option<Identity> {
        Some(Identity::of(&[&self.msg_key]))
    }
}
