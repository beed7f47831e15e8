//! `OfficialAccount.CallbackAfterSendMsg`: told after a message went out to the subscribers of an official account.
//!
//! Docs: 1047/60804, 269/102324 (edition 2025-08).
//!
//! Quirks
//! - `MsgTime` is in seconds, `EventTime` in milliseconds.
//! - It does not say who sent the message, as the callback before it does not.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::{Identity, OrderingKey};
use crate::lenient;
use crate::message::MsgElement;
use crate::types::{MsgKey, OfficialAccountId, UnixMillis, UnixSeconds};

/// `OfficialAccount.CallbackAfterSendMsg`: a message that went out to all subscribers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterSendMsg {
    /// The account that sent.
    #[serde(rename = "Official_Account")]
    pub account: OfficialAccountId,
    /// Identifies the message within the account; a recall over REST asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_key: Option<MsgKey>,
    /// When it was sent, by the clock of the service.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_time: Option<UnixSeconds>,
    /// Whether it went to users who were online, and was not stored.
    #[serde(default, rename = "OnlineOnlyFlag", with = "lenient::flag")]
    pub online_only: bool,
    /// The elements.
    #[serde(rename = "MsgBody", with = "lenient::elements")]
    pub body: Vec<MsgElement>,
    /// Custom data that is stored with the message; absent when the sender set none.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub cloud_custom_data: Option<Box<str>>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterSendMsg {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::official_account(&self.account)
    }

    fn identity(&self) -> Option<Identity> {
        let key = self.msg_key.as_ref().filter(|key| !key.as_str().is_empty())?;
        Some(Identity::of(&[&self.account, key]))
    }

    fn elements(&self) -> &[MsgElement] {
        &self.body
    }
}
