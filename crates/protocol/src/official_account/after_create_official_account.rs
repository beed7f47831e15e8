//! `OfficialAccount.CallbackAfterCreateOfficialAccount`: told after an official account was created over REST.
//!
//! Docs: 1047/60796 (edition 2024-06).

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{OfficialAccountId, UnixMillis, UserId};

/// `OfficialAccount.CallbackAfterCreateOfficialAccount`: a new official account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterCreateOfficialAccount {
    /// The account.
    #[serde(rename = "Official_Account")]
    pub account: OfficialAccountId,
    /// Who made the request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who created it, and owns it.
    #[serde(default, rename = "Owner_Account", skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// Its name.
    #[serde(default, with = "lenient::text")]
    pub name: Box<str>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterCreateOfficialAccount {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::official_account(&self.account)
    }
}
