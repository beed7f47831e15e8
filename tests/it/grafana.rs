//! The dashboard and the rules ask for what a gateway tells: every query is put to a real Prometheus that scrapes one.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use chathook_tests::{OK, Server, TestDecider, TestGateway, config, http_decider, samples, unsigned};
use rcgen::generate_simple_self_signed;
use serde_json::Value;
use tokio::time::timeout;

use crate::prometheus::{prometheus, read, rules, scrape};

/// Nothing that a test waits for takes longer.
const LIMIT: Duration = Duration::from_secs(90);

/// What a query asks for.
#[derive(Default)]
struct Asked {
    /// `name{label="value"}`, as it stands in the query.
    selectors: BTreeSet<String>,
    /// The labels that are grouped or matched by.
    labels: BTreeSet<String>,
}

/// Words that are no metrics.
const WORDS: [&str; 14] = [
    "and", "or", "unless", "bool", "offset", "sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile",
    "group",
];

impl Asked {
    /// Finds it in a query, which is right otherwise.
    fn read(&mut self, query: &str) {
        let mut rest = query;
        while let Some(first) = rest.chars().next() {
            let end = |is_in: fn(char) -> bool| rest.find(|c| !is_in(c)).unwrap_or(rest.len());
            if first == '"' {
                rest = &rest[quoted(rest)..];
            } else if first.is_ascii_digit() {
                rest = &rest[end(|c| c.is_ascii_alphanumeric() || c == '.')..];
            } else if first.is_ascii_alphabetic() || first == '_' {
                let (word, after) = rest.split_at(end(|c| c.is_ascii_alphanumeric() || "_:".contains(c)));
                rest = match word {
                    "by" | "on" | "without" | "ignoring" => self.group(after.trim_start()),
                    _ if WORDS.contains(&word) || after.starts_with('(') => after,
                    _ => self.selector(word, after),
                };
            } else {
                rest = &rest[first.len_utf8()..];
            }
        }
    }

    /// `(a, b)`
    fn group<'a>(&mut self, text: &'a str) -> &'a str {
        let (labels, rest) = text.split_once(')').expect("the query is right");
        self.labels.extend(labels.trim_start_matches('(').split(',').map(|label| label.trim().to_owned()));
        rest
    }

    /// `name` or `name{...}`
    fn selector<'a>(&mut self, name: &str, after: &'a str) -> &'a str {
        let mut end = 0;
        if after.starts_with('{') {
            while !after[end..].starts_with('}') {
                end += if after[end..].starts_with('"') { quoted(&after[end..]) } else { 1 };
            }
            end += 1;
        }
        self.selectors.insert(format!("{name}{}", &after[..end]));
        &after[end..]
    }
}

/// How long the string is that the text begins with.
fn quoted(text: &str) -> usize {
    1 + text[1..].find('"').expect("a string ends") + 1
}

/// A selector for each value of `label=~"a|b"`: each has to be there.
fn alternatives(selector: &str) -> Vec<String> {
    let parts = selector.split_once("=~\"").and_then(|(before, rest)| Some((before, rest.split_once('"')?)));
    match parts {
        // The same number, as two versions of Prometheus write it.
        Some((before, (values, after))) if values.contains('|') && !values.contains('[') => {
            values.split('|').flat_map(|value| alternatives(&format!("{before}=\"{value}\"{after}"))).collect()
        }
        _ => vec![selector.to_owned()],
    }
}

/// Every `expr` of the dashboard, with its variables at "all".
fn dashboard() -> Vec<String> {
    fn find(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| find(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| find(value, found)),
            _ => {}
        }
    }
    let dashboard: Value = serde_json::from_str(&read("grafana/chathook.json")).unwrap();
    let mut found = Vec::new();
    find(&dashboard, &mut found);
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    for variable in variables.map(|variable| variable["name"].as_str().unwrap()) {
        found = found.iter().map(|expr| expr.replace(&format!("${variable}"), ".*")).collect();
    }
    let found = found.iter().map(|it| it.replace("$__rate_interval", "1m").replace("$__range", "5m")).collect();
    let found: Vec<String> = found;
    assert!(found.len() > 50 && found.iter().all(|expr| !expr.contains('$')), "{found:#?}");
    found
}

/// A gateway that has everything but TLS, and one that has TLS.
async fn gateways(dir: &Path, decider: &TestDecider, target: &TestDecider) -> (TestGateway, TestGateway) {
    let target = format!("[[target]]\nname = \"crm\"\nhttp.url = {:?}\n", target.url("/"));
    let toml = config("") + &http_decider("moderation", &["*"], &decider.url("/"), "") + &target;
    let certificate = generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let path = |name: &str| dir.join(name);
    std::fs::write(path("tls.crt"), certificate.cert.pem()).unwrap();
    std::fs::write(path("tls.key"), certificate.signing_key.serialize_pem()).unwrap();
    let tls = config(&format!("tls = {{ cert = {:?}, key = {:?} }}", path("tls.crt"), path("tls.key")));
    tokio::join!(TestGateway::start(&toml), TestGateway::start(&tls))
}

/// Sends something of everything.
async fn load(gateway: &TestGateway) {
    for sample in samples() {
        gateway.post(sample.command.as_str(), sample.body).await;
    }
    gateway.post("Nobody.Knows", "{}").await;
    gateway.post("Group.CallbackBeforeSendMsg", "not JSON").await;
    gateway.post_query(&unsigned("State.StateChange"), "{}").await;
}

#[tokio::test]
async fn every_query_finds_what_it_asks_for() {
    let (decider, target) = tokio::join!(TestDecider::answering(OK), TestDecider::answering(OK));
    let dir = tempfile::tempdir().unwrap();
    let (gateway, with_tls) = gateways(dir.path(), &decider, &target).await;
    load(&gateway).await;
    let scrapes = scrape("chathook", &[&gateway, &with_tls]);
    let prometheus = Server::prometheus(&prometheus(&scrapes), &read("prometheus/rules.yml")).await;

    let dashboard = dashboard();
    let mut asked = Asked::default();
    for query in &dashboard {
        asked.read(query);
    }
    for rule in rules(&prometheus).await {
        asked.read(rule["query"].as_str().unwrap());
        assert_eq!(rule["lastError"], Value::Null, "{rule:#}");
    }
    // What Prometheus makes itself, and only while something fires.
    asked.selectors.retain(|selector| !selector.starts_with("ALERTS{"));
    let selectors: BTreeSet<String> = asked.selectors.iter().flat_map(|it| alternatives(it)).collect();
    assert!(selectors.len() > 80, "{selectors:#?}");

    let mut missing = selectors;
    let all_found = async {
        while !missing.is_empty() {
            load(&gateway).await;
            for selector in missing.clone() {
                let found = prometheus.asked("series", &[("match[]", selector.as_str())]).await.unwrap();
                if !found.as_array().unwrap().is_empty() {
                    missing.remove(&selector);
                }
            }
        }
    };
    let all_found = timeout(LIMIT, all_found).await;
    assert!(all_found.is_ok(), "no gateway has: {missing:#?}");

    let labels = prometheus.asked("labels", &[]).await.unwrap();
    let labels: BTreeSet<&str> = labels.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let unknown: Vec<_> = asked.labels.iter().filter(|label| !labels.contains(label.as_str())).collect();
    assert!(unknown.is_empty(), "no series has the labels {unknown:?}");

    // No panel would stay empty.
    let mut empty: Vec<_> = dashboard.iter().filter(|query| !query.starts_with("ALERTS")).collect();
    let all_shown = async {
        while !empty.is_empty() {
            load(&gateway).await;
            let mut still = Vec::new();
            for query in &empty {
                if prometheus.query(query).await.is_empty() {
                    still.push(*query);
                }
            }
            empty = still;
        }
    };
    let all_shown = timeout(LIMIT, all_shown).await;
    assert!(all_shown.is_ok(), "these find nothing: {empty:#?}");
}

#[test]
fn what_a_query_asks_for_is_found() {
    let mut asked = Asked::default();
    asked.read(
        r#"1 - sum by (job, le) (rate(a_total{x=~"b|c",y="}"}[5m])) / on (job) max(job:d:rate5m) > bool 1e9 or e"#,
    );
    let selectors: Vec<_> = asked.selectors.iter().map(String::as_str).collect();
    assert_eq!(selectors, [r#"a_total{x=~"b|c",y="}"}"#, "e", "job:d:rate5m"]);
    assert_eq!(asked.labels.into_iter().collect::<Vec<_>>(), ["job", "le"]);
    assert_eq!(alternatives(selectors[0]), [r#"a_total{x="b",y="}"}"#, r#"a_total{x="c",y="}"}"#]);
}
