//! Services as targets: what their answers mean, and whom they are taken for.

use std::time::{Duration, Instant};

use chathook_tests::{Behaviour, CHANGE, Certificates, OK, TestDecider, TestGateway, config, http_target, signed};

const BODY: &str = r#"{"CallbackCommand":"State.StateChange","Info":{"Action":"Login","To_Account":"u_501"}}"#;

/// A gateway with the target `crm`; `more` are further lines, such as `http.timeout = "1s"`.
async fn gateway(url: &str, more: &str) -> TestGateway {
    TestGateway::start(&(config("") + &http_target("crm", url, more))).await
}

/// A service that answers so to the first request, and well to the others.
async fn service(first: Behaviour) -> TestDecider {
    TestDecider::start(move |_, n| if n == 0 { first.clone() } else { Behaviour::json(OK) }).await
}

#[tokio::test]
async fn what_may_go_better_is_tried_again() {
    for (first, cause) in [
        (Behaviour::answer(500, &[], ""), "it answered 500"),
        (Behaviour::answer(408, &[], ""), "it answered 408"),
        (Behaviour::Reset, "no answer: "),
        (Behaviour::Close, "no answer: "),
        (Behaviour::Raw(b"HTTP/1.1 what\r\n\r\n".to_vec()), "no answer: "),
        (Behaviour::Broken(OK.into()), "no answer: "),
        (Behaviour::Hang, "no answer within 300ms"),
        (Behaviour::Head, "no answer within 300ms"),
        (Behaviour::json(r#"{"ActionStatus":"FAIL","ErrorInfo":"full","ErrorCode":1}"#), "it answered ErrorCode 1"),
    ] {
        let service = service(first).await;
        let gateway = gateway(&service.url("/"), "http.timeout = \"300ms\"").await;
        gateway.keeps(CHANGE, BODY).await;
        gateway.deliveries("crm", "delivered", 1).await;
        gateway.deliveries("crm", "retried", 1).await;
        gateway.logged(&format!("not delivered: {cause}")).await;
        assert_eq!(service.asked(), 2, "{cause}");
        assert_eq!(service.request(0).await.text(), service.request(1).await.text());
        assert!(!gateway.stop().await.log.contains("u_501"));
    }
}

#[tokio::test]
async fn what_would_end_the_same_is_a_dead_letter_at_once() {
    for (status, cause) in [(301, "it answered 301, a redirect"), (404, "it answered 404"), (410, "it answered 410")] {
        let service = TestDecider::start(move |_, _| Behaviour::answer(status, &[("Location", "/b")], "{}")).await;
        let gateway = gateway(&service.url("/a"), "").await;
        gateway.keeps(CHANGE, BODY).await;
        gateway.deliveries("crm", "dead", 1).await;
        gateway.logged(cause).await;
        assert_eq!(service.asked(), 1, "a redirect is not followed");
    }
    let service = service(Behaviour::answer(404, &[], "")).await;
    let gateway = gateway(&service.url("/"), "http.retry_4xx = true").await;
    gateway.keeps(CHANGE, BODY).await;
    gateway.deliveries("crm", "delivered", 1).await;
}

#[tokio::test]
async fn a_service_is_left_alone_for_as_long_as_it_wants() {
    let service = service(Behaviour::answer(429, &[("Retry-After", "2")], "")).await;
    let gateway = gateway(&service.url("/"), "").await;
    let started = Instant::now();
    gateway.keeps(CHANGE, BODY).await;
    gateway.deliveries("crm", "delivered", 1).await;
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn cloudevents_are_delivered_by_the_status_alone() {
    // The rest of an answer that does not come is waited for a second, or for the time that is left.
    for timeout in ["10s", "300ms"] {
        for first in [Behaviour::answer(202, &[], "FAIL"), Behaviour::json(r#"{"ErrorCode":1}"#), Behaviour::Head] {
            let service = TestDecider::start(move |_, _| first.clone()).await;
            let more = format!("http.format = \"cloudevents\"\nhttp.timeout = {timeout:?}");
            let gateway = gateway(&service.url("/"), &more).await;
            gateway.keeps(CHANGE, BODY).await;
            gateway.deliveries("crm", "delivered", 1).await;
            assert_eq!(service.asked(), 1, "{timeout}");
        }
    }
}

#[tokio::test]
async fn further_headers_and_another_signature_are_sent() {
    let service = TestDecider::answering(OK).await;
    let more = "http.token = \"an0ther\"\nhttp.headers = { Authorization = \"Bearer s3cret\", X-From = \"chathook\" }";
    let gateway = gateway(&service.url("/"), more).await;
    let chats = signed(CHANGE);
    gateway.keeps(CHANGE, BODY).await;
    let request = service.request(0).await;
    assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(request.header("x-from"), Some("chathook"));
    let parameter = |query: &str, name: &str| {
        query.split('&').find_map(|it| it.strip_prefix(&format!("{name}="))).unwrap().to_owned()
    };
    let time: u64 = parameter(request.query(), "RequestTime").parse().unwrap();
    assert_eq!(parameter(request.query(), "Sign"), chathook_protocol::signature::sign("an0ther", time));
    assert_ne!(parameter(request.query(), "Sign"), parameter(&chats, "Sign"));
    gateway.deliveries("crm", "delivered", 1).await;
    let log = gateway.stop().await.log;
    assert!(!log.contains("s3cret") && !log.contains("an0ther"));
}

#[tokio::test]
async fn a_service_that_nobody_vouches_for_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Certificates { ca, cert, key } = Certificates::write(dir.path());
    let tls = format!("tls = {{ cert = {cert:?}, key = {key:?} }}");
    // The service is a gateway itself: it has TLS, and takes what is signed.
    let service = TestGateway::start(&config(&tls)).await;
    let url = format!("https://{}/", service.callbacks);

    let trusts = gateway(&url, &format!("http.ca = {ca:?}")).await;
    trusts.keeps(CHANGE, BODY).await;
    trusts.deliveries("crm", "delivered", 1).await;
    let acknowledged = format!(r#"chathook_callbacks_total{{command="{CHANGE}",outcome="acknowledged"}}"#);
    service.metric_becomes(&acknowledged, 1.0).await;

    let does_not = gateway(&url, "").await;
    does_not.keeps(CHANGE, BODY).await;
    does_not.logged("not delivered: no connection: invalid peer certificate").await;
    service.metric_becomes(&acknowledged, 1.0).await;
}
