//! An event on the wire: the payload is the body, and behind it the answer, which may be too large for a header. Everything else
//! is in headers.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

use crate::record::Record;

const APP: &str = "Chathook-App";
const COMMAND: &str = "Chathook-Command";
const KEY: &str = "Chathook-Key";
const RECEIVED: &str = "Chathook-Received";
const QUERY: &str = "Chathook-Query";
/// How many bytes of the payload are the answer.
const ANSWER: &str = "Chathook-Answer";
const UNDECODED: &str = "Chathook-Undecoded";
const BY_CONTENT: &str = "Chathook-By-Content";

/// What may not stand in a header as it is. Spaces at the ends would be cut off.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// The headers of a record.
pub(super) fn headers(record: &Record) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, value(record.id.as_bytes()));
    headers.insert(COMMAND, value(record.command.as_bytes()));
    headers.insert(RECEIVED, HeaderValue::from(millis(record.received)));
    headers.insert(QUERY, value(record.query.as_bytes()));
    if let Some(app) = record.app {
        headers.insert(APP, HeaderValue::from(app));
    }
    if let Some(key) = &record.key {
        headers.insert(KEY, value(key.as_bytes()));
    }
    if let Some(answer) = &record.answer {
        headers.insert(ANSWER, HeaderValue::from(answer.len()));
    }
    if !record.decoded {
        headers.insert(UNDECODED, HeaderValue::from(1_u64));
    }
    if record.by_content {
        headers.insert(BY_CONTENT, HeaderValue::from(1_u64));
    }
    headers
}

/// The payload of a record.
pub(super) fn payload(record: &Record) -> Bytes {
    match &record.answer {
        Some(answer) => [&record.body[..], answer].concat().into(),
        None => record.body.clone(),
    }
}

/// Gives a record that is kept again, after one at that position, another identity.
pub(super) fn tell_again(headers: &mut HeaderMap, position: u64) {
    if let Some(id) = text(headers, NATS_MESSAGE_ID.as_ref()) {
        set_id(headers, &format!("{id}@{position}"));
    }
}

/// Gives a record another identity.
pub(super) fn set_id(headers: &mut HeaderMap, id: &str) {
    headers.insert(NATS_MESSAGE_ID, value(id.as_bytes()));
}

/// The record of a message; none when it is not one of ours.
pub(super) fn record(headers: &HeaderMap, payload: Bytes) -> Option<Record> {
    let mut body = payload;
    let answer = match headers.get(ANSWER) {
        Some(length) => {
            let begin = body.len().checked_sub(length.as_str().parse().ok()?)?;
            Some(body.split_off(begin))
        }
        None => None,
    };
    Some(Record {
        id: text(headers, NATS_MESSAGE_ID.as_ref())?,
        app: match headers.get(APP) {
            Some(app) => Some(app.as_str().parse().ok()?),
            None => None,
        },
        command: text(headers, COMMAND)?,
        key: match headers.get(KEY) {
            Some(key) => Some(decoded(key)?),
            None => None,
        },
        received: time(headers.get(RECEIVED)?.as_str().parse().ok()?),
        query: text(headers, QUERY)?,
        body,
        answer,
        by_content: headers.get(BY_CONTENT).is_some(),
        decoded: headers.get(UNDECODED).is_none(),
    })
}

fn value(bytes: &[u8]) -> HeaderValue {
    // What is escaped has no line breaks, the one thing that a header cannot hold.
    HeaderValue::from_str(&percent_encode(bytes, ESCAPED).to_string()).unwrap_or_default()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(decoded)
}

fn decoded(value: &HeaderValue) -> Option<String> {
    percent_decode_str(value.as_str()).decode_utf8().ok().map(Into::into)
}

/// Milliseconds since 1970.
pub(super) fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The time of so many milliseconds since 1970.
pub(super) fn time(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_wire_whatever_is_in_it() {
        let mut record = Record {
            id: " id\u{7f}%41 ".into(),
            app: Some(u64::MAX),
            command: "Sns.Callback\r\nX".into(),
            key: Some("群 ".into()),
            received: time(1_700_000_000_123),
            query: "a=%20&b= ".into(),
            body: Bytes::from_static(b"\0\xff body"),
            answer: Some(Bytes::from_static(b"{\"a\":\"\xff\r\n\"}")),
            by_content: true,
            decoded: false,
        };
        assert_eq!(super::record(&headers(&record), payload(&record)), Some(record.clone()));
        (record.app, record.key, record.answer, record.decoded) = (None, None, None, true);
        record.by_content = false;
        (record.id, record.query) = (String::new(), String::new());
        assert_eq!(super::record(&headers(&record), payload(&record)), Some(record));
    }
}
