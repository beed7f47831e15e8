//! Reading from a stream without a consumer: many messages from a sequence on in one request (nats-server 2.11).

use std::time::{Duration, SystemTime};

use async_nats::{Client, HeaderMap, StatusCode, Subject};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Serialize;

use crate::error::JournalError;

/// Bytes of a page.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// The end of an answer.
const END: u16 = 204;
/// So long may the next message of an answer take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which messages.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Query {
    /// From this sequence on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<u64>,
    /// Stored at this time or later (RFC 3339); instead of `seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_time: Option<String>,
    /// Of these subjects; none: of all.
    #[serde(rename = "next_by_subj", skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    /// At most so many.
    pub(super) batch: usize,
    /// About so many bytes, and at least one message.
    pub(super) max_bytes: usize,
}

impl Query {
    /// Of a stream, or of some of its subjects, from a sequence on.
    pub(super) fn from(seq: u64, subject: Option<String>, batch: usize) -> Self {
        Self { seq: Some(seq), start_time: None, subject, batch, max_bytes: PAGE_BYTES }
    }

    /// The first message stored at this time or later.
    pub(super) fn first_since(time: SystemTime) -> Self {
        let start_time = Some(humantime::format_rfc3339_nanos(time).to_string());
        Self { seq: None, start_time, subject: None, batch: 1, max_bytes: PAGE_BYTES }
    }
}

/// An answer.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) messages: Vec<Found>,
    /// How many more there are behind these.
    pub(super) more: u64,
}

/// A message of a stream.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) sequence: u64,
    pub(super) subject: Subject,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// Reads a page. Any replica of the stream may answer, and one that lags does not see the newest messages yet; it never
/// leaves out one in the middle.
pub(super) async fn page(client: &Client, stream: &str, query: &Query) -> Result<Page, JournalError> {
    let inbox = client.new_inbox();
    let unreachable = |error: &dyn std::fmt::Display| JournalError::Unavailable(format!("stream {stream}: {error}"));
    let request = serde_json::to_vec(query).map_err(|error| JournalError::Failed(error.to_string()))?;
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| unreachable(&error))?;
    client
        .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, request.into())
        .await
        .map_err(|error| unreachable(&error))?;
    let mut page = Page::default();
    loop {
        let message = match tokio::time::timeout(PATIENCE, answers.next()).await {
            Ok(Some(message)) => message,
            Ok(None) => return Err(unreachable(&"the connection ended")),
            Err(_) => return Err(unreachable(&"no answer in time")),
        };
        let headers = message.headers.unwrap_or_default();
        let number = |name: &str| headers.get(name).and_then(|value| value.as_str().parse::<u64>().ok());
        match message.status {
            None => {}
            Some(StatusCode::NOT_FOUND) => return Ok(page),
            Some(status) if status.as_u16() == END => {
                page.more = number("Nats-Num-Pending").unwrap_or(0);
                return Ok(page);
            }
            Some(StatusCode::NO_RESPONDERS) => return Err(unreachable(&"no server has it now")),
            Some(status) => {
                let why = message.description.as_deref().unwrap_or("without a reason");
                return Err(JournalError::Failed(format!("stream {stream}: {why} ({status})")));
            }
        }
        let (Some(sequence), Some(subject)) = (number("Nats-Sequence"), headers.get("Nats-Subject")) else {
            return Err(JournalError::Failed(format!("stream {stream}: an answer without sequence")));
        };
        let subject = Subject::from(subject.as_str());
        page.messages.push(Found { sequence, subject, headers, payload: message.payload });
    }
}

/// The newest message of a subject.
pub(super) async fn last(client: &Client, stream: &str, subject: &str) -> Result<Option<Found>, JournalError> {
    let unreachable = |error: &dyn std::fmt::Display| JournalError::Unavailable(format!("stream {stream}: {error}"));
    let request = client.request(format!("$JS.API.DIRECT.GET.{stream}.{subject}"), Bytes::new());
    let message = match tokio::time::timeout(PATIENCE, request).await {
        Ok(answer) => answer.map_err(|error| unreachable(&error))?,
        Err(_) => return Err(unreachable(&"no answer in time")),
    };
    let headers = message.headers.unwrap_or_default();
    match message.status {
        None => {}
        Some(StatusCode::NOT_FOUND) => return Ok(None),
        Some(status) => return Err(JournalError::Failed(format!("stream {stream}: {status}"))),
    }
    let sequence = headers.get("Nats-Sequence").and_then(|value| value.as_str().parse().ok());
    let Some(sequence) = sequence else {
        return Err(JournalError::Failed(format!("stream {stream}: an answer without sequence")));
    };
    Ok(Some(Found { sequence, subject: subject.into(), headers, payload: message.payload }))
}

/// Messages of a page of `Pages`.
const PAGE: usize = 256;

/// The messages of some subjects, page by page.
#[derive(Debug)]
pub(super) struct Pages<'a> {
    stream: &'a str,
    query: Query,
    ended: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn of(stream: &'a str, subject: String) -> Self {
        Self { stream, query: Query::from(1, Some(subject), PAGE), ended: false }
    }

    /// None: there are no more.
    pub(super) async fn next(&mut self, client: &Client) -> Result<Option<Vec<Found>>, JournalError> {
        if self.ended {
            return Ok(None);
        }
        let page = page(client, self.stream, &self.query).await?;
        self.ended = page.more == 0;
        let Some(last) = page.messages.last() else { return Ok(None) };
        self.query.seq = Some(last.sequence + 1);
        Ok(Some(page.messages))
    }
}

/// Every message of the subjects.
pub(super) async fn all(client: &Client, stream: &str, subject: &str) -> Result<Vec<Found>, JournalError> {
    let mut found = Vec::new();
    let mut pages = Pages::of(stream, subject.to_owned());
    while let Some(page) = pages.next(client).await? {
        found.extend(page);
    }
    Ok(found)
}
