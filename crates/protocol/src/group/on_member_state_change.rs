//! `Group.CallbackOnMemberStateChange`: told when members of a live group go offline or come back.
//!
//! Docs: 269/76156, 1047/48734 (newest Chinese editions). For `AVChatRoom` only. Chat looks about every 20 seconds:
//! who had no heartbeat for more than 30 is offline. In newer editions the first entry and the last voluntary exit
//! count too. Of several devices the last one to go and the first one to come count. Needs a feature of the highest
//! plan.
//!
//! Quirks
//! - The URL has neither `ClientIP` nor `OptPlatform`.
//! - No edition has `EventTime` or `Type`; a published SDK reads a `Type` that is always `AVChatRoom`.
//! - `EventCause` is in newer editions only.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, GroupType, Member, UnixMillis, open_enum};

/// `Group.CallbackOnMemberStateChange`: members of a live group whose connection went or came.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct OnMemberStateChange {
    /// The live group.
    pub group_id: GroupId,
    /// Its type. Undocumented.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// Whether they went or came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<EventType>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_cause: Option<EventCause>,
    /// The members.
    #[serde(rename = "MemberList", with = "lenient::list")]
    pub members: Vec<Member>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

open_enum! {
    /// What happened to members of a live group.
    pub enum EventType {
        /// They are gone.
        Offline = "Offline",
        /// They are there.
        Online = "Online",
    }

    /// Why members of a live group went or came.
    pub enum EventCause {
        /// No heartbeat any more.
        HeartbeatInterrupt = "HeartbeatInterrupt",
        /// A heartbeat again.
        HeartbeatRecover = "HeartbeatRecover",
        /// They entered for the first time.
        Join = "Join",
        /// They left with their last device.
        Quit = "Quit",
    }
}

impl Payload for OnMemberStateChange {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::group(&self.group_id)
    }
}
