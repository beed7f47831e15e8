use std::panic::Location;
use std::sync::Arc;

use bytes::Bytes;
use chathook_protocol::{Ack, AnyCallback, AnyDecision, Callback, Command, Decision, DecodeError, FromEvent, Reply};
use futures_util::TryFutureExt;
use strum::EnumCount;

use crate::decider::Running;
use crate::{BoxError, BuildError, Ctx, DispatchError, Router};

/// A handler without its types: gets what was read, gives the answer.
pub(crate) type Handler<S> =
    Box<dyn Fn(Ctx<S>, Result<AnyCallback, DecodeError>) -> Result<Running, DecodeError> + Send + Sync>;

/// A handler for what has no handler of its own.
pub(crate) type Unhandled<S> = Box<dyn Fn(Ctx<S>, Bytes) -> Running + Send + Sync>;

/// Collects handlers; the first argument type of each says which command it is for.
#[must_use = "handlers are called once the router is built"]
pub struct RouterBuilder<S> {
    handlers: Vec<Option<Placed<Handler<S>>>>,
    unhandled: Option<Placed<Unhandled<S>>>,
    error: Option<BuildError>,
}

struct Placed<H> {
    handler: H,
    at: &'static Location<'static>,
}

impl<S: Send + Sync + 'static> RouterBuilder<S> {
    pub(crate) fn new() -> Self {
        Self { handlers: std::iter::repeat_with(|| None).take(Command::COUNT).collect(), unhandled: None, error: None }
    }

    /// Decides a before-callback. The future is dropped when the deadline is over; it must not block its thread.
    #[track_caller]
    pub fn before<A, F, Fut>(self, handler: F) -> Self
    where
        A: FromEvent<Callback: Callback<Reply: Decision>>,
        F: Fn(Ctx<S>, A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<<A::Callback as Callback>::Reply, BoxError>> + Send + 'static,
    {
        self.place(A::Callback::COMMAND, move |cx, callback| {
            let argument = A::from_event(callback, cx.raw())?;
            Ok(Running::new(handler(cx, argument).map_ok(Reply::into_decision).map_err(DispatchError::Handler)))
        })
    }

    /// Is told of an after-callback. It may be told twice of the same one.
    #[track_caller]
    pub fn after<A, F, Fut>(self, handler: F) -> Self
    where
        A: FromEvent<Callback: Callback<Reply = Ack>>,
        F: Fn(Ctx<S>, A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.place(A::Callback::COMMAND, move |cx, callback| {
            let argument = A::from_event(callback, cx.raw())?;
            let handler = Arc::clone(&handler);
            Ok(told(async move { handler(cx, argument).await }))
        })
    }

    /// Is told of every command that nobody knows, and of every after-callback without a handler of its own.
    #[track_caller]
    pub fn unhandled<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Ctx<S>, Bytes) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let at = Location::caller();
        if let Some(first) = &self.unhandled {
            self.error.get_or_insert(BuildError::DuplicateUnhandled { first: first.at, second: at });
            return self;
        }
        let handler = Arc::new(handler);
        let handler: Unhandled<S> = Box::new(move |cx, body| {
            let handler = Arc::clone(&handler);
            told(async move { handler(cx, body).await })
        });
        self.unhandled = Some(Placed { handler, at });
        self
    }

    /// The router, with the state that its handlers share.
    ///
    /// # Errors
    /// When a command has two handlers; names both places.
    pub fn build(self, state: S) -> Result<Router<S>, BuildError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(Router {
                handlers: self.handlers.into_iter().map(|placed| placed.map(|it| it.handler)).collect(),
                unhandled: self.unhandled.map(|it| it.handler),
                state: Arc::new(state),
            }),
        }
    }

    #[track_caller]
    fn place(
        mut self,
        command: Command,
        handler: impl Fn(Ctx<S>, Result<AnyCallback, DecodeError>) -> Result<Running, DecodeError> + Send + Sync + 'static,
    ) -> Self {
        let at = Location::caller();
        match &mut self.handlers[command as usize] {
            Some(first) => {
                self.error.get_or_insert(BuildError::Duplicate { command, first: first.at, second: at });
            }
            free => *free = Some(Placed { handler: Box::new(handler), at }),
        }
        self
    }
}

/// A handler at work that decides nothing.
fn told(handler: impl Future<Output = Result<(), BoxError>> + Send + 'static) -> Running {
    // An acknowledgement is the same whatever the command.
    Running::new(handler.map_ok(|()| AnyDecision::acknowledge()).map_err(DispatchError::Handler))
}
