//! `OfficialAccount.CallbackAfterMsgWithDraw`: told after messages of an official account were recalled.
//!
//! Docs: 1047/60805.
//!
//! Quirks
//! - The command writes `WithDraw`, the body `Withdraw`.
//! - The sample's account begins with `#TOA#_` where all others begin with `@TOA#_`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{MsgKey, OfficialAccountId, UnixMillis};

/// `OfficialAccount.CallbackAfterMsgWithDraw`: messages that were taken back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterMsgWithDraw {
    /// The account that had sent them.
    #[serde(rename = "Official_Account")]
    pub account: OfficialAccountId,
    /// The messages.
    #[serde(rename = "WithdrawMsgList", with = "lenient::list")]
    pub messages: Vec<WithdrawnMsg>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// One message that was taken back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct WithdrawnMsg {
    /// The key that `OfficialAccount.CallbackAfterSendMsg` told of it. Shown by the sample only.
    pub msg_key: MsgKey,
}

impl Payload for AfterMsgWithDraw {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::official_account(&self.account)
    }
}
