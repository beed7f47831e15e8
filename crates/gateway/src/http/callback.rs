//! The life of a callback, from top to bottom.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::dev::Payload;
use actix_web::http::{ConnectionType, Method};
use actix_web::{HttpRequest, HttpResponse};
use chathook_protocol::{Answer, Command, CommandName, Event, Phase, Query, UserId};
use chathook_router::{Decided, DispatchError, FallbackReason, Question};
use tokio::time::Instant;

use super::body::{self, NoBody};
use super::{answer, connection};
use crate::decide::record::Sent;
use crate::gateway::{Live, Shared};
use crate::metrics::{CommandMetrics, HANDLER, Outcome};
use crate::verify::{Refusal, Verified};

/// Answers one request on the public listener.
pub(crate) async fn callback<S: Send + Sync + 'static>(
    shared: &Shared<S>,
    request: &HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let arrived = connection::arrived(request);
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
        let app = query.sdk_app_id;
        let deadline = self.deadline(app, command);
        let body = match body::read(request, &mut payload, self.live.max_body, deadline).await {
            Ok(body) if body.is_empty() => return self.probe(metrics),
            Ok(body) => body,
            Err(no_body) => return answer::with_unread(self.without_body(metrics, app, command, no_body), payload),
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
    fn without_body(
        &self,
        metrics: &CommandMetrics,
        app: Option<u64>,
        command: Option<Command>,
        no_body: NoBody,
    ) -> HttpResponse {
        match command {
            Some(command) if command.phase() == Phase::Before => {
                let reason = match no_body {
                    NoBody::TooLarge => FallbackReason::TooLarge,
                    NoBody::TooSlow => FallbackReason::Timeout,
                    NoBody::Broken => FallbackReason::Decode,
                };
                self.fall_back(metrics, app, command, reason, &[])
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

    /// Asks whoever decides on the command, unless there is no time or no room for it.
    async fn decide(&self, metrics: &CommandMetrics, command: Command, event: Event) -> HttpResponse {
        let app = event.query().sdk_app_id;
        let deadline = self.deadline(app, Some(command));
        if Instant::now() >= deadline {
            return self.fall_back(metrics, app, command, FallbackReason::Timeout, &event.asked());
        }
        let Ok(_place) = self.shared.before_lane.try_acquire() else {
            return self.fall_back(metrics, app, command, FallbackReason::Overload, &event.asked());
        };
        let question = Question::new(command, event, deadline, SystemTime::now());
        let (deciders, fallbacks) = (self.live.deciders.of(command), &self.live.plan(app).fallbacks);
        let Decided { answer, said, failure, steps } = self.shared.router.decide(question, deciders, fallbacks).await;
        match &failure {
            None => metrics.decided(said.effect),
            Some(error) => {
                metrics.fell_back(error.into());
                // What anybody can send is not worth a line.
                if !matches!(error, DispatchError::Decode(_) | DispatchError::Unread) {
                    let decider = steps.last().and_then(|step| step.decider.as_ref());
                    let decider = decider.map_or(HANDLER, |decider| decider.name());
                    tracing::warn!(%command, decider, reason = error.reason(), answer = %said.effect, "fallback: {error}");
                }
            }
        }
        let late = self.live.late;
        self.shared.recorder.record(Sent { command, said, late }, steps);
        self.answered_before(metrics, deadline);
        answer::ok(&answer)
    }

    /// Takes the time of the answer to a before-callback.
    fn answered_before(&self, metrics: &CommandMetrics, deadline: Instant) {
        let now = Instant::now();
        metrics.answered_with(deadline.saturating_duration_since(now));
        self.shared.metrics.answered(Phase::Before, now - self.arrived);
    }

    /// The fallback, where nobody was asked to decide.
    fn fall_back(
        &self,
        metrics: &CommandMetrics,
        app: Option<u64>,
        command: Command,
        reason: FallbackReason,
        asked: &[UserId],
    ) -> HttpResponse {
        metrics.fell_back(reason);
        self.answered_before(metrics, self.deadline(app, Some(command)));
        answer::ok(&self.live.plan(app).fallbacks.answer(command, asked))
    }

    /// Handlers of after-callbacks are started, and drive themselves from there.
    fn acknowledge(&self, metrics: &CommandMetrics, event: Event) -> HttpResponse {
        let command = event.command().known();
        let place = Arc::clone(&self.shared.after_lane).try_acquire_owned().ok();
        let Some(place) = place.filter(|_| !self.shared.is_pressed()) else {
            metrics.count(Outcome::Shed);
            // What nobody knows may be a before-callback: it must not stand in the way of a user.
            return if command.is_some() { answer::overloaded() } else { answer::ok(&Answer::OK) };
        };
        let deadline = self.deadline(event.query().sdk_app_id, command);
        if let Some(running) = self.shared.router.observe(event, deadline) {
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

    fn deadline(&self, app: Option<u64>, command: Option<Command>) -> Instant {
        self.arrived + self.live.deadline(app, command)
    }
}

/// All `X-Forwarded-For` of a request, joined as if they were one; none where one of them is not text.
fn forwarded_for(request: &HttpRequest) -> Option<String> {
    let values = request.headers().get_all("x-forwarded-for").map(|value| value.to_str().ok());
    values.collect::<Option<Vec<_>>>().map(|values| values.join(","))
}
