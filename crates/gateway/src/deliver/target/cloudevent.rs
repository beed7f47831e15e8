//! CloudEvents 1.0: an event as services of any kind read it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chathook_journal::Record;
use chathook_protocol::{Command, Query};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Undelivered;

/// The media type of an event as one JSON document.
pub(super) const MEDIA_TYPE: &str = "application/cloudevents+json";

/// An event with its attributes, in the order in which they are written.
#[derive(Serialize)]
pub(super) struct CloudEvent<'a> {
    specversion: &'static str,
    #[serde(rename = "type")]
    kind: String,
    source: Cow<'static, str>,
    id: &'a str,
    time: String,
    /// The conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    datacontenttype: &'static str,
    /// `before` or `after`; none for a command that nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'static str>,
    /// What the query says of the client behind the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clientip: Option<IpAddr>,
    /// What a before-callback was answered. Not in headers: a rewritten message is longer than servers take there.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
    /// The body, where it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    /// Else its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

impl<'a> CloudEvent<'a> {
    pub(super) fn of(event: &'a Record) -> Self {
        let data = json(&event.body);
        let query = Query::parse(&event.query);
        Self {
            specversion: "1.0",
            kind: ["com.tencentcloud.chat.", named(&event.command)].concat(),
            source: event.app.map_or(Cow::Borrowed("/chat"), |app| format!("/chat/{app}").into()),
            id: &event.id,
            time: timestamp(event.received),
            subject: event.key.as_deref(),
            datacontenttype: content_type(data.is_some()),
            phase: event.command.parse::<Command>().ok().map(|command| command.phase().into()),
            platform: query.platform.map(|platform| platform.as_str().to_owned()),
            clientip: query.client_ip,
            answer: event.answer.as_deref().and_then(|answer| str::from_utf8(answer).ok()),
            data,
            data_base64: data.is_none().then(|| STANDARD.encode(&event.body)),
        }
    }

    /// Structured mode: one JSON document. JSON in the body stays as it came.
    pub(super) fn json(&self) -> Result<Vec<u8>, Undelivered> {
        let mut json = Vec::with_capacity(512 + self.data.map_or(0, |data| data.get().len()));
        serde_json::to_writer(&mut json, self)
            .map_err(|error| Undelivered::impossible(format!("cannot be written as a CloudEvent: {error}")))?;
        Ok(json)
    }

    /// The same as one line. What is a line break outside strings becomes a blank.
    pub(super) fn line(&self) -> Result<Vec<u8>, Undelivered> {
        let mut line = self.json()?;
        // In strings they are escaped.
        for byte in line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
        line.push(b'\n');
        Ok(line)
    }

    /// Binary mode of HTTP: the attributes. The body is the body.
    pub(super) fn put_into(&self, headers: &mut HeaderMap) {
        let client_ip = self.clientip.map(|ip| ip.to_string());
        for (name, value) in [
            ("ce-specversion", Some(self.specversion)),
            ("ce-type", Some(self.kind.as_str())),
            ("ce-source", Some(&*self.source)),
            ("ce-id", Some(self.id)),
            ("ce-time", Some(self.time.as_str())),
            ("ce-subject", self.subject),
            ("ce-phase", self.phase),
            ("ce-platform", self.platform.as_deref()),
            ("ce-clientip", client_ip.as_deref()),
            ("content-type", Some(self.datacontenttype)),
        ] {
            if let Some(value) = value.and_then(header) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// What is percent-encoded in headers, besides everything that is not ASCII.
const NOT_IN_HEADERS: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

fn header(value: &str) -> Option<HeaderValue> {
    let encoded: Cow<'_, str> = utf8_percent_encode(value, NOT_IN_HEADERS).into();
    HeaderValue::from_str(&encoded).ok()
}

/// The media type of a body.
pub(super) fn content_type(is_json: bool) -> &'static str {
    match is_json {
        true => "application/json",
        false => "application/octet-stream",
    }
}

/// The body, if it is JSON.
fn json(body: &[u8]) -> Option<&RawValue> {
    serde_json::from_str(str::from_utf8(body).ok()?).ok()
}

/// The command, or a word for none.
pub(super) fn named(command: &str) -> &str {
    match command {
        "" => "unknown",
        command => command,
    }
}

/// RFC 3339, with milliseconds. A time that it cannot write becomes the nearest that it can.
pub(crate) fn timestamp(time: SystemTime) -> String {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bytes::Bytes;
    use chathook_journal::Record;
    use hyper::header::HeaderMap;

    use super::{CloudEvent, timestamp};

    /// An event with this command and body.
    pub(in super::super) fn event(command: &str, body: &str) -> Record {
        Record {
            id: format!("1400000001/{command}/a%20b"),
            app: Some(1_400_000_001),
            command: command.to_owned(),
            key: Some("group/@TGS#1".to_owned()),
            received: UNIX_EPOCH + Duration::from_millis(1_718_000_000_123),
            query: format!("SdkAppid=1400000001&CallbackCommand={command}&ClientIP=203.0.113.7&OptPlatform=iOS"),
            body: Bytes::from(body.to_owned()),
            answer: None,
            by_content: false,
            decoded: true,
        }
    }

    #[test]
    fn structured_is_one_document_with_the_body_as_it_came() {
        let event = event("Group.CallbackAfterSendMsg", "{ \"A\" : 1.0,\n\"A\":\"\\u4f60\"}\r\n");
        assert_eq!(
            String::from_utf8(CloudEvent::of(&event).json().unwrap()).unwrap(),
            concat!(
                r#"{"specversion":"1.0","type":"com.tencentcloud.chat.Group.CallbackAfterSendMsg","#,
                r#""source":"/chat/1400000001","id":"1400000001/Group.CallbackAfterSendMsg/a%20b","#,
                r#""time":"2024-06-10T06:13:20.123Z","subject":"group/@TGS#1","datacontenttype":"application/json","#,
                r#""phase":"after","platform":"iOS","clientip":"203.0.113.7","#,
                "\"data\":{ \"A\" : 1.0,\n\"A\":\"\\u4f60\"}}",
            )
        );
        let line = String::from_utf8(CloudEvent::of(&event).line().unwrap()).unwrap();
        assert!(line.ends_with(concat!(r#""data":{ "A" : 1.0, "A":"\u4f60"}}"#, "\n")), "{line}");
        assert_eq!(line.matches(['\n', '\r']).count(), 1);
    }

    #[test]
    fn what_is_not_json_is_there_byte_for_byte_all_the_same() {
        let mut event = event("Sns.CallbackFriendAdd", "");
        for (body, base64) in [(&b"{\"A\":"[..], "eyJBIjo="), (b"\xff\x00", "/wA="), (b"\"\xff\"", "Iv8i"), (b"", "")] {
            event.body = Bytes::from_static(body);
            let document: serde_json::Value = serde_json::from_slice(&CloudEvent::of(&event).json().unwrap()).unwrap();
            assert_eq!((&document["data"], &document["data_base64"]), (&serde_json::Value::Null, &base64.into()));
            assert_eq!(document["datacontenttype"], "application/octet-stream");
        }
    }

    #[test]
    fn an_event_may_have_next_to_nothing() {
        let event = Record {
            app: None,
            key: None,
            query: String::new(),
            answer: Some(Bytes::from_static(b"{\"ErrorCode\":0}")),
            ..event("", "{}")
        };
        let document: serde_json::Value = serde_json::from_slice(&CloudEvent::of(&event).json().unwrap()).unwrap();
        let expected = serde_json::json!({
            "specversion": "1.0", "type": "com.tencentcloud.chat.unknown", "source": "/chat", "id": event.id,
            "time": "2024-06-10T06:13:20.123Z", "datacontenttype": "application/json",
            "answer": "{\"ErrorCode\":0}", "data": {},
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn binary_has_the_attributes_in_headers() {
        let mut headers = HeaderMap::new();
        let event = Record { key: Some("group/你 \"%\u{7f}".to_owned()), ..event("New\r\nOne", "{}") };
        CloudEvent::of(&event).put_into(&mut headers);
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "ce-clientip: 203.0.113.7",
                "ce-id: 1400000001/New%0D%0AOne/a%2520b",
                "ce-platform: iOS",
                "ce-source: /chat/1400000001",
                "ce-specversion: 1.0",
                "ce-subject: group/%E4%BD%A0%20%22%25%7F",
                "ce-time: 2024-06-10T06:13:20.123Z",
                "ce-type: com.tencentcloud.chat.New%0D%0AOne",
                "content-type: application/json",
            ]
        );
    }

    #[test]
    fn any_time_can_be_written() {
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(300_000_000_000)), "9999-12-31T23:59:59.000Z");
    }
}
