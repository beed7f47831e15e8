//! A changed configuration is taken over while running; a wrong one is not.

use chathook_protocol::signature;
use chathook_tests::{OK, TestGateway, config, now, signed, unsigned};

const BEFORE: &str = "Group.CallbackBeforeSendMsg";

#[tokio::test]
async fn fallbacks_and_tokens_change_without_a_restart() {
    let gateway = TestGateway::start(&config("")).await;
    let file = gateway.dir().join("chathook.toml");
    assert_eq!(gateway.post(BEFORE, "not JSON").await.body, OK);

    std::fs::write(
        &file,
        config("").replace("tokens = [\"", "tokens = [\"new\", \"") + "[decide]\non_failure = \"drop\"\n",
    )
    .unwrap();
    gateway.logged("configuration reloaded").await;
    assert_eq!(gateway.post(BEFORE, "not JSON").await.body, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}"#);
    let time = now();
    let new = format!("{}&Sign={}&RequestTime={time}", unsigned(BEFORE), signature::sign("new", time));
    assert_eq!(gateway.post_query(&new, "not JSON").await.status, 200);
    assert_eq!(gateway.post_query(&signed(BEFORE), "not JSON").await.status, 200, "the old token goes on");
    assert_eq!(gateway.metric(r#"chathook_config_reloads_total{outcome="applied"}"#).await, 1.0);
}

#[tokio::test]
async fn a_wrong_file_is_refused_as_a_whole_and_said_so() {
    let gateway = TestGateway::start(&config("")).await;
    let file = gateway.dir().join("chathook.toml");
    std::fs::write(&file, config("") + "[decide]\non_failure = \"drop\"\ndeadlin = \"1s\"\n").unwrap();
    gateway.logged("did you mean `deadline`?").await;
    assert_eq!(gateway.post(BEFORE, "not JSON").await.body, OK);
    assert_eq!(gateway.metric(r#"chathook_config_reloads_total{outcome="refused"}"#).await, 1.0);
    assert_eq!(gateway.get("/readyz").await.status, 200);
    let ready = gateway.get("/readyz").await.body;
    assert!(ready.contains("configuration refused"), "{ready}");

    std::fs::write(&file, config("") + "[decide]\non_failure = \"drop\"\n").unwrap();
    gateway.logged("configuration reloaded").await;
    assert!(!gateway.get("/readyz").await.body.contains("refused"));
}

#[tokio::test]
async fn a_file_that_a_refused_configuration_names_is_waited_for() {
    let gateway = TestGateway::start(&config("")).await;
    let (file, token) = (gateway.dir().join("chathook.toml"), gateway.dir().join("token"));
    let toml = config("").replace("tokens = [\"", &format!("tokens = [{{ file = {token:?} }}, \""));
    std::fs::write(&file, toml).unwrap();
    gateway.logged("changed configuration refused").await;
    std::fs::write(&token, "new").unwrap();
    gateway.logged("configuration reloaded").await;
    let time = now();
    let new = format!("{}&Sign={}&RequestTime={time}", unsigned(BEFORE), signature::sign("new", time));
    assert_eq!(gateway.post_query(&new, "not JSON").await.status, 200);
}

#[tokio::test]
async fn a_file_that_is_finished_while_it_is_read_is_read_again() {
    let gateway = TestGateway::start(&config("")).await;
    let (file, pipe, new) =
        (gateway.dir().join("chathook.toml"), gateway.dir().join("pipe"), gateway.dir().join("new.toml"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::write(&new, config("") + "[decide]\non_failure = \"drop\"\n").unwrap();
    std::fs::rename(&pipe, &file).unwrap();
    // Opens once the gateway has begun to read.
    let half = std::thread::spawn(move || {
        let mut pipe = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        std::fs::rename(&new, &file).unwrap();
        std::io::Write::write_all(&mut pipe, b"[decide").unwrap();
    });
    gateway.logged("changed configuration refused").await;
    half.join().unwrap();
    gateway.logged("configuration reloaded").await;
    assert_eq!(gateway.post(BEFORE, "not JSON").await.body, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}"#);
}
