//! `OfficialAccount.CallbackAfterAddSubscriber`: told after users subscribed to an official account.
//!
//! Docs: 1047/60800. Users subscribe in the client, or are subscribed over REST.

use serde::{Deserialize, Serialize};

use super::SubscriberItem;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{OfficialAccountId, UnixMillis, UserId};

/// `OfficialAccount.CallbackAfterAddSubscriber`: new subscribers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterAddSubscriber {
    /// The account.
    #[serde(rename = "Official_Account")]
    pub account: OfficialAccountId,
    /// Who made the request: the user, or an administrator.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who subscribed.
    #[serde(rename = "SubscribeAccountList", with = "lenient::list")]
    pub subscribers: Vec<SubscriberItem>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterAddSubscriber {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::official_account(&self.account)
    }
}
