//! What ties a payload to its command and its answer.

use std::fmt::Debug;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::identity::{Identity, OrderingKey};
use crate::message::MsgElement;
use crate::reply::Reply;
use crate::types::{GroupId, GroupType, UserId};
use crate::{AnyCallback, Command, DecodeError, Raw};

/// When Chat sends a callback, and so what its answer is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::IntoStaticStr, strum::EnumIter, strum::EnumCount,
)]
#[strum(serialize_all = "lowercase")]
pub enum Phase {
    /// Before the event: Chat waits for a decision.
    Before,
    /// After it: Chat waits for an acknowledgement only.
    After,
}

/// What every payload can say of the event it tells about.
pub trait Payload {
    /// The conversation in whose order this event is delivered.
    fn ordering_key(&self) -> OrderingKey;

    /// The fields that make this event the same as another one, where the protocol has such fields.
    fn identity(&self) -> Option<Identity> {
        None
    }

    /// The elements of `MsgBody`, for commands that carry a message.
    fn elements(&self) -> &[MsgElement] {
        &[]
    }

    /// The user who causes the event, of a before-callback: who sends, asks, invites or creates.
    fn user(&self) -> Option<&UserId> {
        None
    }

    /// The group that a before-callback is about.
    fn group(&self) -> Option<&GroupId> {
        None
    }

    /// The type of that group, or of one that is to be created.
    fn group_type(&self) -> Option<&GroupType> {
        None
    }

    /// The users that the answer may single out: friends, members, subscribers.
    fn asked(&self) -> Vec<UserId> {
        Vec::new()
    }
}

/// One callback command: its name, its body and its answer. Implemented by the table in `callbacks.rs`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the payload of a callback",
    note = "a handler's second argument is a payload such as `group::BeforeSendMsg`, or `Raw` of one"
)]
pub trait Callback: Payload + DeserializeOwned + Serialize + Debug + Clone + Send + 'static {
    /// The command that this body belongs to.
    const COMMAND: Command;
    /// What Chat accepts as the answer.
    type Reply: Reply;

    /// The payload out of `any`, if it is one of this command.
    fn from_any(any: AnyCallback) -> Option<Box<Self>>;
}

/// What a handler may take: a payload, or the [`Raw`] body of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the payload of a callback",
    note = "a handler's second argument is a payload such as `group::BeforeSendMsg`, or `Raw` of one"
)]
pub trait FromEvent: Sized + Send + 'static {
    /// The callback that it comes from.
    type Callback: Callback;

    /// The argument for a handler.
    ///
    /// # Errors
    /// When the body was not read and has to be.
    fn from_event(callback: Result<AnyCallback, DecodeError>, body: &Bytes) -> Result<Self, DecodeError>;
}

impl<C: Callback> FromEvent for C {
    type Callback = C;

    fn from_event(callback: Result<AnyCallback, DecodeError>, body: &Bytes) -> Result<Self, DecodeError> {
        match C::from_any(callback?) {
            Some(payload) => Ok(*payload),
            None => Raw::new(body.clone()).decode(),
        }
    }
}

impl<C: Callback> FromEvent for Raw<C> {
    type Callback = C;

    fn from_event(_callback: Result<AnyCallback, DecodeError>, body: &Bytes) -> Result<Self, DecodeError> {
        Ok(Self::new(body.clone()))
    }
}
