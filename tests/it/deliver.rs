//! What was acknowledged is kept, and reaches every target that wants it.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chathook_protocol::{sns, state};
use chathook_router::Ctx;
use chathook_tests::{
    Behaviour, CHANGE, Connection, Down, MESSAGE, Name, OK, Tally, TestDecider, TestGateway, binary, change, config,
    eventually, http_decider, http_target, message, request, signed,
};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

const BLOCKED: &str = "Sns.CallbackBlackListAdd";
/// Nothing that a test waits for takes longer.
const LIMIT: Duration = Duration::from_secs(30);

/// A configuration whose journal outlives the gateway.
pub(crate) fn kept_in(dir: &Path, targets: &str) -> String {
    config("") + &format!("[journal]\npath = {:?}\n", dir.join("journal.db")) + targets
}

/// Asks a running gateway by a subcommand.
pub(crate) async fn asks(gateway: &TestGateway, call: &[&str]) -> Output {
    let admin = format!("http://{}", gateway.admin);
    let call = Command::new(binary()).args(call).args(["--admin", &admin]).env("USER", "ann").output();
    timeout(LIMIT, call).await.expect("an answer").expect("it runs")
}

pub(crate) async fn json(gateway: &TestGateway, call: &[&str]) -> Value {
    let output = asks(gateway, &[call, &["--json"]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

// What targets get.

#[tokio::test]
async fn a_passthrough_target_gets_the_query_and_the_body_as_chat_sent_them() {
    let service = TestDecider::answering(OK).await;
    let gateway = TestGateway::start(&(config("") + &http_target("crm", &service.url("/in?x=1"), ""))).await;
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
    let gateway = TestGateway::start(&(config("") + &http_target("crm", &service.url("/"), more))).await;
    gateway.keeps(MESSAGE, &message("@TGS#1", 7)).await;
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
        + &http_target("groups", &groups.url("/"), "commands = [\"Group.*\"]")
        + &http_target("one", &one.url("/"), "when = 'has(payload.GroupId) && payload.GroupId == \"@TGS#2\"'")
        + &format!("[[target]]\nname = \"archive\"\nfile.path = {:?}\n", dir.path().join(file));
    let gateway = TestGateway::start(&toml).await;
    gateway.keeps(CHANGE, &change("u_1", 1)).await;
    gateway.keeps(MESSAGE, &message("@TGS#1", 1)).await;
    gateway.keeps(MESSAGE, &message("@TGS#2", 1)).await;
    gateway.deliveries("archive", "delivered", 3).await;
    gateway.deliveries("groups", "delivered", 2).await;
    gateway.deliveries("one", "delivered", 1).await;
    for target in ["groups", "one", "archive"] {
        gateway.is_drained(target).await;
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
async fn standard_output_gets_one_event_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let (path, toml) = (dir.path().join("stdout"), config("") + "[[target]]\nname = \"log\"\nstdout = {}\n");
    let gateway = TestGateway::program(binary(), &toml, |command, file| {
        command.args(["serve", "--config"]).arg(file).stdout(std::fs::File::create(&path).unwrap());
    })
    .await;
    for n in 1..=3 {
        gateway.keeps(MESSAGE, &message("g", n).replace(',', ",\n")).await;
    }
    gateway.deliveries("log", "delivered", 3).await;
    let lines = std::fs::read_to_string(&path).unwrap();
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = events.iter().map(|it| (&it["specversion"], &it["subject"], &it["data"]["MsgSeq"])).collect();
    let [version, subject] = ["1.0", "group/g"].map(Value::from);
    assert_eq!(told, [1, 2, 3].map(Value::from).each_ref().map(|n| (&version, &subject, n)));
}

#[tokio::test]
async fn an_unknown_command_and_a_body_that_is_no_json_are_delivered_as_they_came() {
    let service = TestDecider::answering("").await;
    let gateway = TestGateway::start(&(config("") + &http_target("all", &service.url("/"), ""))).await;
    gateway.keeps("Group.CallbackAfterTomorrow", r#"{"A":1}"#).await;
    gateway.keeps(CHANGE, "no JSON").await;
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
    gateway.keeps(MESSAGE, &message("g", 1)).await;
    gateway.keeps(MESSAGE, &message("g", 1)).await;
    gateway.keeps(MESSAGE, &message("g", 2)).await;
    assert_eq!(gateway.metric(&duplicates).await, 1.0);
    gateway.stop().await;
    let gateway = TestGateway::start(&toml).await;
    gateway.keeps(MESSAGE, &message("g", 2)).await;
    assert_eq!(gateway.metric(&duplicates).await, 1.0);
    assert_eq!(json(&gateway, &["events"]).await.as_array().unwrap().len(), 2);
}

// Crashes.

#[tokio::test]
async fn a_backlog_is_delivered_after_a_restart_and_a_new_target_begins_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let down = Down::new();
    let gateway = TestGateway::start(&kept_in(dir.path(), &http_target("crm", &down.url("/"), ""))).await;
    for n in 0..50 {
        gateway.keeps(MESSAGE, &message("g", n)).await;
    }
    gateway.stop().await;
    let (url, crm) = (down.url("/"), down.start(|_, _| Behaviour::json(OK)));
    let fresh = TestDecider::answering(OK).await;
    let targets = http_target("crm", &url, "") + &http_target("new", &fresh.url("/"), "");
    let gateway = TestGateway::start(&kept_in(dir.path(), &targets)).await;
    gateway.deliveries("crm", "delivered", 50).await;
    let order: Vec<_> = crm.requests().iter().map(|request| request.json()["MsgSeq"].as_u64().unwrap()).collect();
    assert_eq!(order, (0..50).collect::<Vec<_>>());
    gateway.keeps(MESSAGE, &message("g", 50)).await;
    gateway.deliveries("new", "delivered", 1).await;
    assert_eq!(fresh.asked(), 1);
}

#[tokio::test]
async fn a_journal_that_is_full_refuses_and_takes_again_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let (down, name) = (Down::new(), "crm");
    let url = down.url("/");
    let toml = kept_in(dir.path(), &http_target(name, &url, "")).replace("[journal]", "[journal]\nmax_size = \"2MiB\"");
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
    let ready = gateway.get("/readyz?exclude=journal").await;
    assert!(ready.status == 200 && ready.body.contains("cannot keep"), "{}", ready.body);
    assert_eq!(gateway.get("/readyz?exclude=targets").await.status, 400);
    let before =
        gateway.post("Group.CallbackBeforeSendMsg", r#"{"GroupId":"g","From_Account":"u","MsgBody":[]}"#).await;
    assert_eq!((before.status, before.body.as_str()), (200, OK), "decisions go on");
    let service = down.start(|_, _| Behaviour::json(OK));
    gateway.deliveries(name, "delivered", usize::try_from(kept).unwrap()).await;
    eventually("room", async || gateway.post(MESSAGE, large(kept)).await.status == 200).await;
    assert!(service.asked() as u64 >= kept);
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

#[tokio::test]
async fn a_damaged_journal_is_refused_with_what_to_do_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let toml = kept_in(dir.path(), "");
    let file = dir.path().join("c.toml");
    std::fs::write(&file, &toml).unwrap();
    let gateway = TestGateway::start(&toml).await;
    for n in 0..50 {
        gateway.keeps(MESSAGE, &message("g", n)).await;
    }
    gateway.stop().await;
    let sound = std::fs::read(&path).unwrap();
    let overwritten = |from: usize, to: usize| [&sound[..from], &vec![0xAA; to - from], &sound[to..]].concat();
    // Its header, the tree of the schema behind it, and a file that was cut off.
    for damaged in [overwritten(0, 100), overwritten(100, 4096), sound[..sound.len() / 2].to_vec()] {
        std::fs::write(&path, &damaged).unwrap();
        let output = Command::new(binary()).args(["serve", "--config"]).arg(&file).output();
        let output = timeout(LIMIT, output).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        // What to do stands behind that.
        assert!(said.contains("journal.db") && said.contains("; it was left as it is: "), "{said}");
        assert!(std::fs::read(&path).unwrap() == damaged, "it was changed: {said}");
    }
    std::fs::write(&path, &sound).unwrap();
    let gateway = TestGateway::start(&toml).await;
    assert_eq!(json(&gateway, &["events"]).await.as_array().unwrap().len(), 50);
}

// Dead letters.

/// A service that refuses everything until it is mended.
async fn refusing() -> (TestDecider, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let service = TestDecider::start(move |_, _| match is_mended.load(Ordering::Relaxed) {
        true => Behaviour::json(OK),
        false => Behaviour::answer(400, &[], "no"),
    });
    (service.await, mended)
}

#[tokio::test]
async fn a_dead_letter_is_found_delivered_again_or_given_up_and_that_is_recorded() {
    let (service, mended) = refusing().await;
    let gateway = TestGateway::start(&(config("") + &http_target("crm", &service.url("/"), ""))).await;
    for n in 1..=3 {
        gateway.keeps(MESSAGE, &message("g", n)).await;
    }
    gateway.dead_letters("crm", 3).await;
    let letters = json(&gateway, &["dead-letters"]).await;
    let positions: Vec<_> = letters.as_array().unwrap().iter().map(|it| it["position"].to_string()).collect();
    let first = &letters[0];
    assert_eq!((first["target"].as_str(), first["class"].as_str()), (Some("crm"), Some("target")));
    assert!(first["cause"].as_str().unwrap().contains("400"), "{first}");

    mended.store(true, Ordering::Relaxed);
    let replayed = asks(&gateway, &["dead-letters", "replay", &positions[0], "--target", "crm"]).await;
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    gateway.deliveries("crm", "delivered", 1).await;
    let event = json(&gateway, &["events", "show", &positions[0]]).await;
    let attempts = event["targets"][0]["attempts"].as_array().unwrap();
    let led_to: Vec<_> = attempts.iter().map(|attempt| attempt["led_to"].as_str().unwrap()).collect();
    assert_eq!(led_to, ["dead", "delivered"]);

    let discarded = asks(&gateway, &["dead-letters", "discard", "--all", "--target", "crm"]).await;
    assert!(discarded.status.success(), "{}", String::from_utf8_lossy(&discarded.stderr));
    assert_eq!(String::from_utf8_lossy(&discarded.stdout), "2 dead letters given up\n");
    gateway.dead_letters("crm", 0).await;
    let audit = gateway.api("audit").await;
    let actions: Vec<_> = audit.as_array().unwrap().iter().map(|it| (&it["action"], &it["by"])).collect();
    assert_eq!(actions.len(), 3);
    assert_eq!(actions[2], (&Value::from("replay"), &Value::from("ann")));
    assert!(actions[..2].iter().all(|(action, by)| **action == "discard" && **by == "ann"));
}

#[tokio::test]
async fn what_is_replayed_all_at_once_stays_in_order_and_a_filter_leaves_out_the_others() {
    let (service, mended) = refusing().await;
    let gateway = TestGateway::start(&(config("") + &http_target("crm", &service.url("/"), ""))).await;
    let tally = Tally::default();
    tally.send_groups(&gateway, ("g", 8), 0..25).await;
    gateway.keeps(CHANGE, &change("u_1", 1)).await;
    gateway.dead_letters("crm", 201).await;
    let refused = service.asked();
    mended.store(true, Ordering::Relaxed);
    let replayed = json(&gateway, &["dead-letters", "replay", "--all", "--command", MESSAGE]).await;
    assert_eq!((&replayed["done"], &replayed["failed"]), (&Value::from(200), &Value::from(0)), "{replayed}");
    gateway.dead_letters("crm", 1).await;
    gateway.is_drained("crm").await;
    let came = Name::all(&service.requests()[refused..]);
    let figures = tally.nothing_is_lost(came, []);
    assert_eq!((figures.delivered, figures.duplicates), (200, 0));

    // One of two is no dead letter: the other is given up all the same.
    let left = json(&gateway, &["dead-letters"]).await[0]["position"].to_string();
    let call = ["dead-letters", "discard", "7777777", &left, "--target", "crm"];
    let discarded = asks(&gateway, &call).await;
    let said = String::from_utf8_lossy(&discarded.stderr);
    assert_eq!(discarded.status.code(), Some(1));
    assert!(said.contains("1 could not be: there is no event 7777777"), "{said}");
    gateway.dead_letters("crm", 0).await;
    assert_eq!(gateway.api("audit?limit=1000").await.as_array().unwrap().len(), 201);
}

#[tokio::test]
async fn nobody_replays_or_discards_everything_by_leaving_something_out() {
    let gateway = TestGateway::start(&config("")).await;
    for query in ["", "?target=crm", "?position=1", "?position=1&all=true&target=crm", "?all=true&class=x", "?al=true"]
    {
        for action in ["replay", "discard"] {
            let mut connection = Connection::open(gateway.admin).await.unwrap();
            connection.write(&request(&format!("/api/dead-letters/{action}{query}"), b"")).await.unwrap();
            let response = connection.response().await.unwrap();
            assert_eq!(response.status, 400, "{action}{query}: {}", response.body);
        }
    }
}

#[tokio::test]
async fn a_body_that_nobody_could_read_is_a_dead_letter_of_its_own_class() {
    let service = TestDecider::start(|_, _| Behaviour::answer(422, &[], "")).await;
    let gateway = TestGateway::start(&(config("") + &http_target("crm", &service.url("/"), ""))).await;
    gateway.keeps(CHANGE, "no JSON").await;
    gateway.dead_letters("crm", 1).await;
    assert_eq!(json(&gateway, &["dead-letters", "--class", "undecodable"]).await.as_array().unwrap().len(), 1);
    assert_eq!(json(&gateway, &["dead-letters", "--class", "gateway"]).await.as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn what_we_cannot_do_is_a_dead_letter_of_the_gateway() {
    let service = TestDecider::answering(OK).await;
    // A number in one of them, and a string in the other.
    let when = "when = 'has(payload.EventTime) ? payload.EventTime : true'";
    let gateway = TestGateway::start(&(config("") + &http_target("crm", &service.url("/"), when))).await;
    gateway.keeps(CHANGE, &change("u_1", 1)).await;
    gateway.keeps(MESSAGE, &message("g", 1)).await;
    gateway.dead_letters("crm", 1).await;
    let letters = json(&gateway, &["dead-letters", "--class", "gateway"]).await;
    assert_eq!((letters[0]["command"].as_str(), letters[0]["class"].as_str()), (Some(CHANGE), Some("gateway")));
    assert!(letters[0]["cause"].as_str().unwrap().starts_with("when: "), "{letters}");
    assert_eq!(json(&gateway, &["dead-letters", "--class", "target"]).await.as_array().unwrap().len(), 0);
    gateway.deliveries("crm", "delivered", 1).await;
    assert_eq!(service.asked(), 1);
}

#[tokio::test]
async fn after_the_last_attempt_it_is_a_dead_letter_with_every_attempt() {
    let down = Down::new();
    let toml = config("") + &http_target("crm", &down.url("/"), "").replace("attempts = 10000", "attempts = 3");
    let gateway = TestGateway::start(&toml).await;
    gateway.keeps(CHANGE, &change("u_77", 1)).await;
    gateway.dead_letters("crm", 1).await;
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
        TestGateway::start(&(config("") + &http_target("crm", "http://127.0.0.1:1/", "commands = [\"Sns.*\"]"))).await;
    gateway.keeps(CHANGE, &change("u_1", 1)).await;
    for (call, part) in [
        (&["events", "show", "77"][..], "there is no event 77"),
        (&["events", "replay", "1", "--to", "crm"], "`crm` does not get event 1 (`State.StateChange`)"),
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

#[tokio::test]
async fn events_are_found_by_conversation_time_state_and_page() {
    let (good, (refusing, _)) = (TestDecider::answering(OK).await, refusing().await);
    let toml = config("")
        + &http_target("good", &good.url("/"), "")
        + &http_target("refusing", &refusing.url("/"), "commands = [\"State.*\"]");
    let gateway = TestGateway::start(&toml).await;
    for n in 1..=4 {
        gateway.keeps(MESSAGE, &message("a", n)).await;
        gateway.keeps(MESSAGE, &message("b", n)).await;
        gateway.keeps(CHANGE, &change("u_1", n)).await;
    }
    gateway.dead_letters("refusing", 4).await;
    gateway.is_drained("good").await;
    let all = json(&gateway, &["events"]).await;
    let all: Vec<_> = all.as_array().unwrap().iter().map(|event| (position(event), received(event))).collect();
    let newest: Vec<u64> = all.iter().map(|(position, _)| *position).collect();
    assert_eq!(newest.len(), 12);
    assert!(newest.is_sorted_by(|one, other| one > other), "{newest:?}");
    let (fifth, middle) = (newest[4].to_string(), &all[6].1);
    let on = |is_on: &dyn Fn(&str) -> bool| -> Vec<u64> {
        all.iter().filter(|(_, at)| is_on(at)).map(|(position, _)| *position).collect()
    };
    let every_third = |from: usize| newest.iter().copied().skip(from).step_by(3).collect::<Vec<_>>();
    for (call, expected) in [
        (&["--key", "group/a"][..], every_third(2)),
        (&["--key", "group/"], Vec::new()),
        (&["--limit", "5"], newest[..5].to_vec()),
        (&["--limit", "5", "--before", &fifth], newest[5..10].to_vec()),
        (&["--since", middle], on(&|at| at >= middle.as_str())),
        (&["--until", middle], on(&|at| at < middle.as_str())),
        (&["--since", "1h"], newest.clone()),
        (&["--until", "1h"], Vec::new()),
        (&["--target", "refusing", "--state", "dead"], every_third(0)),
        (&["--target", "refusing", "--state", "delivered"], Vec::new()),
        (&["--target", "good", "--state", "delivered"], newest.clone()),
        (&["--target", "good", "--state", "delivered", "--key", "group/b", "--limit", "1"], vec![newest[1]]),
    ] {
        let found = json(&gateway, &[&["events"], call].concat()).await;
        assert_eq!(found.as_array().unwrap().iter().map(position).collect::<Vec<_>>(), expected, "{call:?}");
    }
}

fn position(event: &Value) -> u64 {
    event["position"].as_u64().unwrap()
}

/// Sorts as its time does.
fn received(event: &Value) -> String {
    event["received"].as_str().unwrap().to_owned()
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
    gateway.keeps(CHANGE, &change("u_1", 1)).await;
    gateway.deliveries("handlers", "delivered", 1).await;
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    gateway.keeps(BLOCKED, r#"{"PairList":[{"From_Account":"u_1","To_Account":"u_2"}]}"#).await;
    gateway.is_drained("handlers").await;
    gateway.deliveries("handlers", "delivered", 1).await;
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
    gateway.keeps(BLOCKED, r#"{"PairList":[{"From_Account":"u_1","To_Account":"u_2"}]}"#).await;
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
    let gateway = TestGateway::start(&kept_in(dir.path(), &http_target("old", &old.url("/"), ""))).await;
    gateway.keeps(CHANGE, &change("u", 1)).await;
    old.request(0).await;
    let file = gateway.dir().join("chathook.toml");
    std::fs::write(&file, kept_in(dir.path(), &http_target("new", &new.url("/"), ""))).unwrap();
    gateway.logged("configuration reloaded").await;
    gateway.keeps(CHANGE, &change("u", 2)).await;
    new.request(0).await;
    let targets = gateway.api("targets").await;
    assert_eq!(targets.as_array().unwrap().len(), 1, "{targets}");
    assert_eq!((targets[0]["target"].as_str(), targets[0]["kind"].as_str()), (Some("new"), Some("http")));
    assert_eq!((old.asked(), new.asked()), (1, 1));
}

#[tokio::test]
async fn a_target_that_hangs_holds_up_nobody_when_the_file_changes() {
    let (hangs, good) = (TestDecider::start(|_, _| Behaviour::Hang).await, TestDecider::answering("").await);
    let dir = tempfile::tempdir().unwrap();
    let hanging = |more: &str| http_target("hangs", &hangs.url("/"), &format!("http.timeout = \"1h\"\n{more}"));
    let gateway = TestGateway::start(&kept_in(dir.path(), &hanging(""))).await;
    gateway.keeps(CHANGE, &change("u", 1)).await;
    hangs.request(0).await;
    // Both in one change: the one that hangs is another now, and there is a new one.
    let toml = kept_in(dir.path(), &(hanging("concurrency = 2") + &http_target("good", &good.url("/"), "")));
    std::fs::write(gateway.dir().join("chathook.toml"), toml).unwrap();
    gateway.logged("configuration reloaded").await;
    gateway.keeps(CHANGE, &change("u", 2)).await;
    good.request(0).await;
    // What was broken off is delivered again.
    hangs.request(1).await;
}
