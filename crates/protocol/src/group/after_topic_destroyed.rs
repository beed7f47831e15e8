//! `Group.CallbackAfterTopicDestroyed`: told after topics of a community were deleted.
//!
//! Docs: 269/78208 (edition 2022-11), 1047/49465 (edition 2025-03).
//!
//! Quirks
//! - `TopicIdList` is a String in the table and a list of strings in the sample: either is read.
//! - No operator.
//! - `EventTime` is in no edition of the topic pages.
//! - It has no switch of its own in the console, but that of `Group.CallbackAfterGroupDestroyed`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, TopicId, UnixMillis};

/// `Group.CallbackAfterTopicDestroyed`: topics that are no more.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterTopicDestroyed {
    /// The community.
    pub group_id: GroupId,
    /// The type of the group; `Community` always.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// The topics.
    #[serde(rename = "TopicIdList", with = "lenient::list")]
    pub topics: Vec<TopicId>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterTopicDestroyed {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::group(&self.group_id)
    }
}
