//! `Group.CallbackAfterMemberExit`: told after members left a group, or were removed.
//!
//! Docs: 269/1668 (edition 2025-02), 1047/34373 (edition 2025-03). Sent for clients and for the REST API.
//!
//! Quirks
//! - The table calls `Operator_Account` the user who left, which is so for `Quit` only.
//! - `TopicId` is in Chinese editions only, since 2025-02.
//! - `EventTime` is a number in the table and a string in many samples; older editions have none.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, Member, TopicId, UnixMillis, UserId, open_enum};

/// `Group.CallbackAfterMemberExit`: users who are no longer in a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterMemberExit {
    /// The group.
    pub group_id: GroupId,
    /// Its type.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// How they went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_type: Option<ExitType>,
    /// Who removed them, or the one who quit.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who is out.
    #[serde(rename = "ExitMemberList", with = "lenient::list")]
    pub members: Vec<Member>,
    /// The private topic that they are out of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

open_enum! {
    /// How members go out of a group.
    pub enum ExitType {
        /// Somebody removed them.
        Kicked = "Kicked",
        /// They left.
        Quit = "Quit",
    }
}

impl Payload for AfterMemberExit {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::topic(&self.group_id, self.topic_id.as_ref())
    }
}
