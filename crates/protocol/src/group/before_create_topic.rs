//! `Group.CallbackBeforeCreateTopic`: asked before a topic is created in a community.
//!
//! Docs: 269/78206 (edition 2022-11), 1047/49463 (edition 2025-03). Sent for clients and for the REST API. Chat waits
//! two seconds and does not ask again; then the topic is created, unless the console's policy says otherwise.
//!
//! Quirks
//! - The community is not in it: only who wants a topic, and its name.
//! - `EventTime` is in no edition of the topic pages.
//! - It has no switch of its own in the console, but that of `Group.CallbackBeforeCreateGroup`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupType, UnixMillis, UserId};

/// `Group.CallbackBeforeCreateTopic`: a topic that waits to be created.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BeforeCreateTopic {
    /// Who wants to create it.
    #[serde(rename = "Operator_Account")]
    pub operator: UserId,
    /// The type of the group; `Community` always.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// The name it is to have.
    #[serde(default, with = "lenient::text")]
    pub name: Box<str>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for BeforeCreateTopic {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::user(&self.operator)
    }

    fn user(&self) -> Option<&UserId> {
        Some(&self.operator)
    }

    fn group_type(&self) -> Option<&GroupType> {
        self.group_type.as_ref()
    }
}
