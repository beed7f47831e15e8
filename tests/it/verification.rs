//! Only Chat gets in; who does not leaves no trace but a count.

use chathook_protocol::signature;
use chathook_tests::{APP, OK, REFUSED, TOKEN, TestGateway, config, now, signed, signed_at, unsigned};

const BEFORE: &str = "Group.CallbackBeforeSendMsg";
const AFTER: &str = "State.StateChange";
const BODY: &str = r#"{"secret-of-a-user":1}"#;

async fn refused(gateway: &TestGateway, query: &str, reason: &str) {
    let series = format!(r#"chathook_verify_failures_total{{reason="{reason}"}}"#);
    let before = gateway.metric(&series).await;
    let response = gateway.post_query(query, BODY).await;
    assert_eq!((response.status, response.body.as_str()), (403, REFUSED), "{query}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(gateway.metric(&series).await, before + 1.0, "{query}: {reason}");
}

#[tokio::test]
async fn a_wrong_or_missing_sign_is_refused() {
    let gateway = TestGateway::start(&config("")).await;
    for command in [BEFORE, AFTER, "Nobody.Knows"] {
        let time = now();
        let wrong = signature::sign("another token", time);
        refused(&gateway, &unsigned(command), "sign").await;
        refused(&gateway, &format!("{}&RequestTime={time}", unsigned(command)), "sign").await;
        refused(&gateway, &format!("{}&Sign={wrong}&RequestTime={time}", unsigned(command)), "sign").await;
        refused(&gateway, &format!("{}&Sign=xyz&RequestTime={time}", unsigned(command)), "sign").await;
        let right = signature::sign(TOKEN, time);
        refused(&gateway, &format!("{}&Sign={right}&RequestTime={}", unsigned(command), time + 1), "sign").await;
        refused(&gateway, &format!("{}&Sign={right}&RequestTime=0{time}", unsigned(command)), "sign").await;
        refused(&gateway, &format!("{}&Sign={right}", unsigned(command)), "sign").await;
    }
    let series = format!(r#"chathook_callbacks_total{{command="{BEFORE}",outcome="refused"}}"#);
    assert_eq!(gateway.metric(&series).await, 7.0);
    let log = gateway.stop().await.log;
    assert!(!log.contains("secret-of-a-user") && !log.contains(TOKEN), "{log}");
    assert!(!log.contains("Sign=") && !log.contains("another token"), "{log}");
}

#[tokio::test]
async fn a_request_time_too_far_from_now_is_refused_both_ways() {
    let gateway = TestGateway::start(&config("")).await;
    for command in [BEFORE, AFTER] {
        // Farther than the clock can move on while the test runs.
        refused(&gateway, &signed_at(command, now() - 61), "age").await;
        refused(&gateway, &signed_at(command, now() + 90), "age").await;
        refused(&gateway, &signed_at(command, 0), "age").await;
    }
    assert_eq!(gateway.post_query(&signed_at(AFTER, now() - 30), "{}").await.status, 200);
    assert_eq!(gateway.post_query(&signed_at(AFTER, now() + 30), "{}").await.status, 200);
    let skew = gateway.metric("chathook_clock_skew_seconds").await;
    assert!((-31.0..=-28.0).contains(&skew), "{skew}");
}

#[tokio::test]
async fn a_foreign_or_malformed_application_is_refused() {
    let gateway = TestGateway::start(&config("")).await;
    for app in ["1400000002", "", "14000000O1", "-1", "99999999999999999999999", "1400000001%00"] {
        let query = signed(BEFORE).replace(&format!("SdkAppid={APP}"), &format!("SdkAppid={app}"));
        refused(&gateway, &query, "app").await;
    }
    refused(&gateway, &signed(BEFORE).replace("SdkAppid", "App"), "app").await;
    refused(&gateway, "", "app").await;
}

#[tokio::test]
async fn the_spelling_of_parameter_names_and_what_else_is_there_do_not_matter() {
    let gateway = TestGateway::start(&config("")).await;
    for name in ["SdkAppid", "SDKAppID", "SdkAppId", "sdkappid"] {
        let query =
            signed(AFTER).replace("SdkAppid", name).replace("Sign", "sign").replace("RequestTime", "requesttime");
        let query = format!("x=%zz&{query}&RequestID=4f1c&&contentType=JSON&Sign=second");
        assert_eq!(gateway.post_query(&query, "{}").await.body, OK, "{query}");
    }
}

#[tokio::test]
async fn query_and_body_that_name_different_commands_are_refused() {
    let gateway = TestGateway::start(&config("")).await;
    for (query, body) in
        [(AFTER, BEFORE), (BEFORE, AFTER), ("Nobody.Knows", AFTER), (AFTER, "Nobody.Knows"), ("One.New", "Other.New")]
    {
        let reason = r#"chathook_verify_failures_total{reason="mismatch"}"#;
        let count = gateway.metric(reason).await;
        // Also where the body's payload is not that of either command, and where the name stands last.
        let body = format!(r#"{{"GroupId":7.5,"MsgBody":{{"a":[]}},"CallbackCommand":"{body}"}}"#);
        let response = gateway.post(query, body).await;
        assert_eq!((response.status, response.body.as_str()), (403, REFUSED), "{query}");
        assert_eq!(gateway.metric(reason).await, count + 1.0);
    }
}

#[tokio::test]
async fn the_body_names_the_command_where_the_query_does_not() {
    let gateway = TestGateway::start(&config("")).await;
    let time = now();
    let query = format!("SdkAppid={APP}&Sign={}&RequestTime={time}", signature::sign(TOKEN, time));
    let body = r#"{"CallbackCommand":"Sns.CallbackBlackListAdd","PairList":[]}"#;
    assert_eq!(gateway.post_query(&query, body).await.body, OK);
    let series = r#"chathook_callbacks_total{command="Sns.CallbackBlackListAdd",outcome="acknowledged"}"#;
    assert_eq!(gateway.metric(series).await, 1.0);
}

#[tokio::test]
async fn any_of_several_tokens_is_accepted_for_rotation() {
    let toml = config("").replace(&format!("[\"{TOKEN}\"]"), &format!("[\"the new one\", \"{TOKEN}\"]"));
    let gateway = TestGateway::start(&toml).await;
    let time = now();
    let new = format!("{}&Sign={}&RequestTime={time}", unsigned(AFTER), signature::sign("the new one", time));
    assert_eq!(gateway.post_query(&new, "{}").await.status, 200);
    assert_eq!(gateway.post(AFTER, "{}").await.status, 200);
}

#[tokio::test]
async fn an_application_without_a_token_takes_unsigned_callbacks() {
    let toml = config("").replace(&format!("tokens = [\"{TOKEN}\"]"), "unsigned = true");
    let gateway = TestGateway::start(&toml).await;
    assert_eq!(gateway.post_query(&unsigned(AFTER), "{}").await.status, 200);
    assert_eq!(gateway.post_query(&unsigned(AFTER).replace("1400000001", "1400000002"), "{}").await.status, 403);
}
