use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use chathook_protocol::{Answer, AnyDecision, Command, Event, Phase, Policy};
use futures_util::future::poll_immediate;
use strum::IntoEnumIterator;
use tokio::time::{Instant, timeout_at};

use crate::builder::{Handler, Unhandled};
use crate::decider::{Decider, Deciding, NoDecider, Outcome, Question, Running, Said, Step, limit};
use crate::{Ctx, DispatchError, Fallbacks, RouterBuilder};

/// Handlers by command.
pub struct Router<S = ()> {
    pub(crate) handlers: Box<[Option<Handler<S>>]>,
    pub(crate) unhandled: Option<Unhandled<S>>,
    pub(crate) state: Arc<S>,
}

/// The answer to a before-callback, and how it came about.
#[derive(Debug)]
pub struct Decided<D = NoDecider> {
    /// The answer to send.
    pub answer: Answer,
    /// What it comes to.
    pub said: Said,
    /// Why it is the fallback, if it is.
    pub failure: Option<DispatchError>,
    /// Who was asked, in order.
    pub steps: Vec<Step<D>>,
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

    /// Whether somebody is told of an after-callback; `None` is a command that nobody knows.
    pub fn observes(&self, command: Option<Command>) -> bool {
        let has_handler = |command: Command| self.handlers[command as usize].is_some();
        command.is_none_or(|command| command.phase() == Phase::After)
            && (self.unhandled.is_some() || command.is_some_and(has_handler))
    }

    /// Decides on a before-callback: by its handler, then by `deciders` in their order. The first refusal, drop or
    /// response ends it, and each decider sees what those before it have changed. Where nobody objects it is allowed.
    ///
    /// A body that is not read, and one who fails, panics or is not ready in time, end in the fallback; so does one who
    /// awaits nothing, and is ready too late. A fallback that allows keeps what was changed until then.
    pub async fn decide<D: Decider>(
        &self,
        question: Question,
        deciders: &[Arc<D>],
        fallbacks: &Fallbacks,
    ) -> Decided<D> {
        let (command, users) = (question.command, question.users.clone());
        let mut course = Course { decision: AnyDecision::allow(command, &users), steps: Vec::new() };
        let failure = self.ask(&mut course, question, deciders).await.err();
        if failure.is_some() {
            course.compare_nobody();
        }
        let decision = match failure.as_ref().map(|_| fallbacks.policy(command)) {
            None | Some(Policy::Allow) => course.decision,
            Some(policy) => AnyDecision::of(command, policy, &users).unwrap_or(course.decision),
        };
        let said = Said::from(&decision);
        Decided { answer: decision.into_answer(), said, failure, steps: course.steps }
    }

    async fn ask<D: Decider>(
        &self,
        course: &mut Course<D>,
        question: Question,
        deciders: &[Arc<D>],
    ) -> Result<(), DispatchError> {
        let Some(question) = self.ask_handler(course, question, deciders.is_empty()).await? else { return Ok(()) };
        let deadline = question.deadline;
        let mut question = Arc::new(question);
        for decider in deciders {
            let began = Instant::now();
            if began >= deadline {
                return Err(DispatchError::TimedOut);
            }
            let deciding = catch_unwind(AssertUnwindSafe(|| decider.decide(&question)));
            let deciding = deciding.unwrap_or(Deciding::Done(Err(DispatchError::Panicked)));
            if decider.is_shadow() {
                if let Some(outcome) = deciding.of_shadow(began, deadline) {
                    course.shadow(decider, began, outcome, &question);
                }
                continue;
            }
            let is_changed = match deciding.in_time(deadline) {
                Deciding::Passed => continue,
                Deciding::Running(running, timeout) => {
                    course.wait(Some(decider), began, running, limit(began, timeout, deadline)).await?
                }
                Deciding::Done(outcome) => course.take(Some(decider), began, outcome)?,
                Deciding::Settled(decision) => return course.take(Some(decider), began, Ok(decision)).map(drop),
            };
            if course.decision.is_final() {
                break;
            }
            if is_changed && let Some(changed) = question.rewritten(&course.decision) {
                question = Arc::new(changed);
            }
        }
        Ok(())
    }

    /// Asks the handler, if there is one. Gives the question back as it stands then, if anybody else is to be asked.
    async fn ask_handler<D>(
        &self,
        course: &mut Course<D>,
        question: Question,
        is_alone: bool,
    ) -> Result<Option<Question>, DispatchError> {
        let Some(handler) = &self.handlers[question.command as usize] else {
            return match question.readable()? {
                _ if is_alone => Ok(None),
                question => Ok(Some(question)),
            };
        };
        let (began, deadline) = (Instant::now(), question.deadline);
        let (parts, question) = match question.event.to_parts().filter(|_| !is_alone) {
            Some(parts) => (parts, Some(question)),
            None => (question.event.into_parts(), None),
        };
        let (command, query, body, Some(callback)) = parts else { return Ok(None) };
        let cx = Ctx { state: Arc::clone(&self.state), command, query, body, deadline };
        let running = match catch_unwind(AssertUnwindSafe(|| handler(cx, callback))) {
            Ok(running) => running?,
            Err(_panic) => Running::new(std::future::ready(Err(DispatchError::Panicked))),
        };
        let is_changed = course.wait(None, began, running, deadline).await?;
        match question {
            _ if is_alone || course.decision.is_final() => Ok(None),
            None => Err(DispatchError::Unread),
            Some(question) if is_changed => Ok(question.rewritten(&course.decision)),
            Some(question) => Ok(Some(question)),
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
        Some(async move { running?.await.map(drop) })
    }
}

/// The course of a decision.
struct Course<D> {
    /// What those who were asked come to together.
    decision: AnyDecision,
    steps: Vec<Step<D>>,
}

impl<D> Course<D> {
    /// Waits for `running` until `limit`; who is late is left at work. Gives whether the message is another now.
    async fn wait(
        &mut self,
        decider: Option<&Arc<D>>,
        began: Instant,
        mut running: Running,
        limit: Instant,
    ) -> Result<bool, DispatchError> {
        // Many deciders await nothing, and need no timer.
        let outcome = match poll_immediate(&mut running).await {
            Some(outcome) => outcome,
            None => match timeout_at(limit, &mut running).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    self.note(decider, began, Outcome::Running(running, limit));
                    return Err(DispatchError::TimedOut);
                }
            },
        };
        self.take(decider, began, outcome)
    }

    /// Takes in what a decider says. Gives whether the message is another now.
    fn take(
        &mut self,
        decider: Option<&Arc<D>>,
        began: Instant,
        outcome: Result<AnyDecision, DispatchError>,
    ) -> Result<bool, DispatchError> {
        self.note(decider, began, Outcome::of(&outcome));
        let decision = outcome?;
        let is_changed = decision.edits().is_some();
        for obeyed in self.steps.iter_mut().filter_map(|step| step.obeyed.as_mut()) {
            obeyed.then(decision.clone());
        }
        self.decision.then(decision);
        Ok(is_changed)
    }

    fn note(&mut self, decider: Option<&Arc<D>>, began: Instant, outcome: Outcome) {
        self.steps.push(Step { decider: decider.cloned(), began, took: began.elapsed(), outcome, obeyed: None });
    }

    /// A shadow is compared with those who are obeyed from here on: it has seen what was changed before.
    fn shadow(&mut self, decider: &Arc<D>, began: Instant, outcome: Outcome, question: &Question) {
        let obeyed = Some(AnyDecision::allow(question.command, &question.users));
        self.steps.push(Step { decider: Some(Arc::clone(decider)), began, took: began.elapsed(), outcome, obeyed });
    }

    /// Nobody is compared with the fallback, which nobody decided.
    fn compare_nobody(&mut self) {
        self.steps.iter_mut().for_each(|step| step.obeyed = None);
    }
}
