//! `OfficialAccount.CallbackAfterOfficialAccountDestroyed`: told after an official account was destroyed over REST.
//!
//! Docs: 1047/60798.
//!
//! Quirks
//! - Unlike its siblings it does not say who made the request.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{OfficialAccountId, UnixMillis, UserId};

/// `OfficialAccount.CallbackAfterOfficialAccountDestroyed`: an official account that is no more.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterOfficialAccountDestroyed {
    /// The account.
    #[serde(rename = "Official_Account")]
    pub account: OfficialAccountId,
    /// Who owned it.
    #[serde(default, rename = "Owner_Account", skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// Its name.
    #[serde(default, with = "lenient::text")]
    pub name: Box<str>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterOfficialAccountDestroyed {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::official_account(&self.account)
    }
}
