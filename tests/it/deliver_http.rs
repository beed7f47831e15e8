//! Services as targets: what their answers mean, and whom they are taken for.

use std::time::{Duration, Instant};

use chathook_tests::{Behaviour, OK, TestDecider, TestGateway, config, signed};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

const CHANGE: &str = "State.StateChange";
const BODY: &str = r#"{"CallbackCommand":"State.StateChange","Info":{"Action":"Login","To_Account":"u_501"}}"#;

/// A gateway with the target `crm`; `more` are further lines, such as `http.timeout = "1s"`.
async fn gateway(url: &str, more: &str) -> TestGateway {
    let target =
        format!("[[target]]\nname = \"crm\"\nretry = {{ first = \"10ms\", max = \"20ms\" }}\nhttp.url = {url:?}\n");
    TestGateway::start(&(config("") + &target + more)).await
}

async fn keeps(gateway: &TestGateway, command: &str, body: &str) {
    let response = gateway.post(command, body).await;
    assert_eq!((response.status, response.body.as_str()), (200, OK));
}

/// Waits until so many deliveries ended like that.
async fn ended(gateway: &TestGateway, outcome: &str, count: f64) {
    gateway.metric_becomes(&format!(r#"chathook_deliveries_total{{outcome="{outcome}",target="crm"}}"#), count).await;
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
        keeps(&gateway, CHANGE, BODY).await;
        ended(&gateway, "delivered", 1.0).await;
        ended(&gateway, "retried", 1.0).await;
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
        keeps(&gateway, CHANGE, BODY).await;
        ended(&gateway, "dead", 1.0).await;
        gateway.logged(cause).await;
        assert_eq!(service.asked(), 1, "a redirect is not followed");
    }
    let service = service(Behaviour::answer(404, &[], "")).await;
    let gateway = gateway(&service.url("/"), "http.retry_4xx = true").await;
    keeps(&gateway, CHANGE, BODY).await;
    ended(&gateway, "delivered", 1.0).await;
}

#[tokio::test]
async fn a_service_is_left_alone_for_as_long_as_it_wants() {
    let service = service(Behaviour::answer(429, &[("Retry-After", "2")], "")).await;
    let gateway = gateway(&service.url("/"), "").await;
    let started = Instant::now();
    keeps(&gateway, CHANGE, BODY).await;
    ended(&gateway, "delivered", 1.0).await;
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn cloudevents_are_delivered_by_the_status_alone() {
    for first in [Behaviour::answer(202, &[], "FAIL"), Behaviour::json(r#"{"ErrorCode":1}"#), Behaviour::Head] {
        let service = TestDecider::start(move |_, _| first.clone()).await;
        let gateway = gateway(&service.url("/"), "http.format = \"cloudevents\"").await;
        keeps(&gateway, CHANGE, BODY).await;
        ended(&gateway, "delivered", 1.0).await;
        assert_eq!(service.asked(), 1);
    }
}

#[tokio::test]
async fn further_headers_and_another_signature_are_sent() {
    let service = TestDecider::answering(OK).await;
    let more = "http.token = \"an0ther\"\nhttp.headers = { Authorization = \"Bearer s3cret\", X-From = \"chathook\" }";
    let gateway = gateway(&service.url("/"), more).await;
    let chats = signed(CHANGE);
    keeps(&gateway, CHANGE, BODY).await;
    let request = service.request(0).await;
    assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(request.header("x-from"), Some("chathook"));
    let parameter = |query: &str, name: &str| {
        query.split('&').find_map(|it| it.strip_prefix(&format!("{name}="))).unwrap().to_owned()
    };
    let time: u64 = parameter(request.query(), "RequestTime").parse().unwrap();
    assert_eq!(parameter(request.query(), "Sign"), chathook_protocol::signature::sign("an0ther", time));
    assert_ne!(parameter(request.query(), "Sign"), parameter(&chats, "Sign"));
    ended(&gateway, "delivered", 1.0).await;
    let log = gateway.stop().await.log;
    assert!(!log.contains("s3cret") && !log.contains("an0ther"));
}

#[tokio::test]
async fn a_service_that_nobody_vouches_for_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    for (name, text) in [("tls.crt", certificate.pem()), ("tls.key", key.serialize_pem()), ("ca.crt", authority.pem())]
    {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let path = |name: &str| dir.path().join(name).display().to_string();
    let tls = format!("tls = {{ cert = {:?}, key = {:?} }}", path("tls.crt"), path("tls.key"));
    // The service is a gateway itself: it has TLS, and takes what is signed.
    let service = TestGateway::start(&config(&tls)).await;
    let url = format!("https://{}/", service.callbacks);

    let trusts = gateway(&url, &format!("http.ca = {:?}", path("ca.crt"))).await;
    keeps(&trusts, CHANGE, BODY).await;
    ended(&trusts, "delivered", 1.0).await;
    let acknowledged = format!(r#"chathook_callbacks_total{{command="{CHANGE}",outcome="acknowledged"}}"#);
    service.metric_becomes(&acknowledged, 1.0).await;

    let does_not = gateway(&url, "").await;
    keeps(&does_not, CHANGE, BODY).await;
    does_not.logged("not delivered: no connection: invalid peer certificate").await;
    service.metric_becomes(&acknowledged, 1.0).await;
}
