//! A service as a target: one POST an event.

mod callback_server;
mod retry_after;
mod webhook;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use chathook_journal::Record;
use chathook_protocol::Query;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use self::webhook::Signer;
use super::cloudevent::CloudEvent;
use super::{Delivered, Undelivered};
use crate::config::{Invalid, Secret, duration, secrets};
use crate::http_client::{self, Client, Url, headers, root_cause};
use crate::traces::Span;

/// `http = { ... }`: a service that gets each event as a POST.
///
/// A status of 2xx means that it has the event. 408, 429, 5xx, a broken connection and silence are tried again, not
/// before the time of a `Retry-After` (of one hour at most); any other status, redirects among them, makes a dead letter
/// at once. A callback server (`passthrough`) that answers 2xx says in its answer whether it took an after-callback:
/// `FAIL`, or an `ErrorCode` other than 0, is tried again; to a before-callback, a code is a decision.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where it is, `http` or `https`. A query of its own stays in front.
    pub url: String,
    /// What it gets. Default: `passthrough`.
    #[serde(default)]
    pub format: Format,
    /// How long one attempt may take, from connecting to the end of the answer. Default: `10s`.
    #[serde(default = "super::default_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
    /// For `passthrough`: signs again, as Chat does, with the present time. Default: Chat's signature stays.
    #[serde(default)]
    pub token: Option<Secret>,
    /// For `cloudevents`: signs after the Standard Webhooks specification, once with each secret. A secret is base64 of
    /// 24 to 64 bytes, with or without `whsec_` in front. Default: not signed.
    #[serde(default, deserialize_with = "secrets")]
    pub secrets: Vec<Secret>,
    /// A PEM file with the authorities of its certificate. Default: those whom the system trusts.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Further headers, such as `Authorization`; each value may be in a file or in the environment.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Whether any 4xx is tried again. Default: only 408 and 429.
    #[serde(default)]
    pub retry_4xx: bool,
}

/// What a service gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// What Chat sent, query and body: for callback servers that are there already.
    #[default]
    Passthrough,
    /// CloudEvents in binary mode: the body, with attributes in headers.
    CloudEvents,
}

impl Config {
    /// A service at `url` that gets what Chat sent, and all else as it is by default.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            format: Format::default(),
            timeout: super::default_timeout(),
            token: None,
            secrets: Vec::new(),
            ca: None,
            headers: BTreeMap::new(),
            retry_4xx: false,
        }
    }

    /// Checks what can be checked without any file.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let wrong = |key: &str, problem: &str| Err(Invalid::new(format!("http.{key}"), problem));
        let url = self.url()?;
        headers::check("http", &self.headers, &["ce-", "webhook-"])?;
        match self {
            Self { timeout: Duration::ZERO, .. } => wrong("timeout", "must be more than zero"),
            Self { format: Format::CloudEvents, token: Some(_), .. } => {
                wrong("token", "is for `passthrough`; `cloudevents` is signed with `secrets`")
            }
            Self { format: Format::Passthrough, secrets, .. } if !secrets.is_empty() => {
                wrong("secrets", "is for `cloudevents`; `passthrough` is signed with `token`")
            }
            Self { ca: Some(_), .. } if !url.is_https() => wrong("ca", "is of no use, for `url` is not https"),
            _ => Ok(()),
        }
    }

    /// The files that it is made of.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let secrets = self.token.iter().chain(&self.secrets).chain(self.headers.values());
        secrets.filter_map(Secret::file).chain(self.ca.as_deref())
    }

    fn url(&self) -> Result<Url, Invalid> {
        Url::parse(&self.url).map_err(|problem| Invalid::new("http.url", problem))
    }
}

/// A service at work.
pub(crate) struct HttpTarget {
    client: Client,
    url: Url,
    format: Format,
    timeout: Duration,
    token: Option<SecretString>,
    signer: Signer,
    headers: HeaderMap,
    retry_4xx: bool,
}

/// No more of an answer is read; a callback server's answer is much shorter.
const MAX_ANSWER: usize = 64 * 1024;

/// How long the rest of an answer is waited for that nobody wants to know.
const MAX_REST: Duration = Duration::from_secs(1);

impl HttpTarget {
    /// Reads the files of `config`.
    pub(crate) fn open(config: &Config) -> Result<Self, Invalid> {
        let url = config.url()?;
        let token = config.token.as_ref().map(Secret::read).transpose();
        Ok(Self {
            // The caller says how many deliveries are on their way at once.
            client: http_client::build("http", &url, config.ca.as_deref(), Some(config.timeout), usize::MAX)?,
            url,
            format: config.format,
            timeout: config.timeout,
            token: token.map_err(|problem| Invalid::new("http.token", problem))?,
            signer: Signer::read(&config.secrets)?,
            headers: headers::read("http", &config.headers)?,
            retry_4xx: config.retry_4xx,
        })
    }

    pub(crate) async fn deliver(&self, event: &Record) -> Result<Delivered, Undelivered> {
        let request = self.request(event)?;
        let deadline = Instant::now() + self.timeout;
        let response = self.until(deadline, self.client.request(request)).await?.map_err(|error| {
            Undelivered::retry(match error.is_connect() {
                true => format!("no connection: {}", root_cause(&error)),
                false => no_answer(&error),
            })
        })?;
        let status = response.status();
        match status {
            _ if status.is_success() => self.taken(event, response, deadline).await,
            _ if self.may_change(status) => {
                let cause = format!("it answered {}", status.as_u16());
                match retry_after::read(response.headers(), SystemTime::now()) {
                    Some(after) => Err(Undelivered::retry_after(after, cause)),
                    None => Err(Undelivered::retry(cause)),
                }
            }
            _ if status.is_redirection() => {
                Err(Undelivered::refused(format!("it answered {}, a redirect, which is not followed", status.as_u16())))
            }
            _ => Err(Undelivered::refused(format!("it answered {}", status.as_u16()))),
        }
    }

    fn request(&self, event: &Record) -> Result<Request<Full<Bytes>>, Undelivered> {
        let mut request = Request::new(Full::new(event.body.clone()));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = self.headers.clone();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let query = match self.format {
            Format::Passthrough => {
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                self.query(event, now)
            }
            Format::CloudEvents => {
                CloudEvent::of(event).put_into(request.headers_mut());
                self.signer.sign(request.headers_mut(), &event.id, now, &event.body);
                Cow::Borrowed("")
            }
        };
        Span::current().put_into(request.headers_mut());
        *request.uri_mut() = self.url.with(&query).map_err(|error| Undelivered::impossible(error.to_string()))?;
        Ok(request)
    }

    /// The query as it came; signed again where there is a token.
    fn query<'a>(&self, event: &'a Record, now: u64) -> Cow<'a, str> {
        match &self.token {
            Some(token) => Query::parse(&event.query).signed_again(token.expose_secret(), now).into(),
            None => event.query.as_str().into(),
        }
    }

    /// What the service does is not waited for any longer.
    async fn until<T>(&self, deadline: Instant, doing: impl Future<Output = T>) -> Result<T, Undelivered> {
        timeout_at(deadline, doing).await.map_err(|_| Undelivered::no_answer(self.timeout))
    }

    /// Whether another attempt may be answered otherwise.
    fn may_change(&self, status: StatusCode) -> bool {
        status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            || (self.retry_4xx && status.is_client_error())
    }

    /// The answer is read to its end, so that the connection can be kept.
    async fn taken(
        &self,
        event: &Record,
        response: Response<Incoming>,
        deadline: Instant,
    ) -> Result<Delivered, Undelivered> {
        let delivered = Delivered { detail: response.status().as_u16().to_string() };
        let answer = read(response.into_body());
        match self.format {
            Format::CloudEvents => {
                // What it says after the status changes nothing.
                let _ = timeout_at(deadline.min(Instant::now() + MAX_REST), answer).await;
                Ok(delivered)
            }
            Format::Passthrough => {
                let answer = self.until(deadline, answer).await?;
                let answer = answer.map_err(|error| Undelivered::retry(no_answer(&error)))?;
                match answer.and_then(|answer| callback_server::failure(&event.command, &answer)) {
                    None => Ok(delivered),
                    Some(cause) => Err(Undelivered::retry(cause)),
                }
            }
        }
    }
}

fn no_answer(error: &dyn std::error::Error) -> String {
    format!("no answer: {}", root_cause(error))
}

/// Reads a body that is not longer than [`MAX_ANSWER`].
async fn read(mut body: Incoming) -> Result<Option<Vec<u8>>, hyper::Error> {
    let mut answer = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if answer.len().saturating_add(data.len()) > MAX_ANSWER {
            return Ok(None);
        }
        answer.extend_from_slice(&data);
    }
    Ok(Some(answer))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use chathook_protocol::signature;
    use hyper::StatusCode;

    use super::super::cloudevent::tests::event;
    use super::{Config, Format, HttpTarget};

    fn read(toml: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(toml)
    }

    fn target(toml: &str) -> HttpTarget {
        HttpTarget::open(&read(toml).unwrap()).unwrap()
    }

    #[test]
    fn a_url_is_enough() {
        let config = read("url = \"http://crm\"").unwrap();
        assert_eq!(config, Config::new("http://crm"));
        assert_eq!((config.format, config.timeout), (Format::Passthrough, Duration::from_secs(10)));
        assert!(config.secrets.is_empty() && config.headers.is_empty() && !config.retry_4xx);
        config.check().unwrap();
    }

    #[test]
    fn keys_are_read_and_checked() {
        let all = read(
            r#"
            url = "https://crm/events"
            format = "cloudevents"
            timeout = "3s"
            secrets = [{ file = "new" }, { env = "OLD" }, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
            ca = "ca.pem"
            headers = { Authorization = { file = "bearer" }, X-From = "chathook" }
            retry_4xx = true
            "#,
        )
        .unwrap();
        all.check().unwrap();
        assert_eq!((all.format, all.timeout, all.retry_4xx), (Format::CloudEvents, Duration::from_secs(3), true));
        assert_eq!(all.files().collect::<Vec<_>>(), ["new", "bearer", "ca.pem"].map(Path::new));
        let printed = format!("{all:?}");
        assert!(!printed.contains("whsec_") && !printed.contains("\"chathook\""), "{printed}");
        for (toml, key) in [
            ("url = \"crm\"", "http.url"),
            ("url = \"http://u:p@crm\"", "http.url"),
            ("url = \"http://a\"\ntimeout = \"0s\"", "http.timeout"),
            ("url = \"http://a\"\nca = \"ca.pem\"", "http.ca"),
            ("url = \"http://a\"\nsecrets = [\"k3y\"]", "http.secrets"),
            ("url = \"http://a\"\nformat = \"cloudevents\"\ntoken = \"k3y\"", "http.token"),
            ("url = \"http://a\"\nheaders = { \"a b\" = \"c\" }", "http.headers.a b"),
            ("url = \"http://a\"\nheaders = { Content-Type = \"c\" }", "http.headers.Content-Type"),
            ("url = \"http://a\"\nheaders = { CE-Id = \"c\" }", "http.headers.CE-Id"),
            ("url = \"http://a\"\nheaders = { Webhook-Id = \"c\" }", "http.headers.Webhook-Id"),
        ] {
            assert_eq!(read(toml).unwrap().check().unwrap_err().key, key, "{toml}");
        }
        for (toml, key) in [
            ("url = \"http://a\"\ntoken = { file = \"/nowhere\" }", "http.token"),
            ("url = \"http://a\"\nheaders = { X-Key = \"a\\nb\" }", "http.headers.X-Key"),
            ("url = \"http://a\"\nformat = \"cloudevents\"\nsecrets = \"k3y\"", "http.secrets[0]"),
            ("url = \"https://a\"\nca = \"/nowhere\"", "http.ca"),
        ] {
            let invalid = HttpTarget::open(&read(toml).unwrap()).err().unwrap();
            assert_eq!(invalid.key, key, "{toml}: {}", invalid.problem);
        }
        assert!(read("").is_err() && read("url = \"http://a\"\nformat = \"xml\"").is_err());
        assert!(read("url = \"http://a\"\nretries = 3").is_err());
    }

    #[test]
    fn passthrough_is_signed_again_where_there_is_a_token() {
        let mut event = event("State.StateChange", "{}");
        event.query = "a=%41&Sign=00&b='&RequestTime=1&".to_owned();
        assert_eq!(target("url = \"http://a\"").query(&event, 7), event.query);
        let sign = signature::sign("k3y", 7);
        let again = target("url = \"http://a\"\ntoken = \"k3y\"");
        assert_eq!(again.query(&event, 7), format!("a=%41&b='&&Sign={sign}&RequestTime=7"));
    }

    #[test]
    fn a_query_that_does_not_fit_into_a_url_is_nobody_elses_fault() {
        let mut event = event("State.StateChange", "{}");
        event.query = "x".repeat(70_000);
        let failure = target("url = \"http://a\"").request(&event).unwrap_err();
        assert_eq!(failure.class, chathook_journal::DeadClass::Gateway);
        assert!(target("url = \"http://a\"\nformat = \"cloudevents\"").request(&event).is_ok());
    }

    #[test]
    fn statuses_that_may_change_are_tried_again() {
        let changes = |target: &HttpTarget, status: u16| target.may_change(StatusCode::from_u16(status).unwrap());
        let (default, lenient) = (target("url = \"http://a\""), target("url = \"http://a\"\nretry_4xx = true"));
        for status in [408, 429, 500, 502, 503, 504, 599] {
            assert!(changes(&default, status), "{status}");
        }
        for status in [301, 302, 400, 401, 403, 404, 410, 413, 422] {
            assert!(!changes(&default, status), "{status}");
            assert_eq!(changes(&lenient, status), status >= 400, "{status}");
        }
    }
}
