//! Traces: what becomes of callbacks and of deliveries, for a collector of OpenTelemetry. All that is told of them stands
//! here, and nothing in it belongs to users: no body, no token, no Sign, no account. For that reason an event is told by
//! its position in the journal: its identity may have an account in it.

mod collector;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::http::header::HeaderMap;
use chathook_journal::{Delivery, Outcome as Attempted, Position};
use chathook_protocol::{Command, Effect};
use chathook_router::FallbackReason;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{
    FutureExt, SpanBuilder, SpanKind, Status, TraceContextExt, TraceFlags, Tracer, TracerProvider, WithContext,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::time::Instant;

use self::collector::Collector;
use crate::config::{Invalid, Secret};
use crate::http_client::{Url, headers};
use crate::metrics::Outcome;

/// `[traces]`: a span for each callback, for each decider that is asked, and for each attempt to deliver.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Who gets them. Default: nobody, and there are none.
    pub otlp: Option<OtlpConfig>,
    /// The share of callbacks and of deliveries that is traced, from 0 to 1. A callback with a `traceparent` is traced where
    /// that says so. Default: 1.
    pub sample: f64,
    /// What this program is called in them. Default: `chathook`.
    pub service_name: String,
}

/// `[traces.otlp]`: a collector that takes OTLP over HTTP, as protobuf.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct OtlpConfig {
    /// Where it takes traces, `http` or `https`: `http://collector:4318/v1/traces`.
    pub url: String,
    /// Further headers, such as `Authorization`; each value may be in a file or in the environment.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// A PEM file with the authorities of its certificate. Default: those whom the system trusts.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self { otlp: None, sample: 1.0, service_name: "chathook".to_owned() }
    }
}

impl Config {
    /// Checks what can be checked without any file.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if !(0.0..=1.0).contains(&self.sample) {
            return Err(Invalid::new("traces.sample", "must be between 0 and 1"));
        }
        if self.service_name.is_empty() {
            return Err(Invalid::new("traces.service_name", "is empty"));
        }
        self.otlp.as_ref().map_or(Ok(()), OtlpConfig::check)
    }
}

impl OtlpConfig {
    fn check(&self) -> Result<(), Invalid> {
        headers::check("traces.otlp", &self.headers, &[])?;
        match self.url()?.is_https() {
            false if self.ca.is_some() => Err(Invalid::new("traces.otlp.ca", "is of no use, for `url` is not https")),
            _ => Ok(()),
        }
    }

    fn url(&self) -> Result<Url, Invalid> {
        Url::parse(&self.url).map_err(|problem| Invalid::new("traces.otlp.url", problem))
    }
}

/// Makes spans, and hands them to the collector; where traces are off, does neither.
#[derive(Clone)]
pub(crate) struct Traces(Option<On>);

#[derive(Clone)]
struct On {
    provider: Arc<Provider>,
    /// Has the tracer, for the steps of a trace, and no span.
    root: Context,
}

/// Where spans wait to be sent.
struct Provider(SdkTracerProvider);

impl Drop for Provider {
    /// By itself it would block its thread until they are sent.
    fn drop(&mut self) {
        let _ = self.0.shutdown_with_timeout(Duration::ZERO);
    }
}

/// How long spans that wait may take to be sent before the program ends.
const MAX_FLUSH: Duration = Duration::from_secs(2);

impl Traces {
    /// Reads the files of `config`. Spans are sent on `runtime`, and wait for that in a thread of their own; those that are
    /// too many to wait are lost.
    pub(crate) fn start(config: &Config, runtime: &Handle) -> Result<Self, Invalid> {
        let Some(otlp) = &config.otlp else { return Ok(Self(None)) };
        let version = env!("CARGO_PKG_VERSION");
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.version", version))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Collector::open(otlp, runtime.clone())?)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample))))
            .with_resource(resource)
            .build();
        let tracer =
            provider.tracer_with_scope(InstrumentationScope::builder("chathook").with_version(version).build());
        Ok(Self(Some(On { provider: Arc::new(Provider(provider)), root: Context::new().with_value(tracer) })))
    }

    /// A callback that is Chat's, and arrived then. It goes on with the trace that `headers` tell of.
    pub(crate) fn callback(
        &self,
        headers: &HeaderMap,
        arrived: Instant,
        app: Option<u64>,
        command: Option<Command>,
    ) -> Span {
        let Some(On { root, .. }) = &self.0 else { return Span::none() };
        let parent = TraceContextPropagator::new().extract_with_context(root, &Headers(headers));
        let span = Span::within(&parent, || {
            let builder = SpanBuilder::from_name("callback").with_kind(SpanKind::Server);
            builder.with_start_time(moment(arrived)).with_attributes(app.map(|app| KeyValue::new(APP, number(app))))
        });
        span.is_about(command);
        span
    }

    /// An attempt to deliver to a target of this kind: a trace of its own, for it may be long after the callback.
    pub(crate) fn delivery(&self, target: &str, kind: &'static str, delivery: &Delivery) -> Span {
        let Some(On { root, .. }) = &self.0 else { return Span::none() };
        Span::within(root, || {
            let command = delivery.record.command.parse::<Command>().map_or(UNKNOWN, Command::as_str);
            let attributes = [
                KeyValue::new("chathook.target", target.to_owned()),
                KeyValue::new("chathook.target.kind", kind),
                KeyValue::new(COMMAND, command),
                KeyValue::new(POSITION, number(delivery.position.0)),
                KeyValue::new("chathook.attempt", i64::from(delivery.attempts).saturating_add(1)),
            ];
            let app = delivery.record.app.map(|app| KeyValue::new(APP, number(app)));
            SpanBuilder::from_name(format!("deliver {target}"))
                .with_kind(match kind {
                    "http" => SpanKind::Client,
                    "nats" | "redis" | "rabbitmq" | "kafka" => SpanKind::Producer,
                    _ => SpanKind::Internal,
                })
                .with_attributes(attributes.into_iter().chain(app))
        })
    }

    /// Sends what waits to be sent, and makes no more spans.
    pub(crate) async fn end(&self) {
        let Some(On { provider, .. }) = self.0.clone() else { return };
        // It blocks its thread.
        let ended = tokio::task::spawn_blocking(move || provider.0.shutdown_with_timeout(MAX_FLUSH)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("stopping with traces that the collector did not take in {MAX_FLUSH:?}");
        }
    }
}

const APP: &str = "chathook.sdk_app_id";
const COMMAND: &str = "chathook.command";
const DECISION: &str = "chathook.decision";
const ERROR: &str = "error.type";
const OUTCOME: &str = "chathook.outcome";
const POSITION: &str = "chathook.position";

/// A command that is not in the table. Whoever sends it chooses its name.
const UNKNOWN: &str = "unknown";

/// A step of a trace. It ends when that is said, at the latest when nobody has it any more. Where traces are off it is
/// nothing, and all that is said of it costs nothing.
#[derive(Clone)]
pub(crate) struct Span(Context);

impl Span {
    fn none() -> Self {
        Self(Context::new())
    }

    /// That in which this is called: see [`around`](Self::around).
    pub(crate) fn current() -> Self {
        Self(Context::current())
    }

    fn within(parent: &Context, builder: impl FnOnce() -> SpanBuilder) -> Self {
        match parent.get::<SdkTracer>() {
            Some(tracer) => Self(parent.with_span(tracer.build_with_context(builder(), parent))),
            None => Self::none(),
        }
    }

    /// Makes this the current one for all that `work` does in its own task.
    pub(crate) fn around<W: Future>(&self, work: W) -> WithContext<W> {
        work.with_context(self.0.clone())
    }

    /// Gives `put` the headers by which others go on with this trace.
    pub(crate) fn propagate(&self, mut put: impl FnMut(&'static str, &str)) {
        let span = self.0.span();
        let context = span.span_context();
        if !context.is_valid() {
            return;
        }
        let flags = context.trace_flags() & TraceFlags::SAMPLED;
        put("traceparent", &format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()));
        let state = context.trace_state().header();
        if !state.is_empty() {
            put("tracestate", &state);
        }
    }

    /// The same for headers of HTTP.
    pub(crate) fn put_into(&self, headers: &mut hyper::HeaderMap) {
        self.propagate(|name, value| {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        });
    }

    fn set(&self, key: &'static str, value: impl Into<Value>) {
        self.0.span().set_attribute(KeyValue::new(key, value));
    }

    fn fail(&self, problem: impl FnOnce() -> String) {
        let span = self.0.span();
        if span.is_recording() {
            span.set_status(Status::error(problem()));
        }
    }

    fn end(&self) {
        self.0.span().end();
    }
}

/// What is told of callbacks.
impl Span {
    /// Which command it is, once that is known.
    pub(crate) fn is_about(&self, command: Option<Command>) {
        if let Some(command) = command {
            self.0.span().update_name(command.as_str());
            self.set(COMMAND, command.as_str());
        }
    }

    /// What became of it, in the words of `chathook_callbacks_total`.
    pub(crate) fn came_to(&self, outcome: Outcome) {
        self.set(OUTCOME, <&str>::from(outcome));
    }

    /// The decision is sent.
    pub(crate) fn is_decided(&self, decision: Effect) {
        self.came_to(Outcome::Decided);
        self.decides(decision);
    }

    /// The fallback is sent, which is this, for that reason.
    pub(crate) fn falls_back(&self, reason: FallbackReason, fallback: Effect) {
        let reason: &'static str = reason.into();
        self.came_to(Outcome::Fallback);
        self.decides(fallback);
        self.set("chathook.fallback_reason", reason);
        self.fail(|| format!("fallback: {reason}"));
    }

    /// Where the event is in the journal.
    pub(crate) fn kept_at(&self, position: Position) {
        self.set(POSITION, number(position.0));
    }

    /// It was not kept.
    pub(crate) fn not_kept(&self, problem: &str) {
        self.fail(|| problem.to_owned());
    }

    /// The answer is ready, which ends it.
    pub(crate) fn answered(&self, status: u16) {
        self.set("http.response.status_code", i64::from(status));
        self.end();
    }
}

/// What is told of those who decide.
impl Span {
    /// A service that is asked, as a step of this.
    pub(crate) fn asks(&self, decider: &str, is_shadow: bool) -> Self {
        Self::within(&self.0, || asked(decider, is_shadow).with_kind(SpanKind::Client))
    }

    /// A rule or a handler that has said this when it was asked, as a step of this.
    pub(crate) fn asked(
        &self,
        decider: &str,
        is_shadow: bool,
        (began, took): (Instant, Duration),
        said: Result<Effect, &'static str>,
    ) {
        if self.0.get::<SdkTracer>().is_none() {
            return;
        }
        let began = moment(began);
        let step = Self::within(&self.0, || asked(decider, is_shadow).with_start_time(began));
        match said {
            Ok(decision) => step.decides(decision),
            Err(reason) => step.does_not_decide(reason, || reason.to_owned()),
        }
        step.0.span().end_with_timestamp(began + took);
    }

    /// A second request is on its way.
    pub(crate) fn hedges(&self) {
        self.set("chathook.hedged", true);
    }

    /// It has decided.
    pub(crate) fn decides(&self, decision: Effect) {
        self.set(DECISION, <&str>::from(decision));
    }

    /// It has not; for the reason as it is in metrics.
    pub(crate) fn does_not_decide(&self, reason: &'static str, problem: impl FnOnce() -> String) {
        self.set(ERROR, reason);
        self.fail(problem);
    }

    /// What it would have decided came when its time was over.
    pub(crate) fn would_have_decided(&self, decision: Effect) {
        self.set("chathook.late_decision", <&str>::from(decision));
    }
}

fn asked(decider: &str, is_shadow: bool) -> SpanBuilder {
    let name = KeyValue::new("chathook.decider", decider.to_owned());
    let shadow = is_shadow.then(|| KeyValue::new("chathook.shadow", true));
    SpanBuilder::from_name(format!("decide {decider}")).with_attributes([name].into_iter().chain(shadow))
}

/// What is told of deliveries.
impl Span {
    /// How the attempt ended, which ends it.
    pub(crate) fn attempted(&self, outcome: &Attempted) {
        match outcome {
            Attempted::Delivered { .. } => self.set(OUTCOME, "delivered"),
            Attempted::Retry { cause, .. } => {
                self.set(OUTCOME, "retried");
                self.fail(|| cause.clone());
            }
            Attempted::Dead { class, cause } => {
                self.set(OUTCOME, "dead");
                self.set(ERROR, <&str>::from(class));
                self.fail(|| cause.clone());
            }
            Attempted::Skipped => self.set(OUTCOME, "skipped"),
        }
        self.end();
    }
}

/// The headers of a request, for reading the trace that it belongs to.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

/// Attributes know no other numbers.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// When that was, by the clock.
fn moment(instant: Instant) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(instant.elapsed()).unwrap_or(now)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
    use chathook_protocol::{Command, Effect};
    use tokio::runtime::Handle;
    use tokio::time::Instant;

    use super::{Config, Span, Traces};

    fn read(toml: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(toml)
    }

    fn propagated(span: &Span) -> BTreeMap<&'static str, String> {
        let mut headers = BTreeMap::new();
        span.propagate(|name, value| {
            headers.insert(name, value.to_owned());
        });
        headers
    }

    fn inbound(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        headers.iter().copied().map(header).collect()
    }

    /// Traces for a collector that is not there.
    fn traces(toml: &str) -> Traces {
        let config = read(&format!("otlp.url = \"http://127.0.0.1:1/v1/traces\"\n{toml}")).unwrap();
        config.check().unwrap();
        Traces::start(&config, &Handle::current()).unwrap()
    }

    /// A span, and the `traceparent` by which others go on with it.
    pub(crate) fn traced() -> (Span, String) {
        let span = traces("").callback(&HeaderMap::new(), Instant::now(), None, None);
        let traceparent = propagated(&span)["traceparent"].clone();
        (span, traceparent)
    }

    #[test]
    fn a_url_is_enough_and_without_one_there_are_none() {
        let config = read("").unwrap();
        assert_eq!((&config.otlp, config.sample, config.service_name.as_str()), (&None, 1.0, "chathook"));
        config.check().unwrap();
        let otlp = read("otlp.url = \"http://collector:4318/v1/traces\"").unwrap().otlp.unwrap();
        assert!(otlp.headers.is_empty() && otlp.ca.is_none());
    }

    #[tokio::test]
    async fn keys_are_read_and_checked() {
        let all = read(
            r#"
            sample = 0.25
            service_name = "chat"
            [otlp]
            url = "https://collector:4318/v1/traces"
            headers = { Authorization = "k3y", X-Tenant = { file = "tenant" } }
            ca = "ca.pem"
            "#,
        )
        .unwrap();
        all.check().unwrap();
        assert_eq!(all.otlp.as_ref().unwrap().ca, Some(PathBuf::from("ca.pem")));
        assert!(!format!("{all:?}").contains("k3y"));
        assert_eq!(read("sample = 0").unwrap().sample, 0.0);
        for (toml, key) in [
            ("sample = 1.5", "traces.sample"),
            ("sample = -0.1", "traces.sample"),
            ("sample = nan", "traces.sample"),
            ("service_name = \"\"", "traces.service_name"),
            ("otlp.url = \"collector:4318\"", "traces.otlp.url"),
            ("otlp.url = \"http://u:k3y@collector:4318\"", "traces.otlp.url"),
            ("otlp = { url = \"http://a\", ca = \"ca.pem\" }", "traces.otlp.ca"),
            ("otlp = { url = \"http://a\", headers = { \"a b\" = \"c\" } }", "traces.otlp.headers.a b"),
            ("otlp = { url = \"http://a\", headers = { Content-Type = \"c\" } }", "traces.otlp.headers.Content-Type"),
        ] {
            let invalid = read(toml).unwrap().check().unwrap_err();
            assert_eq!(invalid.key, key, "{toml}");
            assert!(!invalid.problem.contains("k3y"), "{}", invalid.problem);
        }
        for (toml, key) in [
            ("otlp = { url = \"https://a\", ca = \"/nowhere\" }", "traces.otlp.ca"),
            ("otlp = { url = \"http://a\", headers = { a = { file = \"/nowhere\" } } }", "traces.otlp.headers.a"),
            ("otlp = { url = \"http://a\", headers = { a = \"b\\nc\" } }", "traces.otlp.headers.a"),
        ] {
            let invalid = Traces::start(&read(toml).unwrap(), &Handle::current()).err().unwrap();
            assert_eq!(invalid.key, key, "{toml}: {}", invalid.problem);
        }
        for toml in ["sample = \"much\"", "otlp = {}", "otlp.url = 7", "grpc.url = \"http://a\"", "otlp.uri = \"a\""] {
            assert!(read(toml).is_err(), "{toml}");
        }
    }

    #[tokio::test]
    async fn where_traces_are_off_nothing_is_passed_on() {
        let traces = Traces::start(&Config::default(), &Handle::current()).unwrap();
        let headers = inbound(&[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]);
        let span = traces.callback(&headers, Instant::now(), Some(1), None);
        assert!(propagated(&span).is_empty() && propagated(&span.asks("a", false)).is_empty());
        traces.end().await;
    }

    #[tokio::test]
    async fn a_trace_goes_on_from_whoever_began_it() {
        let traces = traces("");
        for flags in ["00", "01"] {
            let parent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
            let headers = inbound(&[("traceparent", parent.clone().leak()), ("tracestate", "a=1,b=2")]);
            let span = traces.callback(&headers, Instant::now(), Some(1), Some(Command::GroupBeforeSendMsg));
            let call = span.around(async { Span::current().asks("a", false) }).await;
            for span in [&span, &call] {
                let passed_on = propagated(span);
                assert!(passed_on["traceparent"].starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
                assert!(passed_on["traceparent"].ends_with(&format!("-{flags}")));
                assert_eq!(passed_on["tracestate"], "a=1,b=2");
                assert_ne!(passed_on["traceparent"], parent);
            }
            assert_ne!(propagated(&span), propagated(&call));
            call.decides(Effect::Allow);
        }
        for parent in ["", "00-0-0-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "k3y"] {
            let span = traces.callback(&inbound(&[("traceparent", parent)]), Instant::now(), None, None);
            let passed_on = propagated(&span);
            assert!(passed_on["traceparent"].ends_with("-01") && passed_on.len() == 1, "{parent}: {passed_on:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_sampled_is_passed_on_as_that() {
        let span = traces("sample = 0").callback(&HeaderMap::new(), Instant::now(), None, None);
        assert!(propagated(&span)["traceparent"].ends_with("-00"));
    }
}
