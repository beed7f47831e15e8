//! `Sns.CallbackPrevFriendAdd`: asked before friend requests are carried out.
//!
//! Docs: 1047/43468 (edition 2022-23). The verdict stands in `ResultItem`, one for each user asked about; Chat ignores
//! a top-level `ErrorCode` by default. What a missing item means is not documented, so none is ever missing.
//!
//! Quirks
//! - The friend list is called `GroupName` here and `TagName` in `Sns.CallbackPrevFriendResponse`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::reply::{FriendDecision, Verdict};
use crate::types::{UnixMillis, UserId};

/// `Sns.CallbackPrevFriendAdd`: friend requests that wait to be carried out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct PrevFriendAdd {
    /// Who made the request.
    #[serde(default, rename = "Requester_Account", skip_serializing_if = "Option::is_none")]
    pub requester: Option<UserId>,
    /// Who wants friends: the A of *A adds B*.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Whom to add.
    #[serde(rename = "FriendItem", with = "lenient::list")]
    pub items: Vec<FriendItem>,
    /// `Add_Type_Single` for one way, `Add_Type_Both` for both ways.
    #[serde(default, with = "lenient::text")]
    pub add_type: Box<str>,
    /// Whether an administrator forces it.
    #[serde(default, rename = "ForceAddFlags", with = "lenient::flag")]
    pub forced: bool,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// One user to be added.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct FriendItem {
    /// Whom to add: the B of *A adds B*.
    #[serde(rename = "To_Account")]
    pub to: UserId,
    /// How `from` will call them.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub remark: Option<Box<str>>,
    /// The friend list of `from` that they come into.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub group_name: Option<Box<str>>,
    /// Where the request comes from: `AddSource_Type_` and a word of the application.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub add_source: Option<Box<str>>,
    /// What `from` says to them.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub add_wording: Option<Box<str>>,
}

impl PrevFriendAdd {
    /// Decides on each request.
    #[must_use]
    pub fn decide(&self, mut verdict: impl FnMut(&FriendItem) -> Verdict) -> FriendDecision {
        FriendDecision::of(self.items.iter().map(|item| (item.to.clone(), verdict(item))))
    }
}

impl Payload for PrevFriendAdd {
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
