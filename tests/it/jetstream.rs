//! Several gateways that share one journal, on real NATS servers.

use std::time::Duration;

use chathook_tests::{
    Behaviour, MESSAGE, OK, Server, Tally, TestDecider, TestGateway, binary, config, eventually, http_target, message,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

const BEFORE: &str = "Group.CallbackBeforeSendMsg";
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn journal(nats: &str, more: &str) -> String {
    config("") + &format!("[journal]\nengine = \"jetstream\"\nnats = {{ url = \"{nats}\", {more} }}\n")
}

/// The target `crm`.
fn target(service: &TestDecider) -> String {
    http_target("crm", &service.url("/"), "")
}

/// Waits until it says whether it takes callbacks.
async fn is_ready(gateway: &TestGateway, status: u16) {
    eventually(&format!("/readyz with {status}"), async || gateway.get("/readyz").await.status == status).await;
}

#[tokio::test]
async fn replicas_share_the_work_keep_once_and_in_order_and_take_over_from_one_that_is_killed() {
    let nats = Server::nats("").await;
    let service = TestDecider::answering(OK).await;
    let toml = journal(&nats.nats_url(), "replicas = 1") + &target(&service);
    let (one, other) = (TestGateway::start(&toml).await, TestGateway::start(&toml).await);
    // Each message to both, as a retry of Chat may reach another replica.
    let tally = Tally::default();
    let (sent, again) =
        tokio::join!(tally.send_groups(&one, ("both", 7), 1..=15), tally.send_groups(&other, ("both", 7), 1..=15));
    assert_eq!((sent, again), (105, 105));
    one.is_drained("crm").await;
    let figures = tally.nothing_is_lost(service.messages(), one.dead_messages("crm").await);
    assert_eq!((figures.acknowledged, figures.delivered, figures.duplicates), (105, 105, 0), "both live");

    let (killed, alive) = tokio::join!(
        async {
            let sent = tally.send_groups(&one, ("one", 7), 1..=15).await;
            one.signal("KILL");
            sent
        },
        tally.send_groups(&other, ("other", 7), 1..=30)
    );
    assert_eq!((killed, alive), (105, 210));
    other.is_drained("crm").await;
    let figures = tally.nothing_is_lost(service.messages(), other.dead_messages("crm").await);
    assert_eq!((figures.acknowledged, figures.delivered, figures.dead), (420, 420, 0), "{figures}");
}

#[tokio::test]
async fn without_nats_after_callbacks_are_refused_decisions_go_on_and_it_mends_itself() {
    let mut nats = Server::nats("").await;
    let service = TestDecider::answering(OK).await;
    let toml = journal(&nats.nats_url(), "replicas = 1, timeout = \"800ms\"") + &target(&service);
    let gateway = TestGateway::start(&toml).await;
    let tally = Tally::default();
    let load = tally.send_groups(&gateway, ("g", 4), 0..500);
    let outage = async {
        tally.has_acknowledged(200).await;
        nats.kill().await;
        let refused = gateway.post(MESSAGE, message("refused", 1)).await;
        assert_eq!(
            (refused.status, refused.body.as_str()),
            (503, r#"{"ActionStatus":"FAIL","ErrorInfo":"cannot be kept","ErrorCode":1}"#)
        );
        let (decided, took) = gateway.timed(BEFORE, r#"{"GroupId":"g","From_Account":"u","MsgBody":[]}"#).await;
        assert_eq!((decided.status, decided.body.as_str()), (200, OK));
        assert!(took < Duration::from_millis(800), "{took:?}");
        is_ready(&gateway, 503).await;
        let before = tally.acknowledged();
        nats.start_again().await;
        is_ready(&gateway, 200).await;
        tally.has_acknowledged(before + 200).await;
    };
    tokio::join!(load, outage);
    gateway.is_drained("crm").await;
    let figures = tally.nothing_is_lost(service.messages(), gateway.dead_messages("crm").await);
    assert_eq!(figures.dead, 0, "{figures}");
}

#[tokio::test]
async fn one_of_three_servers_is_killed_under_load_and_nothing_is_lost() {
    let mut nats = Server::nats_cluster().await;
    let urls = nats.each_ref().map(Server::nats_url).join(",");
    let service = TestDecider::answering(OK).await;
    let toml = journal(&urls, "replicas = 3, require_durable = true") + &target(&service);
    let gateway = TestGateway::start(&toml).await;
    let ready = gateway.get("/readyz").await.body;
    assert!(ready.contains("3 replicas"), "{ready}");
    let tally = Tally::default();
    tokio::join!(tally.send_groups(&gateway, ("g", 7), 0..215), async {
        service.request(200).await;
        nats[1].kill().await;
    });
    assert!(tally.acknowledged() > 200, "{}", tally.acknowledged());
    // The others go on; the one that was killed comes back.
    eventually("two of three to keep events", async || tally.send(&gateway, "last", [0]).await == 1).await;
    nats[1].start_again().await;
    gateway.is_drained("crm").await;
    let figures = tally.nothing_is_lost(service.messages(), gateway.dead_messages("crm").await);
    assert_eq!(figures.dead, 0, "{figures}");
}

#[tokio::test]
async fn what_is_less_than_durable_is_refused_where_durable_is_required_and_said_where_not() {
    let nats = Server::nats("").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, journal(&nats.nats_url(), "replicas = 1, require_durable = true")).unwrap();
    let output = Command::new(binary()).args(["serve", "--config"]).arg(&file).output();
    let output = timeout(LIMIT, output).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("durable") && said.contains("sync_always"), "{said}");
    let gateway = TestGateway::start(&journal(&nats.nats_url(), "replicas = 1")).await;
    let ready = gateway.get("/readyz").await;
    assert!(ready.status == 200 && ready.body.contains("NOT durable"), "{}", ready.body);
    gateway.logged("what is acknowledged can be lost with that machine").await;
}

/// No such server can be installed beside a new one: this says what one says to whoever connects.
#[tokio::test]
async fn a_server_that_is_too_old_is_refused_with_what_to_do() {
    const INFO: &str = r#"{"server_id":"OLD","server_name":"old","version":"2.9.10","proto":1,"headers":true,"max_payload":1048576,"jetstream":true}"#;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(format!("INFO {INFO}\r\n").as_bytes()).await.unwrap();
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line == "PING" {
                    lines.get_mut().write_all(b"PONG\r\n").await.unwrap();
                }
            }
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, journal(&url, "replicas = 1")).unwrap();
    let output = Command::new(binary()).args(["serve", "--config"]).arg(&file).output();
    let output = timeout(LIMIT, output).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("2.9.10") && said.contains("2.11 or newer is needed"), "{said}");
}

#[tokio::test]
async fn a_full_after_lane_turns_away_and_before_callbacks_do_not_suffer() {
    let nats = Server::nats("").await;
    let toml = journal(&nats.nats_url(), "replicas = 1, timeout = \"20s\"")
        .replace("[callbacks]", "[callbacks]\nafter_lane = 1")
        + "[decide]\ndeadline = \"1900ms\"\n";
    let gateway = TestGateway::start(&toml).await;
    nats.freeze(true);
    let posts = [1, 2, 3].map(|n| gateway.post(MESSAGE, message("g", n)));
    let decided = async {
        gateway
            .metric_becomes(&format!(r#"chathook_callbacks_total{{command="{MESSAGE}",outcome="shed"}}"#), 2.0)
            .await;
        // The third still waits for its place in the journal.
        let unknown = gateway.post("Nobody.Knows", "{}").await;
        assert_eq!((unknown.status, unknown.body.as_str()), (200, OK), "it may be a before-callback");
        gateway.post(BEFORE, r#"{"GroupId":"g","From_Account":"u","MsgBody":[]}"#).await
    };
    let [one, two, three] = posts;
    let (decided, one, two, three) = tokio::join!(decided, one, two, three);
    assert_eq!((decided.status, decided.body.as_str()), (200, OK));
    let told = [&one, &two, &three].map(|response| (response.status, response.body.contains("overloaded")));
    assert_eq!(told.iter().filter(|told| **told == (503, true)).count(), 2, "{told:?}");
    assert_eq!(told.iter().filter(|told| **told == (503, false)).count(), 1, "{told:?}");
    nats.freeze(false);
}

#[tokio::test]
async fn any_replica_shows_and_mends_what_another_has_kept() {
    let nats = Server::nats("").await;
    let service = TestDecider::start(|_, n| match n {
        0 => Behaviour::answer(400, &[], ""),
        _ => Behaviour::json(OK),
    })
    .await;
    let toml = journal(&nats.nats_url(), "replicas = 1") + &target(&service);
    let (one, other) = (TestGateway::start(&toml).await, TestGateway::start(&toml).await);
    one.keeps(MESSAGE, &message("g", 1)).await;
    other.dead_letters("crm", 1).await;
    let admin = format!("http://{}", other.admin);
    let call = |call: &'static [&'static str]| {
        let call = Command::new(binary()).args(call).args(["--admin", &admin]).output();
        async { timeout(LIMIT, call).await.unwrap().unwrap() }
    };
    let shown = call(&["events", "--user", "u_501", "--command", MESSAGE]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("group/g") && shown.contains("crm: dead"), "{shown}");
    let replayed = call(&["dead-letters", "replay", "--all"]).await;
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    other.dead_letters("crm", 0).await;
    service.request(1).await;
}
