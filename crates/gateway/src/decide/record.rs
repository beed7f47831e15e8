//! What deciders said, counted; and those listened to who are still at work.

use std::sync::Arc;
use std::time::Duration;

use chathook_protocol::{AnyDecision, Command, Effect};
use chathook_router::{DispatchError, Outcome, Running, Said, Step};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::decider::Decider;
use crate::metrics::{DeciderMetrics, HANDLER, Metrics};
use crate::traces::Span;

/// How many shadows are listened to at once, and how many who are late. Those beyond are let go, and counted.
const MAX_UNAWAITED: usize = 4096;

/// Counts what deciders say.
pub(crate) struct Recorder {
    handler: Arc<DeciderMetrics>,
    shadows: Arc<Semaphore>,
    late: Arc<Semaphore>,
    runtime: Handle,
}

/// A decision that went out.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) command: Command,
    pub(crate) said: Said,
    /// How long who is late is listened to.
    pub(crate) late: Duration,
}

impl Recorder {
    pub(crate) fn new(metrics: &Metrics, runtime: Handle) -> Self {
        let places = || Arc::new(Semaphore::new(MAX_UNAWAITED));
        Self { handler: Arc::new(metrics.decider(HANDLER)), shadows: places(), late: places(), runtime }
    }

    /// Counts who was asked for a decision that went out.
    pub(crate) fn record(&self, sent: Sent, steps: Vec<Step<Decider>>) {
        let span = Span::current();
        for step in steps {
            let is_shadow =
                step.decider.as_ref().is_some_and(|decider| chathook_router::Decider::is_shadow(&**decider));
            let handler = Arc::clone(&self.handler);
            let asked = Asked { decider: step.decider, handler, is_shadow, obeyed: step.obeyed, sent };
            // Services have told of themselves, and go on when this is over.
            if !asked.decider.as_ref().is_some_and(|decider| decider.is_service()) {
                span.asked(asked.name(), is_shadow, (step.began, step.took), said(&step.outcome));
            }
            match step.outcome {
                Outcome::Decided(said) => asked.decided(said.effect, step.took),
                Outcome::Shadowed(decision) => asked.shadowed(&decision, step.took),
                Outcome::Failed(reason) => asked.failed(reason, step.took),
                Outcome::Running(running, limit) => {
                    if !is_shadow {
                        asked.failed(TIMEOUT, step.took);
                    }
                    self.listen(asked, running, limit, step.took);
                }
            }
        }
    }

    /// Listens to somebody for whom nobody waits, unless there are too many of them.
    fn listen(&self, asked: Asked, running: Running, limit: Instant, asked_for: Duration) {
        let places = if asked.is_shadow { &self.shadows } else { &self.late };
        let Ok(place) = Arc::clone(places).try_acquire_owned() else { return asked.metrics().unheard.inc() };
        self.runtime.spawn(async move {
            asked.hear(running, limit, asked_for).await;
            drop(place);
        });
    }
}

const TIMEOUT: &str = "timeout";

/// What somebody said while the decision was made, or why nothing.
fn said(outcome: &Outcome) -> Result<Effect, &'static str> {
    match outcome {
        Outcome::Decided(said) => Ok(said.effect),
        Outcome::Shadowed(decision) => Ok(decision.effect()),
        Outcome::Failed(reason) => Err(reason),
        Outcome::Running(..) => Err(TIMEOUT),
    }
}

/// A decider that was asked for a decision that went out.
struct Asked {
    decider: Option<Arc<Decider>>,
    handler: Arc<DeciderMetrics>,
    is_shadow: bool,
    /// What a shadow is compared with; none where the fallback went out.
    obeyed: Option<AnyDecision>,
    sent: Sent,
}

impl Asked {
    fn metrics(&self) -> &DeciderMetrics {
        self.decider.as_ref().map_or(&*self.handler, |decider| &decider.metrics)
    }

    fn name(&self) -> &str {
        self.decider.as_ref().map_or(HANDLER, |decider| decider.name())
    }

    fn decided(&self, effect: Effect, took: Duration) {
        self.metrics().took(took);
        self.metrics().decided(effect);
    }

    /// What a shadow says, beside those who are obeyed.
    fn shadowed(&self, decision: &AnyDecision, took: Duration) {
        let Said { effect, code } = Said::from(decision);
        self.decided(effect, took);
        if let Some(obeyed) = self.obeyed.as_ref().filter(|obeyed| !decision.agrees_with(obeyed)) {
            self.metrics().disagreed(effect);
            tracing::debug!(
                decider = self.name(), command = %self.sent.command, decision = %effect, code,
                obeyed = %obeyed.effect(), "shadow disagrees"
            );
        }
    }

    fn failed(&self, reason: &'static str, took: Duration) {
        self.metrics().took(took);
        self.metrics().failed(reason);
    }

    /// Hears what a shadow says in time, and what anybody says too late.
    async fn hear(&self, mut running: Running, limit: Instant, asked_for: Duration) {
        let began = Instant::now();
        if self.is_shadow {
            match timeout_at(limit, &mut running).await {
                Ok(Ok(decision)) => return self.shadowed(&decision, asked_for + began.elapsed()),
                Ok(Err(error)) => return self.failed(error.reason(), asked_for + began.elapsed()),
                Err(_) => self.failed(TIMEOUT, asked_for + began.elapsed()),
            }
        }
        if let Ok(outcome) = timeout(self.sent.late, running).await {
            self.late(&outcome, limit);
        }
    }

    fn late(&self, outcome: &Result<AnyDecision, DispatchError>, limit: Instant) {
        let late_ms = Instant::now().saturating_duration_since(limit).as_millis();
        self.metrics().was_late(outcome.as_ref().ok().map(AnyDecision::effect));
        let (decider, command) = (self.name(), self.sent.command);
        match outcome.as_ref().map(Said::from) {
            Err(error) => tracing::warn!(decider, %command, reason = error.reason(), "late, and no decision"),
            Ok(Said { effect, code }) => tracing::warn!(
                decider, %command, decision = %effect, code, sent = %self.sent.said.effect, late_ms,
                "late decision"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use chathook_protocol::{Command, Effect};
    use chathook_router::{Outcome, Running, Said, Step};
    use tokio::runtime::Handle;
    use tokio::sync::Semaphore;
    use tokio::time::Instant;

    use super::{MAX_UNAWAITED, Recorder, Sent};
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn who_is_let_go_is_counted_and_shadows_take_no_place_of_the_late() {
        let metrics = Metrics::new().unwrap();
        let mut recorder = Recorder::new(&metrics, Handle::current());
        recorder.late = Arc::new(Semaphore::new(1));
        let sent = Sent {
            command: Command::GroupBeforeSendMsg,
            said: Said { effect: Effect::Allow, code: None },
            late: Duration::from_secs(3600),
        };
        for _ in 0..3 {
            let running = Running::new(std::future::pending());
            let outcome = Outcome::Running(running, Instant::now());
            recorder.record(
                sent,
                vec![Step { decider: None, began: Instant::now(), took: Duration::ZERO, outcome, obeyed: None }],
            );
        }
        assert_eq!(recorder.handler.unheard.get(), 2);
        assert_eq!((recorder.late.available_permits(), recorder.shadows.available_permits()), (0, MAX_UNAWAITED));
    }
}
