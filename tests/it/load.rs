//! `chathook load`: a gateway under load, and what a team's pipeline makes of it.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use chathook_tests::{APP, TOKEN, TestGateway, binary, config};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// No run of these tests takes longer.
const LIMIT: Duration = Duration::from_secs(60);

fn load(url: &str, arguments: &[&str]) -> Child {
    Command::new(binary())
        .arg("load")
        .args(arguments)
        .args(["--url", url, "--app", &APP.to_string(), "--token", TOKEN])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn ended(child: Child) -> Output {
    timeout(LIMIT, child.wait_with_output()).await.expect("it never hangs").unwrap()
}

fn url(gateway: &TestGateway) -> String {
    format!("http://{}/", gateway.callbacks)
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", said(&output.stdout), said(&output.stderr)))
}

/// What a machine that does many other things can promise.
const GENEROUS: [&str; 4] = ["--max-p99", "2s", "--min-rate", "50%"];

/// The sum of the numbers of an object.
fn sum(object: &Value) -> u64 {
    object.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

#[tokio::test]
async fn a_short_mixed_run_passes_and_its_counts_add_up() {
    let gateway = TestGateway::start(&config("")).await;
    let arguments = ["mixed", "--rate", "50", "--duration", "2s", "--warm-up", "0s", "--connections", "8", "--json"];
    let output = ended(load(&url(&gateway), &[&arguments[..], &GENEROUS].concat())).await;
    let report = json(&output);
    assert_eq!(report["passed"], true, "{report:#}");
    assert!(output.status.success(), "{}", said(&output.stderr));
    assert_eq!((&report["scenario"], &report["ending"]), (&"mixed".into(), &"completed".into()));
    let count = |figures: &Value| figures["callbacks"].as_u64().unwrap();
    let all = count(&report["all"]);
    assert!(all >= 100, "{report:#}");
    assert_eq!(report["flows"], 100, "50 a second for two seconds");
    assert_eq!(report["callbacks"], all);
    assert_eq!(count(&report["before"]) + count(&report["after"]), all);
    let commands = report["commands"].as_object().unwrap();
    assert!(commands.len() > 3, "{commands:?}");
    assert_eq!(commands.values().map(count).sum::<u64>(), all);
    for figures in commands.values().chain([&report["all"], &report["before"], &report["after"]]) {
        assert_eq!(sum(&figures["verdicts"]), count(figures), "{figures}");
        assert_eq!(sum(&figures["failures"]), 0, "{figures}");
        assert!(figures["latency_ms"]["p50"].as_f64() <= figures["latency_ms"]["p99"].as_f64());
    }
    // The gateway has seen neither more nor less.
    let metrics = gateway.get("/metrics").await.body;
    let seen = metrics.lines().filter(|line| line.starts_with("chathook_callbacks_total{"));
    let seen: f64 = seen.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    assert_eq!(seen, all as f64);
}

#[tokio::test]
async fn a_table_is_printed_and_json_written_beside_it() {
    let gateway = TestGateway::start(&config("")).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.json");
    let json = format!("--json={}", file.display());
    let mix = "one-to-one=3,State.StateChange=1";
    let arguments = ["mixed", "--rate", "20", "--count", "20", "--warm-up", "0s", "--mix", mix, &json];
    let output = ended(load(&url(&gateway), &[&arguments[..], &GENEROUS].concat())).await;
    let table = said(&output.stdout);
    assert!(output.status.success(), "{table}{}", said(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let mut sent: Vec<_> = report["commands"].as_object().unwrap().keys().cloned().collect();
    sent.sort();
    assert_eq!(sent, ["C2C.CallbackAfterSendMsg", "C2C.CallbackBeforeSendMsg", "State.StateChange"]);
    for command in sent {
        assert!(table.contains(&command), "{command} is missing in {table}");
    }
}

#[tokio::test]
async fn a_threshold_that_does_not_hold_makes_the_exit_code_1() {
    let gateway = TestGateway::start(&config("")).await;
    let short = ["mixed", "--rate", "20", "--count", "10", "--warm-up", "0s"];
    let output = ended(load(&url(&gateway), &[&short[..], &["--max-p99", "1ns"]].concat())).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output.stderr));
    assert!(said(&output.stderr).contains("p99 is "), "{}", said(&output.stderr));

    let output = ended(load(&url(&gateway), &[&short[..], &["--token", "wrong", "--max-failed", "0.1%"]].concat()));
    // The last token counts, and clap takes one.
    assert_eq!(output.await.status.code(), Some(2));
    let mut wrong = Command::new(binary());
    wrong.arg("load").args(short).args(["--url", &url(&gateway), "--app", &APP.to_string(), "--token", "wrong"]);
    let output = timeout(LIMIT, wrong.args(["--max-failed", "0.1%", "--json"]).output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output.stderr));
    let report = json(&output);
    assert_eq!(report["passed"], false);
    assert_eq!(report["all"]["failures"]["status"], report["all"]["callbacks"], "{report:#}");
    let problem = said(&output.stderr);
    assert!(problem.contains("failed is 100.000%") && problem.contains("chathook doctor"), "{problem}");
}

#[tokio::test]
async fn a_url_that_is_not_there_is_a_clear_message_and_no_hang() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    let output = ended(load(&url, &["mixed", "--duration", "1h"])).await;
    assert_eq!(output.status.code(), Some(1));
    let problem = said(&output.stderr);
    assert!(problem.contains(&url) && problem.contains("refused"), "{problem}");
    assert!(output.stdout.is_empty(), "{}", said(&output.stdout));
}

/// Waits until callbacks are answered.
async fn under_way(gateway: &TestGateway) {
    let decided = r#"chathook_callbacks_total{command="C2C.CallbackBeforeSendMsg",outcome="decided"}"#;
    while gateway.metric(decided).await < 1.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_gateway_that_dies_in_the_middle_ends_the_run_with_the_report_so_far() {
    let gateway = TestGateway::start(&config("")).await;
    let arguments = ["mixed", "--rate", "50", "--duration", "1h", "--warm-up", "0s", "--json"];
    let load = load(&url(&gateway), &arguments);
    under_way(&gateway).await;
    gateway.signal("KILL");
    gateway.ended().await;
    let output = ended(load).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output.stderr));
    let report = json(&output);
    assert_eq!(report["ending"], "target_lost");
    assert!(report["problem"].is_string(), "{report:#}");
    assert!(report["callbacks"].as_u64().unwrap() > 0);
    assert!(said(&output.stderr).contains("chathook: "), "{}", said(&output.stderr));
}

#[tokio::test]
async fn an_interrupted_run_ends_with_the_report_so_far() {
    let gateway = TestGateway::start(&config("")).await;
    let arguments = ["mixed", "--rate", "50", "--duration", "1h", "--warm-up", "0s", "--json"];
    let load = load(&url(&gateway), &[&arguments[..], &GENEROUS].concat());
    under_way(&gateway).await;
    let pid = load.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = ended(load).await;
    let report = json(&output);
    assert_eq!(report["ending"], "stopped", "{}", said(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output.stderr));
    assert!(said(&output.stderr).contains("stopped before its end"), "{}", said(&output.stderr));
    assert_eq!(report["passed"], false);
    assert!(report["callbacks"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn the_second_signal_ends_it_at_once() {
    // Whoever connects is kept waiting for an answer, longer than the test takes.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let slow = "rate = 50\nconnections = 2\n[console]\ntimeout = \"10m\"\n[mix]\none-to-one = 1\n";
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let load = load(&url, &[&scenario(dir.path(), slow), "--duration", "1h"]);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(timeout(LIMIT, silent.accept()).await.unwrap().unwrap().0);
    }
    // Once something has come on one of them, a callback is under way.
    let came = async {
        let mut byte = [0];
        while !held.iter().any(|stream| matches!(stream.try_read(&mut byte), Ok(1))) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, came).await.unwrap();
    let pid = load.id().unwrap().to_string();
    let ended = tokio::spawn(ended(load));
    // Two that are pending at once count as one: again, until it has gone.
    while !ended.is_finished() {
        let _ = std::process::Command::new("kill").args(["-INT", &pid]).stderr(Stdio::null()).status().unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let output = ended.await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output.stderr));
    assert!(said(&output.stderr).contains("stopped at once"), "{}", said(&output.stderr));
}

#[tokio::test]
async fn a_run_without_thresholds_fails_when_its_callbacks_do() {
    let gateway = TestGateway::start(&config("")).await;
    let dir = tempfile::tempdir().unwrap();
    let file = scenario(dir.path(), "rate = 50\nconnections = 2\n[mix]\none-to-one = 1\n");
    let arguments = [&file, "--count", "5", "--url", &url(&gateway), "--app", &APP.to_string(), "--token", "wrong"];
    let output = timeout(LIMIT, Command::new(binary()).arg("load").args(arguments).output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output.stdout));
    let problem = said(&output.stderr);
    assert!(problem.contains("it may be 1.000%") && problem.contains("--max-failed"), "{problem}");
}

#[tokio::test]
async fn a_machine_without_open_files_is_not_blamed_on_the_gateway() {
    let gateway = TestGateway::start(&config("")).await;
    let call =
        r#"ulimit -n 32 && exec "$0" load mixed --rate 500 --count 400 --warm-up 0s --connections 200 --url "$1""#;
    let mut limited = Command::new("sh");
    limited.args(["-c", call]).arg(binary()).arg(url(&gateway)).kill_on_drop(true);
    let output = timeout(LIMIT, limited.output()).await.unwrap().unwrap();
    let table = said(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}{}", said(&output.stderr));
    assert!(table.contains("failed, out of files: ") && table.contains("ulimit -n"), "{table}");
    assert!(!table.contains("unreachable"), "{table}");
}

fn call(arguments: &[&str]) -> Output {
    std::process::Command::new(binary()).arg("load").args(arguments).output().unwrap()
}

fn scenario(dir: &Path, text: &str) -> String {
    let file = dir.join("own.toml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn what_cannot_be_run_is_refused_with_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    let file = scenario(dir.path(), "name = \"own\"\nrate = 10\n[mix]\n\"Group.CallbackBeforeSendMs\" = 1\n");
    let key = tempfile::tempdir().unwrap();
    let key = scenario(key.path(), "name = \"own\"\nrat = 10\n[mix]\none-to-one = 1\n");
    for (arguments, expected) in [
        (vec![file.as_str()], "did you mean `Group.CallbackBeforeSendMsg`?"),
        (vec![file.as_str()], "own.toml"),
        (vec![key.as_str()], "did you mean `rate`?"),
        (vec!["mixd"], "did you mean `mixed`?"),
        (vec!["nowhere.toml"], "nowhere.toml"),
        (vec!["mixed", "--mix", "one-to-on=1"], "did you mean `one-to-one`?"),
        (vec!["mixed", "--mix", "one-to-one"], "NAME=WEIGHT"),
        (vec!["mixed", "--rate", "0"], "above 0"),
        (vec!["mixed", "--connections", "0"], "connections"),
        (vec!["mixed", "--duration", "0s"], "duration"),
        (vec!["mixed", "--max-failed", "200%"], "from 0% to 100%"),
        (vec!["mixed", "--max-failed", "-1%"], "from 0% to 100%"),
        (vec!["mixed", "--rate", "-1"], "above 0"),
        (vec!["mixed", "--seed", "-1"], "invalid value '-1'"),
        (vec!["mixed", "--max-p99", "-1s"], "invalid value '-1s'"),
        (vec!["mixed", "--rate", "1e-300", "--count", "10"], "longer than 30 days"),
        (vec!["mixed", "--rate", "0.001", "--count", "18446744073709551615"], "longer than 30 days"),
        (vec!["mixed", "--json=/nonexistent/x"], "/nonexistent/x"),
        (vec!["mixed", "--url", "localhost:8080"], "https://chat.example.com/callback"),
        (vec!["mixed", "--ca", "/nowhere.pem", "--url", "https://127.0.0.1:1/"], "/nowhere.pem"),
    ] {
        let output = call(&arguments);
        let problem = said(&output.stderr);
        assert!(problem.contains(expected), "{arguments:?}: {problem}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {problem}");
    }
}

#[test]
fn load_is_sent_to_this_machine_only_unless_one_owns_the_other() {
    // Nobody has these addresses: if it were sent nevertheless, it would not be refused.
    for url in ["http://203.0.113.7/", "http://[2001:db8::1]:8080/", "http://0.0.0.0:1/"] {
        let output = call(&["mixed", "--url", "http://127.0.0.1:1/", "--url", url]);
        let problem = said(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{url}: {problem}");
        assert!(problem.contains("--i-own-this-host"), "{url}: {problem}");
    }
}

#[test]
fn the_built_in_scenarios_are_listed_and_each_can_be_changed_and_read_again() {
    let listed = call(&["--list"]);
    assert!(listed.status.success());
    let listed = said(&listed.stdout);
    let names: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"mixed") && names.len() > 4, "{listed}");
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        let printed = call(&[name, "--print"]);
        assert!(printed.status.success(), "{name}");
        // It is read before anybody is asked, and nobody is there.
        let file = scenario(dir.path(), &said(&printed.stdout));
        let output = call(&[&file, "--url", "http://127.0.0.1:1/"]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output.stderr));
    }
    assert_eq!(call(&["--print", "nothing"]).status.code(), Some(2));
}
