//! `Sns.CallbackPrevFriendResponse`: asked before answers to friend requests are carried out.
//!
//! Docs: 1047/43467 (edition 2025-03). Answers given over REST do not cause it. The verdict stands in `ResultItem`, one
//! for each user answered; Chat ignores a top-level `ErrorCode` by default, so a receiver that fails lets them through.
//!
//! Quirks
//! - The items are called `ResponseFriendItem`, and the friend list `TagName`: `FriendItem` and `GroupName` in
//!   `Sns.CallbackPrevFriendAdd`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::reply::{FriendDecision, Verdict};
use crate::types::{UnixMillis, UserId, open_enum};

/// `Sns.CallbackPrevFriendResponse`: answers to friend requests that wait to be carried out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct PrevFriendResponse {
    /// Who sent the answers. One English edition says: who sent the friend request.
    #[serde(default, rename = "Requester_Account", skip_serializing_if = "Option::is_none")]
    pub requester: Option<UserId>,
    /// Who answers.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// The answers.
    #[serde(rename = "ResponseFriendItem", with = "lenient::list")]
    pub items: Vec<ResponseFriendItem>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// The answer to one friend request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct ResponseFriendItem {
    /// Who made the friend request.
    #[serde(rename = "To_Account")]
    pub to: UserId,
    /// How `from` will call them.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub remark: Option<Box<str>>,
    /// The friend list of `from` that they come into.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub tag_name: Option<Box<str>>,
    /// Yes or no.
    #[serde(default, rename = "ResponseAction", skip_serializing_if = "Option::is_none")]
    pub action: Option<ResponseAction>,
}

open_enum! {
    /// How a friend request is answered.
    pub enum ResponseAction {
        /// Yes, and add them in return.
        AgreeAndAdd = "Response_Action_AgreeAndAdd",
        /// Yes, without adding them in return.
        Agree = "Response_Action_Agree",
        /// No.
        Reject = "Response_Action_Reject",
    }
}

impl PrevFriendResponse {
    /// Decides on each answer.
    #[must_use]
    pub fn decide(&self, mut verdict: impl FnMut(&ResponseFriendItem) -> Verdict) -> FriendDecision {
        FriendDecision::of(self.items.iter().map(|item| (item.to.clone(), verdict(item))))
    }
}

impl Payload for PrevFriendResponse {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::user(&self.from)
    }

    fn asked(&self) -> Vec<UserId> {
        self.items.iter().map(|item| item.to.clone()).collect()
    }

    fn user(&self) -> Option<&UserId> {
        Some(&self.from)
    }
}
