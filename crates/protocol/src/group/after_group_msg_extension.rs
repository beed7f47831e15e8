//! `Group.CallbackAfterGroupMsgExtension`: told after the extensions of a group message were changed.
//!
//! Docs: 269/126476 (edition 2025-12), 1047/76007 (edition 2026-01). Sent for clients and for the REST API; messages
//! of an `AVChatRoom` have none. Needs a feature of the highest plan.
//!
//! Quirks
//! - `Seq` stands at two levels: the version of a pair, and the newest one of the message.
//! - No type, no operator and no topic.
//! - One table spells the parameter of the URL `SDKAppID`, its sample `SdkAppid`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::{Identity, OrderingKey};
use crate::lenient;
use crate::types::{Extension, GroupId, OperateType, UnixMillis};

/// `Group.CallbackAfterGroupMsgExtension`: a group message whose extensions were changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterGroupMsgExtension {
    /// The group.
    pub group_id: GroupId,
    /// The sequence number of the message, unsigned 32-bit.
    #[serde(with = "lenient::number")]
    pub msg_seq: u64,
    /// What was done to the pairs.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub operate_type: Option<OperateType>,
    /// The pairs concerned; empty for [`OperateType::Clear`].
    #[serde(default, rename = "ExtensionList", with = "lenient::list")]
    pub extensions: Vec<Extension>,
    /// The newest version over all pairs of the message.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterGroupMsgExtension {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::group(&self.group_id)
    }

    fn identity(&self) -> Option<Identity> {
        Some(Identity::of(&[&self.group_id, &self.msg_seq, &self.seq?, &self.operate_type?.code()]))
    }
}
