//! `Sns.CallbackFriendDelete`: told after users left friend lists.
//!
//! Docs: 1047/34360.
//!
//! Quirks
//! - Who did it is not in the body, nor whether one side or both were meant: the pairs are all there is.
//! - Whether a two-way deletion is two pairs, one in each direction, is not documented.
//! - `EventTime` is in no edition that was seen.

use serde::{Deserialize, Serialize};

use super::Pair;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::UnixMillis;

/// `Sns.CallbackFriendDelete`: users that left friend lists.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct FriendDelete {
    /// The entries that are gone, without those that failed.
    #[serde(rename = "PairList", with = "lenient::list")]
    pub pairs: Vec<Pair>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for FriendDelete {
    fn ordering_key(&self) -> OrderingKey {
        self.pairs.first().map_or(OrderingKey::NONE, |pair| OrderingKey::user(&pair.from))
    }
}
