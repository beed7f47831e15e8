//! `Live.CallbackBeforeSendGift`: asked before a user's gift is given.
//!
//! Docs: 647/72210 (command list of 2026-03). After two seconds without an answer the gift is **blocked**; it passes
//! only if the list of switched-on commands has the word `Live.CallbackBeforeCallBackNotBlock`, which is no command.
//!
//! Quirks
//! - There is no `EventTime`; the gift has a time of its own, in seconds.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{RoomId, UnixSeconds, UserId};

/// `Live.CallbackBeforeSendGift`: a gift that waits to be given.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BeforeSendGift {
    /// Who made the request.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// The room.
    pub room_id: RoomId,
    /// The gift.
    #[serde(rename = "GiftWater")]
    pub gift: Gift,
}

/// A gift: who gives what to whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Gift {
    /// Who gives.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who receives.
    #[serde(default, rename = "To_Account", with = "lenient::list")]
    pub to: Vec<UserId>,
    /// When it was sent.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub time: Option<UnixSeconds>,
    /// Which gift of the application's catalogue it is.
    #[serde(with = "lenient::text")]
    pub gift_id: Box<str>,
    /// How many of it.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What it is worth, in coins.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub coins: Option<u64>,
}

impl Payload for BeforeSendGift {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::room(&self.room_id)
    }

    fn user(&self) -> Option<&UserId> {
        Some(&self.gift.from)
    }
}
