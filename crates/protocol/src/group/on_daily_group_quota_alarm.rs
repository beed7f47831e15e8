//! `Group.CallbackOnDailyGroupQuotaAlarm`: told when the groups added today come near the daily limit.
//!
//! Docs: 269/90841 (edition 2025-01), 1047/57455 (edition 2025-06). Sent by the creation of a group when those created
//! today, less those dissolved, are above 70 % of the limit; whether each further one sends it again is not
//! documented.
//!
//! Quirks
//! - It is about the application as a whole: no group, no type and no operator.
//! - Editions disagree on the switch in the console: one of its own, or that of `Group.CallbackAfterGroupInfoChanged`.
//! - `EventTime` is a number in the table and a string in the samples.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::UnixMillis;

/// `Group.CallbackOnDailyGroupQuotaAlarm`: how near the limit is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct OnDailyGroupQuotaAlarm {
    /// Groups created today, less those dissolved.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub quota_used: Option<u64>,
    /// How many may be added in a day.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for OnDailyGroupQuotaAlarm {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::NONE
    }
}
