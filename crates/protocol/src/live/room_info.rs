use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::types::{RoomId, UnixSeconds, UserId, open_enum};

/// A live room. Each callback sends some of the fields, and which ones is not documented as a promise.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct RoomInfo {
    /// The room. Where the callback names it elsewhere, it is not repeated here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<RoomId>,
    /// Its name.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub room_name: Option<Box<str>>,
    /// What it is for: `Live`, though the table says `Meeting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_type: Option<RoomType>,
    /// Who owns it. A bare integer in one of the samples.
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
    /// Whether nobody may write.
    #[serde(default, with = "lenient::boolean", skip_serializing_if = "Option::is_none")]
    pub is_message_disabled: Option<bool>,
    /// Whether it is listed for everybody.
    #[serde(default, with = "lenient::boolean", skip_serializing_if = "Option::is_none")]
    pub is_public_visible: Option<bool>,
    /// Whether it is made for very many members.
    #[serde(default, with = "lenient::boolean", skip_serializing_if = "Option::is_none")]
    pub is_unlimited_room_enabled: Option<bool>,
    /// The categories that the application put it in, three at most.
    #[serde(default, with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub category: Vec<Category>,
    /// A status of the application's own.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub activity_status: Option<i64>,
    /// How often it was entered.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub view_count: Option<u64>,
    /// The address of its cover.
    #[serde(default, rename = "CoverURL", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub cover_url: Option<Box<str>>,
    /// The address of its background.
    #[serde(default, rename = "BackgroundURL", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub background_url: Option<Box<str>>,
    /// Data of the application.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub custom_info: Option<Box<str>>,
    /// When it was created.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub create_time: Option<UnixSeconds>,
}

/// A category of live rooms: a number of the application's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Category(#[serde(with = "lenient::number")] pub i64);

open_enum! {
    /// What a room is for.
    pub enum RoomType {
        /// A live stream with an audience.
        Live = "Live",
        /// A conference.
        Meeting = "Meeting",
    }

    /// How a seat of a room is taken.
    pub enum TakeSeatMode {
        /// The word `None`: no way is set.
        Unset = "None",
        /// By whoever wants it.
        FreeToTake = "FreeToTake",
        /// By those whose application was accepted.
        ApplyToTake = "ApplyToTake",
    }
}
