//! `Group.CallbackBeforeCreateGroup`: asked before a group is created.
//!
//! Docs: 269/1662 (edition 2025-12), 1047/34368. Sent for clients and for the REST API. Chat waits two seconds and
//! does not ask again; then the group is created, unless the console's policy says otherwise.
//!
//! Quirks
//! - There is no `GroupId` yet.
//! - `CreateGroupNum` is gone from the newest editions; `CreatedGroupNum`, which is in none, counts by group type.
//! - `MemberList` may be empty or missing when there are no members.
//! - `EventTime` is a number in the table and a string in many samples; older editions have none.
//! - Its switch in the console also controls `Group.CallbackBeforeCreateTopic`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::InviteOption;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupType, Member, UnixMillis, UserId};

/// `Group.CallbackBeforeCreateGroup`: a group that waits to be created.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BeforeCreateGroup {
    /// Who wants to create it.
    #[serde(rename = "Operator_Account")]
    pub operator: UserId,
    /// Who is to own it.
    #[serde(default, rename = "Owner_Account", skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// The type it is to have.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// The name it is to have.
    #[serde(default, with = "lenient::text")]
    pub name: Box<str>,
    /// How many groups of this type the user created before. In older editions; see [`Self::created_before`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_group_num: Option<CreatedGroups>,
    /// The same by group type. Undocumented; see [`Self::created_before`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_group_num: Option<CreatedGroups>,
    /// How invitations are to be handled. Undocumented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite_option: Option<InviteOption>,
    /// The first members.
    #[serde(default, rename = "MemberList", with = "lenient::list")]
    pub members: Vec<Member>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// How many groups a user created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum CreatedGroups {
    /// Of the type that the callback is about.
    OfThisType(#[serde(with = "lenient::number")] u64),
    /// By the name of the type. Undocumented, so that anything may stand there; numbers where it was seen.
    ByType(BTreeMap<Box<str>, Value>),
}

impl BeforeCreateGroup {
    /// How many groups of this type the user created before, where Chat says so.
    #[must_use]
    pub fn created_before(&self) -> Option<u64> {
        let of_this_type = |num: &Option<CreatedGroups>| num.as_ref()?.of(self.group_type.as_ref());
        of_this_type(&self.create_group_num).or_else(|| of_this_type(&self.created_group_num))
    }
}

impl CreatedGroups {
    /// How many of `group_type`; a single number is of the type that the callback is about.
    fn of(&self, group_type: Option<&GroupType>) -> Option<u64> {
        match self {
            Self::OfThisType(count) => Some(*count),
            Self::ByType(counts) => {
                let (_, count) = counts.iter().find(|(name, _)| group_type == Some(&GroupType::from(&***name)))?;
                lenient::number::deserialize(count).ok()
            }
        }
    }
}

impl Payload for BeforeCreateGroup {
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

#[cfg(test)]
mod tests {
    use super::BeforeCreateGroup;

    fn created_before(nums: &str) -> Option<u64> {
        let json = format!(r#"{{"Operator_Account":"u_1","Owner_Account":"u_1","Type":"Private"{nums}}}"#);
        serde_json::from_str::<BeforeCreateGroup>(&json).unwrap().created_before()
    }

    #[test]
    fn the_count_is_found_under_both_names_and_in_both_shapes() {
        assert_eq!(created_before(""), None);
        assert_eq!(created_before(r#","CreateGroupNum":3"#), Some(3));
        assert_eq!(created_before(r#","CreatedGroupNum":"3""#), Some(3));
        assert_eq!(created_before(r#","CreatedGroupNum":{"Public":1,"Work":"2"}"#), Some(2));
        assert_eq!(created_before(r#","CreateGroupNum":{"Public":1},"CreatedGroupNum":{"Private":4}"#), Some(4));
        assert_eq!(created_before(r#","CreatedGroupNum":{"Private":[5]}"#), None);
    }
}
