use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use chathook_protocol::{Answer, Command, Event, Phase, Policy};
use futures_util::FutureExt;
use futures_util::future::poll_immediate;
use strum::IntoEnumIterator;
use tokio::time::{Instant, timeout_at};

use crate::builder::{Handler, Running, Unhandled};
use crate::{BoxError, Ctx, DispatchError, FallbackReason, Fallbacks, RouterBuilder};

/// Handlers by command.
pub struct Router<S = ()> {
    pub(crate) handlers: Box<[Option<Handler<S>>]>,
    pub(crate) unhandled: Option<Unhandled<S>>,
    pub(crate) state: Arc<S>,
}

/// The answer to a before-callback, and how it came about.
#[derive(Debug)]
pub enum Decided {
    /// A handler decided.
    Handler(Answer),
    /// There is no handler, so nothing stands in the way.
    Nobody(Answer),
    /// The handler gave no answer: the fallback of the command.
    Fallback(Answer, DispatchError),
}

impl Decided {
    /// The answer to send.
    #[must_use]
    pub fn answer(&self) -> &Answer {
        match self {
            Self::Handler(answer) | Self::Nobody(answer) | Self::Fallback(answer, _) => answer,
        }
    }
}

impl From<&DispatchError> for FallbackReason {
    fn from(error: &DispatchError) -> Self {
        match error {
            DispatchError::Decode(_) => Self::Decode,
            DispatchError::Handler(_) => Self::Error,
            DispatchError::Panicked => Self::Panic,
            DispatchError::TimedOut => Self::Timeout,
        }
    }
}

impl<S: Send + Sync + 'static> Router<S> {
    /// No handlers yet.
    pub fn builder() -> RouterBuilder<S> {
        RouterBuilder::new()
    }

    /// The commands that have a handler.
    pub fn handled(&self) -> impl Iterator<Item = Command> {
        Command::iter().filter(|command| self.handlers[*command as usize].is_some())
    }

    /// Decides on a before-callback: by its handler, else it is allowed. A handler that fails, panics or is not ready by
    /// `deadline`, and a body that is not read, end in the fallback.
    ///
    /// The handler is called at once, and driven by the future.
    pub fn decide<'a>(
        &self,
        command: Command,
        event: Event,
        deadline: Instant,
        fallbacks: &'a Fallbacks,
    ) -> impl Future<Output = Decided> + Send + use<'a, S> {
        let asked = event.asked();
        let begun = self.begin(command, event, deadline);
        async move {
            let outcome = match begun {
                Ok(Some(running)) => in_time(running, deadline).await.map(Decided::Handler),
                Ok(None) => Ok(Decided::Nobody(command.by_policy(&Policy::Allow, &asked).unwrap_or(Answer::OK))),
                Err(error) => Err(error),
            };
            outcome.unwrap_or_else(|error| Decided::Fallback(fallbacks.answer(command, &asked), error))
        }
    }

    /// Calls the handler of a before-callback, if there is one.
    fn begin(&self, command: Command, event: Event, deadline: Instant) -> Result<Option<Running>, DispatchError> {
        let (name, query, body, callback) = event.into_parts();
        // Only an event of another name has neither a payload nor an error, and nobody decides on that.
        let Some(callback) = callback else { return Ok(None) };
        let Some(handler) = &self.handlers[command as usize] else { return Ok(callback.map(|_| None)?) };
        let cx = Ctx { state: Arc::clone(&self.state), command: name, query, body, deadline };
        match catch_unwind(AssertUnwindSafe(|| handler(cx, callback))) {
            Ok(running) => Ok(Some(running?)),
            Err(_panic) => Err(DispatchError::Panicked),
        }
    }

    /// Tells of an after-callback, or of a command that nobody knows. `None` where no handler wants it, and for a
    /// before-callback; else the handler at work, for whoever drives it.
    #[must_use]
    pub fn observe(
        &self,
        event: Event,
        deadline: Instant,
    ) -> Option<impl Future<Output = Result<(), DispatchError>> + Send + use<S>> {
        let (command, query, body, callback) = event.into_parts();
        let known = command.known();
        if known.is_some_and(|known| known.phase() == Phase::Before) {
            return None;
        }
        let handler = known.and_then(|known| self.handlers[known as usize].as_ref());
        if handler.is_none() && self.unhandled.is_none() {
            return None;
        }
        let cx = Ctx { state: Arc::clone(&self.state), command, query, body: body.clone(), deadline };
        let running = match (handler, callback) {
            (Some(handler), Some(callback)) => handler(cx, callback).map_err(DispatchError::Decode),
            _ => Ok(self.unhandled.as_ref()?(cx, body)),
        };
        Some(async move { caught(running?).await.map(drop) })
    }
}

async fn in_time(mut running: Running, deadline: Instant) -> Result<Answer, DispatchError> {
    let outcome = {
        let mut caught = pin!(caught(&mut running));
        // Many handlers await nothing, and need no timer.
        match poll_immediate(caught.as_mut()).await {
            Some(outcome) => outcome,
            None => timeout_at(deadline, caught).await.unwrap_or(Err(DispatchError::TimedOut)),
        }
    };
    // What a late handler holds is dropped here, which may panic as well; the outcome is what it was.
    let _stopped = catch_unwind(AssertUnwindSafe(|| drop(running)));
    outcome
}

/// A panic of a handler is the handler's own. Its state is the user's, and stays as the panic left it.
async fn caught(running: impl Future<Output = Result<Answer, BoxError>>) -> Result<Answer, DispatchError> {
    match AssertUnwindSafe(running).catch_unwind().await {
        Ok(answer) => answer.map_err(DispatchError::Handler),
        Err(_panic) => Err(DispatchError::Panicked),
    }
}
