//! What was acknowledged is kept, and reaches every target that wants it.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chathook_protocol::{sns, state};
use chathook_router::Ctx;
use chathook_tests::{Behaviour, Down, Gate, OK, TestDecider, TestGateway, binary, config, http_decider, signed};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

const CHANGE: &str = "State.StateChange";
const MESSAGE: &str = "Group.CallbackAfterSendMsg";
const BLOCKED: &str = "Sns.CallbackBlackListAdd";
/// Nothing that a test waits for takes longer.
const LIMIT: Duration = Duration::from_secs(30);

/// A change of state of a user.
fn change(user: &str, n: usize) -> String {
    format!(
        r#"{{"CallbackCommand":"{CHANGE}","EventTime":{n},"Info":{{"Action":"Login","To_Account":"{user}","Reason":"Register"}}}}"#
    )
}

/// The n-th message of a group.
fn message(group: &str, n: usize) -> String {
    format!(
        r#"{{"CallbackCommand":"{MESSAGE}","GroupId":"{group}","From_Account":"u_501","MsgSeq":{n},"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"n {n}"}}}}]}}"#
    )
}

/// A `[[target]]`; `more` are further lines, such as `http.format = "cloudevents"`.
fn target(name: &str, url: &str, more: &str) -> String {
    format!("[[target]]\nname = {name:?}\nretry = {{ first = \"10ms\", max = \"50ms\" }}\nhttp.url = {url:?}\n{more}\n")
}

/// A configuration whose journal outlives the gateway.
fn kept_in(dir: &Path, targets: &str) -> String {
    config("") + &format!("[journal]\npath = {:?}\n", dir.join("journal.db")) + targets
}

async fn keeps(gateway: &TestGateway, command: &str, body: &str) {
    let response = gateway.post(command, body).await;
    assert_eq!((response.status, response.body.as_str()), (200, OK), "{body}");
}

/// Asks a running gateway by a subcommand.
async fn asks(gateway: &TestGateway, call: &[&str]) -> Output {
    let admin = format!("http://{}", gateway.admin);
    let call = Command::new(binary()).args(call).args(["--admin", &admin]).env("USER", "ann").output();
    timeout(LIMIT, call).await.expect("an answer").expect("it runs")
}

async fn json(gateway: &TestGateway, call: &[&str]) -> Value {
    let output = asks(gateway, &[call, &["--json"]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn delivered(target: &str) -> String {
    format!(r#"chathook_deliveries_total{{outcome="delivered",target="{target}"}}"#)
}

fn dead(target: &str) -> String {
    format!(r#"chathook_dead_letters{{target="{target}"}}"#)
}

// What targets get.

#[tokio::test]
async fn a_passthrough_target_gets_the_query_and_the_body_as_chat_sent_them() {
    let service = TestDecider::answering(OK).await;
    let gateway = TestGateway::start(&(config("") + &target("crm", &service.url("/in?x=1"), ""))).await;
    let (query, body) = (signed(CHANGE), change("u_1", 1).replace(',', " ,\n"));
    assert_eq!(gateway.post_query(&query, &body).await.body, OK);
    let request = service.request(0).await;
    assert_eq!(request.query(), format!("x=1&{query}"));
    assert_eq!(request.text(), body);
    assert!(request.line().starts_with("POST /in?"), "{}", request.line());
}

#[tokio::test]
async fn a_cloudevents_target_gets_attributes_and_a_signature() {
    let service = TestDecider::answering("").await;
    let more = "http.format = \"cloudevents\"\nhttp.secrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]";
    let gateway = TestGateway::start(&(config("") + &target("crm", &service.url("/"), more))).await;
    keeps(&gateway, MESSAGE, &message("@TGS#1", 7)).await;
    let request = service.request(0).await;
    assert_eq!(request.text(), message("@TGS#1", 7));
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-type", "com.tencentcloud.chat.Group.CallbackAfterSendMsg"),
        ("ce-source", "/chat/1400000001"),
        ("ce-subject", "group/@TGS#1"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    // A dot would end the identity in what is signed.
    let id = request.header("ce-id").unwrap();
    assert_eq!(request.header("webhook-id"), Some(&*id.replace('.', "%2E")));
    assert!(request.header("webhook-signature").unwrap().starts_with("v1,"));
}

#[tokio::test]
async fn targets_get_what_their_patterns_and_conditions_select() {
    let (groups, one, file) = (TestDecider::answering("").await, TestDecider::answering("").await, "events.ndjson");
    let dir = tempfile::tempdir().unwrap();
    let toml = config("")
        + &target("groups", &groups.url("/"), "commands = [\"Group.*\"]")
        + &target("one", &one.url("/"), "when = 'has(payload.GroupId) && payload.GroupId == \"@TGS#2\"'")
        + &format!("[[target]]\nname = \"archive\"\nfile.path = {:?}\n", dir.path().join(file));
    let gateway = TestGateway::start(&toml).await;
    keeps(&gateway, CHANGE, &change("u_1", 1)).await;
    keeps(&gateway, MESSAGE, &message("@TGS#1", 1)).await;
    keeps(&gateway, MESSAGE, &message("@TGS#2", 1)).await;
    gateway.metric_becomes(&delivered("archive"), 3.0).await;
    gateway.metric_becomes(&delivered("groups"), 2.0).await;
    gateway.metric_becomes(&delivered("one"), 1.0).await;
    for target in ["groups", "one", "archive"] {
        gateway.metric_becomes(&format!(r#"chathook_delivery_backlog{{target="{target}"}}"#), 0.0).await;
    }
    assert_eq!((groups.asked(), one.asked()), (2, 1));
    let lines = std::fs::read_to_string(dir.path().join(file)).unwrap();
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.len(), 3);
    assert!(kinds.contains(&"com.tencentcloud.chat.State.StateChange"));
    assert_eq!(events[2]["data"]["GroupId"], "@TGS#2");
}

#[tokio::test]
async fn an_unknown_command_and_a_body_that_is_no_json_are_delivered_as_they_came() {
    let service = TestDecider::answering("").await;
    let gateway = TestGateway::start(&(config("") + &target("all", &service.url("/"), ""))).await;
    keeps(&gateway, "Group.CallbackAfterTomorrow", r#"{"A":1}"#).await;
    keeps(&gateway, CHANGE, "no JSON").await;
    let mut bodies = [service.request(0).await.text().to_owned(), service.request(1).await.text().to_owned()];
    bodies.sort();
    assert_eq!(bodies, ["no JSON", r#"{"A":1}"#]);
}

#[tokio::test]
async fn before_callbacks_are_kept_with_their_answer_where_configured() {
    let service = TestDecider::answering(r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":10101}"#).await;
    let command = "Group.CallbackBeforeSendMsg";
    let toml = config("") + "[journal]\ndecisions = true\n" + &http_decider("no", &[command], &service.url("/"), "");
    let dir = tempfile::tempdir().unwrap();
    let path = format!("[journal]\npath = {:?}", dir.path().join("journal.db"));
    let gateway = TestGateway::start(&toml.replace("[journal]", &path)).await;
    let refused = gateway.post(command, r#"{"GroupId":"g","From_Account":"u_9","MsgBody":[]}"#).await;
    assert!(refused.body.contains("10101"), "{}", refused.body);
    let events = json(&gateway, &["events", "--command", command, "--user", "u_9"]).await;
    let position = events[0]["position"].to_string();
    let event = json(&gateway, &["events", "show", &position]).await;
    assert_eq!(event["answer"]["ErrorCode"], 10101);
    assert_eq!(event["body"]["GroupId"], "g");
    assert_eq!(event["query"]["Sign"], Value::Null, "who reads it cannot send it again");
}

// Once, in order, and not held up by others.

#[tokio::test]
async fn a_duplicate_is_acknowledged_and_not_kept_twice_be_it_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let toml = kept_in(dir.path(), "");
    let duplicates = format!(r#"chathook_callbacks_total{{command="{MESSAGE}",outcome="duplicate"}}"#);
    let gateway = TestGateway::start(&toml).await;
    keeps(&gateway, MESSAGE, &message("g", 1)).await;
    keeps(&gateway, MESSAGE, &message("g", 1)).await;
    keeps(&gateway, MESSAGE, &message("g", 2)).await;
    assert_eq!(gateway.metric(&duplicates).await, 1.0);
    gateway.stop().await;
    let gateway = TestGateway::start(&toml).await;
    keeps(&gateway, MESSAGE, &message("g", 2)).await;
    assert_eq!(gateway.metric(&duplicates).await, 1.0);
    assert_eq!(json(&gateway, &["events"]).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_poison_event_holds_up_its_conversation_and_nobody_else() {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let service = TestDecider::start(move |request, _| {
        let is_poison = request.text().contains(r#""GroupId":"bad","From_Account":"u_501","MsgSeq":2,"#);
        match is_poison && !is_mended.load(Ordering::Relaxed) {
            true => Behaviour::answer(500, &[], ""),
            false => Behaviour::json(OK),
        }
    })
    .await;
    let gateway = TestGateway::start(&(config("") + &target("crm", &service.url("/"), ""))).await;
    for n in 1..=20 {
        keeps(&gateway, MESSAGE, &message("bad", n)).await;
        keeps(&gateway, MESSAGE, &message("good", n)).await;
    }
    // All of the good, and the first of the bad.
    gateway.metric_becomes(&delivered("crm"), 21.0).await;
    mended.store(true, Ordering::Relaxed);
    gateway.metric_becomes(&delivered("crm"), 40.0).await;
    let mut last = [0, 0];
    for request in service.requests() {
        let body = request.json();
        let seen = &mut last[usize::from(body["GroupId"] == "good")];
        let n = body["MsgSeq"].as_u64().unwrap();
        assert!(n == *seen || n == *seen + 1, "{n} after {seen}");
        *seen = n;
    }
    assert_eq!(last, [20, 20]);
}

#[tokio::test]
async fn a_target_that_is_down_or_slow_delays_nobody_else_and_gets_all_in_the_end() {
    let (down, slow, good) = (Down::new(), Gate::default(), TestDecider::answering("").await);
    let gate = slow.clone();
    let slow_service = TestDecider::start(move |_, _| Behaviour::json("").once(&gate)).await;
    let toml = config("")
        + &target("down", &down.url("/"), "")
        + &target("slow", &slow_service.url("/"), "concurrency = 4")
        + &target("good", &good.url("/"), "");
    let gateway = TestGateway::start(&toml).await;
    for n in 0..100 {
        keeps(&gateway, CHANGE, &change(&format!("u_{n}"), n)).await;
    }
    gateway.metric_becomes(&delivered("good"), 100.0).await;
    gateway.metric_becomes(r#"chathook_delivery_backlog{target="down"}"#, 100.0).await;
    assert_eq!(slow_service.asked(), 4);
    let down = down.start(|_, _| Behaviour::json(""));
    slow.open();
    for target in ["down", "slow"] {
        gateway.metric_becomes(&delivered(target), 100.0).await;
        gateway.metric_becomes(&format!(r#"chathook_delivery_backlog{{target="{target}"}}"#), 0.0).await;
    }
    assert!(down.asked() >= 100);
}

// Crashes.

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_gateway_is_killed_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let service = TestDecider::answering(OK).await;
    let toml = kept_in(dir.path(), &target("crm", &service.url("/"), ""));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut next = 0;
    for round in 0..10 {
        let gateway = Arc::new(TestGateway::start(&toml).await);
        let before = acknowledged.load(Ordering::SeqCst);
        let sender = |first: usize| {
            let (gateway, acknowledged) = (Arc::clone(&gateway), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                let mut sent = Vec::new();
                let Ok(mut connection) = chathook_tests::Connection::open(gateway.callbacks).await else { return sent };
                for n in (first..).step_by(4) {
                    let body = change(&format!("u_{}", n % 7), n);
                    let request = chathook_tests::request(&format!("/?{}", signed(CHANGE)), body.as_bytes());
                    if connection.write(&request).await.is_err() {
                        break;
                    }
                    match connection.response().await {
                        Ok(response) if response.status == 200 => sent.push(n),
                        _ => break,
                    }
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
                sent
            })
        };
        let senders: Vec<_> = (0..4).map(|i| sender(next + i)).collect();
        // Killed in the midst of it: after 20, 57, 94, ... have been acknowledged.
        while acknowledged.load(Ordering::SeqCst) < before + 20 + 37 * round {
            tokio::task::yield_now().await;
        }
        gateway.signal("KILL");
        let mut all = Vec::new();
        for sender in senders {
            all.extend(sender.await.unwrap());
        }
        next = all.iter().max().unwrap() + 8;
        KEPT.lock().unwrap().extend(all);
    }
    let gateway = TestGateway::start(&toml).await;
    gateway.metric_becomes(r#"chathook_delivery_backlog{target="crm"}"#, 0.0).await;
    let mut times = std::collections::HashMap::<u64, usize>::new();
    for request in service.requests() {
        *times.entry(request.json()["EventTime"].as_u64().unwrap()).or_default() += 1;
    }
    let kept = KEPT.lock().unwrap();
    let lost: Vec<_> = kept.iter().filter(|n| !times.contains_key(&(**n as u64))).collect();
    assert_eq!(lost, [&0; 0], "of {} acknowledged", kept.len());
    let duplicates: usize = times.values().map(|times| times - 1).sum();
    // What was on its way when it was killed: at most 64 a time.
    assert!(duplicates <= 64 * 10, "{duplicates} of {} delivered twice", kept.len());
}

/// What was acknowledged to the test above.
static KEPT: std::sync::Mutex<Vec<usize>> = std::sync::Mutex::new(Vec::new());

#[tokio::test]
async fn a_backlog_is_delivered_after_a_restart_and_a_new_target_begins_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let down = Down::new();
    let gateway = TestGateway::start(&kept_in(dir.path(), &target("crm", &down.url("/"), ""))).await;
    for n in 0..50 {
        keeps(&gateway, MESSAGE, &message("g", n)).await;
    }
    gateway.stop().await;
    let (url, crm) = (down.url("/"), down.start(|_, _| Behaviour::json(OK)));
    let fresh = TestDecider::answering(OK).await;
    let targets = target("crm", &url, "") + &target("new", &fresh.url("/"), "");
    let gateway = TestGateway::start(&kept_in(dir.path(), &targets)).await;
    gateway.metric_becomes(&delivered("crm"), 50.0).await;
    let order: Vec<_> = crm.requests().iter().map(|request| request.json()["MsgSeq"].as_u64().unwrap()).collect();
    assert_eq!(order, (0..50).collect::<Vec<_>>());
    keeps(&gateway, MESSAGE, &message("g", 50)).await;
    gateway.metric_becomes(&delivered("new"), 1.0).await;
    assert_eq!(fresh.asked(), 1);
}

#[tokio::test]
async fn a_journal_that_is_full_refuses_and_takes_again_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let (down, name) = (Down::new(), "crm");
    let url = down.url("/");
    let toml = kept_in(dir.path(), &target(name, &url, "")).replace("[journal]", "[journal]\nmax_size = \"2MiB\"");
    let gateway = TestGateway::start(&toml).await;
    let large = |n| message("g", n).replace("\"n ", &format!("\"{}", "x".repeat(50_000)));
    let mut kept = 0;
    let full = loop {
        let response = gateway.post(MESSAGE, large(kept)).await;
        if response.status != 200 {
            break response;
        }
        kept += 1;
        assert!(kept < 100, "it never gets full");
    };
    assert_eq!(
        (full.status, full.body.as_str()),
        (503, r#"{"ActionStatus":"FAIL","ErrorInfo":"cannot be kept","ErrorCode":1}"#)
    );
    assert!(gateway.metric(&format!(r#"chathook_callbacks_total{{command="{MESSAGE}",outcome="lost"}}"#)).await >= 1.0);
    let ready = gateway.get("/readyz").await;
    assert!(ready.status == 503 && ready.body.contains("cannot keep"), "{}", ready.body);
    let before =
        gateway.post("Group.CallbackBeforeSendMsg", r#"{"GroupId":"g","From_Account":"u","MsgBody":[]}"#).await;
    assert_eq!((before.status, before.body.as_str()), (200, OK), "decisions go on");
    let service = down.start(|_, _| Behaviour::json(OK));
    gateway.metric_becomes(&delivered(name), f64::from(u32::try_from(kept).unwrap())).await;
    let again = async {
        while gateway.post(MESSAGE, large(kept)).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, again).await.expect("there is room again");
    assert!(service.asked() >= kept);
}

#[tokio::test]
async fn a_journal_that_cannot_be_opened_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let toml = kept_in(dir.path(), "");
    let file = dir.path().join("c.toml");
    std::fs::write(&file, &toml).unwrap();
    for contents in [&b"no database at all, but a text that somebody needs"[..], &[0xAA; 8192]] {
        std::fs::write(&path, contents).unwrap();
        let output = Command::new(binary()).args(["serve", "--config"]).arg(&file).output();
        let output = timeout(LIMIT, output).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("journal.db"), "{said}");
        assert_eq!(std::fs::read(&path).unwrap(), contents, "nothing is lost");
    }
    // Two gateways on one file would each believe to be alone.
    std::fs::remove_file(&path).unwrap();
    let _gateway = TestGateway::start(&toml).await;
    let output = Command::new(binary()).args(["serve", "--config"]).arg(&file).output();
    let output = timeout(LIMIT, output).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

// Dead letters.

#[tokio::test]
async fn a_dead_letter_is_found_delivered_again_or_given_up_and_that_is_recorded() {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let service = TestDecider::start(move |_, _| match is_mended.load(Ordering::Relaxed) {
        true => Behaviour::json(OK),
        false => Behaviour::answer(400, &[], "no"),
    })
    .await;
    let gateway = TestGateway::start(&(config("") + &target("crm", &service.url("/"), ""))).await;
    for n in 1..=3 {
        keeps(&gateway, MESSAGE, &message("g", n)).await;
    }
    gateway.metric_becomes(&dead("crm"), 3.0).await;
    let letters = json(&gateway, &["dead-letters"]).await;
    let positions: Vec<_> = letters.as_array().unwrap().iter().map(|it| it["position"].to_string()).collect();
    let first = &letters[0];
    assert_eq!((first["target"].as_str(), first["class"].as_str()), (Some("crm"), Some("target")));
    assert!(first["cause"].as_str().unwrap().contains("400"), "{first}");

    mended.store(true, Ordering::Relaxed);
    let replayed = asks(&gateway, &["dead-letters", "replay", &positions[0], "--target", "crm"]).await;
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    gateway.metric_becomes(&delivered("crm"), 1.0).await;
    let event = json(&gateway, &["events", "show", &positions[0]]).await;
    let attempts = event["targets"][0]["attempts"].as_array().unwrap();
    let led_to: Vec<_> = attempts.iter().map(|attempt| attempt["led_to"].as_str().unwrap()).collect();
    assert_eq!(led_to, ["dead", "delivered"]);

    let discarded = asks(&gateway, &["dead-letters", "discard", "--all", "--target", "crm"]).await;
    assert!(discarded.status.success(), "{}", String::from_utf8_lossy(&discarded.stderr));
    gateway.metric_becomes(&dead("crm"), 0.0).await;
    let audit: Value = serde_json::from_str(&gateway.get("/api/audit").await.body).unwrap();
    let actions: Vec<_> = audit.as_array().unwrap().iter().map(|it| (&it["action"], &it["by"])).collect();
    assert_eq!(actions.len(), 3);
    assert_eq!(actions[2], (&Value::from("replay"), &Value::from("ann")));
    assert!(actions[..2].iter().all(|(action, by)| **action == "discard" && **by == "ann"));
}

#[tokio::test]
async fn a_body_that_nobody_could_read_is_a_dead_letter_of_its_own_class() {
    let service = TestDecider::start(|_, _| Behaviour::answer(422, &[], "")).await;
    let gateway = TestGateway::start(&(config("") + &target("crm", &service.url("/"), ""))).await;
    keeps(&gateway, CHANGE, "no JSON").await;
    gateway.metric_becomes(&dead("crm"), 1.0).await;
    assert_eq!(json(&gateway, &["dead-letters", "--class", "undecodable"]).await.as_array().unwrap().len(), 1);
    assert_eq!(json(&gateway, &["dead-letters", "--class", "gateway"]).await.as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn after_the_last_attempt_it_is_a_dead_letter_with_every_attempt() {
    let down = Down::new();
    let toml =
        config("") + &target("crm", &down.url("/"), "").replace("max = \"50ms\"", "max = \"20ms\", attempts = 3");
    let gateway = TestGateway::start(&toml).await;
    keeps(&gateway, CHANGE, &change("u_77", 1)).await;
    gateway.metric_becomes(&dead("crm"), 1.0).await;
    let events = json(&gateway, &["events", "--command", CHANGE, "--user", "u_77", "--state", "dead"]).await;
    let event = json(&gateway, &["events", "show", &events[0]["position"].to_string()]).await;
    assert_eq!(event["targets"][0]["attempts"].as_array().unwrap().len(), 3, "{event}");
    assert_eq!(json(&gateway, &["events", "--user", "u_7"]).await.as_array().unwrap().len(), 0);
    let retried = r#"chathook_deliveries_total{outcome="retried",target="crm"}"#;
    assert_eq!(gateway.metric(retried).await, 2.0);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told() {
    let gateway =
        TestGateway::start(&(config("") + &target("crm", "http://127.0.0.1:1/", "commands = [\"Sns.*\"]"))).await;
    keeps(&gateway, CHANGE, &change("u_1", 1)).await;
    for (call, part) in [
        (&["events", "show", "77"][..], "there is no event 77"),
        (&["events", "replay", "1", "--to", "crm"], "`crm` does not get `State.StateChange`"),
        (&["events", "replay", "1", "--to", "nobody"], "there is no target `nobody`"),
        (&["events", "--state", "lost"], "state"),
        (&["events", "--since", "yesterday"], "since"),
        (&["dead-letters", "discard", "1", "--target", "crm"], "has no dead letter 1"),
        (&["dead-letters", "discard", "1"], "--target"),
    ] {
        let output = asks(&gateway, call).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(part), "{call:?}: {said}");
    }
}

// After-handlers.

#[tokio::test]
async fn an_after_handler_that_fails_or_panics_is_called_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let toml =
        config("") + "[[target]]\nname = \"handlers\"\nretry = { first = \"10ms\", max = \"20ms\" }\nhandlers = {}\n";
    let gateway = TestGateway::with(&toml, Arc::clone(&calls), |gateway| {
        gateway.after(|cx: Ctx<Arc<AtomicUsize>>, _change: state::StateChange| async move {
            match cx.fetch_add(1, Ordering::SeqCst) {
                0 => Err("not yet".into()),
                1 => panic!("not yet"),
                _ => Ok(()),
            }
        })
    })
    .await;
    keeps(&gateway, CHANGE, &change("u_1", 1)).await;
    gateway.metric_becomes(&delivered("handlers"), 1.0).await;
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    keeps(&gateway, BLOCKED, r#"{"PairList":[{"From_Account":"u_1","To_Account":"u_2"}]}"#).await;
    gateway.metric_becomes(r#"chathook_delivery_backlog{target="handlers"}"#, 0.0).await;
    assert_eq!(gateway.metric(&delivered("handlers")).await, 1.0, "it has no handler for that");
}

#[tokio::test]
async fn an_after_handler_is_told_after_a_restart_of_what_it_did_not_finish() {
    let dir = tempfile::tempdir().unwrap();
    // What it has still to get is not removed, however old.
    let toml = kept_in(dir.path(), "")
        .replace("[shutdown]", "[shutdown]\ngrace = \"100ms\"")
        .replace("[journal]", "[journal]\ndedup_window = \"1ms\"\nretention = \"1ms\"");
    let begun = Arc::new(tokio::sync::Notify::new());
    let gateway = TestGateway::with(&toml, Arc::clone(&begun), |gateway| {
        gateway.after(|cx: Ctx<Arc<tokio::sync::Notify>>, _added: sns::BlackListAdd| async move {
            cx.notify_one();
            std::future::pending().await
        })
    })
    .await;
    keeps(&gateway, BLOCKED, r#"{"PairList":[{"From_Account":"u_1","To_Account":"u_2"}]}"#).await;
    begun.notified().await;
    gateway.ended_in_order().await;
    let told = Arc::new(tokio::sync::Notify::new());
    let _gateway = TestGateway::with(&toml, Arc::clone(&told), |gateway| {
        gateway.after(|cx: Ctx<Arc<tokio::sync::Notify>>, added: sns::BlackListAdd| async move {
            assert_eq!(added.pairs.len(), 1);
            cx.notify_one();
            Ok(())
        })
    })
    .await;
    timeout(LIMIT, told.notified()).await.expect("it is told");
}

// Changes while it runs.

#[tokio::test]
async fn a_changed_file_adds_and_takes_away_targets_while_the_gateway_runs() {
    let (old, new) = (TestDecider::answering("").await, TestDecider::answering("").await);
    let dir = tempfile::tempdir().unwrap();
    let gateway = TestGateway::start(&kept_in(dir.path(), &target("old", &old.url("/"), ""))).await;
    keeps(&gateway, CHANGE, &change("u", 1)).await;
    old.request(0).await;
    let file = gateway.dir().join("chathook.toml");
    std::fs::write(&file, kept_in(dir.path(), &target("new", &new.url("/"), ""))).unwrap();
    gateway.logged("configuration reloaded").await;
    keeps(&gateway, CHANGE, &change("u", 2)).await;
    new.request(0).await;
    let targets: Value = serde_json::from_str(&gateway.get("/api/targets").await.body).unwrap();
    assert_eq!(targets.as_array().unwrap().len(), 1, "{targets}");
    assert_eq!((targets[0]["target"].as_str(), targets[0]["kind"].as_str()), (Some("new"), Some("http")));
    assert_eq!((old.asked(), new.asked()), (1, 1));
}

#[tokio::test]
async fn a_target_that_hangs_holds_up_nobody_when_the_file_changes() {
    let (hangs, good) = (TestDecider::start(|_, _| Behaviour::Hang).await, TestDecider::answering("").await);
    let dir = tempfile::tempdir().unwrap();
    let hanging = |more: &str| target("hangs", &hangs.url("/"), &format!("http.timeout = \"1h\"\n{more}"));
    let gateway = TestGateway::start(&kept_in(dir.path(), &hanging(""))).await;
    keeps(&gateway, CHANGE, &change("u", 1)).await;
    hangs.request(0).await;
    // Both in one change: the one that hangs is another now, and there is a new one.
    let toml = kept_in(dir.path(), &(hanging("concurrency = 2") + &target("good", &good.url("/"), "")));
    std::fs::write(gateway.dir().join("chathook.toml"), toml).unwrap();
    gateway.logged("configuration reloaded").await;
    keeps(&gateway, CHANGE, &change("u", 2)).await;
    good.request(0).await;
    // What was broken off is delivered again.
    hangs.request(1).await;
}
