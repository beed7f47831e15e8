//! The admin listener: metrics that Prometheus takes, health, the API.

use std::io::Write;
use std::process::{Command, Stdio};

use chathook_tests::{TestGateway, config};
use serde_json::Value;

#[tokio::test]
async fn the_metrics_pass_promtool() {
    let gateway = TestGateway::start(&config("")).await;
    // Something of everything.
    gateway.post("Group.CallbackBeforeSendMsg", r#"{"GroupId":"g","From_Account":"u","MsgBody":[],"New":1}"#).await;
    gateway.post("Group.CallbackBeforeSendMsg", "not JSON").await;
    gateway.post("State.StateChange", "").await;
    gateway.post("Nobody.Knows", "{}").await;
    gateway.post_query("", "{}").await;
    let response = gateway.get("/metrics").await;
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4"));
    for name in [
        "callbacks_total",
        "answer_seconds",
        "deadline_left_seconds",
        "decisions_total",
        "fallbacks_total",
        "decider_seconds",
        "decider_errors_total",
        "verify_failures_total",
        "clock_skew_seconds",
        "decode_errors_total",
        "drift_fields_total",
        "config_reloads_total",
        "build_info",
        "requests_in_flight",
    ] {
        assert!(response.body.contains(&format!("\n# TYPE chathook_{name} ")), "{name} is missing");
    }
    assert!(response.body.contains("\nprocess_resident_memory_bytes "));

    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed by the test command of the README");
    promtool.stdin.take().unwrap().write_all(response.body.as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn health_and_readiness_are_told_apart_from_callbacks() {
    let gateway = TestGateway::start(&config("")).await;
    assert_eq!(gateway.get("/healthz").await.status, 200);
    let ready = gateway.get("/readyz").await;
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (200, r#"{"ready":true,"detail":"takes callbacks; journal: sqlite, fsync at every commit"}"#)
    );
    assert_eq!(gateway.get("/").await.status, 404, "no callbacks here");
}

#[tokio::test]
async fn the_api_lists_every_command() {
    let gateway = TestGateway::start(&config("")).await;
    let commands: Vec<Value> = serde_json::from_str(&gateway.get("/api/commands").await.body).unwrap();
    assert_eq!(commands.len(), 91);
    assert!(commands.iter().any(|row| row["command"] == "Push.OfflinePush" && row["phase"] == "after"));
}
