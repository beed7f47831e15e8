//! `Follow.CallbackAfterFollowDelete`: told after a user unfollowed others.
//!
//! Docs: 1047/70356 (edition 2025-06), 647/74357 (2025-11), 1071/78200 (2026-03). Live lists it as well, under the same
//! switch.
//!
//! Quirks
//! - `To_Account` is an array of strings here, and one string in every other command.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixMillis, UserId};

/// `Follow.CallbackAfterFollowDelete`: a user follows others no longer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterFollowDelete {
    /// Who followed.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who is not followed any more, without those where it failed.
    #[serde(rename = "To_Account", with = "lenient::list")]
    pub unfollowed: Vec<UserId>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterFollowDelete {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::user(&self.from)
    }
}
