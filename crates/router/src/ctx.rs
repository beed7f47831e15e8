use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use chathook_protocol::{CommandName, Platform, Query};
use tokio::time::Instant;

/// What a handler may ask for besides its payload: the state it was built with, and how the callback came.
///
/// Derefs to the state.
#[derive(Debug)]
pub struct Ctx<S = ()> {
    pub(crate) state: Arc<S>,
    pub(crate) command: CommandName,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
    pub(crate) deadline: Instant,
}

/// Who caused the event, as far as Chat says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client<'a> {
    /// The address; for an event caused over REST presumably the caller's.
    pub ip: Option<IpAddr>,
    /// The platform.
    pub platform: Option<&'a Platform>,
}

impl<S> Ctx<S> {
    /// When the answer has to be there. An after-callback's is that of its acknowledgement, and may be over.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The body, byte for byte.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.body
    }

    /// The client behind the event.
    #[must_use]
    pub fn client(&self) -> Client<'_> {
        Client { ip: self.query.client_ip, platform: self.query.platform.as_ref() }
    }

    /// The command.
    #[must_use]
    pub fn command(&self) -> &CommandName {
        &self.command
    }

    /// The parameters of the URL.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.query
    }
}

impl<S> Deref for Ctx<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.state
    }
}
