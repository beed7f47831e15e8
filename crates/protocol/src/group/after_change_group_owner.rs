//! `Group.CallbackAfterChangeGroupOwner`: told after a group was handed to another owner.
//!
//! Docs: 269/105356 (edition 2024-04), 1047/60396 (edition 2025-03).
//!
//! Quirks
//! - `EventTime` is a number in the table and a string in the samples.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, UnixMillis, UserId};

/// `Group.CallbackAfterChangeGroupOwner`: a group and its old and new owner.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterChangeGroupOwner {
    /// The group.
    pub group_id: GroupId,
    /// Its type.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// Who handed it over.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who owned it.
    #[serde(default, rename = "OldOwner_Account", skip_serializing_if = "Option::is_none")]
    pub old_owner: Option<UserId>,
    /// Who owns it now.
    #[serde(rename = "NewOwner_Account")]
    pub new_owner: UserId,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterChangeGroupOwner {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::group(&self.group_id)
    }
}
