//! `Chatbot.InterfaceInvocation`: asked when a task of the bot comes to a node that calls an interface.
//!
//! Docs: 1229/68990 (edition 2025-05). The address is set for each node. What a time-out means is not documented, nor
//! how values go back to the bot: of the answer only *OK* is known.
//!
//! Quirks
//! - A small b, unlike `ChatBot.OnAssignHuman`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::UnixMillis;

/// `Chatbot.InterfaceInvocation`: what a node of a task was told to send.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct InterfaceInvocation {
    /// The variables, by names that were chosen in the node: fixed ones, the task's own, and those of the system such
    /// as `SystemSessionID`.
    #[serde(rename = "Body")]
    pub variables: Box<RawValue>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for InterfaceInvocation {
    /// Which variable names the session, if any does, is the customer's choice.
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::NONE
    }
}
