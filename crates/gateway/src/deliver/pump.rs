//! What carries the events of one target from the journal to it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chathook_journal::{Attempt, DeadClass, Delivery, Journal, JournalError, Outcome, Record};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::retry;
use super::selection::Selection;
use super::taker::Taker;
use super::target::{Delivered, Next, Undelivered};
use crate::metrics::TargetMetrics;
use crate::traces::Traces;

/// The events of one target, on their way.
pub(super) struct Pump {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) taker: Taker,
    pub(super) selection: Selection,
    pub(super) retry: retry::Config,
    pub(super) concurrency: usize,
    pub(super) metrics: TargetMetrics,
    pub(super) traces: Traces,
}

/// How long nothing is asked of a journal that could not answer.
const PAUSE: Duration = Duration::from_secs(1);

impl Pump {
    /// Delivers until `stop`, then waits for what is on its way.
    pub(super) async fn run(self: Arc<Self>, journal: Journal, stop: CancellationToken) {
        let mut subscription = match journal.subscribe(&self.name) {
            Ok(subscription) => subscription,
            Err(error) => return tracing::error!(target_name = self.name, "nothing is delivered: {error}"),
        };
        let mut under_way = FuturesUnordered::new();
        let mut asks_again = None;
        loop {
            let room = self.concurrency.saturating_sub(under_way.len());
            tokio::select! {
                () = stop.cancelled() => break,
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                () = sleep_until(asks_again.unwrap_or_else(Instant::now)), if asks_again.is_some() => asks_again = None,
                deliveries = subscription.next(room), if room > 0 && asks_again.is_none() => match deliveries {
                    Ok(deliveries) => {
                        under_way.extend(deliveries.into_iter().map(|delivery| Arc::clone(&self).deliver(delivery)));
                    }
                    Err(JournalError::Closed) => break,
                    Err(error @ JournalError::NoSuchTarget(_)) => {
                        tracing::error!(target_name = self.name, "nothing is delivered any more: {error}");
                        break;
                    }
                    Err(error) => {
                        tracing::warn!(target_name = self.name, "the journal gives nothing to deliver: {error}");
                        asks_again = Instant::now().checked_add(PAUSE);
                    }
                },
            }
        }
        while under_way.next().await.is_some() {}
    }

    /// Whether the target may want events of a command.
    pub(super) fn may_want(&self, command: &str) -> bool {
        self.taker.takes(command) && self.selection.has_command(command)
    }

    /// Whether the target wants an event.
    ///
    /// # Errors
    /// When its condition cannot be evaluated on the event.
    pub(super) fn wants(&self, record: &Record) -> Result<bool, String> {
        if self.taker.takes(&record.command) { self.selection.wants(record) } else { Ok(false) }
    }

    /// Delivers what the target wants. Where nobody can say whether it does, that is a dead letter: it is seen then, and
    /// can be delivered again once the condition is mended.
    async fn deliver(self: Arc<Self>, delivery: Delivery) {
        let (at, started) = (SystemTime::now(), Instant::now());
        let record = &delivery.record;
        let is_wanted = self.wants(record);
        if let Ok(false) = is_wanted {
            return settle(&delivery, Attempt { at, took: Duration::ZERO, outcome: Outcome::Skipped }).await;
        }
        let span = self.traces.delivery(&self.name, self.kind, &delivery);
        let result = match is_wanted {
            Ok(_) => {
                // A fault of ours is not the end of all deliveries.
                let taking = span.around(AssertUnwindSafe(self.taker.take(record)).catch_unwind()).await;
                taking.unwrap_or_else(|_| Err(Undelivered::panicked()))
            }
            Err(problem) if record.decoded => Err(Undelivered::impossible(problem)),
            Err(problem) => Err(Undelivered { class: DeadClass::Undecodable, ..Undelivered::impossible(problem) }),
        };
        let took = started.elapsed();
        let outcome = match result {
            Ok(Delivered { detail }) => Outcome::Delivered { detail },
            Err(undelivered) => self.judge(&delivery, at, undelivered),
        };
        span.attempted(&outcome);
        match &outcome {
            Outcome::Delivered { .. } => {
                let lag = SystemTime::now().duration_since(delivery.record.received).unwrap_or_default();
                self.metrics.delivered(lag);
            }
            Outcome::Retry { after, cause } => {
                self.metrics.retried();
                tracing::warn!(
                    target_name = self.name, position = delivery.position.0, command = delivery.record.command,
                    attempt = delivery.attempts + 1, again_in = ?after, "not delivered: {cause}"
                );
            }
            Outcome::Dead { class, cause } => {
                self.metrics.dead();
                tracing::error!(
                    target_name = self.name, position = delivery.position.0, command = delivery.record.command,
                    attempt = delivery.attempts + 1, %class, "dead letter: {cause}"
                );
            }
            Outcome::Skipped => {}
        }
        settle(&delivery, Attempt { at, took, outcome }).await;
    }

    /// Whether an event that was not taken is tried again.
    fn judge(&self, delivery: &Delivery, at: SystemTime, undelivered: Undelivered) -> Outcome {
        let Undelivered { next, cause, class } = undelivered;
        let asked = match next {
            Next::Retry => None,
            Next::RetryAfter(asked) => Some(asked),
            Next::Dead => return Outcome::Dead { class, cause },
        };
        let first_attempt = delivery.first_attempt.unwrap_or(at);
        let pause = self.retry.pause(delivery.attempts.saturating_add(1), first_attempt, SystemTime::now(), asked);
        match pause {
            Some(after) => Outcome::Retry { after, cause },
            None => Outcome::Dead { class, cause },
        }
    }
}

async fn settle(delivery: &Delivery, attempt: Attempt) {
    if let Err(error) = delivery.settle(attempt).await {
        tracing::warn!(position = delivery.position.0, "it may be delivered again: {error}");
    }
}
