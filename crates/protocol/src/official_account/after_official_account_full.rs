//! `OfficialAccount.CallbackAfterOfficialAccountFull`: told after an official account got all the subscribers that it
//! can have.
//!
//! Docs: 1047/60801.
//!
//! Quirks
//! - Under *timing* the page speaks of any successful subscription; title and table speak of the limit.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{OfficialAccountId, UnixMillis};

/// `OfficialAccount.CallbackAfterOfficialAccountFull`: an official account without room for more subscribers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterOfficialAccountFull {
    /// The account.
    #[serde(rename = "Official_Account")]
    pub account: OfficialAccountId,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterOfficialAccountFull {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::official_account(&self.account)
    }
}
