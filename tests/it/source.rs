//! A list of source addresses, and proxies that are believed.

use chathook_tests::{REFUSED, Response, TestGateway, config, signed};

async fn from(gateway: &TestGateway, forwarded: &[&str]) -> Response {
    let mut connection = gateway.connect().await;
    let mut request = format!("POST /?{} HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n", signed("State.StateChange"));
    for value in forwarded {
        request.push_str(&format!("X-Forwarded-For: {value}\r\n"));
    }
    request.push_str("\r\n{}");
    connection.write(request.as_bytes()).await.unwrap();
    connection.response().await.unwrap()
}

#[tokio::test]
async fn an_address_that_is_not_listed_is_refused_whatever_it_claims() {
    let gateway = TestGateway::start(&config("allow_from = [\"203.0.113.0/24\"]")).await;
    for forwarded in [&[][..], &["203.0.113.9"]] {
        let response = from(&gateway, forwarded).await;
        assert_eq!((response.status, response.body.as_str()), (403, REFUSED), "{forwarded:?}");
    }
    assert_eq!(gateway.metric(r#"chathook_verify_failures_total{reason="source"}"#).await, 2.0);
}

#[tokio::test]
async fn a_listed_address_is_let_in() {
    let gateway = TestGateway::start(&config("allow_from = [\"192.0.2.1\", \"127.0.0.0/8\"]")).await;
    assert_eq!(from(&gateway, &[]).await.status, 200);
    assert_eq!(from(&gateway, &["198.51.100.1"]).await.status, 200, "nobody is believed");
}

#[tokio::test]
async fn behind_trusted_proxies_the_last_other_address_counts() {
    let more = "allow_from = [\"203.0.113.0/24\"]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]";
    let gateway = TestGateway::start(&config(more)).await;
    for (forwarded, status) in [
        (&["203.0.113.9"][..], 200),
        (&["203.0.113.9, 10.1.2.3"], 200),
        (&["203.0.113.9", "10.1.2.3"], 200),
        (&["::ffff:203.0.113.9"], 200),
        (&["203.0.113.9:4711, [::ffff:10.1.2.3]:80"], 200),
        (&["203.0.113.9", "\u{e9}, 198.51.100.1"], 403),
        (&["203.0.113.9, 198.51.100.1"], 403),
        (&["203.0.113.9, 198.51.100.1, 10.1.2.3"], 403),
        (&["203.0.113.9, unknown"], 403),
        (&["10.1.2.3"], 403),
        (&[""], 403),
        (&[], 403),
    ] {
        assert_eq!(from(&gateway, forwarded).await.status, status, "{forwarded:?}");
    }
}
