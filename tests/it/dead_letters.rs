//! Dead letters are found, looked at, and delivered again, as far as their target still wants them.

use std::path::Path;

use chathook_gateway::{Config, Gateway};
use chathook_tests::{
    Behaviour, CHANGE, MESSAGE, TestDecider, TestGateway, change, config, http_target, journal_in, message,
};
use serde_json::Value;

use crate::deliver::{asks, json};

fn count(rows: &Value) -> usize {
    rows.as_array().unwrap().len()
}

#[tokio::test]
async fn dead_letters_are_found_by_user_and_time_and_come_in_pages() {
    let service = TestDecider::start(|_, _| Behaviour::answer(400, &[], "")).await;
    let toml = config("") + &http_target("crm", &service.url("/"), "") + &http_target("erp", &service.url("/"), "");
    let gateway = TestGateway::start(&toml).await;
    for n in 1..=3 {
        gateway.keeps(MESSAGE, &message("g", n)).await;
    }
    gateway.keeps(CHANGE, &change("u_77", 1)).await;
    gateway.dead_letters("crm", 4).await;
    gateway.dead_letters("erp", 4).await;
    let found = async |more: &[&str]| json(&gateway, &[&["dead-letters"][..], more].concat()).await;

    let of_user = found(&["--user", "u_77"]).await;
    assert_eq!((count(&of_user), &of_user[0]["command"]), (2, &Value::from(CHANGE)));
    assert_eq!(count(&found(&["--user", "u_7"]).await), 0);
    assert_eq!(count(&found(&["--since", "1h"]).await), 8);
    assert_eq!(count(&found(&["--until", "1h"]).await), 0);
    let came = of_user[0]["received"].as_str().unwrap();
    assert!(found(&["--until", came]).await.as_array().unwrap().iter().all(|it| it["command"] == MESSAGE));

    // A page ends with an event, not within it.
    let first = found(&["--limit", "3"]).await;
    assert_eq!(count(&first), 4);
    let second = found(&["--before", &first[3]["position"].to_string()]).await;
    assert_eq!(count(&second), 4);

    let position = of_user[0]["position"].to_string();
    let shown = asks(&gateway, &["dead-letters", "show", &position]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("crm: dead (target)") && shown.contains("u_77"), "{shown}");

    let discarded = json(&gateway, &["dead-letters", "discard", "--all", "--user", "u_77"]).await;
    assert_eq!((&discarded["done"], &discarded["failed"]), (&Value::from(2), &Value::from(0)));
    let until = json(&gateway, &["dead-letters", "discard", "--all", "--until", "1h"]).await;
    assert_eq!(until["done"], 0);
    gateway.dead_letters("crm", 3).await;
    let newest = gateway.api("audit?limit=1").await;
    assert_eq!(count(&gateway.api(&format!("audit?before={}", newest[0]["number"])).await), 1);
}

#[tokio::test]
async fn what_a_target_does_not_want_any_more_is_not_replayed_to_it() {
    let service = TestDecider::start(|_, _| Behaviour::answer(400, &[], "")).await;
    let gateway = TestGateway::start(&(config("") + &http_target("crm", &service.url("/"), ""))).await;
    gateway.keeps(CHANGE, &change("u_1", 1)).await;
    gateway.dead_letters("crm", 1).await;
    let narrower = http_target("crm", &service.url("/"), "when = \"payload.EventTime == 2\"");
    std::fs::write(gateway.dir().join("chathook.toml"), config("") + &narrower).unwrap();
    gateway.logged("configuration reloaded").await;

    for call in [&["events", "replay", "1", "--to", "crm"][..], &["dead-letters", "replay", "--all"]] {
        let refused = asks(&gateway, call).await;
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains("`crm` does not get event 1"), "{call:?}: {said}");
    }
    gateway.dead_letters("crm", 1).await;
    assert_eq!(count(&gateway.api("audit").await), 0, "nothing was done that would be recorded");

    gateway.keeps(CHANGE, &change("u_1", 2)).await;
    gateway.dead_letters("crm", 2).await;
    let replayed = json(&gateway, &["events", "replay", "2", "--to", "crm"]).await;
    assert_eq!(replayed["replayed"], 2);
}

/// Nobody can say whether the target wants it.
#[tokio::test]
async fn a_condition_on_a_body_that_nobody_could_read_makes_it_undecodable() {
    let service = TestDecider::answering("").await;
    let when = http_target("crm", &service.url("/"), "when = \"payload.EventTime > 1\"");
    let gateway = TestGateway::start(&(config("") + &when)).await;
    gateway.keeps(CHANGE, "no JSON").await;
    gateway.dead_letters("crm", 1).await;
    let letters = json(&gateway, &["dead-letters", "--class", "undecodable"]).await;
    assert!(letters[0]["cause"].as_str().unwrap().starts_with("when: "), "{letters}");
    let shown = asks(&gateway, &["events", "show", &letters[0]["position"].to_string()]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("no JSON") && shown.contains("decoded       false"), "{shown}");
    assert_eq!(service.asked(), 0);
}

#[tokio::test]
async fn a_gateway_that_cannot_listen_leaves_nothing_behind() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let toml = config("") + &http_target("crm", "http://127.0.0.1:1/", "");
    let parse = |toml: &str| Config::parse(toml, Path::new("test.toml"), journal_in(dir.path(), toml)).unwrap();
    let admin = format!("[admin]\nlisten = \"{}\"", taken.local_addr().unwrap());
    let same_port = parse(&toml.replace("[admin]\nlisten = \"127.0.0.1:0\"", &admin));
    let refused = Gateway::builder(same_port).build().await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("admin.listen"), "{refused}");
    // The journal is free again.
    Gateway::builder(parse(&toml)).build().await.map(drop).unwrap();
}
