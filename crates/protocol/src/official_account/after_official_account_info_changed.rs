//! `OfficialAccount.CallbackAfterOfficialAccountInfoChanged`: told after the profile of an official account was
//! changed over REST.
//!
//! Docs: 1047/60797, 269/102317 (edition 2025-08).
//!
//! Quirks
//! - Whether only what changed is sent, or the whole profile, is not documented: a field that is there need not be new.
//! - The sample of the page is not valid JSON: two commas are missing.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{OfficialAccountId, UnixMillis, UserId};

/// `OfficialAccount.CallbackAfterOfficialAccountInfoChanged`: what the profile of an official account says now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterOfficialAccountInfoChanged {
    /// The account.
    #[serde(rename = "Official_Account")]
    pub account: OfficialAccountId,
    /// Who made the request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Its name.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// Its introduction.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub introduction: Option<Box<str>>,
    /// The address of its avatar.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub face_url: Option<Box<str>>,
    /// The organization behind it.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub organization: Option<Box<str>>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterOfficialAccountInfoChanged {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::official_account(&self.account)
    }
}
