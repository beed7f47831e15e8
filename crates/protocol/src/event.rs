//! A genuine callback as one thing: what Chat asked or told, in whose name, and in which words.

use bytes::Bytes;

use crate::callbacks::{AnyCallback, command_of};
use crate::command::CommandName;
use crate::error::DecodeError;
use crate::identity::{EventId, OrderingKey};
use crate::query::Query;
use crate::reply::Edits;
use crate::rewrite;
use crate::types::UserId;
use crate::walk;

/// What a handler gets of an event: command, query, body, and what was read of it.
pub type Parts = (CommandName, Query, Bytes, Option<Result<AnyCallback, DecodeError>>);

/// A callback with its query, its body, and the payload that was read from it.
#[derive(Debug)]
pub struct Event {
    command: CommandName,
    query: Query,
    body: Bytes,
    /// `None` for a command that nobody knows.
    callback: Option<Result<AnyCallback, DecodeError>>,
    unread: Vec<String>,
    command_in_body: Option<CommandName>,
    /// Of an event with another message: what it was before.
    id: Option<EventId>,
}

impl Event {
    /// Reads `body` as what the query says it is. The command is the query's; the body's stands in for a missing one.
    #[must_use]
    pub fn read(mut query: Query, body: Bytes) -> Self {
        let command = query.command.take().or_else(|| command_of(&body));
        let command = command.unwrap_or_else(|| CommandName::from(""));
        query.command = Some(command.clone());
        match command.known() {
            Some(known) => {
                let decoded = AnyCallback::decode(known, &body);
                Self {
                    command,
                    query,
                    body,
                    callback: Some(decoded.callback),
                    unread: decoded.unread,
                    command_in_body: decoded.command,
                    id: None,
                }
            }
            None => {
                let command_in_body = command_of(&body);
                Self { command, query, body, callback: None, unread: Vec::new(), command_in_body, id: None }
            }
        }
    }

    /// The command, from the query.
    #[must_use]
    pub fn command(&self) -> &CommandName {
        &self.command
    }

    /// The query.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The body, byte for byte.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The payload, or why there is none; `None` for a command that nobody knows.
    #[must_use]
    pub fn callback(&self) -> Option<Result<&AnyCallback, &DecodeError>> {
        self.callback.as_ref().map(Result::as_ref)
    }

    /// Whether the body names another command than the query, aliases aside. The query is not signed: such a request
    /// may be one that was aimed elsewhere.
    #[must_use]
    pub fn contradicts_itself(&self) -> bool {
        self.command_in_body.as_ref().is_some_and(|command| *command != self.command)
    }

    /// How many fields that no type reads are listed at most.
    pub const MAX_UNREAD: usize = walk::MAX_UNREAD;

    /// JSON pointers of the fields that no type reads, the first [`MAX_UNREAD`](Self::MAX_UNREAD) of them. A long one is
    /// cut, and ends with `…` then.
    #[must_use]
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// The users that the answer may single out.
    #[must_use]
    pub fn asked(&self) -> Vec<UserId> {
        self.read_callback().map(|callback| callback.payload().asked()).unwrap_or_default()
    }

    /// The same event, under the same id, with another message, as the next decider sees it. What cannot be replaced
    /// stays as it is.
    #[must_use]
    pub fn rewritten(&self, edits: &Edits) -> Self {
        let body = rewrite::rewritten(&self.body, edits).map_or_else(|_| self.body.clone(), Bytes::from);
        Self { id: Some(self.id()), ..Self::read(self.query.clone(), body) }
    }

    /// What makes this event the same as another: the sender's `RequestID`, else the fields that the protocol has for
    /// it, else a hash of what arrived.
    #[must_use]
    pub fn id(&self) -> EventId {
        if let Some(id) = &self.id {
            return id.clone();
        }
        if let Some(request_id) = &self.query.request_id {
            return EventId::of_request(request_id);
        }
        let command = self.command.as_str();
        match self.read_callback().and_then(|callback| callback.payload().identity()) {
            Some(identity) => identity.id(self.query.sdk_app_id, command),
            None => EventId::of_content(self.query.sdk_app_id, command, &self.body),
        }
    }

    /// The conversation that it belongs to; none for a body that was not read.
    #[must_use]
    pub fn ordering_key(&self) -> OrderingKey {
        self.read_callback().map_or(OrderingKey::NONE, |callback| callback.payload().ordering_key())
    }

    /// Takes it apart for a handler: query, body and payload.
    #[must_use]
    pub fn into_parts(self) -> Parts {
        (self.command, self.query, self.body, self.callback)
    }

    /// Copies what [`into_parts`](Self::into_parts) takes apart, of an event whose payload was read.
    #[must_use]
    pub fn to_parts(&self) -> Option<Parts> {
        let callback = self.read_callback()?.clone();
        Some((self.command.clone(), self.query.clone(), self.body.clone(), Some(Ok(callback))))
    }

    /// The event, if its payload was read or nobody knows the command.
    ///
    /// # Errors
    /// When it was not read.
    pub fn readable(self) -> Result<Self, DecodeError> {
        match self.callback {
            Some(Err(error)) => Err(error),
            callback => Ok(Self { callback, ..self }),
        }
    }

    fn read_callback(&self) -> Option<&AnyCallback> {
        self.callback.as_ref()?.as_ref().ok()
    }
}
