//! `Group.CallbackSendMsgException`: told when a group message could not be delivered.
//!
//! Docs: 269/78619, 1047/49462 (edition 2025-03). Sent for clients and for the REST API: an unknown group or other bad
//! parameters, too many messages, moderation, a muted sender.
//!
//! Quirks
//! - `ErrorCode` and `ErrorInfo` are fields of the request here, with another meaning than in answers.
//! - The group need not exist, so that `Type` may be missing.
//! - No `MsgSeq`, `MsgTime`, `MsgId` or `TopicId` is documented.
//! - Tables of older editions have no `ClientIP`, though the sample URL has.
//! - `EventTime` is a number in the table and a string in many samples; older editions have none.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::message::MsgElement;
use crate::types::{GroupId, GroupType, UnixMillis, UserId};

/// `Group.CallbackSendMsgException`: a group message and why it was not delivered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct SendMsgException {
    /// The group that it was meant for; may not exist.
    pub group_id: GroupId,
    /// Its type.
    #[serde(default, rename = "Type", skip_serializing_if = "Option::is_none")]
    pub group_type: Option<GroupType>,
    /// Who sends; `@TLS#NOT_FOUND` or another pseudo account where a REST call names nobody.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who made the request; another than `from` where an administrator sends for a user.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Random number, unsigned 32-bit. Named `MsgRandom` in one-to-one messages.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub random: Option<u64>,
    /// Whether it was meant for members who are online only.
    #[serde(default, rename = "OnlineOnlyFlag", with = "lenient::flag", skip_serializing_if = "Option::is_none")]
    pub online_only: Option<bool>,
    /// The elements.
    #[serde(rename = "MsgBody", with = "lenient::elements")]
    pub body: Vec<MsgElement>,
    /// Custom data that is stored with the message; absent when the sender set none.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub cloud_custom_data: Option<Box<str>>,
    /// The error code of the failure: 10010 or 10015 no such group, 10017 muted, 10023 too many messages, and others.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub error_code: Option<i64>,
    /// The text of the failure.
    #[serde(default, with = "lenient::text")]
    pub error_info: Box<str>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for SendMsgException {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::group(&self.group_id)
    }

    fn elements(&self) -> &[MsgElement] {
        &self.body
    }
}
