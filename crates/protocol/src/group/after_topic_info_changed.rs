//! `Group.CallbackAfterTopicInfoChanged`: told after the profile of a topic was changed.
//!
//! Docs: 269/78209, 1047/49466 (edition 2025-03). Sent for the name, the introduction, the notice and the avatar;
//! other data of the topic is said not to cause it.
//!
//! Quirks
//! - No edition has a `TopicId`: which topic of the community changed is not said.
//! - That only what changed is there is known of groups, and assumed of topics.
//! - `EventTime` is in no edition of the topic pages.
//! - It has no switch of its own in the console, but that of `Group.CallbackAfterGroupInfoChanged`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, UnixMillis, UserId};

/// `Group.CallbackAfterTopicInfoChanged`: what changed in the profile of a topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterTopicInfoChanged {
    /// The community.
    pub group_id: GroupId,
    /// The type of the group; `Community` always.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// Who changed it.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// The new name of the topic.
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
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterTopicInfoChanged {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::group(&self.group_id)
    }
}
