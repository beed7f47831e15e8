//! `Group.CallbackAfterNewMemberJoin`: told after users joined a group.
//!
//! Docs: 269/1667 (edition 2025-02), 1047/34372 (edition 2025-03). Sent for requests, invitations and the REST API.
//!
//! Quirks
//! - Which `JoinType` the REST API causes is not documented.
//! - `TopicId` is in no table of this command that could be read, only of its siblings.
//! - `EventTime` is a number in the table and a string in many samples; the sample of the overview page has none.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, Member, TopicId, UnixMillis, UserId, open_enum};

/// `Group.CallbackAfterNewMemberJoin`: users who joined a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterNewMemberJoin {
    /// The group.
    pub group_id: GroupId,
    /// Its type.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// How they came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_type: Option<JoinType>,
    /// Who asked or invited: the new member, for a request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who joined.
    #[serde(rename = "NewMemberList", with = "lenient::list")]
    pub members: Vec<Member>,
    /// The private topic that they joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

open_enum! {
    /// How users come into a group.
    pub enum JoinType {
        /// They asked.
        Apply = "Apply",
        /// Somebody brought them in.
        Invited = "Invited",
    }
}

impl Payload for AfterNewMemberJoin {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::topic(&self.group_id, self.topic_id.as_ref())
    }
}
