//! Traces: what a collector is told of callbacks, decisions and deliveries, and how others go on with them.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use chathook_protocol::group;
use chathook_router::Ctx;
use chathook_tests::{
    APP, Behaviour, CHANGE, Down, MESSAGE, OK, Server, TOKEN, TestDecider, TestGateway, change, config, eventually,
    http_decider, http_target, message, request, samples, signed, target, unsigned,
};
use futures_util::StreamExt;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;

const BEFORE: &str = "Group.CallbackBeforeSendMsg";
const ASKED: &str = concat!(
    r#"{"CallbackCommand":"Group.CallbackBeforeSendMsg","GroupId":"@TGS#1","From_Account":"u_501","#,
    r#""MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"what-a-user-said"}}]}"#
);
const REJECTED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":10150}"#;
/// A trace that began elsewhere.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Spans are sent soon after they end.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "20");

/// A collector that takes everything.
struct Collector(TestDecider);

/// A span as it was sent.
#[derive(Debug, Clone)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    state: String,
    name: String,
    kind: SpanKind,
    took: Duration,
    error: Option<String>,
    attributes: BTreeMap<String, String>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()).unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => panic!("{other:?}"),
    };
    let read: BTreeMap<_, _> = attributes.iter().map(|it| (it.key.clone(), text(&it.value))).collect();
    assert_eq!(read.len(), attributes.len(), "one is there twice: {attributes:?}");
    read
}

impl Span {
    fn of(span: &opentelemetry_proto::tonic::trace::v1::Span) -> Self {
        let status = span.status.clone().unwrap_or_default();
        Self {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            state: span.trace_state.clone(),
            name: span.name.clone(),
            kind: span.kind(),
            took: Duration::from_nanos(span.end_time_unix_nano.checked_sub(span.start_time_unix_nano).unwrap()),
            error: (status.code() == StatusCode::Error).then_some(status.message),
            attributes: attributes(&span.attributes),
        }
    }

    /// Whether its attributes are these, besides the application.
    #[track_caller]
    fn says(&self, expected: &[(&str, &str)]) {
        let app = APP.to_string();
        let mut all: BTreeMap<&str, &str> = expected.iter().copied().collect();
        if !self.name.starts_with("decide ") {
            all.insert("chathook.sdk_app_id", &app);
        }
        let said: BTreeMap<&str, &str> = self.attributes.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(said, all, "{}", self.name);
    }

    /// The header by which others go on with it.
    fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.id)
    }
}

impl Collector {
    async fn start() -> Self {
        Self(TestDecider::start(|_, _| Behaviour::answer(200, &[], "")).await)
    }

    /// The section of the configuration; `more` are further lines.
    fn section(&self, more: &str) -> String {
        section(&self.0.url("/v1/traces"), more)
    }

    fn exports(&self) -> Vec<ExportTraceServiceRequest> {
        let read = |request: &chathook_tests::Request| {
            assert_eq!(request.line(), "POST /v1/traces HTTP/1.1");
            assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
            ExportTraceServiceRequest::decode(&*request.body).unwrap()
        };
        self.0.requests().iter().map(read).collect()
    }

    fn all(&self) -> Vec<Span> {
        let exports = self.exports();
        let scopes = exports.iter().flat_map(|export| &export.resource_spans).flat_map(|it| &it.scope_spans);
        scopes.flat_map(|scope| &scope.spans).map(Span::of).collect()
    }

    /// The spans of this name, once there are so many.
    async fn spans(&self, name: &str, count: usize) -> Vec<Span> {
        let named = || self.all().into_iter().filter(|span| span.name == name).collect::<Vec<_>>();
        eventually(&format!("{count} spans {name}"), async || named().len() >= count).await;
        let spans = named();
        assert_eq!(spans.len(), count, "{spans:?}");
        spans
    }

    async fn span(&self, name: &str) -> Span {
        self.spans(name, 1).await.remove(0)
    }
}

fn section(url: &str, more: &str) -> String {
    format!("[traces]\n{more}otlp.url = {url:?}\n")
}

/// A gateway whose spans are sent soon.
async fn gateway(toml: &str) -> TestGateway {
    TestGateway::start_with(&(config("") + toml), &[SOON]).await
}

/// A signed callback with these headers.
fn with_headers(command: &str, body: &str, headers: &str) -> Vec<u8> {
    let plain = String::from_utf8(request(&format!("/?{}", signed(command)), body.as_bytes())).unwrap();
    plain.replacen("\r\n\r\n", &format!("\r\n{headers}\r\n\r\n"), 1).into_bytes()
}

#[tokio::test]
async fn a_callback_and_the_service_that_decides_are_one_trace() {
    let (collector, decider) = (Collector::start().await, TestDecider::answering(REJECTED).await);
    let decider_toml = http_decider("moderation", &[BEFORE], &decider.url("/"), "");
    let gateway = gateway(&(collector.section("service_name = \"chat\"\n") + &decider_toml)).await;
    assert_eq!(gateway.post(BEFORE, ASKED).await.body, REJECTED);

    let (callback, call) = (collector.span(BEFORE).await, collector.span("decide moderation").await);
    assert_eq!((callback.kind, callback.parent.as_str(), &callback.error), (SpanKind::Server, "", &None));
    callback.says(&[
        ("chathook.command", BEFORE),
        ("chathook.outcome", "decided"),
        ("chathook.decision", "reject"),
        ("http.response.status_code", "200"),
    ]);
    assert_eq!((call.kind, &call.parent, &call.error), (SpanKind::Client, &callback.id, &None));
    assert_eq!(call.trace, callback.trace);
    call.says(&[("chathook.decider", "moderation"), ("chathook.decision", "reject")]);
    assert!(call.took <= callback.took, "{call:?} in {callback:?}");
    let asked = decider.request(0).await;
    assert_eq!(asked.header("traceparent"), Some(call.traceparent().as_str()));
    assert_eq!(asked.header("tracestate"), None);

    let exports = collector.exports();
    let resource = attributes(&exports[0].resource_spans[0].resource.as_ref().unwrap().attributes);
    assert_eq!((resource["service.name"].as_str(), resource.contains_key("service.version")), ("chat", true));
}

#[tokio::test]
async fn a_trace_that_began_elsewhere_goes_on() {
    let (collector, decider) = (Collector::start().await, TestDecider::answering(OK).await);
    let decider_toml = http_decider("moderation", &[BEFORE], &decider.url("/"), "http.format = \"json\"");
    // Whether it is traced was decided where it began.
    let gateway = gateway(&(collector.section("sample = 0.0\n") + &decider_toml)).await;
    let mut connection = gateway.connect().await;
    for (n, flags) in ["00", "01"].iter().enumerate() {
        let headers = format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\ntracestate: a=1,b=2");
        connection.write(&with_headers(BEFORE, ASKED, &headers)).await.unwrap();
        assert_eq!(connection.response().await.unwrap().status, 200);
        let asked = decider.request(n).await;
        let passed_on = asked.header("traceparent").unwrap();
        assert!(passed_on.starts_with(&format!("00-{TRACE}-")) && passed_on.ends_with(&format!("-{flags}")));
        assert!(!passed_on.contains(PARENT), "{passed_on}");
        assert_eq!(asked.header("tracestate"), Some("a=1,b=2"));
    }
    let (callback, call) = (collector.span(BEFORE).await, collector.span("decide moderation").await);
    assert_eq!(
        (callback.trace.as_str(), callback.parent.as_str(), callback.state.as_str()),
        (TRACE, PARENT, "a=1,b=2")
    );
    assert_eq!((&call.trace, &call.parent), (&callback.trace, &callback.id));
    assert_eq!(decider.request(1).await.header("traceparent"), Some(call.traceparent().as_str()));
}

#[tokio::test]
async fn an_event_is_found_again_in_the_traces_of_its_deliveries() {
    let collector = Collector::start().await;
    let answer = |n| if n == 0 { Behaviour::answer(500, &[], "") } else { Behaviour::json(OK) };
    let service = TestDecider::start(move |_, n| answer(n)).await;
    let gateway = gateway(&(collector.section("") + &http_target("crm", &service.url("/"), ""))).await;
    gateway.keeps(MESSAGE, &message("@TGS#1", 7)).await;
    gateway.deliveries("crm", "delivered", 1).await;

    let callback = collector.span(MESSAGE).await;
    let position = callback.attributes["chathook.position"].clone();
    assert_eq!(gateway.api(&format!("events/{position}")).await["command"], MESSAGE);
    callback.says(&[
        ("chathook.command", MESSAGE),
        ("chathook.outcome", "acknowledged"),
        ("chathook.position", &position),
        ("http.response.status_code", "200"),
    ]);
    let attempts = collector.spans("deliver crm", 2).await;
    for (attempt, (number, outcome)) in attempts.iter().zip([("1", "retried"), ("2", "delivered")]) {
        assert_eq!((attempt.kind, attempt.parent.as_str()), (SpanKind::Client, ""));
        attempt.says(&[
            ("chathook.target", "crm"),
            ("chathook.target.kind", "http"),
            ("chathook.command", MESSAGE),
            ("chathook.position", &position),
            ("chathook.attempt", number),
            ("chathook.outcome", outcome),
        ]);
    }
    assert_eq!(attempts[0].error.as_deref(), Some("it answered 500"));
    assert_eq!(attempts[1].error, None);
    let traces: HashSet<&str> = attempts.iter().chain([&callback]).map(|span| span.trace.as_str()).collect();
    assert_eq!(traces.len(), 3, "each is a trace of its own");
    for (n, attempt) in attempts.iter().enumerate() {
        assert_eq!(service.request(n).await.header("traceparent"), Some(attempt.traceparent().as_str()));
    }

    gateway.keeps(MESSAGE, &message("@TGS#1", 7)).await;
    let duplicate = collector.spans(MESSAGE, 2).await.remove(1);
    assert_eq!(duplicate.attributes["chathook.outcome"], "duplicate");
    assert!(!duplicate.attributes.contains_key("chathook.position"));
}

#[tokio::test]
async fn messages_of_a_broker_go_on_with_a_trace() {
    let (collector, server) = (Collector::start().await, Server::nats("").await);
    let client = async_nats::connect(server.nats_url()).await.unwrap();
    let mut subscriber = client.subscribe("chat.>").await.unwrap();
    client.flush().await.unwrap();
    let to = format!("nats = {{ url = {:?}, jetstream = false }}", server.nats_url());
    let traced = gateway(&(collector.section("") + &target("bus", &to))).await;
    traced.keeps(CHANGE, &change("u_501", 1)).await;
    let header = |headers: Option<HeaderMap>| headers.unwrap().get("traceparent").map(ToString::to_string);
    let sent = subscriber.next().await.unwrap();
    let attempt = collector.span("deliver bus").await;
    assert_eq!((attempt.kind, header(sent.headers)), (SpanKind::Producer, Some(attempt.traceparent())));

    let untraced = gateway(&target("bus", &to)).await;
    untraced.keeps(CHANGE, &change("u_501", 1)).await;
    assert_eq!(header(subscriber.next().await.unwrap().headers), None);
}

#[tokio::test]
async fn rules_and_handlers_are_told_of_too() {
    let collector = Collector::start().await;
    let rule = |name: &str, more: &str| format!("[[decider]]\nname = {name:?}\ncommands = [{BEFORE:?}]\n{more}\n");
    let toml = config("")
        + &collector.section("")
        + &rule("watcher", "mode = \"shadow\"\nrule = { senders = [\"u_501\"], then = \"reject\" }")
        + &rule("others", "rule = { words = [\"elsewhere\"], then = \"drop\" }")
        + &rule("words", "rule = { words = [\"user\"], then = \"reject\" }");
    let gateway = TestGateway::with(&toml, (), |gateway| {
        gateway
            .before(|_cx: Ctx, _msg: group::BeforeSendMsg| async { Ok(group::SendDecision::allow()) })
            .after(|_cx: Ctx, _msg: group::AfterSendMsg| async { Ok(()) })
    })
    .await;
    assert_ne!(gateway.post(BEFORE, ASKED).await.body, OK);
    gateway.keeps(MESSAGE, &message("@TGS#1", 7)).await;
    gateway.deliveries("handlers", "delivered", 1).await;
    // What waits to be sent is sent before the end.
    gateway.ended_in_order().await;

    let callback = collector.span(BEFORE).await;
    for (name, attributes) in [
        ("handler", &[("chathook.decision", "allow")][..]),
        ("watcher", &[("chathook.decision", "reject"), ("chathook.shadow", "true")]),
        ("words", &[("chathook.decision", "reject")]),
    ] {
        let step = collector.span(&format!("decide {name}")).await;
        assert_eq!((&step.trace, &step.parent, step.kind), (&callback.trace, &callback.id, SpanKind::Internal));
        step.says(&[&[("chathook.decider", name)], attributes].concat());
        assert!(step.took <= callback.took, "{step:?}");
    }
    let handled = collector.span("deliver handlers").await;
    assert_eq!((handled.kind, handled.attributes["chathook.outcome"].as_str()), (SpanKind::Internal, "delivered"));
    assert_eq!(collector.all().len(), 6, "who has nothing to say is not told of: {:?}", collector.all());
}

#[tokio::test]
async fn a_trace_says_why_the_fallback_went_out_and_what_came_too_late() {
    let collector = Collector::start().await;
    let slow = TestDecider::start(|_, _| Behaviour::Trickled(REJECTED.into(), Duration::from_millis(5))).await;
    let down = Down::new();
    let deciders = http_decider("slow", &[BEFORE], &slow.url("/"), "http.timeout = \"50ms\"")
        + &http_decider("down", &["C2C.CallbackBeforeSendMsg"], &down.url("/"), "");
    let gateway = gateway(&(collector.section("") + &deciders)).await;
    assert_eq!(gateway.post(BEFORE, ASKED).await.body, OK);
    let callback = collector.span(BEFORE).await;
    callback.says(&[
        ("chathook.command", BEFORE),
        ("chathook.outcome", "fallback"),
        ("chathook.fallback_reason", "timeout"),
        ("chathook.decision", "allow"),
        ("http.response.status_code", "200"),
    ]);
    assert_eq!(callback.error.as_deref(), Some("fallback: timeout"));
    let call = collector.span("decide slow").await;
    call.says(&[("chathook.decider", "slow"), ("error.type", "timeout"), ("chathook.late_decision", "reject")]);
    assert_eq!(call.error.as_deref(), Some("its time is over"));
    assert!(call.took > callback.took, "it was listened to: {call:?}");

    let sample = samples().find(|sample| sample.command.as_str() == "C2C.CallbackBeforeSendMsg").unwrap();
    assert_eq!(gateway.post("C2C.CallbackBeforeSendMsg", sample.body).await.body, OK);
    let call = collector.span("decide down").await;
    call.says(&[("chathook.decider", "down"), ("error.type", "connect")]);
    assert!(call.error.unwrap().starts_with("no connection"));
    assert_eq!(collector.span("C2C.CallbackBeforeSendMsg").await.attributes["chathook.fallback_reason"], "error");
}

#[tokio::test]
async fn nothing_of_users_is_told_and_nothing_of_those_who_are_not_chat() {
    let (collector, decider) = (Collector::start().await, TestDecider::answering("{\"what-a-user-said\":").await);
    let service = TestDecider::start(|_, _| Behaviour::answer(404, &[], "u_501")).await;
    let toml = collector.section("")
        + "[journal]\ndecisions = true\n"
        + &http_decider("moderation", &["Group.*"], &decider.url("/"), &format!("http.token = {TOKEN:?}"))
        + &http_target(
            "crm",
            &service.url("/"),
            "decisions = true\nwhen = \"!has(payload.Info) || payload.Info.To_Account == 'u_501'\"",
        );
    let journal = tempfile::tempdir().unwrap();
    let journal = journal.path().join("journal.db").to_str().unwrap().to_owned();
    let variables = [SOON, ("CHATHOOK__JOURNAL__PATH", &journal)];
    let gateway = TestGateway::start_with(&(config("") + &toml), &variables).await;

    for query in [unsigned(BEFORE), signed(BEFORE).replace(&APP.to_string(), "1400000002")] {
        assert_eq!(gateway.post_query(&query, ASKED).await.status, 403);
    }
    let unknown = signed("Group.what-a-user-said");
    assert_eq!(gateway.post_query(&unknown, ASKED.replace(BEFORE, "Group.what-a-user-said")).await.body, OK);
    let query = signed(BEFORE);
    let sign = query.split('&').find_map(|parameter| parameter.strip_prefix("Sign=")).unwrap();
    assert_eq!(gateway.post_query(&query, ASKED).await.body, OK);
    gateway.keeps(CHANGE, &change("u_501", 1)).await;
    gateway.keeps(CHANGE, "{\"what-a-user-said\":").await;
    gateway.keeps(CHANGE, "").await;
    gateway.dead_letters("crm", 4).await;

    collector.spans(CHANGE, 3).await;
    assert_eq!(collector.span("callback").await.attributes["chathook.outcome"], "acknowledged");
    let decided = collector.span(BEFORE).await;
    assert!(decided.attributes.contains_key("chathook.position"), "it is kept: {decided:?}");
    assert_eq!(collector.span("decide moderation").await.attributes["error.type"], "not_json");
    assert!(collector.spans("deliver crm", 4).await.iter().all(|it| it.attributes["chathook.outcome"] == "dead"));
    assert_eq!(collector.all().len(), 10, "{:?}", collector.all());
    for sent in collector.0.requests() {
        let text = String::from_utf8_lossy(&sent.body).into_owned() + &sent.head;
        for secret in ["u_501", "what-a-user-said", TOKEN, "203.0.113.7", "@TGS#1", sign] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    assert_eq!(gateway.stop().await.code, Some(0));
}

#[tokio::test]
async fn without_a_collector_nothing_is_passed_on() {
    let service = TestDecider::answering(OK).await;
    let toml =
        http_decider("moderation", &[BEFORE], &service.url("/"), "") + &http_target("crm", &service.url("/"), "");
    let gateway = gateway(&toml).await;
    let mut connection = gateway.connect().await;
    for (command, body) in [(BEFORE, ASKED.to_owned()), (MESSAGE, message("@TGS#1", 7))] {
        let headers = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=1");
        connection.write(&with_headers(command, &body, &headers)).await.unwrap();
        assert_eq!(connection.response().await.unwrap().body, OK);
    }
    for n in 0..2 {
        let asked = service.request(n).await;
        assert_eq!((asked.header("traceparent"), asked.header("tracestate")), (None, None));
    }
}

#[tokio::test]
async fn a_collector_that_is_down_or_hangs_delays_nobody() {
    let (down, hangs) = (Down::new(), TestDecider::start(|_, _| Behaviour::Hang).await);
    let full = TestDecider::start(|_, _| Behaviour::answer(400, &[], "")).await;
    for url in [down.url("/"), hangs.url("/"), full.url("/")] {
        let gateway = gateway(&section(&url, "")).await;
        for n in 0..200 {
            let started = Instant::now();
            assert_eq!(gateway.post(BEFORE, ASKED).await.body, OK);
            gateway.keeps(MESSAGE, &message("@TGS#1", n)).await;
            assert!(started.elapsed() < Duration::from_secs(1), "{url}: {:?}", started.elapsed());
        }
        let is_full = url == full.url("/");
        if is_full {
            eventually("some batches", async || full.asked() > 3).await;
            gateway.logged("traces are lost: the collector answered 400").await;
        }
        let started = Instant::now();
        let exit = gateway.stop().await;
        assert_eq!(exit.code, Some(0));
        assert!(started.elapsed() < Duration::from_secs(5), "{url}: {:?}", started.elapsed());
        assert_eq!(exit.log.contains("stopping with traces"), !is_full, "{url}");
        assert!(exit.log.matches("traces are lost").count() <= 1, "it is said now and then");
    }
}

#[tokio::test]
async fn a_collector_that_has_too_much_to_do_is_asked_again() {
    let answer = |n| if n < 2 { 503 } else { 200 };
    let collector = Collector(TestDecider::start(move |_, n| Behaviour::answer(answer(n), &[], "")).await);
    let headers = "otlp.headers = { Authorization = { env = \"OTLP_KEY\" }, X-Tenant = \"chat\" }\n";
    let toml = config("") + &collector.section(headers);
    let gateway = TestGateway::start_with(&toml, &[SOON, ("OTLP_KEY", "Bearer k3y")]).await;
    gateway.post(BEFORE, ASKED).await;
    let [first, second, third] = [0, 1, 2].map(|n| collector.0.request(n));
    let (first, second, third) = (first.await, second.await, third.await);
    assert_eq!((&first.body, &second.body), (&second.body, &third.body));
    assert_eq!((third.header("authorization"), third.header("x-tenant")), (Some("Bearer k3y"), Some("chat")));
    let log = gateway.stop().await.log;
    assert!(!log.contains("traces are lost") && !log.contains("k3y"), "{log}");
}
