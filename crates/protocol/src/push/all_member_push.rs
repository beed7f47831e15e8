//! `Push.AllMemberPush`: told how far the pushes to all users, to tags or to listed users have come.
//!
//! Docs: 269/102568, 1047/67551 (edition 2025-02). What exceeds about 1000 callbacks per second is delayed and sent
//! again: events may come late and out of order.
//!
//! Quirks
//! - The body is a batch of 1 to 100 events; the command stands in each of them, not beside them.
//! - No `ClientIP` and no `OptPlatform` in the URL.
//! - `EventTime` and `TaskTime` are seconds.
//! - `EventType` means something else in `Push.OfflinePush`.
//! - Comments of a public project know events of `Push.TagPush` and `Push.SinglePush`, an `EventType` 3 for clicks
//!   and another numbering of `PushPlatform`; the documentation does not.

use serde::{Deserialize, Serialize};

use super::{PushPlatform, PushStage};
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixSeconds, UserId, open_code};

/// `Push.AllMemberPush`: a batch of what became of pushes to many users.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AllMemberPush {
    /// 1 to 100 events, of any tasks and users.
    #[serde(with = "lenient::list")]
    pub events: Vec<AllMemberPushEvent>,
}

/// What became of one push to one user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AllMemberPushEvent {
    /// The command, once more.
    #[serde(default, rename = "CallbackCommand", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub command: Option<Box<str>>,
    /// Whether the user was offline or online.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_type: Option<PushKind>,
    /// The task, as the request that started it was told; may begin with `batch_`.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Box<str>>,
    /// The caller's own identifier, from the request that started the task. In newer editions, and in no sample.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub data_id: Option<Box<str>>,
    /// When the task was started.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub task_time: Option<UnixSeconds>,
    /// When the event happened.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixSeconds>,
    /// Who was to receive it.
    #[serde(rename = "To_Account")]
    pub to: UserId,
    /// The channel of an offline push; `Unnamed` for an online one.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub push_platform: Option<PushPlatform>,
    /// The make of the device for an online push; `Unnamed` for an offline one. In newer editions, and in no sample.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub device_type: Option<PushPlatform>,
    /// How far it has come.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub push_stage: Option<PushStage>,
    /// 0 for success, else the code of the failure.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub err_code: Option<i64>,
    /// The text of the failure; may be empty.
    #[serde(default, with = "lenient::text")]
    pub err_info: Box<str>,
}

open_code! {
    /// How a push to many users reaches one of them.
    pub enum PushKind {
        /// Over the vendor's channel, because the user was offline.
        Offline = 1,
        /// Over the user's own connection.
        Online = 2,
    }
}

impl Payload for AllMemberPush {
    /// A batch is about many users, and comes out of order anyway.
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::NONE
    }
}
