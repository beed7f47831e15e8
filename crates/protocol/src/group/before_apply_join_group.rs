//! `Group.CallbackBeforeApplyJoinGroup`: asked before a request to join a group is handled.
//!
//! Docs: 269/1665 (edition 2025-02), 1047/34370 (edition 2025-03). Sent for clients only: members that the REST API
//! adds do not ask. Where administrators have to agree, a yes only lets the request go on to them. Chat waits two
//! seconds and does not ask again; then the request goes on, unless the console's policy says otherwise.
//!
//! Quirks
//! - The user is the `Requestor`, with an o.
//! - `ApplyMsg` and `TopicId` are in Chinese editions only, since 2025-02.
//! - `EventTime` is a number in the table and a string in many samples; older editions have none.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, TopicId, UnixMillis, UserId};

/// `Group.CallbackBeforeApplyJoinGroup`: a user who asks to join a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BeforeApplyJoinGroup {
    /// The group.
    pub group_id: GroupId,
    /// Its type.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// Who wants to join.
    #[serde(rename = "Requestor_Account")]
    pub requestor: UserId,
    /// What they say.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub apply_msg: Option<Box<str>>,
    /// The private topic that they want to join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for BeforeApplyJoinGroup {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::topic(&self.group_id, self.topic_id.as_ref())
    }

    fn user(&self) -> Option<&UserId> {
        Some(&self.requestor)
    }

    fn group(&self) -> Option<&GroupId> {
        Some(&self.group_id)
    }

    fn group_type(&self) -> Option<&GroupType> {
        self.group_type.as_ref()
    }
}
