//! `Group.CallbackAfterCreateGroup`: told after a group was created.
//!
//! Docs: 269/1663 (edition 2024-07), 1047/34369 (edition 2025-03).
//!
//! Quirks
//! - For a community it is sent about three seconds late.
//! - One field table spells the group `groupID`; samples and traffic have `GroupId`.
//! - Custom fields have to be enabled for the application.
//! - `InviteOption` is in no edition, but was seen in 2023.
//! - `EventTime` is a number in the table and a string in many samples; older editions have none.
//! - Its switch in the console also controls `Group.CallbackAfterCreateTopic`.

use serde::{Deserialize, Serialize};

use super::InviteOption;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, KeyValue, Member, UnixMillis, UserId};

/// `Group.CallbackAfterCreateGroup`: a group that was created.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterCreateGroup {
    /// The group.
    pub group_id: GroupId,
    /// Who created it.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who owns it.
    #[serde(default, rename = "Owner_Account", skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// Its type.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// Its name.
    #[serde(default, with = "lenient::text")]
    pub name: Box<str>,
    /// Its first members.
    #[serde(default, rename = "MemberList", with = "lenient::list")]
    pub members: Vec<Member>,
    /// Its custom fields.
    #[serde(default, rename = "UserDefinedDataList", with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub custom_fields: Vec<KeyValue>,
    /// How invitations are handled. Undocumented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite_option: Option<InviteOption>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterCreateGroup {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::group(&self.group_id)
    }
}
