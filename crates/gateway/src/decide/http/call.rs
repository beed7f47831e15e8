//! One call: a request, perhaps a second one, and the first good answer.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use chathook_protocol::AnyDecision;
use chathook_router::Question;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::breaker::{Breaker, Permit};
use super::failure::Failure;
use super::{Format, json, passthrough};
use crate::http_client::{Client, Url};
use crate::metrics::DeciderMetrics;
use crate::traces::Span;

/// A service, and what is known of it.
pub(super) struct Service {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) format: Format,
    pub(super) token: Option<SecretString>,
    pub(super) timeout: Option<Duration>,
    pub(super) hedge: Option<Duration>,
    pub(super) max_answer: usize,
    pub(super) places: Arc<Semaphore>,
    pub(super) breaker: Option<Arc<Breaker>>,
    pub(super) metrics: Arc<DeciderMetrics>,
}

/// A call that may be made.
pub(super) struct Call {
    service: Arc<Service>,
    question: Arc<Question>,
    /// When nobody waits any more.
    limit: Instant,
    permit: Option<Permit>,
    span: Span,
    _place: Place,
}

/// One request of as many as there may be at once.
struct Place {
    metrics: Arc<DeciderMetrics>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

impl Service {
    /// A call about `question`, if there is a place for it and the service is not left alone.
    pub(super) fn call(self: &Arc<Self>, question: &Arc<Question>, span: &Span) -> Result<Call, Failure> {
        let (now, deadline) = (Instant::now(), question.deadline());
        let own = self.timeout.and_then(|timeout| now.checked_add(timeout));
        let limit = own.map_or(deadline, |own| own.min(deadline));
        let place = self.place().ok_or(Failure::Overload)?;
        let permit = self.breaker.as_ref().map(|breaker| breaker.permit(now, limit)).transpose()?;
        let (service, question, span) = (Arc::clone(self), Arc::clone(question), span.clone());
        Ok(Call { service, question, limit, permit, span, _place: place })
    }

    fn place(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.metrics.in_flight.inc();
        Some(Place { metrics: Arc::clone(&self.metrics), _permit: permit })
    }
}

impl Call {
    /// Makes the call. When its time is over it has failed, and goes on for those who want to know what comes of it.
    pub(super) async fn run(mut self) -> Result<AnyDecision, Failure> {
        let request = self.request().inspect_err(|failure| self.failed(failure))?;
        let permit = self.permit.take();
        // A probe is one request.
        let hedge = self.service.hedge.filter(|_| !permit.as_ref().is_some_and(Permit::is_probe));
        let mut answer = pin!(self.answer(request, hedge));
        let in_time = timeout_at(self.limit, &mut answer).await;
        if let Some(permit) = permit {
            permit.ended(matches!(in_time, Ok(Ok(_))));
        }
        match in_time {
            Ok(Ok(decision)) => {
                self.span.decides(decision.effect());
                Ok(decision)
            }
            Ok(Err(failure)) => {
                self.failed(&failure);
                Err(failure)
            }
            Err(_) => {
                self.span.does_not_decide("timeout", || "its time is over".to_owned());
                answer.await.inspect(|decision| self.span.would_have_decided(decision.effect()))
            }
        }
    }

    fn failed(&self, failure: &Failure) {
        self.span.does_not_decide(failure.into(), || failure.to_string());
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, Failure> {
        let Service { url, format, token, .. } = &*self.service;
        let (event, token) = (self.question.event(), token.as_ref().map(ExposeSecret::expose_secret));
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let (query, body) = match format {
            Format::Passthrough => (passthrough::query(event, token, time), event.body().clone()),
            Format::Json => {
                let query = token.map(|token| json::query(token, time)).unwrap_or_default();
                let left = self.limit.saturating_duration_since(Instant::now());
                (Cow::Owned(query), json::body(&self.question, left)?)
            }
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.with(&query)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.span.put_into(request.headers_mut());
        Ok(request)
    }

    /// The first good answer to `request`, or to a second one that is sent when there is none after `hedge`.
    async fn answer(&self, request: Request<Full<Bytes>>, hedge: Option<Duration>) -> Result<AnyDecision, Failure> {
        let Some(delay) = hedge else { return self.ask(request).await };
        let mut first = pin!(self.ask(request));
        if let Ok(answer) = timeout(delay, &mut first).await {
            return answer;
        }
        let Some(_place) = self.second_place() else { return first.await };
        // Made anew: there is less time left, which it says.
        let Ok(request) = self.request() else { return first.await };
        let second = pin!(self.ask(request));
        match select(first, second).await {
            Either::Left((Err(_), other)) | Either::Right((Err(_), other)) => other.await,
            Either::Left((decision, _)) | Either::Right((decision, _)) => decision,
        }
    }

    /// The place of a second request, which is counted; none where it could not help any more, or would be too many.
    fn second_place(&self) -> Option<Place> {
        let place = self.service.place().filter(|_| Instant::now() < self.limit)?;
        self.service.metrics.hedges.inc();
        self.span.hedges();
        Some(place)
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<AnyDecision, Failure> {
        let response = self.service.client.request(request).await.map_err(|error| Failure::of_client(&error))?;
        if response.status() != StatusCode::OK {
            return Err(Failure::Status(response.status().as_u16()));
        }
        let answer = read(response.into_body(), self.service.max_answer).await?;
        match self.service.format {
            Format::Passthrough => passthrough::read(&self.question, &answer),
            Format::Json => json::read(&self.question, &answer),
        }
    }
}

/// Reads an answer that is no longer than `max`. A longer one is left unread, and its connection with it.
async fn read(mut body: Incoming, max: usize) -> Result<Vec<u8>, Failure> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max {
        return Err(Failure::TooLarge(max));
    }
    let mut answer = Vec::with_capacity(announced.min(64 * 1024));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if answer.len().saturating_add(data.len()) > max {
            return Err(Failure::TooLarge(max));
        }
        answer.extend_from_slice(&data);
    }
    Ok(answer)
}
