//! `Group.CallbackAfterGroupAttrChanged`: told after custom attributes of a group were changed.
//!
//! Docs: 269/105354, 1047/60394 (edition 2025-03).
//!
//! Quirks
//! - `key` and `value` are in lower case here, and in capitals in every other callback.
//! - `OptionType` is in the sample but not in the table.
//! - What stands in `GroupAttr` when attributes are deleted or cleared is not documented: perhaps nothing.
//! - `EventTime` is a number in the table and a string in the samples.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, UnixMillis, UserId, open_enum};

/// `Group.CallbackAfterGroupAttrChanged`: what happened to the attributes of a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterGroupAttrChanged {
    /// The group.
    pub group_id: GroupId,
    /// Its type.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// Who changed them.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// What happened to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option_type: Option<OptionType>,
    /// The attributes concerned.
    #[serde(default, rename = "GroupAttr", with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

open_enum! {
    /// What happened to attributes.
    pub enum OptionType {
        /// All were replaced by those that are listed.
        Set = "set",
        /// Those that are listed got new values.
        Modify = "modify",
        /// All were deleted.
        Clear = "clear",
        /// Those that are listed were deleted.
        Delete = "delete",
    }
}

/// One attribute of a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attribute {
    /// Its name.
    #[serde(with = "lenient::text")]
    pub key: Box<str>,
    /// Its value.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub value: Option<Box<str>>,
}

impl Payload for AfterGroupAttrChanged {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::group(&self.group_id)
    }
}
