//! The life of a callback, from top to bottom.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::dev::Payload;
use actix_web::http::{ConnectionType, Method};
use actix_web::{HttpRequest, HttpResponse};
use chathook_journal::{AppendError, Appended, Health, Record};
use chathook_protocol::{Answer, Command, CommandName, Event, Phase, Query, UserId};
use chathook_router::{Decided, DispatchError, FallbackReason, Question};
use tokio::time::{Instant, timeout_at};

use super::body::{self, NoBody};
use super::{answer, connection};
use crate::decide::record::Sent;
use crate::gateway::{Live, Shared};
use crate::journal;
use crate::metrics::{CommandMetrics, HANDLER, Outcome};
use crate::traces::Span;
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
    async fn answer(&self, request: &HttpRequest, payload: Payload) -> HttpResponse {
        let query = Query::parse(request.query_string());
        let command = query.command.as_ref().and_then(CommandName::known);
        let query = match self.verify(request, query) {
            Ok(Verified(query)) => query,
            Err(refusal) => {
                let metrics = self.shared.metrics.command(command);
                return answer::with_unread(self.refuse(metrics, refusal), payload);
            }
        };
        let span = self.shared.traces.callback(request.headers(), self.arrived, query.sdk_app_id, command);
        let response = span.around(self.answer_chat(request, payload, query, command)).await;
        span.answered(response.status().as_u16());
        response
    }

    /// Answers what Chat has sent.
    async fn answer_chat(
        &self,
        request: &HttpRequest,
        mut payload: Payload,
        query: Query,
        command: Option<Command>,
    ) -> HttpResponse {
        let metrics = self.shared.metrics.command(command);
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
        if command.is_none() {
            Span::current().is_about(event.command().known());
        }
        if event.contradicts_itself() {
            return self.refuse(metrics, Refusal::Mismatch);
        }
        self.note_drift(metrics, &event);
        match event.command().known().filter(|command| command.phase() == Phase::Before) {
            // In a place of its own: what is moved for each callback stays small.
            Some(command) => Box::pin(self.decide(metrics, command, event)).await,
            None => self.acknowledge(metrics, event).await,
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

    /// Leaves nothing behind but a count.
    fn refuse(&self, metrics: &CommandMetrics, refusal: Refusal) -> HttpResponse {
        came_to(metrics, Outcome::Refused);
        self.shared.metrics.refused(refusal);
        answer::refused()
    }

    /// The console sends an empty body to see whether anybody is there.
    fn probe(&self, metrics: &CommandMetrics) -> HttpResponse {
        came_to(metrics, Outcome::Probe);
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
                self.fall_back(metrics, app, command, reason, &[]).1
            }
            Some(_) => {
                came_to(metrics, Outcome::Lost);
                match no_body {
                    NoBody::TooLarge => answer::too_large(),
                    NoBody::TooSlow | NoBody::Broken => answer::incomplete(),
                }
            }
            None => {
                came_to(metrics, Outcome::Lost);
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
        let record = self.live.keeps_decisions.then(|| journal::decision(&event, SystemTime::now()));
        let place = self.shared.before_lane.try_acquire();
        let at_once = match &place {
            _ if Instant::now() >= deadline => Some(FallbackReason::Timeout),
            Err(_) => Some(FallbackReason::Overload),
            Ok(_) => None,
        };
        if let Some(reason) = at_once {
            let (answer, response) = self.fall_back(metrics, app, command, reason, &event.asked());
            if let Some(record) = record {
                self.keep_decision(record, &answer, Instant::now()).await;
            }
            return response;
        }
        let question = Question::new(command, event, deadline, SystemTime::now());
        let (deciders, fallbacks) = (self.live.deciders.of(command), &self.live.plan(app).fallbacks);
        let Decided { answer, said, failure, steps } = self.shared.router.decide(question, deciders, fallbacks).await;
        match &failure {
            None => {
                metrics.decided(said.effect);
                Span::current().is_decided(said.effect);
            }
            Some(error) => {
                let reason = error.into();
                metrics.fell_back(reason);
                Span::current().falls_back(reason, said.effect);
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
        if let Some(record) = record {
            self.keep_decision(record, &answer, deadline).await;
        }
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
    ) -> (Answer, HttpResponse) {
        metrics.fell_back(reason);
        self.answered_before(metrics, self.deadline(app, Some(command)));
        let fallback = self.live.plan(app).fallbacks.answer(command, asked);
        Span::current().falls_back(reason, fallback.effect());
        let response = answer::ok(&fallback);
        (fallback, response)
    }

    /// Makes a decision durable, for audit, before it is sent; but no journal that is slow or down changes the answer.
    async fn keep_decision(&self, record: Record, answer: &Answer, deadline: Instant) {
        if let Health::CannotKeep(reason) = self.shared.journal.health() {
            return tracing::error!("a decision was not kept: {reason}");
        }
        let (journal, record) = (self.shared.journal.clone(), Record { answer: Some(answer.body().clone()), ..record });
        let span = Span::current();
        // A task of its own: it goes on where nobody waits for it any more.
        let keeping = self.shared.spawn(async move {
            match journal.append(record).await {
                Ok(Appended::Kept(position)) => span.kept_at(position),
                Ok(Appended::Duplicate) => {}
                Err(error) => tracing::error!("a decision was not kept: {error}"),
            }
        });
        let _ = timeout_at(deadline.min(Instant::now() + MAX_AUDIT), keeping).await;
    }

    /// Says that an after-callback was taken, once it is durable.
    async fn acknowledge(&self, metrics: &CommandMetrics, event: Event) -> HttpResponse {
        let command = event.command().known();
        // What nobody knows may be a before-callback: it must not stand in the way of a user.
        let or_ok = |response| if command.is_some() { response } else { answer::ok(&Answer::OK) };
        let place = self.shared.after_lane.try_acquire().ok();
        let Some(_place) = place.filter(|_| !self.shared.is_pressed()) else {
            came_to(metrics, Outcome::Shed);
            return or_ok(answer::overloaded());
        };
        let deadline = self.deadline(event.query().sdk_app_id, command);
        let record = journal::record(&event, SystemTime::now());
        // What was read of it is not needed while it waits to be written, and the memory is.
        drop(event);
        let outcome = match self.keep(record, deadline).await {
            Ok(Appended::Kept(position)) => {
                Span::current().kept_at(position);
                Outcome::Acknowledged
            }
            Ok(Appended::Duplicate) => Outcome::Duplicate,
            Err(NotKept::Busy) => {
                came_to(metrics, Outcome::Shed);
                return or_ok(answer::overloaded());
            }
            Err(NotKept::Lost) => {
                came_to(metrics, Outcome::Lost);
                return or_ok(answer::not_kept());
            }
        };
        came_to(metrics, outcome);
        self.shared.metrics.answered(Phase::After, self.arrived.elapsed());
        answer::ok(&Answer::OK)
    }

    /// Makes an event durable.
    async fn keep(&self, record: Record, deadline: Instant) -> Result<Appended, NotKept> {
        let began = Instant::now();
        let appended = timeout_at(deadline, self.shared.journal.append(record)).await;
        self.shared.metrics.appended(began.elapsed());
        let problem = match appended {
            Ok(Ok(appended)) => return Ok(appended),
            Ok(Err(AppendError::Busy)) => return Err(NotKept::Busy),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the journal took too long; it may be kept nevertheless".to_owned(),
        };
        tracing::error!("a callback was not kept: {problem}");
        Span::current().not_kept(&problem);
        Err(NotKept::Lost)
    }

    fn deadline(&self, app: Option<u64>, command: Option<Command>) -> Instant {
        self.arrived + self.live.deadline(app, command)
    }
}

/// Counts what became of the callback, and tells its trace.
fn came_to(metrics: &CommandMetrics, outcome: Outcome) {
    metrics.count(outcome);
    Span::current().came_to(outcome);
}

/// No answer waits longer for its place in the journal.
const MAX_AUDIT: Duration = Duration::from_millis(100);

/// Why an event is not kept.
enum NotKept {
    /// There is too much to do.
    Busy,
    /// The journal cannot.
    Lost,
}

/// All `X-Forwarded-For` of a request, joined as if they were one; none where one of them is not text.
fn forwarded_for(request: &HttpRequest) -> Option<String> {
    let values = request.headers().get_all("x-forwarded-for").map(|value| value.to_str().ok());
    values.collect::<Option<Vec<_>>>().map(|values| values.join(","))
}
