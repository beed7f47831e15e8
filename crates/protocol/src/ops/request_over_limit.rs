//! `Alert.RequestOverLimit`: told when an interface of the REST API is called almost as often as it may be.
//!
//! Docs: 269/105418 (edition 2024-04), 1047/60256 (2024-05). Sent from 80 % of the limit on, as soon as a callback URL
//! is configured: the console has no switch for it. How often it repeats is not documented.
//!
//! Quirks
//! - The URL has no `ClientIP`, and `OptPlatform` stands before `contenttype`.
//! - No time and no identifier: two alarms differ in their numbers at most.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;

/// `Alert.RequestOverLimit`: an interface of the REST API that runs hot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct RequestOverLimit {
    /// The service, as in the path of the REST call: `openim`, `group_open_http_svc`.
    #[serde(with = "lenient::text")]
    pub service_name: Box<str>,
    /// The interface of that service, such as `sendmsg`.
    #[serde(with = "lenient::text")]
    pub command: Box<str>,
    /// Calls per second that were seen; may be below `limit` as well as far above it.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub request: Option<u64>,
    /// Calls per second that are allowed.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl Payload for RequestOverLimit {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::NONE
    }
}
