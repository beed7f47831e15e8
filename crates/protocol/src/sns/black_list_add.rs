//! `Sns.CallbackBlackListAdd`: told after users came onto block lists.
//!
//! Docs: 1047/34361.
//!
//! Quirks
//! - The `L` of `BlackList` is a capital.
//! - `EventTime` is in no edition that was seen.

use serde::{Deserialize, Serialize};

use super::Pair;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::UnixMillis;

/// `Sns.CallbackBlackListAdd`: users that came onto block lists.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BlackListAdd {
    /// The new entries, without those that failed.
    #[serde(rename = "PairList", with = "lenient::list")]
    pub pairs: Vec<Pair>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for BlackListAdd {
    fn ordering_key(&self) -> OrderingKey {
        self.pairs.first().map_or(OrderingKey::NONE, |pair| OrderingKey::user(&pair.from))
    }
}
