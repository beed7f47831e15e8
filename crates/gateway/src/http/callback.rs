//! The life of a callback, from top to bottom.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::{ConnectionType, Method};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use chathook_protocol::{Answer, Command, CommandName, Event, Phase, Query, UserId};
use chathook_router::{Decided, FallbackReason};
use tokio::time::Instant;

use super::answer;
use super::body::{self, NoBody};
use crate::gateway::{Live, Shared};
use crate::metrics::{CommandMetrics, Outcome};
use crate::verify::{Refusal, Verified};

/// Answers one request on the public listener.
pub(crate) async fn callback<S: Send + Sync + 'static>(
    request: HttpRequest,
    payload: Payload,
    shared: Data<Shared<S>>,
) -> HttpResponse {
    let arrived = Instant::now();
    let at_work = shared.at_work();
    let live = shared.live();
    let mut response = if request.path() != live.path {
        answer::not_found()
    } else if request.method() != Method::POST {
        answer::method_not_allowed()
    } else {
        Callback { shared: &shared, live: &live, arrived }.answer(&request, payload).await
    };
    if shared.is_draining() {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    drop(at_work);
    response
}

/// A callback that is being answered.
struct Callback<'a, S> {
    shared: &'a Shared<S>,
    live: &'a Live,
    arrived: Instant,
}

impl<S: Send + Sync + 'static> Callback<'_, S> {
    async fn answer(&self, request: &HttpRequest, mut payload: Payload) -> HttpResponse {
        let query = Query::parse(request.query_string());
        let command = query.command.as_ref().and_then(CommandName::known);
        let metrics = self.shared.metrics.command(command);
        let Verified(query) = match self.verify(request, query) {
            Ok(verified) => verified,
            Err(refusal) => return self.refuse(metrics, refusal),
        };
        let body = match body::read(request, &mut payload, self.live.max_body, self.deadline()).await {
            Ok(body) if body.is_empty() => return self.probe(metrics),
            Ok(body) => body,
            Err(no_body) => return answer::closing(self.without_body(metrics, command, no_body), payload),
        };
        let event = Event::read(query, body);
        // Where the query names no command, the body does.
        let metrics = self.shared.metrics.command(event.command().known());
        if event.contradicts_itself() {
            return self.refuse(metrics, Refusal::Mismatch);
        }
        self.note_drift(metrics, &event);
        match event.command().known().filter(|command| command.phase() == Phase::Before) {
            Some(command) => {
                let response = self.decide(metrics, command, event).await;
                self.shared.metrics.answered(Phase::Before, self.arrived.elapsed());
                response
            }
            None => {
                let response = self.acknowledge(metrics, event);
                self.shared.metrics.answered(Phase::After, self.arrived.elapsed());
                response
            }
        }
    }

    fn verify(&self, request: &HttpRequest, query: Query) -> Result<Verified, Refusal> {
        let peer: Option<IpAddr> = request.peer_addr().map(|peer| peer.ip());
        self.live.verifier.source(peer, || forwarded_for(request))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (verified, skew) = self.live.verifier.verify(query, now);
        if let Some(skew) = skew {
            self.shared.metrics.clock_skew(skew);
        }
        verified
    }

    /// Leaves no trace but a count.
    fn refuse(&self, metrics: &CommandMetrics, refusal: Refusal) -> HttpResponse {
        metrics.count(Outcome::Refused);
        self.shared.metrics.refused(refusal);
        answer::refused()
    }

    /// The console sends an empty body to see whether anybody is there.
    fn probe(&self, metrics: &CommandMetrics) -> HttpResponse {
        metrics.count(Outcome::Probe);
        answer::ok(&Answer::OK)
    }

    /// A decision does not need the body; what is to be kept does. What nobody knows may be either, and is let through.
    fn without_body(&self, metrics: &CommandMetrics, command: Option<Command>, no_body: NoBody) -> HttpResponse {
        match command {
            Some(command) if command.phase() == Phase::Before => {
                let reason = match no_body {
                    NoBody::TooLarge => FallbackReason::TooLarge,
                    NoBody::TooSlow => FallbackReason::Timeout,
                    NoBody::Broken => FallbackReason::Decode,
                };
                self.fall_back(metrics, command, reason, &[])
            }
            Some(_) => {
                metrics.count(Outcome::Lost);
                match no_body {
                    NoBody::TooLarge => answer::too_large(),
                    NoBody::TooSlow | NoBody::Broken => answer::incomplete(),
                }
            }
            None => {
                metrics.count(Outcome::Lost);
                answer::ok(&Answer::OK)
            }
        }
    }

    fn note_drift(&self, metrics: &CommandMetrics, event: &Event) {
        match event.callback() {
            None => self.shared.drift.command(event.command().as_str()),
            Some(Err(error)) => {
                metrics.decode_errors.inc();
                // The cause may quote the body.
                tracing::warn!(command = %error.command, path = %error.path, "body not read");
            }
            Some(Ok(_)) if !event.unread().is_empty() => {
                metrics.drift_fields.inc_by(event.unread().len() as u64);
                self.shared.drift.fields(event.command().as_str(), event.unread());
            }
            Some(Ok(_)) => {}
        }
    }

    async fn decide(&self, metrics: &CommandMetrics, command: Command, event: Event) -> HttpResponse {
        let Ok(_place) = self.shared.before_lane.try_acquire() else {
            return self.fall_back(metrics, command, FallbackReason::Overload, &event.asked());
        };
        let started = Instant::now();
        let decided = self.shared.router.decide(command, event, self.deadline(), &self.live.fallbacks).await;
        match &decided {
            Decided::Nobody(answer) => metrics.decided(answer.effect()),
            Decided::Handler(answer) => {
                self.shared.metrics.handler_took(started.elapsed());
                metrics.decided(answer.effect());
            }
            Decided::Fallback(_, error) => {
                let reason = FallbackReason::from(error);
                if reason != FallbackReason::Decode {
                    self.shared.metrics.handler_took(started.elapsed());
                    self.shared.metrics.handler_failed(reason);
                    tracing::warn!(%command, reason = <&str>::from(reason), "fallback: {error}");
                }
                metrics.fell_back(reason);
            }
        }
        metrics.answered_with(self.left());
        answer::ok(decided.answer())
    }

    /// The fallback, where nobody was asked to decide.
    fn fall_back(
        &self,
        metrics: &CommandMetrics,
        command: Command,
        reason: FallbackReason,
        asked: &[UserId],
    ) -> HttpResponse {
        metrics.fell_back(reason);
        metrics.answered_with(self.left());
        answer::ok(&self.live.fallbacks.answer(command, asked))
    }

    /// Handlers of after-callbacks are started, and drive themselves from there.
    fn acknowledge(&self, metrics: &CommandMetrics, event: Event) -> HttpResponse {
        let Ok(place) = Arc::clone(&self.shared.after_lane).try_acquire_owned() else {
            metrics.count(Outcome::Shed);
            return answer::overloaded();
        };
        let command = event.command().clone();
        if let Some(running) = self.shared.router.observe(event, self.deadline()) {
            self.shared.spawn(async move {
                if let Err(error) = running.await {
                    tracing::warn!(%command, "handler gave up: {error}");
                }
                drop(place);
            });
        }
        metrics.count(Outcome::Acknowledged);
        answer::ok(&Answer::OK)
    }

    fn deadline(&self) -> Instant {
        self.arrived + self.live.deadline
    }

    fn left(&self) -> Duration {
        self.deadline().saturating_duration_since(Instant::now())
    }
}

/// All `X-Forwarded-For` of a request, joined as if they were one.
fn forwarded_for(request: &HttpRequest) -> String {
    let values = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}
