//! `deploy/prometheus`: the rules as promtool sees them, and as a real Prometheus that scrapes real gateways follows them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use chathook_tests::{Behaviour, Down, OK, Server, TestDecider, TestGateway, config, http_decider, request, signed};
use serde_json::Value;
use tokio::time::timeout;

const COMMAND: &str = "Group.CallbackBeforeSendMsg";
const MESSAGE: &str =
    r#"{"CallbackCommand":"Group.CallbackBeforeSendMsg","GroupId":"g","From_Account":"u","MsgBody":[]}"#;
/// Nothing that a test waits for takes longer.
const LIMIT: Duration = Duration::from_secs(90);

/// A file of the folder `deploy`.
pub(crate) fn deploy(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}

pub(crate) fn read(file: &str) -> String {
    std::fs::read_to_string(deploy(file)).unwrap_or_else(|error| panic!("deploy/{file}: {error}"))
}

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).current_dir(deploy("prometheus")).output();
    let output = output.expect("promtool is installed by tests/run");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

/// A configuration that scrapes and evaluates every second; `scrapes` are the `scrape_configs`.
pub(crate) fn prometheus(scrapes: &str) -> String {
    format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\nscrape_configs:\n{scrapes}"
    )
}

/// A job that scrapes these gateways.
pub(crate) fn scrape(job: &str, gateways: &[&TestGateway]) -> String {
    let targets: Vec<_> = gateways.iter().map(|gateway| gateway.admin.to_string()).collect();
    format!("  - job_name: {job}\n    static_configs: [{{ targets: {targets:?}, labels: {{ namespace: tests }} }}]\n")
}

/// The rules that Prometheus has read from `rules.yml`.
pub(crate) async fn rules(prometheus: &Server) -> Vec<Value> {
    let data = prometheus.asked("rules", &[]).await.unwrap();
    let groups = data["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

#[test]
fn promtool_takes_the_configuration_and_the_rules() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "--lint-fatal", "rules.yml"]);
}

#[test]
fn every_alert_is_seen_to_fire_and_not_to_fire() {
    let mut tested: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    let tests = read("prometheus/tests.yml");
    let mut alert = None;
    for line in tests.lines() {
        if let Some((_, rest)) = line.split_once(r#"- expr: ALERTS{alertname=""#) {
            alert = rest.split('"').next();
        } else if let Some(alert) = alert.filter(|_| line.contains("exp_samples:")) {
            let (fires, is_silent) = tested.entry(alert).or_default();
            *if line.ends_with("[]") { is_silent } else { fires } = true;
        }
    }
    let rules = read("prometheus/rules.yml");
    let alerts: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 20, "{alerts:?}");
    for alert in &alerts {
        assert_eq!(tested.remove(alert), Some((true, true)), "{alert}: firing, silent");
    }
    assert!(tested.is_empty(), "there are no such alerts: {tested:?}");
    promtool(&["test", "rules", "tests.yml"]);
}

#[tokio::test]
async fn every_alert_says_what_to_do_and_has_its_heading_on_the_operators_page() {
    let prometheus = Server::prometheus(&prometheus(" []"), &read("prometheus/rules.yml")).await;
    let page = read("README.md");
    let mut headings: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("### ")).filter(|it| it.starts_with("Chathook")).collect();
    let mut seen = BTreeSet::new();
    for rule in rules(&prometheus).await.into_iter().filter(|rule| rule["type"] == "alerting") {
        let name = rule["name"].as_str().unwrap().to_owned();
        let annotation = |key: &str| rule["annotations"][key].as_str().unwrap_or_default().to_owned();
        assert!(["critical", "warning", "info"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        assert!(!annotation("summary").is_empty() && !annotation("description").is_empty(), "{name}");
        assert_eq!(annotation("runbook_url"), format!("deploy/README.md#{}", name.to_lowercase()));
        assert!(headings.remove(name.as_str()) || seen.contains(&name), "{name} has no heading");
        seen.insert(name);
    }
    assert!(headings.is_empty(), "there are no such alerts: {headings:?}");
}

/// The rules with windows and patience of seconds in place of minutes, hours and days: all else is as it is delivered.
fn hurried(rules: &str) -> String {
    let windows = ["[5m]", "[15m]", "[30m]", "[1h]", "[2h]", "[3h]", "[6h]", "[1d]", "[3d]"];
    let rules = windows.iter().fold(rules.to_owned(), |rules, window| rules.replace(window, "[10s]"));
    let patient = |line: &str| line.trim_start().starts_with("for: ");
    rules.lines().map(|line| if patient(line) { "        for: 1s\n".to_owned() } else { format!("{line}\n") }).collect()
}

/// Sends messages, fifty a second, for ever.
async fn load(gateway: &TestGateway) {
    let mut connection = gateway.connect().await;
    let mut every = tokio::time::interval(Duration::from_millis(20));
    loop {
        every.tick().await;
        let request = request(&format!("/?{}", signed(COMMAND)), MESSAGE.as_bytes());
        connection.write(&request).await.unwrap();
        assert_eq!(connection.response().await.unwrap().status, 200);
    }
}

/// The alerts of a job that fire.
async fn firing(prometheus: &Server, job: &str) -> BTreeSet<String> {
    let alerts = prometheus.query(&format!(r#"ALERTS{{job="{job}", alertstate="firing"}}"#)).await;
    alerts.iter().map(|(labels, _)| labels["alertname"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_broken_decider_raises_its_alerts_and_a_good_one_raises_none() {
    let failing = TestDecider::start(|_, _| Behaviour::answer(500, &[], "")).await;
    let deciding = TestDecider::answering(OK).await;
    let toml = |decider: &TestDecider| config("") + &http_decider("moderation", &[COMMAND], &decider.url("/"), "");
    let (broken, good) = (TestGateway::start(&toml(&failing)).await, TestGateway::start(&toml(&deciding)).await);
    let scrapes = scrape("broken", &[&broken]) + &scrape("good", &[&good]);
    let prometheus = Server::prometheus(&prometheus(&scrapes), &hurried(&read("prometheus/rules.yml"))).await;

    let alerts = ["ChathookDeciderFailing", "ChathookDeciderBreakerOpen", "ChathookDecisionsBurnFast"];
    let all_fire = async {
        loop {
            let firing = firing(&prometheus, "broken").await;
            if alerts.iter().all(|alert| firing.contains(*alert)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        fire = timeout(LIMIT, all_fire) => {
            assert!(fire.is_ok(), "only these fire: {:?}", firing(&prometheus, "broken").await);
        }
        () = load(&broken) => {}
        () = load(&good) => {}
    }

    let silent = firing(&prometheus, "good").await;
    assert!(alerts.iter().all(|alert| !silent.contains(*alert)), "{silent:?}");
    // It is silent because it was seen, and was good.
    let of = async |job: &str, query: &str| {
        let found = prometheus.query(&query.replace("JOB", job)).await;
        found.first().unwrap_or_else(|| panic!("{query} has found nothing for {job}")).1
    };
    let decided = r#"sum(job_command_outcome:chathook_callbacks:rate5m{job="JOB", outcome="decided"})"#;
    assert!(of("good", decided).await > 1.0);
    assert_eq!(of("broken", decided).await, 0.0);
    let fallbacks = r#"job:chathook_fallbacks:ratio_rate5m{job="JOB"}"#;
    assert!(of("good", fallbacks).await < 0.01);
    assert_eq!(of("broken", fallbacks).await, 1.0);

    // What somebody reads who is woken.
    let data = prometheus.asked("alerts", &[]).await.unwrap();
    for alert in data["alerts"].as_array().unwrap().iter().filter(|alert| alert["labels"]["job"] == "broken") {
        for text in alert["annotations"].as_object().unwrap().values().filter_map(Value::as_str) {
            assert!(!text.is_empty() && !["<no value>", "<error", "{{"].iter().any(|it| text.contains(it)), "{alert}");
        }
    }
    let failing = data["alerts"].as_array().unwrap().iter();
    let failing = failing.into_iter().find(|alert| alert["labels"]["alertname"] == "ChathookDeciderFailing").unwrap();
    assert_eq!(failing["annotations"]["summary"], "Decider moderation fails");
}

/// Discovery itself needs a cluster. What is done with what it finds does not: here it finds pods with these labels.
#[tokio::test]
async fn pods_of_the_chart_are_scraped_by_their_port_admin() {
    let gateway = TestGateway::start(&config("")).await;
    let pod = |name: &str, more: &str| {
        format!(
            "      - targets: [\"{}\"]\n        labels: {{ __meta_kubernetes_pod_name: {name}, \
             __meta_kubernetes_namespace: chat, __meta_kubernetes_pod_label_app_kubernetes_io_instance: eu, {more} }}\n",
            gateway.admin
        )
    };
    let (ours, runs) = ("__meta_kubernetes_pod_label_app_kubernetes_io_name", "__meta_kubernetes_pod_phase: Running");
    let port = "__meta_kubernetes_pod_container_port_name";
    let pods = pod("chathook-0", &format!("{ours}: chathook, {port}: admin, {runs}"))
        + &pod("chathook-0", &format!("{ours}: chathook, {port}: callbacks, {runs}"))
        + &pod("other", &format!("{ours}: nginx, {port}: admin, {runs}"))
        + &pod("ended", &format!("{ours}: chathook, {port}: admin, __meta_kubernetes_pod_phase: Failed"));
    let discovery = "    kubernetes_sd_configs:\n      - role: pod\n";
    let kubernetes = read("prometheus/kubernetes.yml");
    assert!(kubernetes.contains(discovery));
    let config = kubernetes.replace(discovery, &format!("    static_configs:\n{pods}"));
    let prometheus = Server::prometheus(&config, &read("prometheus/rules.yml")).await;
    let found = async {
        loop {
            let data = prometheus.asked("targets", &[("state", "active")]).await.unwrap();
            match data["activeTargets"].as_array().unwrap().as_slice() {
                [] => tokio::time::sleep(Duration::from_millis(50)).await,
                targets => return targets.to_vec(),
            }
        }
    };
    let targets = timeout(LIMIT, found).await.expect("a pod is found");
    let [target] = targets.as_slice() else { panic!("{targets:#?}") };
    let labels = &target["labels"];
    assert_eq!((&labels["job"], &labels["namespace"]), (&"eu".into(), &"chat".into()));
    assert_eq!(labels["pod"], "chathook-0");
}

#[tokio::test]
async fn how_long_the_oldest_event_waits_is_told_until_it_is_delivered() {
    let target = Down::new();
    let url = target.url("/");
    let retry = "retry = { first = \"10ms\", max = \"20ms\" }";
    let gateway =
        TestGateway::start(&format!("{}[[target]]\nname = \"crm\"\nhttp.url = {url:?}\n{retry}\n", config(""))).await;
    let oldest = r#"chathook_delivery_oldest_seconds{target="crm"}"#;
    assert_eq!(gateway.metric(oldest).await, 0.0);
    assert_eq!(gateway.post("State.StateChange", "{}").await.body, OK);
    let waits = async {
        while gateway.metric(oldest).await < 0.1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, waits).await.expect("it waits longer and longer");
    assert_eq!(gateway.metric(r#"chathook_delivery_backlog{target="crm"}"#).await, 1.0);
    let _target = target.start(|_, _| Behaviour::json(OK));
    gateway.metric_becomes(oldest, 0.0).await;
}

#[tokio::test]
async fn whether_callbacks_are_taken_is_told_as_readyz_says() {
    let gateway = TestGateway::start(&config("").replace("delay = \"0s\"", "delay = \"60s\"")).await;
    assert_eq!((gateway.get("/readyz").await.status, gateway.metric("chathook_ready").await), (200, 1.0));
    gateway.signal("TERM");
    gateway.logged("shutting down").await;
    assert_eq!((gateway.get("/readyz").await.status, gateway.metric("chathook_ready").await), (503, 0.0));
}
