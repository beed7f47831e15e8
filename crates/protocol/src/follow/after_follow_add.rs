//! `Follow.CallbackAfterFollowAdd`: told after a user followed others.
//!
//! Docs: 269/118915 (edition 2025-05), 1047/70355, 647/74356. Live lists it as well, under the same switch.
//!
//! Quirks
//! - The users are objects here, and plain strings in `Follow.CallbackAfterFollowDelete`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixMillis, UserId};

/// `Follow.CallbackAfterFollowAdd`: a user follows others.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterFollowAdd {
    /// Who follows.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who is followed now, without those where it failed; clients name at most 20 at a time.
    #[serde(rename = "FollowList", with = "lenient::list")]
    pub followed: Vec<Followed>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// One user who is followed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Followed {
    /// Who is followed.
    #[serde(rename = "To_Account")]
    pub to: UserId,
}

impl Payload for AfterFollowAdd {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::user(&self.from)
    }
}
