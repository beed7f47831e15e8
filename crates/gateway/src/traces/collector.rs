//! The collector: takes spans over HTTP, as protobuf.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout_at};

use super::OtlpConfig;
use crate::config::Invalid;
use crate::http_client::{self, Client, Url, headers, root_cause};

/// No batch is tried for longer; meanwhile others wait.
const LIMIT: Duration = Duration::from_secs(10);

/// The pause before a batch is sent again, which doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What is lost is not said more often.
const SAID_EVERY: Duration = Duration::from_mins(1);

/// No more of an answer is read.
const MAX_ANSWER: usize = 64 * 1024;

/// Where spans are sent.
pub(super) struct Collector {
    service: Arc<Service>,
    resource: ResourceAttributesWithSchema,
    runtime: Handle,
    /// When it was said last that spans are lost.
    said: Mutex<Option<Instant>>,
}

struct Service {
    client: Client,
    url: Url,
    headers: HeaderMap,
}

/// Why a batch was not taken.
struct Refused {
    may_change: bool,
    problem: String,
}

impl Collector {
    /// Reads the files of `config`, and connects to nothing.
    pub(super) fn open(config: &OtlpConfig, runtime: Handle) -> Result<Self, Invalid> {
        let url = config.url()?;
        let mut headers = headers::read("traces.otlp", &config.headers)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let client = http_client::build("traces.otlp", &url, config.ca.as_deref(), None, 1)?;
        Ok(Self {
            service: Arc::new(Service { client, url, headers }),
            resource: ResourceAttributesWithSchema::default(),
            runtime,
            said: Mutex::default(),
        })
    }

    fn say(&self, spans: usize, problem: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
            *said = Some(Instant::now());
            tracing::warn!(spans, "traces are lost: {problem}");
        }
    }
}

/// It has secrets.
impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        // The thread that this is called on cannot wait for a network.
        let sent = self.runtime.spawn(Arc::clone(&self.service).send(body.into()));
        match sent.await.unwrap_or_else(|_| Err("the program is stopping".to_owned())) {
            Ok(None) => Ok(()),
            Ok(Some(complaint)) => {
                self.say(spans, &complaint);
                Ok(())
            }
            Err(problem) => {
                self.say(spans, &problem);
                Err(OTelSdkError::InternalFailure(problem))
            }
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl Service {
    /// Sends a batch, and again while that may help. Gives what the collector complains of that took it.
    async fn send(self: Arc<Self>, body: Bytes) -> Result<Option<String>, String> {
        let (deadline, mut pause) = (Instant::now() + LIMIT, FIRST_PAUSE);
        loop {
            let problem = match timeout_at(deadline, self.attempt(body.clone())).await {
                Ok(Ok(complaint)) => return Ok(complaint),
                Ok(Err(Refused { may_change: true, problem })) => problem,
                Ok(Err(Refused { may_change: false, problem })) => return Err(problem),
                Err(_) => return Err("the collector does not answer".to_owned()),
            };
            if deadline.saturating_duration_since(Instant::now()) <= pause {
                return Err(problem);
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    async fn attempt(&self, body: Bytes) -> Result<Option<String>, Refused> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = self.headers.clone();
        *request.uri_mut() =
            self.url.with("").map_err(|error| Refused { may_change: false, problem: error.to_string() })?;
        let response = self.client.request(request).await.map_err(|error| Refused {
            may_change: true,
            problem: format!("no answer of the collector: {}", root_cause(&error)),
        })?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        match status {
            _ if status.is_success() => {
                // What it says is of interest only where it is readable.
                Ok(answer.ok().and_then(|answer| complaint(answer.to_bytes())))
            }
            // As the specification of OTLP has it.
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(Refused { may_change: true, problem: answered(status) }),
            _ => Err(Refused { may_change: false, problem: answered(status) }),
        }
    }
}

fn answered(status: StatusCode) -> String {
    format!("the collector answered {}", status.as_u16())
}

/// What a collector says of spans that it did not take although it took the batch.
fn complaint(answer: Bytes) -> Option<String> {
    let partial = ExportTraceServiceResponse::decode(answer).ok()?.partial_success?;
    let is_complaint = partial.rejected_spans > 0 || !partial.error_message.is_empty();
    is_complaint.then(|| {
        format!("the collector took all but {}: {}", partial.rejected_spans, partial.error_message.escape_debug())
    })
}
