//! Every command is answered as its family expects, whoever decides.

use chathook_protocol::{Command, Phase};
use chathook_tests::{OK, TOKEN, TestGateway, config, now, request, shapes};
use serde_json::Value;
use strum::IntoEnumIterator;

/// The answer where nothing stands in the way.
fn allowed(command: Command, body: &str) -> String {
    match command {
        Command::SnsPrevFriendAdd | Command::SnsPrevFriendResponse => {
            let body: Value = serde_json::from_str(body).unwrap();
            let items = body.get("FriendItem").or(body.get("ResponseFriendItem")).unwrap();
            let items: Vec<_> = match items.as_array() {
                Some(items) => items.clone(),
                None => vec![items.clone()],
            };
            let verdicts: Vec<_> = items
                .iter()
                .map(|item| format!(r#"{{"To_Account":{},"ResultCode":0,"ResultInfo":""}}"#, item["To_Account"]))
                .collect();
            format!(r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{}]}}"#, verdicts.join(","))
        }
        Command::ChatbotOnC2cSignalMessage => {
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RspData":""}"#.to_owned()
        }
        _ => OK.to_owned(),
    }
}

#[tokio::test]
async fn every_shape_of_every_command_is_answered_and_nothing_of_it_is_drift() {
    let gateway = TestGateway::start(&config("")).await;
    let mut connection = gateway.connect().await;
    let time = now();
    let sign = chathook_protocol::signature::sign(TOKEN, time);
    let mut sent = [0_u32; 2];
    for command in Command::iter() {
        for sample in shapes(command) {
            let target = format!("/?{}&Sign={sign}&RequestTime={time}", sample.query);
            connection.write(&request(&target, sample.body.as_bytes())).await.unwrap();
            let response = connection.response().await.unwrap();
            assert_eq!(response.status, 200, "{command}/{}: {}", sample.shape, response.body);
            assert_eq!(response.body, allowed(command, &sample.body), "{command}/{}", sample.shape);
            sent[command.phase() as usize] += 1;
        }
    }
    let metrics = gateway.get("/metrics").await.body;
    let total = |outcome: &str| -> f64 {
        let series = metrics.lines().filter(|line| line.starts_with("chathook_callbacks_total{"));
        series
            .filter(|line| line.contains(&format!("outcome=\"{outcome}\"")))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    };
    assert_eq!(total("decided"), f64::from(sent[Phase::Before as usize]));
    // Some shapes of a command tell of the same event.
    assert_eq!(total("acknowledged") + total("duplicate"), f64::from(sent[Phase::After as usize]));
    assert_eq!(gateway.metric("chathook_journal_events").await, total("acknowledged"));
    assert_eq!(total("refused") + total("fallback") + total("lost") + total("shed") + total("probe"), 0.0);
    assert_eq!(gateway.get("/api/drift").await.body, "[]");
}

#[tokio::test]
async fn a_command_that_nobody_knows_is_let_through_and_shown() {
    let gateway = TestGateway::start(&config("")).await;
    for i in 0..3 {
        let body = format!(r#"{{"CallbackCommand":"Group.CallbackBeforeTomorrow","GroupId":"g{i}"}}"#);
        let response = gateway.post("Group.CallbackBeforeTomorrow", body).await;
        assert_eq!((response.status, response.body.as_str()), (200, OK));
    }
    let series = r#"chathook_callbacks_total{command="unknown",outcome="acknowledged"}"#;
    assert_eq!(gateway.metric(series).await, 3.0);
    let drift: Value = serde_json::from_str(&gateway.get("/api/drift").await.body).unwrap();
    assert_eq!(drift[0]["command"], "Group.CallbackBeforeTomorrow");
    assert_eq!(drift[0]["count"], 3);
    let exit = gateway.stop().await;
    assert_eq!(exit.log.matches("unknown command acknowledged").count(), 1, "once a minute is enough");
}

#[tokio::test]
async fn a_new_field_refuses_nothing_and_is_counted_by_its_path() {
    let gateway = TestGateway::start(&config("")).await;
    let body = r#"{"CallbackCommand":"Sns.CallbackBlackListAdd","New":1,
        "PairList":[{"From_Account":"u_1","To_Account":"u_2"},{"From_Account":"u_1","To_Account":"u_3","Why":"x"}]}"#;
    assert_eq!(gateway.post("Sns.CallbackBlackListAdd", body).await.body, OK);
    assert_eq!(gateway.metric(r#"chathook_drift_fields_total{command="Sns.CallbackBlackListAdd"}"#).await, 2.0);
    let drift = gateway.get("/api/drift").await.body;
    for path in ["/New", "/PairList/*/Why"] {
        let finding =
            format!(r#"{{"command":"Sns.CallbackBlackListAdd","kind":"unread_field","path":"{path}","count":1,"#);
        assert!(drift.contains(&finding), "{drift}");
    }
}

#[tokio::test]
async fn names_as_long_as_a_body_do_not_fill_the_memory() {
    let gateway = TestGateway::start(&config("")).await;
    for i in 0..20 {
        let body = format!(r#"{{"PairList":[],"{i}{}":1}}"#, "x".repeat(1_000_000));
        assert_eq!(gateway.post("Sns.CallbackBlackListAdd", body).await.body, OK);
    }
    let drift = gateway.get("/api/drift").await.body;
    assert!(drift.len() < 20 * 500, "{} bytes", drift.len());
}

#[tokio::test]
async fn the_console_finds_somebody_at_home() {
    let gateway = TestGateway::start(&config("")).await;
    for command in ["Group.CallbackBeforeSendMsg", "State.StateChange", "Push.AllMemberPush"] {
        let response = gateway.post(command, "").await;
        assert_eq!((response.status, response.body.as_str()), (200, OK));
        let series = format!(r#"chathook_callbacks_total{{command="{command}",outcome="probe"}}"#);
        assert_eq!(gateway.metric(&series).await, 1.0);
    }
}

#[tokio::test]
async fn an_alias_is_the_command_in_the_query_and_in_the_body() {
    let gateway = TestGateway::start(&config("")).await;
    for (query, body) in [
        ("Bot.OnC2cMessage", "Bot.OnC2CMessage"),
        ("Call.CallbackAfterRecordChanged", "Call.CallbackAfterCloudRecordingChanged"),
        ("Follow.CallbackAfterCloudRecordingChanged", "Live.CallbackAfterCloudRecordingChanged"),
        ("Live.CallbackMemberStateChanged", "Live.CallbackAfterMemberStateChanged"),
        ("Room.CallbackUpdateRoomInfo", "Room.CallbackAfterUpdateRoomInfo"),
    ] {
        let response = gateway.post(query, format!(r#"{{"CallbackCommand":"{body}"}}"#)).await;
        assert_eq!((response.status, response.body.as_str()), (200, OK), "{query} with {body}");
    }
    assert_eq!(gateway.metric(r#"chathook_verify_failures_total{reason="mismatch"}"#).await, 0.0);
}
