//! `Group.CallbackBeforeInviteJoinGroup`: asked before invited users are added to a group.
//!
//! Docs: 269/1666 (edition 2025-02), 1047/34371 (edition 2025-03). Sent for clients and for the REST API, after the
//! check that they are friends where there is one. Chat waits two seconds and does not ask again; then all are added,
//! unless the console's policy says otherwise.
//!
//! Quirks
//! - The answer names those left out as plain strings (`RefusedMembers_Account`), the request has objects.
//! - `TopicId` is in Chinese editions only, since 2025-02.
//! - `EventTime` is a number in the table and a string in many samples; older editions have none.

use serde::{Deserialize, Serialize};

use super::JoinDecision;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, Member, TopicId, UnixMillis, UserId};

/// `Group.CallbackBeforeInviteJoinGroup`: users who are about to be added to a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BeforeInviteJoinGroup {
    /// The group.
    pub group_id: GroupId,
    /// Its type.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// Who invites.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who is invited.
    #[serde(rename = "DestinationMembers", with = "lenient::list")]
    pub members: Vec<Member>,
    /// The private topic that they are invited to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl BeforeInviteJoinGroup {
    /// Lets those join for whom `admit` says so.
    #[must_use]
    pub fn admit(&self, admit: impl FnMut(&UserId) -> bool) -> JoinDecision {
        JoinDecision::of(self.members.iter().map(|member| &member.user), admit)
    }
}

impl Payload for BeforeInviteJoinGroup {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::topic(&self.group_id, self.topic_id.as_ref())
    }

    fn asked(&self) -> Vec<UserId> {
        self.members.iter().map(|member| member.user.clone()).collect()
    }

    fn user(&self) -> Option<&UserId> {
        self.operator.as_ref()
    }

    fn group(&self) -> Option<&GroupId> {
        Some(&self.group_id)
    }

    fn group_type(&self) -> Option<&GroupType> {
        self.group_type.as_ref()
    }
}
