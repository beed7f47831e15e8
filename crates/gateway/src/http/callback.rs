//! The life of a callback, from top to bottom.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::dev::Payload;
use actix_web::http::{ConnectionType, Method};
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
    shared: &Shared<S>,
    request: &HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let arrived = Instant::now();
    let at_work = shared.at_work();
    let live = shared.live();
    let mut response = if request.path() != live.path {
        answer::with_unread(answer::not_found(), payload)
    } else if request.method() != Method::POST {
        answer::with_unread(answer::method_not_allowed(), payload)
    } else {
        Callback { shared, live: &live, arrived }.answer(request, payload).await
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
            Err(refusal) => return answer::with_unread(self.refuse(metrics, refusal), payload),
        };
        let body = match body::read(request, &mut payload, self.live.max_body, self.deadline()).await {
            Ok(body) if body.is_empty() => return self.probe(metrics),
            Ok(body) => body,
            Err(no_body) => return answer::with_unread(self.without_body(metrics, command, no_body), payload),
        };
        let event = Event::read(query, body);
        // Where the query names no command, the body does.
        let metrics = self.shared.metrics.command(event.command().known());
        if event.contradicts_itself() {
            return self.refuse(metrics, Refusal::Mismatch);
        }
        self.note_drift(metrics, &event);
        match event.command().known().filter(|command| command.phase() == Phase::Before) {
            Some(command) => self.decide(metrics, command, event).await,
            None => self.acknowledge(metrics, event),
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
                self.shared.drift.body(error);
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
        let began = Instant::now();
        let decided = self.shared.router.decide(command, event, self.deadline(), &self.live.fallbacks).await;
        let now = Instant::now();
        match &decided {
            Decided::Nobody(answer) => metrics.decided(answer.effect()),
            Decided::Handler(answer) => {
                self.shared.metrics.handler_took(now - began);
                metrics.decided(answer.effect());
            }
            Decided::Fallback(_, error) => {
                let reason = FallbackReason::from(error);
                if reason != FallbackReason::Decode {
                    self.shared.metrics.handler_took(now - began);
                    self.shared.metrics.handler_failed(reason);
                    tracing::warn!(%command, reason = <&str>::from(reason), "fallback: {error}");
                }
                metrics.fell_back(reason);
            }
        }
        self.answered_before(metrics, now);
        answer::ok(decided.answer())
    }

    /// Takes the time of the answer to a before-callback.
    fn answered_before(&self, metrics: &CommandMetrics, now: Instant) {
        metrics.answered_with(self.deadline().saturating_duration_since(now));
        self.shared.metrics.answered(Phase::Before, now - self.arrived);
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
        self.answered_before(metrics, Instant::now());
        answer::ok(&self.live.fallbacks.answer(command, asked))
    }

    /// Handlers of after-callbacks are started, and drive themselves from there.
    fn acknowledge(&self, metrics: &CommandMetrics, event: Event) -> HttpResponse {
        let command = event.command().known();
        let Ok(place) = Arc::clone(&self.shared.after_lane).try_acquire_owned() else {
            metrics.count(Outcome::Shed);
            // What nobody knows may be a before-callback: it must not stand in the way of a user.
            return if command.is_some() { answer::overloaded() } else { answer::ok(&Answer::OK) };
        };
        if let Some(running) = self.shared.router.observe(event, self.deadline()) {
            self.shared.spawn(async move {
                if let Err(error) = running.await {
                    tracing::warn!(command = command.map_or("unknown", Command::as_str), "handler gave up: {error}");
                }
                drop(place);
            });
        }
        metrics.count(Outcome::Acknowledged);
        self.shared.metrics.answered(Phase::After, self.arrived.elapsed());
        answer::ok(&Answer::OK)
    }

    fn deadline(&self) -> Instant {
        self.arrived + self.live.deadline
    }
}

/// All `X-Forwarded-For` of a request, joined as if they were one; none where one of them is not text.
fn forwarded_for(request: &HttpRequest) -> Option<String> {
    let values = request.headers().get_all("x-forwarded-for").map(|value| value.to_str().ok());
    values.collect::<Option<Vec<_>>>().map(|values| values.join(","))
}
