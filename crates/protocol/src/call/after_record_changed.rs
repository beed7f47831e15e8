//! `Call.CallbackAfterRecordChanged`: told after the recording of a call came to another state.
//!
//! Docs: 647/80345, 647/131580 (edition 2026). Not in the command list of 2025.
//!
//! Quirks
//! - In one edition the URL says `Call.CallbackAfterRecordChanged` and the body of the same request
//!   `Call.CallbackAfterCloudRecordingChanged`.
//! - `CallbackCommand` stands behind the payload.

use serde::{Deserialize, Serialize};

use super::RecordingEvent;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{CallId, UnixMillis};

/// `Call.CallbackAfterRecordChanged`: news from the recording of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterRecordChanged {
    /// The call.
    pub call_id: CallId,
    /// What the recording service says.
    #[serde(rename = "Callback")]
    pub recording: RecordingEvent,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterRecordChanged {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::call(&self.call_id)
    }
}
