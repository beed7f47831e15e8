//! `Group.CallbackAfterMemberFieldChanged`: told after the role or the name card of a member was changed.
//!
//! Docs: 269/105353, 1047/60393 (edition 2025-03). Mutes and custom fields of members are not documented to cause it.
//!
//! Quirks
//! - The member is `Modified_Account` in Chinese editions and `Member_Account` in English ones:
//!   [`AfterMemberFieldChanged::user`] is either.
//! - Whether the field that did not change is there is not documented.
//! - `EventTime` is a number in the table and a string in the samples.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, UnixMillis, UserId, open_enum};

/// `Group.CallbackAfterMemberFieldChanged`: what changed for a member of a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterMemberFieldChanged {
    /// The group.
    pub group_id: GroupId,
    /// Its type.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// Who changed it.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// The member, in Chinese editions; see [`Self::user`].
    #[serde(default, rename = "Modified_Account", skip_serializing_if = "Option::is_none")]
    pub modified: Option<UserId>,
    /// The member, in English editions; see [`Self::user`].
    #[serde(default, rename = "Member_Account", skip_serializing_if = "Option::is_none")]
    pub member: Option<UserId>,
    /// The new role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The new name card: how the member is called in this group.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name_card: Option<Box<str>>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

open_enum! {
    /// The role of a member.
    pub enum Role {
        /// Administrator.
        Admin = "Admin",
        /// Administrator no longer.
        Member = "Member",
    }
}

impl AfterMemberFieldChanged {
    /// The member, under either name.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.modified.as_ref().or(self.member.as_ref())
    }
}

impl Payload for AfterMemberFieldChanged {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::group(&self.group_id)
    }
}
