//! Answers: what Chat accepts as the reply to a callback, so built that an illegal one has no spelling.
//!
//! The wire form (`ActionStatus`, `ErrorInfo`, `ErrorCode` and what the command adds) is private to this module.
//! Docs: 1047/34354, and the page of each command.

mod ack;
mod code;
mod decision;
mod form;
mod friend;
mod join;
mod message;
mod permission;
mod proposal;
mod read;

use bytes::Bytes;
use serde::Serialize;

pub use self::ack::Ack;
pub use self::code::{Codes, FriendCode, GiftCode, GroupCode, MessageCode, NoCode, RejectCode};
pub(crate) use self::decision::Choice;
pub use self::decision::{AnyDecision, Response};
#[doc(hidden)]
pub use self::form::{CodeRange, Form};
pub use self::friend::{FriendDecision, Verdict};
pub use self::join::{Invited, JoinDecision, Joiner, Subscriber};
pub use self::message::{Edits, SendDecision};
pub use self::permission::Permission;
pub use self::proposal::{IllegalDecision, Proposal};
pub use self::read::AnswerError;
use crate::callback::Phase;
use crate::message::MsgElement;
use crate::types::UserId;

pub(crate) mod sealed {
    /// The answers are the protocol's, not the user's.
    pub trait Sealed {}

    /// The field of the answer that names those who may not join.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum LeftOut {
        /// `RefusedMembers_Account`
        Members,
        /// `RefusedSubscribers_Account`
        Subscribers,
    }
}

/// Something that Chat accepts as an answer.
pub trait Reply: sealed::Sealed + Send + 'static {
    /// `Before` for decisions, `After` for the acknowledgement.
    const PHASE: Phase;

    /// The name of the answer type, for people.
    const NAME: &'static str;

    /// What Chat accepts.
    #[doc(hidden)]
    const FORM: Form;

    /// The decision without its type.
    fn into_decision(self) -> AnyDecision;

    /// The bytes to send.
    fn into_answer(self) -> Answer
    where
        Self: Sized,
    {
        self.into_decision().into_answer()
    }
}

/// The answer to a before-callback.
#[diagnostic::on_unimplemented(
    message = "`{Self}` decides nothing",
    note = "an after-callback is only acknowledged: register its handler with `.after(..)`"
)]
pub trait Decision: Reply {
    /// The answer that lets the event happen; `asked` as in [`AnyDecision::of`].
    fn allowing(asked: &[UserId]) -> Self;
}

/// What to answer when nobody decided: `on_failure` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Let the event happen.
    Allow,
    /// Refuse it, perhaps with a code and a text for the client.
    Reject {
        /// A code of the command's own range; without one the client sees Chat's general refusal.
        code: Option<u32>,
        /// A text, handed to the client together with a code.
        info: String,
    },
    /// Discard a message while its sender is told that it was sent.
    Drop,
}

impl Policy {
    /// A refusal without a code.
    #[must_use]
    pub const fn reject() -> Self {
        Self::Reject { code: None, info: String::new() }
    }
}

/// What an answer does, for metrics.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::IntoStaticStr, strum::EnumIter, strum::EnumCount,
)]
#[strum(serialize_all = "lowercase")]
pub enum Effect {
    /// Nothing: the event was over already.
    Acknowledge,
    /// The event happens.
    Allow,
    /// It does not, and whoever caused it is told so.
    Reject,
    /// It happens in another form.
    Rewrite,
    /// It does not, and whoever caused it is told that it did.
    Drop,
    /// It happens for some of those concerned.
    Partial,
    /// The answer carries data that Chat uses.
    Respond,
}

/// The answer to one callback: the body of a response with status 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    body: Bytes,
    effect: Effect,
}

impl Answer {
    /// Allowed, acknowledged, handled. Also the answer to a command that nobody knows.
    pub const OK: Self = Self {
        body: Bytes::from_static(br#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#),
        effect: Effect::Acknowledge,
    };

    /// `FAIL`, for a request that is not a genuine callback or cannot be kept. Goes with a status other than 200.
    #[must_use]
    pub fn fail(info: &str) -> Self {
        Wire { status: "FAIL", info, code: 1, ..Wire::default() }.answer(Effect::Reject)
    }

    /// The JSON.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// What it does.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }
}

/// The reply as it stands on the wire.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Wire<'a> {
    #[serde(rename = "ActionStatus")]
    pub(crate) status: &'static str,
    #[serde(rename = "ErrorInfo")]
    pub(crate) info: &'a str,
    #[serde(rename = "ErrorCode")]
    pub(crate) code: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) msg_body: Option<&'a [MsgElement]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cloud_custom_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result_item: Option<Vec<ResultItem<'a>>>,
    #[serde(rename = "RefusedMembers_Account", skip_serializing_if = "Option::is_none")]
    pub(crate) refused_members: Option<&'a [UserId]>,
    #[serde(rename = "RefusedSubscribers_Account", skip_serializing_if = "Option::is_none")]
    pub(crate) refused_subscribers: Option<&'a [UserId]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rsp_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent_group_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent_id_list: Option<&'a [Box<str>]>,
}

/// The verdict on one friend.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ResultItem<'a> {
    #[serde(rename = "To_Account")]
    pub(crate) to: &'a UserId,
    pub(crate) result_code: u32,
    pub(crate) result_info: &'a str,
}

impl Default for Wire<'_> {
    fn default() -> Self {
        Self {
            status: "OK",
            info: "",
            code: 0,
            msg_body: None,
            cloud_custom_data: None,
            result_item: None,
            refused_members: None,
            refused_subscribers: None,
            rsp_data: None,
            agent_group_id: None,
            agent_id_list: None,
        }
    }
}

impl Wire<'_> {
    #[expect(clippy::expect_used, reason = "texts, numbers and JSON that was read before: nothing here can fail")]
    pub(crate) fn answer(&self, effect: Effect) -> Answer {
        let body = serde_json::to_vec(self).expect("an answer is plain data");
        Answer { body: body.into(), effect }
    }
}
