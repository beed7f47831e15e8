//! `OfficialAccount.CallbackBeforeSendMsg`: asked before a message goes out to the subscribers of an official account.
//!
//! Docs: 1047/60803, 269/102323 (edition 2025-08). Chat waits two seconds, which cannot be changed; what happens to the
//! message then is not documented. After a plain refusal the sender sees 10016.
//!
//! Quirks
//! - Neither who sends nor any key of the message is sent: the account is all that there is.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::message::MsgElement;
use crate::types::{OfficialAccountId, UnixMillis};

/// `OfficialAccount.CallbackBeforeSendMsg`: a message to all subscribers that waits to be delivered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BeforeSendMsg {
    /// The account that sends.
    #[serde(rename = "Official_Account")]
    pub account: OfficialAccountId,
    /// Whether it goes to users who are online, and is not stored.
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

impl Payload for BeforeSendMsg {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::official_account(&self.account)
    }

    fn elements(&self) -> &[MsgElement] {
        &self.body
    }
}
