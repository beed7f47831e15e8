//! `C2C.CallbackAfterC2CMsgExtension`: told after the extensions of a one-to-one message were changed.
//!
//! Docs: 269/126475 (edition 2025-12), 1047/76006 (2026-01). Extensions are pairs of key and value that hang on a
//! message, such as votes.
//!
//! Quirks
//! - `Seq` stands at two levels: the version of a pair, and the latest one of the message.
//! - Who changed them is not in the body; `From_Account` is the sender of the message.
//! - The table spells the parameter of the URL `SDKAppID`, the sample URL `SdkAppid`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::{Identity, OrderingKey};
use crate::lenient;
use crate::types::{Extension, MsgKey, OperateType, UnixMillis, UserId};

/// `C2C.CallbackAfterC2CMsgExtension`: a one-to-one message whose extensions were changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterC2cMsgExtension {
    /// Who had sent the message.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who had received it.
    #[serde(rename = "To_Account")]
    pub to: UserId,
    /// The message, by the key that it was sent under.
    pub msg_key: MsgKey,
    /// What was done to the pairs.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub operate_type: Option<OperateType>,
    /// The pairs concerned; empty for [`OperateType::Clear`].
    #[serde(default, rename = "ExtensionList", with = "lenient::list")]
    pub extensions: Vec<Extension>,
    /// The latest version over all pairs of the message.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterC2cMsgExtension {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::pair(&self.from, &self.to)
    }

    fn identity(&self) -> Option<Identity> {
        Some(Identity::of(&[&self.msg_key, &self.seq?, &self.operate_type?.code()]))
    }
}
