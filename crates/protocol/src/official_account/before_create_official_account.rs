//! `OfficialAccount.CallbackBeforeCreateOfficialAccount`: asked before an official account is created over REST.
//!
//! Docs: 1047/60795, 269/102315 (edition 2025-08). What a time-out means is not documented. After a plain refusal the
//! caller sees 20006; a code of one's own reaches the caller together with the text.
//!
//! Quirks
//! - The account has no identifier yet, so none is sent.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixMillis, UserId};

/// `OfficialAccount.CallbackBeforeCreateOfficialAccount`: an official account that waits to be created.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BeforeCreateOfficialAccount {
    /// Who made the request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Who creates it, and will own it.
    #[serde(rename = "Owner_Account")]
    pub owner: UserId,
    /// The name that it is to have.
    #[serde(default, with = "lenient::text")]
    pub name: Box<str>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for BeforeCreateOfficialAccount {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::user(&self.owner)
    }

    fn user(&self) -> Option<&UserId> {
        Some(self.operator.as_ref().unwrap_or(&self.owner))
    }
}
