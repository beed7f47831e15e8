//! `Group.CallbackAfterCreateTopic`: told after a topic was created in a community.
//!
//! Docs: 269/78207 (edition 2022-11), 1047/49464 (edition 2025-03).
//!
//! Quirks
//! - In the sample `TopicId` does not begin with `GroupId`: do not take them apart.
//! - Custom fields have to be enabled for the application.
//! - `EventTime` is in no edition of the topic pages.
//! - It has no switch of its own in the console, but that of `Group.CallbackAfterCreateGroup`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, KeyValue, TopicId, UnixMillis, UserId};

/// `Group.CallbackAfterCreateTopic`: a topic that was created.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterCreateTopic {
    /// The community.
    pub group_id: GroupId,
    /// The topic.
    pub topic_id: TopicId,
    /// Who created it.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who owns the community.
    #[serde(default, rename = "Owner_Account", skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// The type of the group; `Community` always.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// The name of the topic.
    #[serde(default, with = "lenient::text")]
    pub name: Box<str>,
    /// Its custom fields.
    #[serde(default, rename = "UserDefinedDataList", with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub custom_fields: Vec<KeyValue>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterCreateTopic {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::topic(&self.group_id, Some(&self.topic_id))
    }
}
