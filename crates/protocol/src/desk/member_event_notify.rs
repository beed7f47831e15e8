//! `Member.EventNotify`: told after the status of an agent changed.
//!
//! Docs: 269/133254 (edition 2026-07). A callback that timed out may come again, with the same `RequestID` in its
//! query.
//!
//! Quirks
//! - The command begins with `Member`, though it is one of Desk.
//! - The sample has the status `free`, which is not among the documented words.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixMillis, UserId, open_enum};

/// `Member.EventNotify`: an agent and the status they have now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct MemberEventNotify {
    /// The agent, by e-mail address.
    #[serde(with = "lenient::text")]
    pub member_id: Box<str>,
    /// What happened; there is one word so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<MemberEvent>,
    /// What the agent is ready for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AgentStatus>,
    /// Why they rest; empty with any other status.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub rest_reason: Option<Box<str>>,
    /// Where they are logged in.
    #[serde(default, rename = "ClientInfo", with = "lenient::list")]
    pub clients: Vec<ClientInfo>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// One client of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct ClientInfo {
    /// What kind of client it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_type: Option<ClientType>,
    /// Whether it is connected.
    #[serde(default, with = "lenient::boolean")]
    pub is_connected: bool,
}

open_enum! {
    /// What `Member.EventNotify` tells about.
    pub enum MemberEvent {
        /// The status of an agent.
        StatusChange = "Member.StatusChange",
    }

    /// What an agent is ready for.
    pub enum AgentStatus {
        /// New sessions.
        Ready = "ready",
        /// No new sessions: they are busy.
        NotReady = "notReady",
        /// Having a break.
        Rest = "rest",
        /// Not logged in.
        Offline = "offline",
        /// In the sample only.
        Free = "free",
    }

    /// The client with which an agent works.
    pub enum ClientType {
        /// A browser.
        Web = "Web",
    }
}

impl Payload for MemberEventNotify {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::user(&UserId::from(&*self.member_id))
    }
}
