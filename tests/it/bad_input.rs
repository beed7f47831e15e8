//! Whatever arrives, nothing crashes, hangs, blocks a user's message or stands in the log.

use std::time::{Duration, Instant};

use chathook_tests::{OK, TestGateway, config, request, signed};

const BEFORE: &str = "Group.CallbackBeforeSendMsg";
const AFTER: &str = "Group.CallbackAfterSendMsg";
/// Stands in every bad body, and must stand nowhere else.
const CONTENT: &str = "what-a-user-said";

/// The fallback is a refusal, so that it cannot be mistaken for a decision.
fn failing_closed() -> String {
    format!("{}[decide]\non_failure = \"reject\"\n", config(""))
}

const FALLBACK: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}"#;

fn bad_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let message =
        |rest: &str| format!(r#"{{"CallbackCommand":"COMMAND","GroupId":"g","From_Account":"{CONTENT}",{rest}"#);
    vec![
        ("truncated", message(r#""MsgBody":[{"MsgType":"#).into_bytes()),
        ("not JSON", format!("<xml>{CONTENT}</xml>").into_bytes()),
        ("an array", format!(r#"["{CONTENT}"]"#).into_bytes()),
        ("a string", format!(r#""{CONTENT}""#).into_bytes()),
        ("null", b"null".to_vec()),
        ("trailing garbage", message(r#""MsgBody":[],"MsgSeq":1,"MsgTime":1} {"#).into_bytes()),
        ("invalid UTF-8", [message(r#""Type":""#).as_bytes(), b"\xff\xfe\"}"].concat()),
        ("another type", message(r#""MsgBody":7,"MsgSeq":{}}"#).into_bytes()),
        ("100,000 nested arrays", [vec![b'['; 100_000], vec![b']'; 100_000]].concat()),
        (
            "100,000 nested arrays in a field that is read",
            message(&format!(r#""Type":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000))).into_bytes(),
        ),
        ("a key twice", message(r#""GroupId":"h","MsgBody":[],"MsgSeq":1,"MsgTime":1}"#).into_bytes()),
        (
            "the command twice",
            message(r#""CallbackCommand":"COMMAND","MsgBody":[],"MsgSeq":1,"MsgTime":1}"#).into_bytes(),
        ),
        ("a number beyond all", message(r#""MsgBody":[],"MsgSeq":1,"MsgTime":1,"EventTime":1e999}"#).into_bytes()),
    ]
}

fn named(body: &[u8], command: &str) -> Vec<u8> {
    // By hand, for one of the bodies is no text.
    match body.windows(7).position(|window| window == b"COMMAND") {
        Some(at) => [&body[..at], command.as_bytes(), &named(&body[at + 7..], command)].concat(),
        None => body.to_vec(),
    }
}

#[tokio::test]
async fn a_before_body_that_is_not_read_gets_the_fallback() {
    let gateway = TestGateway::start(&failing_closed()).await;
    let mut bodies = 0.0;
    for (name, body) in bad_bodies() {
        let response = gateway.post(BEFORE, named(&body, BEFORE)).await;
        assert_eq!((response.status, response.body.as_str()), (200, FALLBACK), "{name}");
        bodies += 1.0;
    }
    let fallbacks = format!(r#"chathook_fallbacks_total{{command="{BEFORE}",reason="decode"}}"#);
    assert_eq!(gateway.metric(&fallbacks).await, bodies);
    assert_eq!(gateway.metric(&format!(r#"chathook_decode_errors_total{{command="{BEFORE}"}}"#)).await, bodies);
    let log = gateway.stop().await.log;
    assert!(log.contains("body not read") && !log.contains(CONTENT), "{log}");
}

#[tokio::test]
async fn an_after_body_that_is_not_read_is_acknowledged_and_counted() {
    let gateway = TestGateway::start(&failing_closed()).await;
    let mut bodies = 0.0;
    for (name, body) in bad_bodies() {
        let response = gateway.post(AFTER, named(&body, AFTER)).await;
        assert_eq!((response.status, response.body.as_str()), (200, OK), "{name}");
        bodies += 1.0;
    }
    assert_eq!(gateway.metric(&format!(r#"chathook_decode_errors_total{{command="{AFTER}"}}"#)).await, bodies);
    let log = gateway.stop().await.log;
    assert!(!log.contains(CONTENT), "{log}");
}

#[tokio::test]
async fn nesting_in_a_field_that_nobody_reads_is_skipped() {
    let gateway = TestGateway::start(&failing_closed()).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!(r#"{{"GroupId":"g","From_Account":"u","MsgBody":[],"New":{deep}}}"#);
    assert_eq!(gateway.post(BEFORE, body).await.body, OK);
}

#[tokio::test]
async fn a_body_of_10_mib_gets_the_fallback_before_and_413_after() {
    let gateway = TestGateway::start(&failing_closed()).await;
    let body = vec![b' '; 10 * 1024 * 1024];
    let before = gateway.post(BEFORE, &body).await;
    assert_eq!((before.status, before.body.as_str()), (200, FALLBACK));
    let after = gateway.post(AFTER, &body).await;
    let answer = r#"{"ActionStatus":"FAIL","ErrorInfo":"body too large","ErrorCode":1}"#;
    assert_eq!((after.status, after.body.as_str()), (413, answer));
    let series = format!(r#"chathook_fallbacks_total{{command="{BEFORE}",reason="too_large"}}"#);
    assert_eq!(gateway.metric(&series).await, 1.0);
    assert_eq!(gateway.metric(&format!(r#"chathook_callbacks_total{{command="{AFTER}",outcome="lost"}}"#)).await, 1.0);
    // What nobody knows may be a before-command: it must not stand in the way of a user.
    assert_eq!(gateway.post("Nobody.Knows", &body).await.status, 200);
}

#[tokio::test]
async fn a_body_of_the_limit_is_read_and_one_byte_more_is_not() {
    let gateway = TestGateway::start(&failing_closed().replace("[admin]", "max_body = \"2KiB\"\n[admin]")).await;
    let body = |length: usize| {
        let mut body = r#"{"GroupId":"g","From_Account":"u","MsgBody":[]"#.to_owned();
        body.push_str(&" ".repeat(length - body.len() - 1));
        body.push('}');
        body
    };
    assert_eq!(gateway.post(BEFORE, body(2048)).await.body, OK);
    assert_eq!(gateway.post(BEFORE, body(2049)).await.body, FALLBACK);
    // The same without a length that says so beforehand.
    for (length, answer) in [(2048, OK), (2049, FALLBACK)] {
        let mut connection = gateway.connect().await;
        let head = format!("POST /?{} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n", signed(BEFORE));
        let body = body(length);
        let chunks = format!("3e8\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", &body[..1000], length - 1000, &body[1000..]);
        connection.write(format!("{head}{chunks}").as_bytes()).await.unwrap();
        assert_eq!(connection.response().await.unwrap().body, answer, "{length} bytes in chunks");
    }
}

#[tokio::test]
async fn a_chunked_body_that_never_ends_is_answered_at_the_deadline() {
    let toml = format!("{}[decide]\non_failure = \"reject\"\ndeadline = \"300ms\"\n", config(""));
    let gateway = TestGateway::start(&toml).await;
    for (command, status, body) in [
        (BEFORE, 200, FALLBACK),
        (AFTER, 408, r#"{"ActionStatus":"FAIL","ErrorInfo":"body incomplete","ErrorCode":1}"#),
    ] {
        let mut connection = gateway.connect().await;
        let started = Instant::now();
        let head = format!("POST /?{} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n", signed(command));
        connection.write(format!("{head}5\r\n{{\"a\":\r\n").as_bytes()).await.unwrap();
        let response = connection.response().await.unwrap();
        assert_eq!((response.status, response.body.as_str()), (status, body), "{command}");
        assert!(started.elapsed() >= Duration::from_millis(300), "not before the deadline");
        assert!(started.elapsed() < Duration::from_secs(2), "while Chat still waits");
        // Nobody can tell any more where the next request would begin.
        connection.closed().await.unwrap();
    }
}

#[tokio::test]
async fn an_endless_flood_of_chunks_is_cut_off() {
    let gateway = TestGateway::start(&failing_closed()).await;
    let mut connection = gateway.connect().await;
    let head = format!("POST /?{} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n", signed(BEFORE));
    connection.write(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 64 * 1024, " ".repeat(64 * 1024));
    // At most 64 MiB: four times what the gateway throws away.
    for _ in 0..1024 {
        if connection.write(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    assert_eq!(connection.response().await.unwrap().body, FALLBACK);
    assert_eq!(gateway.post(AFTER, "{}").await.status, 200, "others are served");
}

#[tokio::test]
async fn who_is_refused_is_not_read_on() {
    let gateway = TestGateway::start(&failing_closed()).await;
    for (line, status) in [
        (format!("POST /?{}", signed(BEFORE).replace("Sign=", "Sign=00")), 403),
        (format!("POST /elsewhere?{}", signed(BEFORE)), 404),
        (format!("PUT /?{}", signed(BEFORE)), 405),
    ] {
        let mut connection = gateway.connect().await;
        let head = format!("{line} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n");
        connection.write(head.as_bytes()).await.unwrap();
        let response = connection.response().await.unwrap();
        assert_eq!((response.status, response.header("connection")), (status, Some("close")), "{line}");
        connection.closed().await.unwrap();
    }
}

#[tokio::test]
async fn a_broken_chunk_encoding_is_answered_or_closed_and_hurts_nobody() {
    let gateway = TestGateway::start(&failing_closed()).await;
    let mut connection = gateway.connect().await;
    let head = format!("POST /?{} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n", signed(BEFORE));
    connection.write(format!("{head}zz\r\n{{}}\r\n").as_bytes()).await.unwrap();
    let answer = connection.closed().await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(gateway.post(AFTER, "{}").await.status, 200);
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_hurts_nobody() {
    let gateway = TestGateway::start(&failing_closed()).await;
    for command in [BEFORE, AFTER] {
        let mut connection = gateway.connect().await;
        let head = format!("POST /?{} HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\n{{", signed(command));
        connection.write(head.as_bytes()).await.unwrap();
        drop(connection);
    }
    assert_eq!(gateway.post(AFTER, "{}").await.status, 200);
}

#[tokio::test]
async fn callbacks_are_posted_to_their_path() {
    let gateway = TestGateway::start(&failing_closed()).await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let mut connection = gateway.connect().await;
        let request = format!("{method} /?{} HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n", signed(BEFORE));
        connection.write(request.as_bytes()).await.unwrap();
        let response = connection.response().await.unwrap();
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(response.header("allow"), Some("POST"));
    }
    for path in ["/callback", "//", "/index.php", "/metrics", "/healthz", "/api/commands", "/%2e"] {
        let mut connection = gateway.connect().await;
        connection.write(&request(&format!("{path}?{}", signed(AFTER)), b"{}")).await.unwrap();
        assert_eq!(connection.response().await.unwrap().status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_path_is_that_of_the_configuration() {
    let gateway = TestGateway::start(&config("path = \"/chat/callback\"")).await;
    for (path, status) in [("/chat/callback", 200), ("/", 404), ("/chat/callback/", 404)] {
        let mut connection = gateway.connect().await;
        connection.write(&request(&format!("{path}?{}", signed(AFTER)), b"{}")).await.unwrap();
        assert_eq!(connection.response().await.unwrap().status, status, "{path}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let gateway = TestGateway::start(&failing_closed()).await;
    let good = r#"{"GroupId":"g","From_Account":"u","MsgBody":[]}"#;
    let mut requests = Vec::new();
    for i in 0..20 {
        let (query, body) = match i % 4 {
            0 => (signed(BEFORE), good),
            1 => (signed(BEFORE), "not JSON"),
            2 => ("SdkAppid=1".to_owned(), good),
            _ => (signed(AFTER), good),
        };
        requests.extend(request(&format!("/?{query}"), body.as_bytes()));
    }
    let mut connection = gateway.connect().await;
    connection.write(&requests).await.unwrap();
    for i in 0..20 {
        let response = connection.response().await.unwrap();
        let expected = match i % 4 {
            0 | 3 => (200, OK),
            1 => (200, FALLBACK),
            _ => (403, chathook_tests::REFUSED),
        };
        assert_eq!((response.status, response.body.as_str()), expected, "request {i}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_turned_away() {
    let gateway = TestGateway::start(&failing_closed()).await;
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"hello\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n"] {
        let mut connection = gateway.connect().await;
        connection.write(bytes).await.unwrap();
        connection.closed().await.unwrap();
    }
    assert_eq!(gateway.post(AFTER, "{}").await.status, 200);
}

#[tokio::test]
async fn headers_that_never_end_are_given_up() {
    let gateway = TestGateway::start(&failing_closed()).await;
    let mut connection = gateway.connect().await;
    connection.write(b"POST / HTTP/1.1\r\nHost: g\r\nX-Slow: ").await.unwrap();
    connection.closed().await.unwrap();
    assert_eq!(gateway.post(AFTER, "{}").await.status, 200);
}
