use serde::{Deserialize, Serialize};

use super::{RoomType, TakeSeatMode};
use crate::lenient;
use crate::types::{RoomId, UnixSeconds, UserId, open_enum};

/// A conference room. Each callback sends some of the fields, and which ones is not documented as a promise.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct RoomInfo {
    /// The room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<RoomId>,
    /// Its name.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub room_name: Option<Box<str>>,
    /// What it is for: `Meeting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_type: Option<RoomType>,
    /// Whether it is open; a scheduled one is not before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_status: Option<RoomStatus>,
    /// Who owns it.
    #[serde(default, rename = "Owner_Account", skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// How many members it can have.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub max_member_count: Option<u64>,
    /// How many seats it has.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub max_seat_count: Option<u64>,
    /// Whether it has seats at all.
    #[serde(default, with = "lenient::boolean", skip_serializing_if = "Option::is_none")]
    pub is_seat_enabled: Option<bool>,
    /// How a seat is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_seat_mode: Option<TakeSeatMode>,
    /// Whether all cameras are off.
    #[serde(default, with = "lenient::boolean", skip_serializing_if = "Option::is_none")]
    pub is_video_disabled: Option<bool>,
    /// Whether all microphones are off.
    #[serde(default, with = "lenient::boolean", skip_serializing_if = "Option::is_none")]
    pub is_audio_disabled: Option<bool>,
    /// Whether nobody may write.
    #[serde(default, with = "lenient::boolean", skip_serializing_if = "Option::is_none")]
    pub is_message_disabled: Option<bool>,
    /// Whether nobody may share a screen.
    #[serde(default, with = "lenient::boolean", skip_serializing_if = "Option::is_none")]
    pub is_screen_sharing_disabled: Option<bool>,
    /// Whether it may not be recorded. The text `"false"` in one of the samples.
    #[serde(default, with = "lenient::boolean", skip_serializing_if = "Option::is_none")]
    pub is_cloud_recording_disabled: Option<bool>,
    /// Data of the application.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub custom_info: Option<Box<str>>,
    /// When it is to open.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub schedule_start_time: Option<UnixSeconds>,
    /// When it is to close.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub schedule_end_time: Option<UnixSeconds>,
    /// When it was created.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub create_time: Option<UnixSeconds>,
}

open_enum! {
    /// Whether a conference room is open.
    pub enum RoomStatus {
        /// The word `None`: no status is set.
        Unset = "None",
        /// It is scheduled.
        NotStarted = "NotStarted",
        /// It is open.
        Running = "Running",
    }
}
