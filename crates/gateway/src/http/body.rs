//! Bodies: read up to a limit and by a deadline.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoBody {
    /// It is larger than the limit.
    TooLarge,
    /// It did not arrive by the deadline.
    TooSlow,
    /// The connection or the encoding broke.
    Broken,
}

/// How much of a body that is too large is read and thrown away, in bodies of the limit: a client that is still
/// writing would not see the answer.
const DISCARD: usize = 16;

/// Reads the body of `request`.
pub(super) async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    max: usize,
    deadline: Instant,
) -> Result<Bytes, NoBody> {
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut read = pin!(async {
        if declared.is_some_and(|length| length > max) {
            discard(payload, max).await;
            return Err(NoBody::TooLarge);
        }
        let Some(first) = payload.next().await else { return Ok(Bytes::new()) };
        let first = first.map_err(|_| NoBody::Broken)?;
        if declared == Some(first.len()) {
            return Ok(first);
        }
        let mut body = BytesMut::with_capacity(declared.unwrap_or(2 * first.len()));
        body.extend_from_slice(&first);
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| NoBody::Broken)?;
            if body.len() + chunk.len() > max {
                discard(payload, max).await;
                return Err(NoBody::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        match body.len() > max {
            true => Err(NoBody::TooLarge),
            false => Ok(body.freeze()),
        }
    });
    match soon(read.as_mut()).await {
        Some(body) => body,
        None => timeout_at(deadline, read).await.unwrap_or(Err(NoBody::TooSlow)),
    }
}

/// The outcome of `future` if it is there at its first or second poll. A body mostly comes with its head, and is there
/// when the connection is polled again: cheaper than setting a timer and taking it away.
async fn soon<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut is_first = true;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if is_first => {
            is_first = false;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

async fn discard(payload: &mut Payload, max: usize) {
    let mut left = max.saturating_mul(DISCARD);
    while let Some(Ok(chunk)) = payload.next().await {
        match left.checked_sub(chunk.len()) {
            Some(less) => left = less,
            None => return,
        }
    }
}
