//! A decider that fails, in every way there is: the declared fallback goes out in time, is counted once, and nobody else
//! notices.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chathook_protocol::group;
use chathook_router::Ctx;
use chathook_tests::{
    Behaviour, Down, Response, TOKEN, TestDecider, TestGateway, config, http_decider, request, signed,
};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

const MESSAGE: &str = "Group.CallbackBeforeSendMsg";
const JOIN: &str = "Group.CallbackBeforeApplyJoinGroup";
const OTHER: &str = "C2C.CallbackBeforeSendMsg";

/// Stands in every body, and must not stand in the log.
const CONTENT: &str = "what-a-user-said";

const DEADLINE: Duration = Duration::from_millis(800);
/// What an answer may be later than the deadline.
const TOLERANCE: Duration = Duration::from_millis(50);
/// A failure that is seen at once is answered well before the deadline.
const AT_ONCE: Duration = Duration::from_millis(700);

const FALLBACK: &str = r#"{"ActionStatus":"OK","ErrorInfo":"try again","ErrorCode":10199}"#;
/// The decision of the decider that fails, once it no longer does.
const RECOVERED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"well again","ErrorCode":10150}"#;
/// The decision of another decider on another command.
const UNHARMED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"not affected","ErrorCode":120001}"#;

/// When a failure is seen.
#[derive(PartialEq)]
enum Seen {
    AtOnce,
    AtTheDeadline,
}
use Seen::{AtOnce, AtTheDeadline};

fn body(command: &str) -> String {
    match command {
        JOIN => format!(r#"{{"CallbackCommand":"{JOIN}","GroupId":"{CONTENT}","Requestor_Account":"{CONTENT}"}}"#),
        OTHER => format!(
            r#"{{"CallbackCommand":"{OTHER}","From_Account":"{CONTENT}","To_Account":"u","MsgSeq":1,"MsgTime":1,"MsgBody":[]}}"#
        ),
        _ => format!(
            r#"{{"CallbackCommand":"{command}","GroupId":"@TGS#1","From_Account":"{CONTENT}","MsgBody":[
                {{"MsgType":"TIMTextElem","MsgContent":{{"Text":"{CONTENT}"}}}}]}}"#
        ),
    }
}

/// A deadline, and a fallback for `command`. What is late is soon given up, so that leaks show.
fn deadline_and_fallback(command: &str) -> String {
    format!(
        "{}[decide]\ndeadline = \"800ms\"\nlate = \"200ms\"\n\
         [decide.{command:?}]\non_failure = {{ decision = \"reject\", code = 10199, info = \"try again\" }}\n",
        config("")
    )
}

/// A gateway whose decider `bad` for `command` is at `url`, and whose other decider is a good one.
async fn gateway(command: &str, url: &str) -> TestGateway {
    // Lives as long as the test.
    let good = TestDecider::answering(UNHARMED).await;
    let toml = deadline_and_fallback(command)
        + &http_decider("bad", &[command], url, "http.breaker = false")
        + &http_decider("good", &[OTHER], &good.url("/"), "http.breaker = false");
    TestGateway::start(&toml).await
}

/// The fallback is sent in time, whatever happens meanwhile.
async fn falls_back(gateway: &TestGateway, command: &str, seen: Seen, meanwhile: impl Future<Output = ()>) {
    let lag = async { if seen == AtTheDeadline { lag().await } else { Duration::ZERO } };
    let ((response, took), lag, ()) = tokio::join!(gateway.timed(command, body(command)), lag, meanwhile);
    is_fallback(&response);
    assert!(took <= DEADLINE + TOLERANCE + lag, "{took:?}");
    assert_eq!(seen == AtOnce, took < AT_ONCE, "{took:?}");
}

/// How much later than the deadline this machine wakes whoever waits for it: that is not the gateway's lateness.
async fn lag() -> Duration {
    let started = Instant::now();
    tokio::time::sleep(DEADLINE).await;
    started.elapsed().saturating_sub(DEADLINE)
}

fn is_fallback(response: &Response) {
    assert_eq!((response.status, response.body.as_str()), (200, FALLBACK));
    serde_json::from_str::<Value>(&response.body).unwrap();
}

/// Another command is decided by another decider.
async fn others_are_decided(gateway: &TestGateway) {
    let (response, took) = gateway.timed(OTHER, body(OTHER)).await;
    assert_eq!((response.status, response.body.as_str()), (200, UNHARMED));
    assert!(took < AT_ONCE, "{took:?}");
}

/// One failure of one decider and one fallback are counted, and no others.
async fn counted_once(gateway: &TestGateway, command: &str, decider: &str, reason: &str) {
    let fallback = match reason {
        "timeout" | "panic" => reason,
        _ => "error",
    };
    let errors = format!(r#"chathook_decider_errors_total{{decider="{decider}",reason="{reason}"}}"#);
    assert_eq!(gateway.metric(&errors).await, 1.0, "{errors}\n{}", gateway.get("/metrics").await.body);
    assert_eq!(gateway.sum("chathook_decider_errors_total{").await, 1.0);
    let fallbacks = format!(r#"chathook_fallbacks_total{{command="{command}",reason="{fallback}"}}"#);
    assert_eq!(gateway.metric(&fallbacks).await, 1.0, "{fallbacks}");
    assert_eq!(gateway.sum("chathook_fallbacks_total{").await, 1.0);
}

/// The next decision of the decider is obeyed, nothing was leaked, and no user stands in the log.
async fn recovers(gateway: TestGateway, bad: &TestDecider, command: &str, reason: &str) {
    let (response, took) = gateway.timed(command, body(command)).await;
    assert_eq!((response.status, response.body.as_str()), (200, RECOVERED));
    assert!(took <= DEADLINE, "{took:?}");
    counted_once(&gateway, command, "bad", reason).await;
    others_are_decided(&gateway).await;
    bad.has_at_most(1).await;
    assert!(bad.opened() <= 2, "{} connections for two callbacks", bad.opened());
    gateway.metric_becomes(r#"chathook_decider_in_flight{decider="bad"}"#, 0.0).await;
    let memory = gateway.metric("process_resident_memory_bytes").await;
    assert!(memory < f64::from(100 << 20), "{memory} bytes are kept");
    let log = gateway.stop().await.log;
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let is_fine = ["DEBUG", "TRACE"].iter().any(|level| entry["level"] == *level);
        assert!(is_fine || !line.contains(CONTENT) && !line.contains(TOKEN) && !line.contains("Sign="), "{line}");
    }
}

/// A decider that behaves so with the first request: what it was sent for `command` ends in the fallback.
async fn fails_for(command: &str, behaviour: Behaviour, reason: &str, seen: Seen) {
    let bad = TestDecider::start(move |_, n| match n {
        0 => behaviour.clone(),
        _ => Behaviour::json(RECOVERED),
    })
    .await;
    let gateway = gateway(command, &bad.url("/")).await;
    falls_back(&gateway, command, seen, async {
        bad.request(0).await;
        others_are_decided(&gateway).await;
    })
    .await;
    counted_once(&gateway, command, "bad", reason).await;
    assert_eq!(bad.asked(), 1, "nothing is asked twice");
    recovers(gateway, &bad, command, reason).await;
}

async fn fails(behaviour: Behaviour, reason: &str, seen: Seen) {
    fails_for(MESSAGE, behaviour, reason, seen).await;
}

/// An answer that the command does not allow.
async fn illegal(command: &str, answer: &str) {
    fails_for(command, Behaviour::json(answer), "illegal", AtOnce).await;
}

#[tokio::test]
async fn it_hangs() {
    fails(Behaviour::Hang, "timeout", AtTheDeadline).await;
}

#[tokio::test]
async fn it_resets_the_connection() {
    fails(Behaviour::Reset, "io", AtOnce).await;
}

#[tokio::test]
async fn it_closes_the_connection() {
    fails(Behaviour::Close, "io", AtOnce).await;
}

#[tokio::test]
async fn it_sends_headers_and_stops() {
    fails(Behaviour::Head, "timeout", AtTheDeadline).await;
}

#[tokio::test]
async fn it_sends_half_a_body_and_stops() {
    fails(Behaviour::Half(RECOVERED.into()), "timeout", AtTheDeadline).await;
}

#[tokio::test]
async fn it_sends_half_a_body_and_closes() {
    fails(Behaviour::Broken(RECOVERED.into()), "io", AtOnce).await;
}

#[tokio::test]
async fn it_sends_a_byte_now_and_then() {
    fails(Behaviour::Trickled(RECOVERED.into(), Duration::from_millis(20)), "timeout", AtTheDeadline).await;
}

#[tokio::test]
async fn it_announces_100_mib() {
    fails(Behaviour::Flood { bytes: 100 << 20, is_declared: true }, "too_large", AtOnce).await;
}

#[tokio::test]
async fn it_sends_100_mib() {
    fails(Behaviour::Flood { bytes: 100 << 20, is_declared: false }, "too_large", AtOnce).await;
}

#[tokio::test]
async fn it_redirects_to_another_server() {
    let elsewhere = TestDecider::answering(RECOVERED).await;
    let redirect = Behaviour::answer(302, &[("Location", &elsewhere.url("/"))], RECOVERED);
    fails(redirect, "status", AtOnce).await;
    assert_eq!(elsewhere.opened(), 0);
}

#[tokio::test]
async fn it_redirects_to_itself() {
    fails(Behaviour::answer(307, &[("Location", "/")], RECOVERED), "status", AtOnce).await;
}

#[tokio::test]
async fn it_answers_204() {
    fails(Behaviour::answer(204, &[], ""), "status", AtOnce).await;
}

#[tokio::test]
async fn it_answers_500_with_a_decision() {
    fails(Behaviour::answer(500, &[], RECOVERED), "status", AtOnce).await;
}

#[tokio::test]
async fn it_answers_html() {
    let page = "<!DOCTYPE html><html><body>It works!</body></html>";
    fails(Behaviour::answer(200, &[("Content-Type", "text/html")], page), "not_json", AtOnce).await;
}

#[tokio::test]
async fn it_answers_an_empty_body() {
    fails(Behaviour::json(""), "not_json", AtOnce).await;
}

#[tokio::test]
async fn it_answers_half_of_the_json() {
    fails(Behaviour::json(r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0"#), "not_json", AtOnce).await;
}

#[tokio::test]
async fn it_answers_json_and_something_after_it() {
    fails(Behaviour::json(RECOVERED.repeat(2)), "not_json", AtOnce).await;
}

#[tokio::test]
async fn it_answers_bytes_that_are_no_text() {
    let gbk =
        [b"{\"ActionStatus\":\"OK\",\"ErrorCode\":0,\"ErrorInfo\":\"".as_slice(), b"\xce\xa5\xb9\xe6\"}"].concat();
    fails(Behaviour::json(gbk), "not_json", AtOnce).await;
}

#[tokio::test]
async fn it_does_not_speak_http() {
    fails(Behaviour::Raw(b"220 mail.example.org ESMTP\r\n\r\n".to_vec()), "io", AtOnce).await;
}

#[tokio::test]
async fn it_sends_headers_without_end() {
    let head = format!("HTTP/1.1 200 OK\r\n{}", "X-Header: x\r\n".repeat(100_000));
    fails(Behaviour::Raw(head.into_bytes()), "io", AtOnce).await;
}

#[tokio::test]
async fn it_answers_a_refusal_and_a_rewrite_at_once() {
    let both = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":10150,
        "MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}}]}"#;
    illegal(MESSAGE, both).await;
}

#[tokio::test]
async fn it_answers_with_verdicts_on_friends() {
    let verdicts = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,
        "ResultItem":[{"To_Account":"u_1","ResultCode":0,"ResultInfo":""}]}"#;
    illegal(MESSAGE, verdicts).await;
}

#[tokio::test]
async fn it_names_another_command() {
    let other = r#"{"CallbackCommand":"C2C.CallbackBeforeSendMsg","ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#;
    illegal(MESSAGE, other).await;
}

#[tokio::test]
async fn it_answers_a_code_out_of_range() {
    illegal(MESSAGE, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":120001}"#).await;
}

#[tokio::test]
async fn it_answers_a_code_that_means_nothing() {
    illegal(MESSAGE, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":3}"#).await;
}

#[tokio::test]
async fn it_drops_where_there_is_no_message() {
    illegal(JOIN, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}"#).await;
}

#[tokio::test]
async fn it_rewrites_where_there_is_no_message() {
    let rewrite = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,
        "MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}}]}"#;
    illegal(JOIN, rewrite).await;
}

#[tokio::test]
async fn it_answers_with_a_code_of_another_type() {
    illegal(MESSAGE, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":{"Code":0}}"#).await;
}

#[tokio::test]
async fn it_answers_with_a_message_of_another_type() {
    illegal(MESSAGE, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":"***"}"#).await;
}

#[tokio::test]
async fn it_answers_an_array() {
    illegal(MESSAGE, r#"["OK"]"#).await;
}

#[tokio::test]
async fn it_refuses_connections() {
    let down = Down::new();
    let gateway = gateway(MESSAGE, &down.url("/")).await;
    falls_back(&gateway, MESSAGE, AtOnce, others_are_decided(&gateway)).await;
    counted_once(&gateway, MESSAGE, "bad", "connect").await;
    let bad = down.start(|_, _| Behaviour::json(RECOVERED));
    recovers(gateway, &bad, MESSAGE, "connect").await;
}

#[tokio::test]
async fn it_closes_connections_as_soon_as_they_are_there() {
    let bad = TestDecider::answering(RECOVERED).await;
    bad.turn_away(true);
    let gateway = gateway(MESSAGE, &bad.url("/")).await;
    falls_back(&gateway, MESSAGE, AtOnce, bad.has_opened(1)).await;
    assert_eq!(bad.opened(), 1, "nothing is tried twice");
    counted_once(&gateway, MESSAGE, "bad", "io").await;
    bad.turn_away(false);
    recovers(gateway, &bad, MESSAGE, "io").await;
}

#[tokio::test]
async fn it_does_not_even_take_the_connection() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    // Nobody accepts: what is beyond the queue is not even refused.
    let mut queue = Vec::new();
    while let Ok(connection) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        queue.push(connection.unwrap());
    }
    let gateway = gateway(MESSAGE, &format!("http://{address}/")).await;
    falls_back(&gateway, MESSAGE, AtTheDeadline, others_are_decided(&gateway)).await;
    counted_once(&gateway, MESSAGE, "bad", "timeout").await;
    others_are_decided(&gateway).await;
}

#[tokio::test]
async fn a_handler_panics() {
    let good = TestDecider::answering(UNHARMED).await;
    let toml = deadline_and_fallback(MESSAGE) + &http_decider("good", &[OTHER], &good.url("/"), "");
    let gateway = TestGateway::with(&toml, (), |gateway| {
        gateway.before(|_cx: Ctx, message: group::BeforeSendMsg| async move {
            assert!(message.from != CONTENT, "{CONTENT}");
            Ok(group::SendDecision::allow())
        })
    })
    .await;
    falls_back(&gateway, MESSAGE, AtOnce, others_are_decided(&gateway)).await;
    counted_once(&gateway, MESSAGE, "handler", "panic").await;
    let answer = gateway.post(MESSAGE, body(MESSAGE).replace(CONTENT, "u_1")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, chathook_tests::OK));
}

#[tokio::test]
async fn one_that_hangs_holds_up_nobody_else() {
    let bad = TestDecider::start(|_, _| Behaviour::Hang).await;
    let gateway = Arc::new(gateway(MESSAGE, &bad.url("/")).await);
    let mut hanging = JoinSet::new();
    for _ in 0..20 {
        let gateway = Arc::clone(&gateway);
        hanging.spawn(async move { gateway.timed(MESSAGE, body(MESSAGE)).await });
    }
    bad.request(19).await;
    for _ in 0..20 {
        others_are_decided(&gateway).await;
    }
    let (hanging, lag) = tokio::join!(hanging.join_all(), lag());
    for (response, took) in hanging {
        is_fallback(&response);
        assert!(took <= DEADLINE + TOLERANCE + lag, "{took:?}");
    }
    bad.has_at_most(0).await;
    assert_eq!(bad.opened(), 20);
    gateway.metric_becomes(r#"chathook_decider_in_flight{decider="bad"}"#, 0.0).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nobody() {
    let down = Down::new();
    let gateway = gateway(MESSAGE, &down.url("/")).await;
    gateway.stop_reading_log();
    let answers = async {
        let body = body(MESSAGE);
        let request = request(&format!("/?{}", signed(MESSAGE)), body.as_bytes());
        let mut connections = Vec::new();
        for _ in 0..10 {
            connections.push(gateway.connect().await);
        }
        for _ in 0..100 {
            for connection in &mut connections {
                connection.write(&request).await.unwrap();
            }
            for connection in &mut connections {
                is_fallback(&connection.response().await.unwrap());
            }
        }
    };
    timeout(Duration::from_secs(30), answers).await.expect("1,000 callbacks are answered");
    assert_eq!(gateway.sum("chathook_fallbacks_total{").await, 1000.0);
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.code, Some(0), "and it ends");
}

#[tokio::test]
async fn it_answers_a_message_with_a_broken_element() {
    for element in ["{}", r#"{"MsgType":"","MsgContent":{}}"#, r#"{"MsgType":"TIMTextElem","MsgContent":"x"}"#] {
        let answer = format!(r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[{element}]}}"#);
        illegal(MESSAGE, &answer).await;
    }
}

#[tokio::test]
async fn it_cannot_be_asked() {
    let never = TestDecider::answering(RECOVERED).await;
    let gateway = gateway(MESSAGE, &never.url(&format!("/{}", "long".repeat(15_000)))).await;
    let query = format!("{}&Long={}", signed(MESSAGE), "long".repeat(2_000));
    is_fallback(&gateway.post_query(&query, body(MESSAGE)).await);
    gateway.logged("it cannot be asked: its URL and the query of the callback make no URL").await;
    let errors = r#"chathook_decider_errors_total{decider="bad",reason="decode"}"#;
    assert_eq!((gateway.metric(errors).await, never.opened()), (1.0, 0));
}
