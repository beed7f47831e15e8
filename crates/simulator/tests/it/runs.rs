//! Whole runs over real sockets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chathook_simulator::{App, Ending, FailureKind, Report, Run, RunError, Scenario, VerdictKind};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::server::{Received, Reply, Server, response};

/// No run of a test takes longer.
const LIMIT: Duration = Duration::from_secs(30);

fn scenario(toml: &str) -> Scenario {
    Scenario::parse(&format!("name = \"test\"\n{toml}")).unwrap()
}

fn prepared(server: &Server, toml: &str) -> Run {
    Run::new(scenario(toml), [server.url().parse().unwrap()], App::signed(1_400_000_001, "token"))
}

async fn run(server: &Server, toml: &str) -> Report {
    let run = prepared(server, toml).until(std::future::pending());
    timeout(LIMIT, run).await.expect("a run ends").unwrap()
}

fn count(report: &Report, command: &str) -> u64 {
    report.commands.get(command).map_or(0, |figures| figures.callbacks)
}

fn verdicts(report: &Report) -> BTreeMap<VerdictKind, u64> {
    report.all.verdicts.iter().map(|(kind, count)| (kind.0, *count)).collect()
}

fn failures(report: &Report) -> BTreeMap<FailureKind, u64> {
    report.all.failures.iter().map(|(kind, count)| (kind.0, *count)).collect()
}

fn by_command(seen: &[Received], command: &str) -> Vec<Value> {
    seen.iter().filter(|received| received.command() == command).map(Received::json).collect()
}

fn answer(code: u32) -> Reply {
    Reply::Json(format!(r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":{code}}}"#))
}

#[tokio::test]
async fn a_message_that_is_delivered_has_its_after_callback() {
    let server = Server::start(|_| Reply::ok()).await;
    let report = run(&server, "count = 40\nrate = \"max\"\nconnections = 4\n[mix]\none-to-one = 1").await;
    assert_eq!((report.ending, report.flows, report.callbacks), (Ending::Completed, 40, 80));
    assert_eq!(verdicts(&report), [(VerdictKind::Acknowledged, 40), (VerdictKind::Allowed, 40)].into());
    assert_eq!((report.before.callbacks, report.after.callbacks), (40, 40));
    // The clock's own connection, and one for each lane.
    assert_eq!((server.connections(), report.connections_opened), (5, 4));
    let seen = server.seen();
    for before in by_command(&seen, "C2C.CallbackBeforeSendMsg") {
        let after = by_command(&seen, "C2C.CallbackAfterSendMsg");
        let after = after.iter().find(|after| after["MsgKey"] == before["MsgKey"]).unwrap();
        for field in ["From_Account", "To_Account", "MsgBody", "CloudCustomData", "MsgSeq", "MsgRandom", "MsgTime"] {
            assert_eq!(after[field], before[field], "{field}");
        }
    }
    let place = |received: &Received| {
        let at = |name: &str| received.query().split('&').find(|part| part.starts_with(name)).unwrap().to_owned();
        (at("ClientIP="), at("OptPlatform="))
    };
    let of =
        |key: &Value| seen.iter().filter(|received| received.json()["MsgKey"] == *key).map(place).collect::<Vec<_>>();
    let places = of(&seen[0].json()["MsgKey"]);
    assert_eq!((places.len(), &places[0]), (2, &places[1]));
}

#[tokio::test]
async fn what_is_refused_or_dropped_has_no_after_callback() {
    for (code, kind) in [(1, VerdictKind::Refused), (10_150, VerdictKind::Refused), (2, VerdictKind::Dropped)] {
        let server = Server::start(move |_| answer(code)).await;
        let report = run(&server, "count = 10\nrate = \"max\"\nconnections = 2\n[mix]\ngroup-message = 1").await;
        assert_eq!(verdicts(&report), [(kind, 10)].into());
        assert_eq!(count(&report, "Group.CallbackAfterSendMsg"), 0);
    }
}

#[tokio::test]
async fn what_was_rewritten_is_what_the_after_callback_shows() {
    let server = Server::start(|received| match received.command() {
        "Group.CallbackBeforeSendMsg" => Reply::Json(
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"CloudCustomData":"seen \"it\"",
               "MsgBody":[{"MsgType":"TIMTextElem", "MsgContent":{"Text":"**\n**"}}]}"#
                .to_owned(),
        ),
        _ => Reply::ok(),
    })
    .await;
    let report = run(&server, "count = 10\nrate = \"max\"\nconnections = 2\n[mix]\ntopic-message = 1").await;
    assert_eq!(verdicts(&report)[&VerdictKind::Rewritten], 10);
    let after = by_command(&server.seen(), "Group.CallbackAfterSendMsg");
    assert_eq!(after.len(), 10);
    for after in after {
        assert_eq!(after["MsgBody"], json!([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "**\n**"}}]));
        assert_eq!(after["CloudCustomData"], "seen \"it\"");
        assert!(after["TopicId"].as_str().unwrap().starts_with(after["GroupId"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn those_who_were_left_out_have_not_joined() {
    let server = Server::start(|received| match received.command() {
        "Group.CallbackBeforeInviteJoinGroup" => {
            let members = received.json()["DestinationMembers"].as_array().unwrap().clone();
            match members.len() {
                1 => Reply::ok(),
                _ => Reply::Json(
                    json!({
                        "ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0,
                        "RefusedMembers_Account": [members[0]["Member_Account"]],
                    })
                    .to_string(),
                ),
            }
        }
        _ => Reply::ok(),
    })
    .await;
    let report = run(&server, "count = 30\nrate = \"max\"\nconnections = 1\n[mix]\ninvite = 1").await;
    assert!(verdicts(&report)[&VerdictKind::Partial] > 15);
    let seen = server.seen();
    let (before, after) = (
        by_command(&seen, "Group.CallbackBeforeInviteJoinGroup"),
        by_command(&seen, "Group.CallbackAfterNewMemberJoin"),
    );
    assert_eq!((before.len(), after.len()), (30, 30));
    for (before, after) in before.iter().zip(&after) {
        let asked = before["DestinationMembers"].as_array().unwrap();
        let joined = after["NewMemberList"].as_array().unwrap();
        assert_eq!(joined[..], asked[usize::from(asked.len() > 1)..]);
        assert_eq!((&after["JoinType"], &after["GroupId"]), (&json!("Invited"), &before["GroupId"]));
    }
}

#[tokio::test]
async fn a_friend_request_that_is_let_through_ends_in_a_friendship() {
    let server = Server::start(|_| Reply::ok()).await;
    let report = run(&server, "count = 60\nrate = \"max\"\nconnections = 1\n[mix]\nfriend-request = 1").await;
    assert_eq!((count(&report, "Sns.CallbackPrevFriendAdd"), count(&report, "Sns.CallbackFriendAdd")), (60, 60));
    assert!((15..45).contains(&count(&report, "Sns.CallbackPrevFriendResponse")), "some have to agree");

    let refusing = Server::start(|received| {
        let items = received.json()["FriendItem"].as_array().unwrap().clone();
        let refused = |item: &Value| json!({"To_Account": item["To_Account"], "ResultCode": 38_001, "ResultInfo": ""});
        let items: Vec<_> = items.iter().map(refused).collect();
        Reply::Json(json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "ResultItem": items}).to_string())
    })
    .await;
    let report = run(&refusing, "count = 20\nrate = \"max\"\nconnections = 1\n[mix]\nfriend-request = 1").await;
    assert_eq!(verdicts(&report), [(VerdictKind::Refused, 20)].into());
}

#[tokio::test]
async fn a_time_out_lets_the_event_happen_unless_the_console_says_no() {
    for (policy, after) in [("allow", 3), ("refuse", 0)] {
        let server = Server::start(|received| match received.command() {
            "C2C.CallbackBeforeSendMsg" => Reply::Never,
            _ => Reply::ok(),
        })
        .await;
        let console = format!("[console]\ntimeout = \"60ms\"\non_timeout = \"{policy}\"");
        let toml = format!("count = 3\nrate = \"max\"\nconnections = 1\n{console}\n[mix]\none-to-one = 1");
        let report = run(&server, &toml).await;
        assert_eq!(failures(&report), [(FailureKind::TimedOut, 3)].into());
        assert_eq!(count(&report, "C2C.CallbackAfterSendMsg"), after, "{policy}");
        assert_eq!(report.before.timed_out(), 3);
        assert!(report.before.latency_ms.p50 >= 59.0);
    }
}

#[tokio::test]
async fn after_callbacks_that_time_out_come_again_where_that_is_switched_on() {
    for retries in [0, 2] {
        let server = Server::start(|_| Reply::Never).await;
        let console = format!("[console]\ntimeout = \"50ms\"\nretries = {retries}\nretry_after = \"10ms\"");
        let toml =
            format!("count = 2\nrate = \"max\"\nconnections = 2\nrequest_id = true\n{console}\n[mix]\nblock = 1");
        let report = run(&server, &toml).await;
        assert_eq!((report.retries, report.callbacks), (2 * retries, 2 + 2 * retries));
        let mut times: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for received in server.seen() {
            let id = received.query().split('&').find_map(|part| part.strip_prefix("RequestID=")).unwrap().to_owned();
            times.entry(id).or_default().push(received.body);
        }
        assert_eq!(times.len(), 2, "a retry has the RequestID of the first");
        for bodies in times.values() {
            assert_eq!(bodies.len() as u64, 1 + retries);
            assert!(bodies.iter().all(|body| *body == bodies[0]));
        }
    }
}

#[tokio::test]
async fn before_callbacks_never_come_again() {
    let server = Server::start(|_| Reply::Never).await;
    let console = "[console]\ntimeout = \"50ms\"\non_timeout = \"refuse\"\nretries = 3";
    let toml = format!("count = 2\nrate = \"max\"\nconnections = 1\n{console}\n[mix]\none-to-one = 1");
    let report = run(&server, &toml).await;
    assert_eq!((report.retries, report.callbacks, server.seen().len()), (0, 2, 2));
}

#[tokio::test]
async fn whoever_had_to_wait_for_a_connection_counts_in_full() {
    // One connection, 40 ms an answer, one flow each 20 ms: each waits 20 ms longer than the one before.
    let server = Server::start(|_| Reply::Late(Duration::from_millis(40))).await;
    let report = run(&server, "count = 20\nrate = 50\nconnections = 1\n[mix]\nblock = 1").await;
    assert_eq!(report.callbacks, 20);
    let (latency, service) = (report.all.latency_ms, report.all.service_ms);
    assert!(service.p50 < 80.0, "{service:?}");
    assert!(latency.max >= 400.0 && latency.p50 > 2.0 * service.p50, "{latency:?} {service:?}");
    assert!(report.lateness_ms.max >= 300.0, "{:?}", report.lateness_ms);
}

#[tokio::test]
async fn what_finds_no_connection_in_time_is_given_up_unsent() {
    let server = Server::start(|_| Reply::Late(Duration::from_millis(60))).await;
    let toml = "count = 30\nrate = 200\nconnections = 1\n[console]\ntimeout = \"150ms\"\n[mix]\none-to-one = 1";
    let report = run(&server, toml).await;
    let unsent = failures(&report)[&FailureKind::Unsent];
    assert!(unsent > 10, "{report}");
    assert_eq!(report.all.timed_out(), unsent + failures(&report).get(&FailureKind::TimedOut).copied().unwrap_or(0));
    assert_eq!(report.flows + unsent, 30, "what was not sent has not begun");
}

#[tokio::test]
async fn flows_go_out_when_they_are_due() {
    let server = Server::start(|_| Reply::ok()).await;
    let report = run(&server, "duration = \"1s\"\nrate = 300\nconnections = 8\n[mix]\nstate-change = 1").await;
    assert_eq!((report.flows, report.callbacks), (300, 300));
    assert!((295.0..=301.0).contains(&report.reached_rate), "{}", report.reached_rate);
    assert_eq!(report.planned_rate, Some(300.0));
    assert!(report.lateness_ms.p50 < 5.0, "{:?}", report.lateness_ms);
}

#[tokio::test]
async fn the_warm_up_is_sent_and_does_not_count() {
    let server = Server::start(|_| Reply::ok()).await;
    let toml = "duration = \"300ms\"\nwarm_up = \"200ms\"\nrate = 100\nconnections = 2\n[mix]\nstate-change = 1";
    let report = run(&server, toml).await;
    assert_eq!((report.flows, report.callbacks, server.seen().len()), (30, 30, 50));
}

#[tokio::test]
async fn several_threads_send_the_same_as_one() {
    let server = Server::start(|_| Reply::ok()).await;
    let toml = "count = 200\nrate = \"max\"\nconnections = 6\n[mix]\none-to-one = 1\nblock = 1";
    let epoch = Duration::from_secs(1_764_812_305);
    let run = prepared(&server, toml).workers(3).epoch(epoch).until(std::future::pending());
    let report = timeout(LIMIT, run).await.unwrap().unwrap();
    assert_eq!(report.flows, 200);
    assert_eq!(report.callbacks as usize, server.seen().len());
    assert!(report.connections_opened >= 6);
}

#[tokio::test]
async fn a_target_that_is_not_there_is_said_at_once() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let began = Instant::now();
    let run =
        Run::new(Scenario::load("mixed").unwrap(), [format!("http://{free}/").parse().unwrap()], App::unsigned(1));
    let error = run.until(std::future::pending()).await.unwrap_err();
    assert!(matches!(&error, RunError::Unreachable { target, .. } if target.contains(&free.to_string())), "{error}");
    assert!(began.elapsed() < Duration::from_secs(2));
    let nowhere = Run::new(Scenario::load("mixed").unwrap(), [], App::unsigned(1));
    assert!(matches!(nowhere.until(std::future::pending()).await, Err(RunError::NoTarget)));
}

#[tokio::test]
async fn a_target_that_dies_ends_the_run_with_a_report() {
    let server = Server::start(|_| Reply::ok()).await;
    let toml = "duration = \"1h\"\nrate = 200\nconnections = 4\n[thresholds]\nfailed = 1.0\n[mix]\none-to-one = 1";
    let run = prepared(&server, toml).patience(Duration::from_millis(300));
    let mut progress = run.progress();
    let running = tokio::spawn(run.until(std::future::pending()));
    progress.wait_for(|progress| progress.callbacks > 20).await.unwrap();
    server.die();
    let report = timeout(LIMIT, running).await.expect("it ends").unwrap().unwrap();
    assert_eq!(report.ending, Ending::TargetLost);
    assert!(!report.passed() && report.problem.as_ref().unwrap().contains(&server.address.to_string()));
    assert!(report.all.callbacks > 20 && report.all.failed() > 0);
    let table = report.to_string();
    assert!(table.contains("ended early, the target is gone: no connection for 300ms"), "{table}");
}

#[tokio::test]
async fn a_target_that_falls_silent_cannot_hold_the_run() {
    let answered = AtomicUsize::new(0);
    let server = Server::start(move |_| match answered.fetch_add(1, Ordering::SeqCst) {
        0..20 => Reply::ok(),
        _ => Reply::Never,
    })
    .await;
    let toml = "duration = \"1s\"\nrate = 100\nconnections = 2\n[console]\ntimeout = \"200ms\"\n[mix]\nblock = 1";
    let began = Instant::now();
    let report = run(&server, toml).await;
    assert_eq!((report.ending, report.callbacks), (Ending::Completed, 100));
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(report.all.failed(), 80);
}

#[tokio::test]
async fn where_one_of_two_targets_dies_the_other_takes_over() {
    let (one, other) = (Server::start(|_| Reply::ok()).await, Server::start(|_| Reply::ok()).await);
    let targets = [one.url().parse().unwrap(), other.url().parse().unwrap()];
    let toml = "duration = \"1500ms\"\nrate = 200\nconnections = 4\n[mix]\nblock = 1";
    let run = Run::new(scenario(toml), targets, App::unsigned(1));
    let mut progress = run.progress();
    let running = tokio::spawn(run.until(std::future::pending()));
    progress.wait_for(|progress| progress.callbacks > 20).await.unwrap();
    one.die();
    let report = timeout(LIMIT, running).await.unwrap().unwrap().unwrap();
    assert_eq!((report.ending, report.callbacks), (Ending::Completed, 300));
    assert!(report.all.failed() <= 4, "only what was on its way: {report}");
    assert!(!one.seen().is_empty() && other.seen().len() > one.seen().len());
    let host = format!("Host: {}\r\n", other.address);
    assert!(other.seen().iter().all(|received| received.head.contains(&host)));
}

#[tokio::test]
async fn a_run_can_be_stopped() {
    let server = Server::start(|_| Reply::ok()).await;
    let run = prepared(&server, "duration = \"1h\"\nrate = 100\nconnections = 2\n[mix]\nblock = 1");
    let mut progress = run.progress();
    let stop = async move {
        progress.wait_for(|progress| progress.callbacks > 5).await.map(drop).unwrap();
    };
    let report = timeout(LIMIT, run.until(stop)).await.unwrap().unwrap();
    assert_eq!((report.ending, report.all.failed()), (Ending::Stopped, 0));
    assert!(report.callbacks > 5 && !report.passed());
    assert!(report.to_string().contains("stopped before its end"), "{report}");
    assert!((50.0..150.0).contains(&report.reached_rate), "{}", report.reached_rate);
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_any_more_sends_nothing_any_more() {
    let server = Server::start(|_| Reply::ok()).await;
    let run = prepared(&server, "duration = \"1h\"\nrate = 100\nconnections = 2\n[mix]\nblock = 1");
    let mut progress = run.progress();
    let running = tokio::spawn(run.until(std::future::pending()));
    progress.wait_for(|progress| progress.callbacks > 5).await.unwrap();
    running.abort();
    let _ = running.await;
    let closed = async {
        while server.open() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, closed).await.expect("all connections are closed");
}

#[tokio::test]
async fn thresholds_decide_whether_a_run_passes() {
    let odd = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |_| match odd.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => Reply::ok(),
        _ => Reply::Raw(response("500 Internal Server Error", "oops")),
    })
    .await;
    let toml = |thresholds: &str| {
        format!("count = 20\nrate = 200\nconnections = 1\n[thresholds]\n{thresholds}\n[mix]\nblock = 1")
    };
    let held = run(&server, &toml("failed = 0.5\ntimed_out = 0\np99 = \"20s\"\nrate = 0.5")).await;
    assert!(held.passed() && held.thresholds.len() == 4, "{held}");
    assert_eq!(failures(&held), [(FailureKind::Status, 10)].into());
    let missed = run(&server, &toml("failed = 0.49\np99 = \"1ns\"")).await;
    assert!(!missed.passed() && missed.thresholds.iter().all(|threshold| !threshold.holds));
    let table = missed.to_string();
    assert!(table.contains("MISSED: failed is 50.000 %, asked for at most 49.000 %"), "{table}");
    assert!(table.contains("failed, status: 10") && table.contains("Sns.CallbackBlackList"), "{table}");
    // Nobody has said what may fail; and whoever has said what may be late means that.
    let without = run(&server, &toml("")).await;
    assert!(!without.passed(), "{without}");
    assert!(without.to_string().contains("MISSED: failed is 50.000 %, asked for at most 1.000 %"), "{without}");
    assert!(run(&server, &toml("timed_out = 0.5")).await.passed());
}

#[tokio::test]
async fn what_chance_has_left_out_was_not_due() {
    let server = Server::start(|_| Reply::ok()).await;
    for seed in 1..6 {
        let toml = format!("seed = {seed}\nduration = \"200ms\"\nrate = {{ poisson = 100 }}\nconnections = 4");
        let report = run(&server, &format!("{toml}\n[thresholds]\nrate = 1\n[mix]\nblock = 1")).await;
        assert!(report.passed(), "{report}");
        assert_eq!(report.flows, report.flows_due);
    }
}

#[tokio::test]
async fn a_count_at_random_is_measured_to_its_own_end() {
    let server = Server::start(|_| Reply::ok()).await;
    let mut longest = 0.0_f64;
    for seed in 1..6 {
        let toml = format!("seed = {seed}\ncount = 20\nrate = {{ poisson = 100 }}\nconnections = 4\n[mix]\nblock = 1");
        let last = prepared(&server, &toml).preview().last().unwrap().0;
        let report = run(&server, &toml).await;
        assert!(report.measured >= last, "{last:?} {report}");
        longest = longest.max(last.as_secs_f64());
    }
    assert!(longest > 0.2, "one of them takes longer than is to be expected: {longest}");
}

#[tokio::test]
async fn a_run_can_be_stopped_while_it_connects() {
    // The backlog takes connections, and nobody speaks TLS.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let toml = "duration = \"1h\"\nrate = 1\n[console]\ntimeout = \"10m\"\n[mix]\nblock = 1";
    let run = Run::new(scenario(toml), [url.parse().unwrap()], App::unsigned(1));
    let mut held = None;
    let stop = async {
        held = silent.accept().await.ok();
    };
    let error = timeout(LIMIT, run.until(stop)).await.expect("it heeds the stop").unwrap_err();
    assert!(matches!(error, RunError::Stopped) && held.is_some(), "{error}");
}

#[tokio::test]
async fn a_report_is_json_too() {
    let server = Server::start(|_| Reply::ok()).await;
    let report = run(&server, "count = 4\nrate = \"max\"\nconnections = 1\n[mix]\none-to-one = 1").await;
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["scenario"], &json["ending"], &json["flows"]), (&json!("test"), &json!("completed"), &json!(4)));
    let before = &json["commands"]["C2C.CallbackBeforeSendMsg"];
    assert_eq!((&before["callbacks"], &before["verdicts"]), (&json!(4), &json!({"allowed": 4})));
    assert!(before["latency_ms"]["p99"].as_f64().unwrap() > 0.0 && json["measured_seconds"].is_f64());
    assert_eq!(json["problem"], Value::Null);
}
