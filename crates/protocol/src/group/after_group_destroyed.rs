//! `Group.CallbackAfterGroupDestroyed`: told after a group was dissolved.
//!
//! Docs: 269/1670 (edition 2024-02), 1047/34377 (edition 2024).
//!
//! Quirks
//! - A community comes without `MemberList`; whether an `AVChatRoom` has one is not known.
//! - `Operator_Account` is new in 2024, and in Chinese editions only.
//! - `Name` is in samples but in no table.
//! - `EventTime` is a number in the table and a string in many samples; older editions have none.
//! - Its switch in the console also controls `Group.CallbackAfterTopicDestroyed`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, Member, UnixMillis, UserId};

/// `Group.CallbackAfterGroupDestroyed`: a group that is no more.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterGroupDestroyed {
    /// The group.
    pub group_id: GroupId,
    /// Its type.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// Who dissolved it.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who owned it.
    #[serde(default, rename = "Owner_Account", skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// Its name.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// Its last members; empty for a community, whoever was in it.
    #[serde(default, rename = "MemberList", with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterGroupDestroyed {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::group(&self.group_id)
    }
}
