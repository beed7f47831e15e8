//! The only place where an answer becomes an HTTP response.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use bytes::Bytes;
use chathook_protocol::Answer;

/// 200: what Chat takes for an answer.
pub(super) fn ok(answer: &Answer) -> HttpResponse {
    json(StatusCode::OK, answer)
}

/// Not Chat's. Says nothing about why: who guesses learns nothing.
pub(super) fn refused() -> HttpResponse {
    json(StatusCode::FORBIDDEN, &Answer::fail("refused"))
}

/// The body is larger than the limit, and so cannot be kept.
pub(super) fn too_large() -> HttpResponse {
    json(StatusCode::PAYLOAD_TOO_LARGE, &Answer::fail("body too large"))
}

/// The body did not arrive in time, or not whole.
pub(super) fn incomplete() -> HttpResponse {
    json(StatusCode::REQUEST_TIMEOUT, &Answer::fail("body incomplete"))
}

/// There is too much to do; Chat may try again.
pub(super) fn overloaded() -> HttpResponse {
    json(StatusCode::SERVICE_UNAVAILABLE, &Answer::fail("overloaded"))
}

/// It could not be made durable; Chat may try again.
pub(super) fn not_kept() -> HttpResponse {
    json(StatusCode::SERVICE_UNAVAILABLE, &Answer::fail("cannot be kept"))
}

/// Callbacks are POSTs.
pub(super) fn method_not_allowed() -> HttpResponse {
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, &Answer::fail("callbacks are sent by POST"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

/// The URL in the console has another path.
pub(super) fn not_found() -> HttpResponse {
    json(StatusCode::NOT_FOUND, &Answer::fail("not the path of callbacks"))
}

/// The response to a request whose body may not have been read to its end. Where it was not, the connection is closed
/// after the response: nobody can tell where the next request would begin.
pub(super) fn with_unread(response: HttpResponse, unread: Payload) -> HttpResponse {
    response.map_body(|_, body| BoxBody::new(WithUnread { body, _unread: unread }))
}

/// A body that keeps the rest of the request until it is sent. actix-web would go on reading a chunked request that was
/// dropped, for as long as the client goes on sending.
struct WithUnread {
    body: BoxBody,
    _unread: Payload,
}

impl MessageBody for WithUnread {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

fn json(status: StatusCode, answer: &Answer) -> HttpResponse {
    let mut response = HttpResponse::with_body(status, BoxBody::new(answer.body().clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
