//! Several gateways that share one journal, on real NATS servers.

use std::collections::HashMap;
use std::time::Duration;

use chathook_tests::{Behaviour, Connection, OK, Server, TestDecider, TestGateway, binary, config, request, signed};
use tokio::process::Command;
use tokio::time::timeout;

const COMMAND: &str = "Group.CallbackAfterSendMsg";
const BEFORE: &str = "Group.CallbackBeforeSendMsg";
const LIMIT: Duration = Duration::from_secs(60);

/// The n-th message of all, in one of seven groups; each thousand has groups of its own.
fn message(n: usize) -> String {
    let (thousand, group) = (n / 1000, n % 7);
    format!(
        r#"{{"CallbackCommand":"{COMMAND}","GroupId":"g{thousand}-{group}","From_Account":"u_501","MsgSeq":{n},"MsgBody":[]}}"#
    )
}

fn journal(nats: &str, more: &str) -> String {
    config("") + &format!("[journal]\nengine = \"jetstream\"\nnats = {{ url = \"{nats}\", {more} }}\n")
}

fn target(url: &str) -> String {
    format!("[[target]]\nname = \"crm\"\nretry = {{ first = \"10ms\", max = \"100ms\" }}\nhttp.url = \"{url}\"\n")
}

/// Sends callbacks on one connection until one is not acknowledged, and gives which were.
async fn send(gateway: &TestGateway, numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    let Ok(mut connection) = Connection::open(gateway.callbacks).await else { return acknowledged };
    for n in numbers {
        let request = request(&format!("/?{}", signed(COMMAND)), message(n).as_bytes());
        if connection.write(&request).await.is_err() {
            break;
        }
        match connection.response().await {
            Ok(response) if response.status == 200 => acknowledged.push(n),
            Ok(_) => continue,
            Err(_) => break,
        }
    }
    acknowledged
}

/// How often each message came, and that those of a group came in order.
fn received(service: &TestDecider) -> HashMap<usize, usize> {
    let (mut times, mut last) = (HashMap::new(), HashMap::new());
    for request in service.requests() {
        let n = usize::try_from(request.json()["MsgSeq"].as_u64().unwrap()).unwrap();
        let is_first = times.entry(n).and_modify(|times| *times += 1).or_insert(1) == &1;
        let last = last.entry((n / 1000, n % 7)).or_insert(n);
        assert!(!is_first || n >= *last, "{n} came after {last}");
        *last = n.max(*last);
    }
    times
}

async fn is_drained(gateway: &TestGateway) {
    let drained = async {
        while gateway.metric(r#"chathook_delivery_backlog{target="crm"}"#).await != 0.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // Servers elect a leader, and one that was gone catches up.
    timeout(2 * LIMIT, drained).await.expect("everything is delivered");
}

#[tokio::test]
async fn replicas_share_the_work_keep_once_and_in_order_and_take_over_from_one_that_is_killed() {
    let nats = Server::nats("").await;
    let service = TestDecider::answering(OK).await;
    let toml = journal(&nats.nats_url(), "replicas = 1") + &target(&service.url("/"));
    let (one, other) = (TestGateway::start(&toml).await, TestGateway::start(&toml).await);
    // Each message to both, as a retry of Chat may reach another replica.
    let (sent, again) = tokio::join!(send(&one, 1..=100), send(&other, 1..=100));
    assert_eq!((sent.len(), again.len()), (100, 100));
    is_drained(&one).await;
    let times = received(&service);
    assert_eq!(times.len(), 100);
    assert_eq!(times.values().sum::<usize>(), 100, "nothing twice while both live");

    let (killed, alive) = tokio::join!(
        async {
            let sent = send(&one, 1001..=1100).await;
            one.signal("KILL");
            sent
        },
        send(&other, 2001..=2200)
    );
    is_drained(&other).await;
    let times = received(&service);
    let lost: Vec<_> = killed.iter().chain(&alive).filter(|n| !times.contains_key(n)).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", killed.len() + alive.len());
    assert_eq!((killed.len(), alive.len()), (100, 200));
}

#[tokio::test]
async fn without_nats_after_callbacks_are_refused_decisions_go_on_and_it_mends_itself() {
    let mut nats = Server::nats("").await;
    let service = TestDecider::answering(OK).await;
    let toml = journal(&nats.nats_url(), "replicas = 1, timeout = \"300ms\"") + &target(&service.url("/"));
    let gateway = TestGateway::start(&toml).await;
    let before = send(&gateway, 1..=20).await;
    nats.kill().await;
    let refused = gateway.post(COMMAND, message(21)).await;
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (503, r#"{"ActionStatus":"FAIL","ErrorInfo":"cannot be kept","ErrorCode":1}"#)
    );
    let (decided, took) = gateway.timed(BEFORE, r#"{"GroupId":"g","From_Account":"u","MsgBody":[]}"#).await;
    assert_eq!((decided.status, decided.body.as_str()), (200, OK));
    assert!(took < Duration::from_millis(300), "{took:?}");
    let not_ready = async {
        while gateway.get("/readyz").await.status != 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, not_ready).await.expect("it says that it cannot keep");
    nats.start_again().await;
    let ready = async {
        while gateway.get("/readyz").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, ready).await.expect("it mends itself");
    let after = send(&gateway, 22..=40).await;
    assert_eq!((before.len(), after.len()), (20, 19));
    is_drained(&gateway).await;
    let times = received(&service);
    let lost: Vec<_> = before.iter().chain(&after).filter(|n| !times.contains_key(n)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test]
async fn one_of_three_servers_is_killed_under_load_and_nothing_is_lost() {
    let mut nats = Server::nats_cluster().await;
    let urls = nats.each_ref().map(Server::nats_url).join(",");
    let service = TestDecider::answering(OK).await;
    let toml = journal(&urls, "replicas = 3, require_durable = true") + &target(&service.url("/"));
    let gateway = TestGateway::start(&toml).await;
    let ready = gateway.get("/readyz").await.body;
    assert!(ready.contains("3 replicas"), "{ready}");
    let (mut acknowledged, ()) = tokio::join!(send(&gateway, 1..=1500), async {
        service.request(200).await;
        nats[1].kill().await;
    });
    assert!(acknowledged.len() > 200, "{}", acknowledged.len());
    // The others go on; the one that was killed comes back.
    let going_on = async {
        while gateway.post(COMMAND, message(2000)).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, going_on).await.expect("two of three keep events");
    acknowledged.push(2000);
    nats[1].start_again().await;
    is_drained(&gateway).await;
    let times = received(&service);
    let lost: Vec<_> = acknowledged.iter().filter(|n| !times.contains_key(n)).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", acknowledged.len());
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
}

#[tokio::test]
async fn a_full_after_lane_turns_away_and_before_callbacks_do_not_suffer() {
    let nats = Server::nats("").await;
    let toml = journal(&nats.nats_url(), "replicas = 1, timeout = \"20s\"")
        .replace("[callbacks]", "[callbacks]\nafter_lane = 1")
        + "[decide]\ndeadline = \"1900ms\"\n";
    let gateway = TestGateway::start(&toml).await;
    nats.freeze(true);
    let posts = [1, 2, 3].map(|n| gateway.post(COMMAND, message(n)));
    let decided = async {
        gateway
            .metric_becomes(&format!(r#"chathook_callbacks_total{{command="{COMMAND}",outcome="shed"}}"#), 2.0)
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
    let toml = journal(&nats.nats_url(), "replicas = 1") + &target(&service.url("/"));
    let (one, other) = (TestGateway::start(&toml).await, TestGateway::start(&toml).await);
    assert_eq!(send(&one, 1..=1).await, [1]);
    other.metric_becomes(r#"chathook_dead_letters{target="crm"}"#, 1.0).await;
    let admin = format!("http://{}", other.admin);
    let call = |call: &'static [&'static str]| {
        let call = Command::new(binary()).args(call).args(["--admin", &admin]).output();
        async { timeout(LIMIT, call).await.unwrap().unwrap() }
    };
    let shown = call(&["events", "--user", "u_501", "--command", COMMAND]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("group/g0-1") && shown.contains("crm: dead"), "{shown}");
    let replayed = call(&["dead-letters", "replay", "--all"]).await;
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    other.metric_becomes(r#"chathook_dead_letters{target="crm"}"#, 0.0).await;
    service.request(1).await;
}
