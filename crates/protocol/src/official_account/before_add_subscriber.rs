//! `OfficialAccount.CallbackBeforeAddSubscriber`: asked before users subscribe to an official account.
//!
//! Docs: 1047/60799 (edition 2024-06). Users subscribe in the client, or are subscribed over REST. What a time-out
//! means is not documented.
//!
//! Quirks
//! - The prose of the page names the answer's field as groups do, `RefusedMembers_Account`; its table and its sample
//!   say `RefusedSubscribers_Account`, and that is what is sent.
//! - No codes of one's own are documented, unlike for the other questions of this family.

use serde::{Deserialize, Serialize};

use super::{JoinDecision, SubscriberItem};
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{OfficialAccountId, UnixMillis, UserId};

/// `OfficialAccount.CallbackBeforeAddSubscriber`: users who wait to become subscribers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BeforeAddSubscriber {
    /// The account.
    #[serde(rename = "Official_Account")]
    pub account: OfficialAccountId,
    /// Who made the request: the user, or an administrator.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who is to subscribe.
    #[serde(rename = "SubscribeAccountList", with = "lenient::list")]
    pub subscribers: Vec<SubscriberItem>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl BeforeAddSubscriber {
    /// Lets those subscribe for whom `admit` says so.
    #[must_use]
    pub fn admit(&self, admit: impl FnMut(&UserId) -> bool) -> JoinDecision {
        JoinDecision::of(self.subscribers.iter().map(|item| &item.user), admit)
    }
}

impl Payload for BeforeAddSubscriber {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::official_account(&self.account)
    }

    fn asked(&self) -> Vec<UserId> {
        self.subscribers.iter().map(|item| item.user.clone()).collect()
    }

    fn user(&self) -> Option<&UserId> {
        self.operator.as_ref()
    }
}
