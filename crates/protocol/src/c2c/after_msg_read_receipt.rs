//! `C2C.CallbackAfterMsgReadReceipt`: told after a user sent read receipts for single one-to-one messages.
//!
//! Docs: 269/128223 (edition 2026; China site only). `C2C.CallbackAfterMsgReport` reports a whole conversation by time.
//!
//! Quirks
//! - The sample has `MsgKey` and `MsgId` inside `C2CMsgInfo`, which the table does not list: there they stand at the
//!   top. Both places are read.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{MsgId, MsgKey, UnixMillis, UserId};

/// `C2C.CallbackAfterMsgReadReceipt`: one-to-one messages whose reader says so.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterMsgReadReceipt {
    /// Who has read, and sent the receipts.
    #[serde(rename = "Operator_Account")]
    pub operator: UserId,
    /// The other side of the conversation.
    #[serde(rename = "Peer_Account")]
    pub peer: UserId,
    /// The messages that were read; [`AfterMsgReadReceipt::msg_keys`] knows the other place as well.
    #[serde(default, rename = "C2CMsgInfo", with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<ReadMsg>,
    /// The message that was read, in the shape of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_key: Option<MsgKey>,
    /// The clients' identifier of that message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<MsgId>,
    /// When the receipts were sent.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// One message that was read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct ReadMsg {
    /// Who had sent it. In the sample only.
    #[serde(default, rename = "From_Account", skip_serializing_if = "Option::is_none")]
    pub from: Option<UserId>,
    /// Who had received it. In the sample only.
    #[serde(default, rename = "To_Account", skip_serializing_if = "Option::is_none")]
    pub to: Option<UserId>,
    /// The key that it was sent under.
    pub msg_key: MsgKey,
    /// The clients' identifier of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<MsgId>,
}

impl AfterMsgReadReceipt {
    /// The keys of the messages that were read, wherever they stand.
    pub fn msg_keys(&self) -> impl Iterator<Item = &MsgKey> {
        let at_the_top = self.msg_key.as_ref().filter(|_| self.messages.is_empty());
        self.messages.iter().map(|message| &message.msg_key).chain(at_the_top)
    }
}

impl Payload for AfterMsgReadReceipt {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::pair(&self.operator, &self.peer)
    }
}
