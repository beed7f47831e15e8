use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::lenient;
use crate::types::{RoomId, UnixMillis, UnixSeconds, UserId, open_code};

/// An event of the recording service, as calls and live rooms pass it on. Docs: 647/54914.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct RecordingEvent {
    /// The kind of recording.
    #[serde(default, rename = "EventGroupId", with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub group: Option<RecordingGroup>,
    /// What happened.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_type: Option<RecordingEventType>,
    /// When the recording service sent it.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub callback_ts: Option<UnixMillis>,
    /// The rest, which depends on `event_type`.
    #[serde(rename = "EventInfo")]
    pub info: RecordingInfo,
    /// Not documented: 2 in the sample of calls, absent in live rooms.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub kit_type: Option<u64>,
}

/// What an event of the recording service is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct RecordingInfo {
    /// The room that is recorded, as the media service names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<RoomId>,
    /// When it happened.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_ts: Option<UnixSeconds>,
    /// When it happened, more precisely.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_ms_ts: Option<UnixMillis>,
    /// The user that is recorded, or the robot that records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The recording; the same in all its events.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Box<str>>,
    /// The details, with a form for each `event_type`: `{"Status": 0}` in the samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
}

open_code! {
    /// The kind of recording.
    pub enum RecordingGroup {
        /// Of the streams of a room.
        Cloud = 3,
        /// Of a web page.
        Page = 8,
    }

    /// What the recording service did. Up to 309 they are steps on the way. Docs: 647/54914.
    pub enum RecordingEventType {
        /// The recorder started.
        RecorderStart = 301,
        /// The recorder stopped.
        RecorderStop = 302,
        /// Files began to be uploaded to object storage.
        UploadStart = 303,
        /// The first index file was made and uploaded to object storage.
        FileInfo = 304,
        /// All files are in object storage.
        UploadStop = 305,
        /// The recording moved to another machine.
        Failover = 306,
        /// The first slice was cut, and the index file made.
        FileSlice = 307,
        /// The upload failed. In older editions only.
        UploadError = 308,
        /// An image could not be fetched or decoded.
        DownloadImageError = 309,
        /// The MP4 file for object storage is finished.
        Mp4Stop = 310,
        /// The recording was uploaded to video on demand.
        VodCommit = 311,
        /// Recording to video on demand is over.
        VodStop = 312,
    }
}
