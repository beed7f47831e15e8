//! What deciders said, counted; and those listened to who are still at work.

use std::sync::Arc;
use std::time::Duration;

use chathook_protocol::{AnyDecision, Command};
use chathook_router::{DispatchError, Outcome, Running, Said, Step};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::decider::Decider;
use crate::metrics::{DeciderMetrics, HANDLER, Metrics};

/// How many deciders are listened to at once for whom nobody waits. Those beyond are let go.
const MAX_UNAWAITED: usize = 4096;

/// Counts what deciders say.
pub(crate) struct Recorder {
    handler: Arc<DeciderMetrics>,
    unawaited: Arc<Semaphore>,
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
        let unawaited = Arc::new(Semaphore::new(MAX_UNAWAITED));
        Self { handler: Arc::new(metrics.decider(HANDLER)), unawaited, runtime }
    }

    /// Counts who was asked for a decision that went out.
    pub(crate) fn record(&self, sent: Sent, steps: Vec<Step<Decider>>) {
        for step in steps {
            let is_shadow =
                step.decider.as_ref().is_some_and(|decider| chathook_router::Decider::is_shadow(&**decider));
            let asked = Asked { decider: step.decider, handler: Arc::clone(&self.handler), is_shadow, sent };
            match step.outcome {
                Outcome::Decided(said) => asked.decided(said, step.took),
                Outcome::Failed(reason) => asked.failed(reason, step.took),
                Outcome::Running(running, limit) => {
                    if !is_shadow {
                        asked.failed(TIMEOUT, step.took);
                    }
                    if let Ok(place) = Arc::clone(&self.unawaited).try_acquire_owned() {
                        self.runtime.spawn(async move {
                            asked.listen(running, limit, step.took).await;
                            drop(place);
                        });
                    }
                }
            }
        }
    }
}

const TIMEOUT: &str = "timeout";

/// A decider that was asked for a decision that went out.
struct Asked {
    decider: Option<Arc<Decider>>,
    handler: Arc<DeciderMetrics>,
    is_shadow: bool,
    sent: Sent,
}

impl Asked {
    fn metrics(&self) -> &DeciderMetrics {
        self.decider.as_ref().map_or(&*self.handler, |decider| &decider.metrics)
    }

    fn name(&self) -> &str {
        self.decider.as_ref().map_or(HANDLER, |decider| decider.name())
    }

    fn decided(&self, said: Said, took: Duration) {
        let metrics = self.metrics();
        metrics.took(took);
        metrics.decided(said.effect);
        if self.is_shadow && said != self.sent.said {
            metrics.disagreed(said.effect);
            tracing::debug!(
                decider = self.name(), command = %self.sent.command, decision = %said.effect, code = said.code,
                sent = %self.sent.said.effect, "shadow disagrees"
            );
        }
    }

    fn failed(&self, reason: &'static str, took: Duration) {
        self.metrics().took(took);
        self.metrics().failed(reason);
    }

    /// Hears what a shadow says in time, and what anybody says too late.
    async fn listen(&self, mut running: Running, limit: Instant, asked_for: Duration) {
        let began = Instant::now();
        if self.is_shadow {
            match timeout_at(limit, &mut running).await {
                Ok(Ok(decision)) => return self.decided(Said::from(&decision), asked_for + began.elapsed()),
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
