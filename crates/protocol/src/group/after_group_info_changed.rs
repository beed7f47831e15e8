//! `Group.CallbackAfterGroupInfoChanged`: told after the profile of a group was changed.
//!
//! Docs: 269/2930 (edition 2024-12), 1047/34378 (edition 2025-03). Sent for the name, the introduction, the notice and
//! the avatar; other data of the group is said not to cause it.
//!
//! Quirks
//! - Only what changed is there. An empty text is a new value: it was cleared.
//! - Public receivers read `ShutUpAllMember` and `ApplyJoinOption`, which no edition has.
//! - `EventTime` is a number in the table and a string in many samples; older editions have none.
//! - Its switch in the console also controls `Group.CallbackAfterTopicInfoChanged`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, UnixMillis, UserId, open_enum};

/// `Group.CallbackAfterGroupInfoChanged`: what changed in the profile of a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterGroupInfoChanged {
    /// The group.
    pub group_id: GroupId,
    /// Its type.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// Who changed it.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Its new name.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// Its new introduction.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub introduction: Option<Box<str>>,
    /// Its new notice.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub notification: Option<Box<str>>,
    /// The address of its new avatar.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub face_url: Option<Box<str>>,
    /// Whether all members are muted now. Undocumented.
    #[serde(default, rename = "ShutUpAllMember", skip_serializing_if = "Option::is_none")]
    pub shut_up_all: Option<ShutUpAll>,
    /// How requests to join are handled now, in the words of the REST API. Undocumented.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub apply_join_option: Option<Box<str>>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

open_enum! {
    /// Whether all members of a group are muted.
    pub enum ShutUpAll {
        /// They are.
        On = "On",
        /// They are not.
        Off = "Off",
    }
}

impl Payload for AfterGroupInfoChanged {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::group(&self.group_id)
    }
}
