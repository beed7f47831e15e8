//! Calls (Call): their begin and end, who takes part, and their recording.
//!
//! The callback address is set over REST, for calls alone; the form is that of Chat.

mod after_end_call;
mod after_member_changed;
mod after_record_changed;
mod after_start_call;
mod recording;

use serde::{Deserialize, Serialize};

pub use self::after_end_call::{AfterEndCall, CallRecord, CallResult, CallType};
pub use self::after_member_changed::{AfterMemberChanged, CallAction, ChangedUser};
pub use self::after_record_changed::AfterRecordChanged;
pub use self::after_start_call::{AfterStartCall, CallInfo};
pub use self::recording::{RecordingEvent, RecordingEventType, RecordingGroup, RecordingInfo};
use crate::types::{UserId, open_code, open_enum};

/// One member of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct CallUser {
    /// The member. A bare integer in one of the samples.
    #[serde(rename = "User_Account")]
    pub user: UserId,
    /// Whether they talk already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<CallUserStatus>,
}

open_enum! {
    /// How far a member of a call has come.
    pub enum CallUserStatus {
        /// In the call.
        Calling = "Calling",
        /// Rung, and has not answered yet.
        Waiting = "Waiting",
    }

    /// What a call carries.
    pub enum MediaType {
        /// Voice.
        Audio = "Audio",
        /// Voice and picture.
        Video = "Video",
    }
}

open_code! {
    /// How the room of a call is named.
    pub enum RoomIdType {
        /// By a number.
        Number = 1,
        /// By a text.
        Text = 2,
    }
}
