//! `Live.CallbackAfterCloudRecordingChanged`: told after the recording of a live room came to another state.
//!
//! Docs: 269/129603, 647/78428 (edition 2026-03). Not in the command lists of the same month.
//!
//! Quirks
//! - The international page names it `Follow.CallbackAfterCloudRecordingChanged`, in the URL as in the sample; it has
//!   nothing to do with following.
//! - There is no `EventTime`; `callback_ts` says when it was sent.
//! - The body is the event itself: it names the room as the media service does, if at all.

use serde::{Deserialize, Serialize};

use super::RecordingEvent;
use crate::callback::Payload;
use crate::identity::OrderingKey;

/// `Live.CallbackAfterCloudRecordingChanged`: news from the recording of a live room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct AfterCloudRecordingChanged {
    /// What the recording service says.
    pub recording: RecordingEvent,
}

impl Payload for AfterCloudRecordingChanged {
    fn ordering_key(&self) -> OrderingKey {
        self.recording.info.room_id.as_ref().map_or(OrderingKey::NONE, OrderingKey::room)
    }
}
