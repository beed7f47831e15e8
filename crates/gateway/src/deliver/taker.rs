//! What takes events: a target of the network or the disk, or the handlers of this program.

use std::sync::Arc;
use std::time::Duration;

use chathook_journal::{DeadClass, Record};
use chathook_protocol::{Command, CommandName, Event, Query};
use chathook_router::{DispatchError, Router};
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::target::{Delivered, Next, Target, Undelivered};

/// What takes events.
pub(super) enum Taker {
    Target(Target),
    Handlers(Handlers),
}

impl Taker {
    /// Whether there is any use in asking it to take events of a command.
    pub(super) fn takes(&self, command: &str) -> bool {
        match self {
            Self::Target(_) => true,
            Self::Handlers(handlers) => handlers.observer.observes(CommandName::from(command).known()),
        }
    }

    /// Takes an event.
    pub(super) async fn take(&self, record: &Record) -> Result<Delivered, Undelivered> {
        match self {
            Self::Target(target) => target.deliver(record).await,
            Self::Handlers(handlers) => handlers.take(record).await,
        }
    }
}

/// Who has after-handlers.
pub(crate) trait Observer: Send + Sync {
    /// Whether there is a handler for a command; `None` is one that nobody knows.
    fn observes(&self, command: Option<Command>) -> bool;
    /// Runs the handler of an event, which should be done by the deadline; `None` where there is none.
    fn observe(&self, event: Event, deadline: Instant) -> Option<BoxFuture<'static, Result<(), DispatchError>>>;
}

impl<S: Send + Sync + 'static> Observer for Router<S> {
    fn observes(&self, command: Option<Command>) -> bool {
        Self::observes(self, command)
    }

    fn observe(&self, event: Event, deadline: Instant) -> Option<BoxFuture<'static, Result<(), DispatchError>>> {
        Some(Box::pin(Self::observe(self, event, deadline)?))
    }
}

/// The after-handlers of this program.
pub(super) struct Handlers {
    pub(super) observer: Arc<dyn Observer>,
    pub(super) timeout: Duration,
}

impl Handlers {
    async fn take(&self, record: &Record) -> Result<Delivered, Undelivered> {
        let event = Event::read(Query::parse(&record.query), record.body.clone());
        let deadline = Instant::now() + self.timeout;
        let Some(running) = self.observer.observe(event, deadline) else {
            return Ok(Delivered { detail: "no handler".to_owned() });
        };
        // A task of its own: handlers take none of each other's time. It ends when the delivery is broken off, so that
        // the next one does not run beside it.
        match AbortOnDropHandle::new(tokio::spawn(timeout_at(deadline, running))).await {
            Ok(Ok(Ok(()))) => Ok(Delivered { detail: "handled".to_owned() }),
            Ok(Ok(Err(DispatchError::Decode(error)))) => {
                Err(Undelivered { next: Next::Dead, class: DeadClass::Undecodable, cause: error.to_string() })
            }
            Ok(Ok(Err(error))) => Err(Undelivered::retry(error.to_string())),
            Ok(Err(_)) => Err(Undelivered::retry(format!("not done in {:?}", self.timeout))),
            Err(_) => Err(Undelivered::retry("the handler panicked")),
        }
    }
}
