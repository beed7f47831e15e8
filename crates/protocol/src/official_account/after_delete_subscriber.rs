//! `OfficialAccount.CallbackAfterDeleteSubscriber`: told after users stopped subscribing to an official account.
//!
//! Docs: 1047/60802. Users unsubscribe in the client, or are removed over REST.

use serde::{Deserialize, Serialize};

use super::SubscriberItem;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{OfficialAccountId, UnixMillis, UserId};

/// `OfficialAccount.CallbackAfterDeleteSubscriber`: subscribers who are gone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterDeleteSubscriber {
    /// The account.
    #[serde(rename = "Official_Account")]
    pub account: OfficialAccountId,
    /// Who made the request: the user, or an administrator.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who is no longer subscribed.
    #[serde(rename = "SubscribeAccountList", with = "lenient::list")]
    pub subscribers: Vec<SubscriberItem>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterDeleteSubscriber {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::official_account(&self.account)
    }
}
