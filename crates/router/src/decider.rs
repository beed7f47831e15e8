//! Deciders beside handlers: services and rules, asked one after the other.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use chathook_protocol::{AnyDecision, Command, Effect, Event, UserId};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::DispatchError;

/// A before-callback, as a decider sees it: with what the deciders before it have changed.
pub struct Question {
    pub(crate) command: Command,
    pub(crate) event: Event,
    pub(crate) users: Vec<UserId>,
    pub(crate) deadline: Instant,
    pub(crate) arrived: SystemTime,
    derived: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Question {
    /// A before-callback that has to be decided by `deadline`.
    #[must_use]
    pub fn new(command: Command, event: Event, deadline: Instant, arrived: SystemTime) -> Self {
        let users = event.asked();
        Self { command, event, users, deadline, arrived, derived: OnceLock::new() }
    }

    /// The same with another message.
    pub(crate) fn rewritten(&self, decision: &AnyDecision) -> Option<Self> {
        let event = self.event.rewritten(decision.edits()?);
        let users = self.users.clone();
        let (command, deadline, arrived) = (self.command, self.deadline, self.arrived);
        Some(Self { command, event, users, deadline, arrived, derived: OnceLock::new() })
    }

    /// The question, if its body was read.
    pub(crate) fn readable(self) -> Result<Self, DispatchError> {
        Ok(Self { event: self.event.readable()?, ..self })
    }

    /// The command.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command
    }

    /// What is to happen. Its payload was read.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The users that the answer may single out.
    #[must_use]
    pub fn users(&self) -> &[UserId] {
        &self.users
    }

    /// When the answer has to be there.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When the callback came.
    #[must_use]
    pub fn arrived(&self) -> SystemTime {
        self.arrived
    }

    /// What deciders work out from the event, so that it is worked out once. All have to mean the same `T`.
    pub fn derived<T: Default + Any + Send + Sync>(&self) -> Option<&T> {
        self.derived.get_or_init(|| Box::new(T::default())).downcast_ref()
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("command", &self.command).finish_non_exhaustive()
    }
}

/// Something that decides besides handlers.
pub trait Decider: Send + Sync + 'static {
    /// Whether it is asked and recorded but not obeyed.
    fn is_shadow(&self) -> bool;

    /// Decides, or begins to.
    fn decide(&self, question: &Arc<Question>) -> Deciding;
}

/// How far a decider is when it was asked.
pub enum Deciding {
    /// The question is not for it.
    Passed,
    /// It has decided, or failed to.
    Done(Result<AnyDecision, DispatchError>),
    /// It has decided, and nobody after it is asked.
    Settled(AnyDecision),
    /// It will decide; `timeout` is the time that it has of its own, if that is less than what is left of the deadline.
    Running(Running, Option<Duration>),
}

impl Deciding {
    /// The same, unless it is over and `limit` was over before it.
    pub(crate) fn in_time(self, limit: Instant) -> Self {
        match self {
            Self::Running(..) => self,
            Self::Passed | Self::Done(_) | Self::Settled(_) if Instant::now() < limit => self,
            Self::Passed | Self::Done(_) | Self::Settled(_) => Self::Done(Err(DispatchError::TimedOut)),
        }
    }

    /// What came of a shadow that began at `began`; `None` where the question is not for it.
    pub(crate) fn of_shadow(self, began: Instant, deadline: Instant) -> Option<Outcome> {
        match self {
            Self::Passed => None,
            Self::Done(decided) => Some(Outcome::of_shadow(decided)),
            Self::Settled(decision) => Some(Outcome::Shadowed(decision)),
            Self::Running(running, timeout) => Some(Outcome::Running(running, limit(began, timeout, deadline))),
        }
    }
}

/// When the time of a decider is over that began at `began`.
pub(crate) fn limit(began: Instant, timeout: Option<Duration>, deadline: Instant) -> Instant {
    let own = timeout.and_then(|timeout| began.checked_add(timeout));
    own.map_or(deadline, |own| own.min(deadline))
}

/// A decider at work. It goes on when its time is over, if somebody drives it, and can say what it would have decided.
#[must_use = "futures do nothing unless polled"]
pub struct Running(Option<BoxFuture<'static, Result<AnyDecision, DispatchError>>>);

impl Running {
    /// Runs `decision`; a panic in it is a failure to decide.
    pub fn new(decision: impl Future<Output = Result<AnyDecision, DispatchError>> + Send + 'static) -> Self {
        // What a handler holds is the user's, and stays as the panic left it.
        let caught = AssertUnwindSafe(decision).catch_unwind();
        Self(Some(caught.map(|decided| decided.unwrap_or(Err(DispatchError::Panicked))).boxed()))
    }
}

impl Future for Running {
    type Output = Result<AnyDecision, DispatchError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Some(decision) => decision.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Drop for Running {
    /// What a decider holds may panic when it goes.
    fn drop(&mut self) {
        let decision = self.0.take();
        let _stopped = catch_unwind(AssertUnwindSafe(|| drop(decision)));
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}

/// One decider that was asked, in the course of a decision.
#[derive(Debug)]
pub struct Step<D> {
    /// Who; `None` is the handler.
    pub decider: Option<Arc<D>>,
    /// When it was asked.
    pub began: Instant,
    /// How long it took, or was waited for.
    pub took: Duration,
    /// What came of it.
    pub outcome: Outcome,
    /// Beside a shadow: what those who are obeyed came to from its place on. `None` beside others, and where the fallback
    /// went out.
    pub obeyed: Option<AnyDecision>,
}

/// What came of asking a decider.
#[derive(Debug)]
pub enum Outcome {
    /// It decided.
    Decided(Said),
    /// It decided, and is a shadow.
    Shadowed(AnyDecision),
    /// It did not, for this reason.
    Failed(&'static str),
    /// It is at work still: late, or a shadow that nobody waits for. Its time is over, or will be, then.
    Running(Running, Instant),
}

impl Outcome {
    pub(crate) fn of(decided: &Result<AnyDecision, DispatchError>) -> Self {
        match decided {
            Ok(decision) => Self::Decided(Said::from(decision)),
            Err(error) => Self::Failed(error.reason()),
        }
    }

    fn of_shadow(decided: Result<AnyDecision, DispatchError>) -> Self {
        match decided {
            Ok(decision) => Self::Shadowed(decision),
            Err(error) => Self::Failed(error.reason()),
        }
    }
}

/// What a decision comes to, for comparing and counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// What it does.
    pub effect: Effect,
    /// The code for the client.
    pub code: Option<u32>,
}

impl From<&AnyDecision> for Said {
    fn from(decision: &AnyDecision) -> Self {
        Self { effect: decision.effect(), code: decision.code() }
    }
}

/// Stands for a decider where there are handlers only. It has no values.
#[derive(Debug)]
pub enum NoDecider {}

impl Decider for NoDecider {
    fn is_shadow(&self) -> bool {
        match *self {}
    }

    fn decide(&self, _question: &Arc<Question>) -> Deciding {
        match *self {}
    }
}
