//! `Live.CallbackAfterDestroyRoom`: told after a live room was dissolved.
//!
//! Docs: 647/64423, 1071/78184 (command list of 2026-03). Users and servers dissolve rooms; the service dissolves empty
//! ones.
//!
//! Quirks
//! - The owner is a bare integer in the sample, a string in the table.

use serde::{Deserialize, Serialize};

use super::RoomInfo;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{RoomId, UnixMillis, UserId, open_enum};

/// `Live.CallbackAfterDestroyRoom`: a live room that is no more, and what it came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterDestroyRoom {
    /// Who made the request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// The room.
    pub room_id: RoomId,
    /// Who dissolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<DestroyCause>,
    /// The room as it was.
    #[serde(default, rename = "RoomInfo", skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomInfo>,
    /// Its totals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistic: Option<Statistic>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// The totals of a live room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Statistic {
    /// How often it was entered; a viewer who came back counts again.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub total_viewers: Option<u64>,
    /// How many gifts were sent.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub total_gifts_sent: Option<u64>,
    /// What they were worth, in coins.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub total_gift_coins: Option<u64>,
    /// How many users sent gifts.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub total_unique_gift_senders: Option<u64>,
    /// How many likes it got.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub total_likes_received: Option<u64>,
}

open_enum! {
    /// Who dissolved a room.
    pub enum DestroyCause {
        /// A user, or a server over REST.
        User = "DestroyByUser",
        /// The service, because it was empty.
        System = "DestroyBySystem",
    }
}

impl Payload for AfterDestroyRoom {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::room(&self.room_id)
    }
}
