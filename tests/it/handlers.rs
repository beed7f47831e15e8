//! Handlers decide in time, or the fallback does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chathook_gateway::GatewayBuilder;
use chathook_protocol::reply::{FriendCode, GroupCode, Verdict};
use chathook_protocol::{MsgElement, Raw, group, sns, state};
use chathook_router::Ctx;
use chathook_tests::{OK, TestGateway, config, samples};
use tokio::sync::mpsc;

const COMMAND: &str = "Group.CallbackBeforeSendMsg";

fn message(text: &str) -> String {
    format!(
        r#"{{"CallbackCommand":"{COMMAND}","GroupId":"@TGS#1","Type":"Public","From_Account":"u_1","MsgBody":[
            {{"MsgType":"TIMTextElem","MsgContent":{{"Text":"{text}"}}}},
            {{"MsgContent":{{"A": 1}},"MsgType":"TIMNewElem"}}]}}"#
    )
}

/// Does what the message says.
fn obedient<S: Send + Sync + 'static>(gateway: GatewayBuilder<S>) -> GatewayBuilder<S> {
    gateway.before(|_cx: Ctx<S>, msg: group::BeforeSendMsg| async move {
        let text = msg.body[0].as_text().unwrap_or_default().to_owned();
        match text.as_str() {
            "reject" => Ok(group::SendDecision::reject(GroupCode::of::<10_150>(), "not \"here\"")),
            "refuse" => Ok(group::SendDecision::refuse()),
            "drop" => Ok(group::SendDecision::drop_silently()),
            "rewrite" => {
                let mut body = msg.body;
                body[0] = MsgElement::text("***");
                Ok(group::SendDecision::rewrite(body))
            }
            "fail" => Err("what-a-user-said".into()),
            "panic" => panic!("what-a-user-said"),
            "hang" => std::future::pending().await,
            _ => Ok(group::SendDecision::allow()),
        }
    })
}

fn fallback_config() -> String {
    format!("{}[decide]\ndeadline = \"300ms\"\n[decide.\"{COMMAND}\"]\non_failure = \"drop\"\n", config(""))
}

#[tokio::test]
async fn what_a_handler_decides_is_what_chat_gets() {
    let gateway = TestGateway::with(&fallback_config(), (), obedient).await;
    for (text, answer) in [
        ("hello", OK),
        ("reject", r#"{"ActionStatus":"OK","ErrorInfo":"not \"here\"","ErrorCode":10150}"#),
        ("refuse", r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}"#),
        ("drop", r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}"#),
        (
            "rewrite",
            concat!(
                r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":["#,
                r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}},"#,
                r#"{"MsgType":"TIMNewElem","MsgContent":{"A": 1}}]}"#
            ),
        ),
    ] {
        let response = gateway.post(COMMAND, message(text)).await;
        assert_eq!((response.status, response.body.as_str()), (200, answer), "{text}");
    }
    for (decision, count) in [("allow", 1.0), ("reject", 2.0), ("drop", 1.0), ("rewrite", 1.0)] {
        let series = format!(r#"chathook_decisions_total{{command="{COMMAND}",decision="{decision}"}}"#);
        assert_eq!(gateway.metric(&series).await, count, "{decision}");
    }
    assert_eq!(gateway.metric(r#"chathook_decider_seconds_count{decider="handler"}"#).await, 5.0);
}

#[tokio::test]
async fn a_handler_that_fails_panics_or_hangs_ends_in_the_fallback() {
    let gateway = TestGateway::with(&fallback_config(), (), obedient).await;
    for (text, reason) in [("fail", "error"), ("panic", "panic"), ("hang", "timeout")] {
        let started = Instant::now();
        let response = gateway.post(COMMAND, message(text)).await;
        let dropped = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}"#;
        assert_eq!((response.status, response.body.as_str()), (200, dropped), "{text}");
        assert!(started.elapsed() < Duration::from_millis(1800), "{text}: {:?}", started.elapsed());
        let series = format!(r#"chathook_fallbacks_total{{command="{COMMAND}",reason="{reason}"}}"#);
        assert_eq!(gateway.metric(&series).await, 1.0, "{text}");
        let series = format!(r#"chathook_decider_errors_total{{decider="handler",reason="{reason}"}}"#);
        assert_eq!(gateway.metric(&series).await, 1.0, "{text}");
    }
    assert_eq!(gateway.post(COMMAND, message("hello")).await.body, OK, "the gateway goes on");
}

#[tokio::test]
async fn every_friend_gets_a_verdict_from_the_handler_and_from_the_fallback() {
    let toml = format!("{}[decide]\non_failure = \"reject\"\n", config(""));
    let gateway = TestGateway::with(&toml, (), |gateway| {
        gateway.before(|_cx: Ctx, request: sns::PrevFriendAdd| async move {
            if request.from == "u_bad" {
                return Err("no".into());
            }
            Ok(request.decide(|item| match item.to.as_str() {
                "u_admin" => Verdict::reject(FriendCode::of::<38_012>(), "closed"),
                _ => Verdict::Allow,
            }))
        })
    })
    .await;
    let request = |from: &str| {
        format!(
            r#"{{"Requester_Account":"u_1","From_Account":"{from}","FriendItem":[{{"To_Account":"u_2"}},{{"To_Account":"u_admin"}}]}}"#
        )
    };
    let decided = gateway.post("Sns.CallbackPrevFriendAdd", request("u_1")).await.body;
    assert_eq!(
        decided,
        concat!(
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":["#,
            r#"{"To_Account":"u_2","ResultCode":0,"ResultInfo":""},"#,
            r#"{"To_Account":"u_admin","ResultCode":38012,"ResultInfo":"closed"}]}"#
        )
    );
    let fallback = gateway.post("Sns.CallbackPrevFriendAdd", request("u_bad")).await.body;
    assert_eq!(
        fallback,
        concat!(
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":["#,
            r#"{"To_Account":"u_2","ResultCode":38000,"ResultInfo":""},"#,
            r#"{"To_Account":"u_admin","ResultCode":38000,"ResultInfo":""}]}"#
        )
    );
}

#[tokio::test]
async fn after_handlers_are_told_what_chat_said_and_chat_does_not_wait_for_them() {
    let (told, mut hears) = mpsc::unbounded_channel();
    let gateway = TestGateway::with(&config(""), told, |gateway| {
        gateway
            .after(|cx: Ctx<mpsc::UnboundedSender<String>>, change: state::StateChange| async move {
                cx.send(format!("{} {:?} {}", change.info.to, cx.client().platform, cx.raw().len()))?;
                std::future::pending().await
            })
            .after(|cx: Ctx<mpsc::UnboundedSender<String>>, raw: Raw<sns::FriendDelete>| async move {
                cx.send(format!("raw {} {}", cx.command(), raw.bytes().len()))?;
                Ok(())
            })
            .unhandled(|cx: Ctx<mpsc::UnboundedSender<String>>, body| async move {
                cx.send(format!("unhandled {} {}", cx.command(), body.len()))?;
                Ok(())
            })
    })
    .await;
    let change = samples().find(|sample| sample.command.as_str() == "State.StateChange").unwrap();
    assert_eq!(gateway.post("State.StateChange", &change.body).await.body, OK);
    let sent: serde_json::Value = serde_json::from_str(&change.body).unwrap();
    let user = sent["Info"]["To_Account"].as_str().unwrap();
    assert_eq!(hears.recv().await.unwrap(), format!("{user} Some(Restapi) {}", change.body.len()));

    assert_eq!(gateway.post("Sns.CallbackFriendDelete", "not JSON").await.body, OK);
    assert_eq!(hears.recv().await.unwrap(), "raw Sns.CallbackFriendDelete 8");
    assert_eq!(gateway.post("Nobody.Knows", "{}").await.body, OK);
    assert_eq!(hears.recv().await.unwrap(), "unhandled Nobody.Knows 2");
    assert_eq!(gateway.post("Push.AllMemberPush", r#"{"Events":[]}"#).await.body, OK);
    assert_eq!(hears.recv().await.unwrap(), "unhandled Push.AllMemberPush 13");
}

#[tokio::test]
async fn handlers_share_their_state() {
    let words = Arc::new(vec!["casino".to_owned()]);
    let gateway = TestGateway::with(&config(""), words, |gateway| {
        gateway.before(|cx: Ctx<Arc<Vec<String>>>, msg: group::BeforeSendMsg| async move {
            let text = msg.body[0].as_text().unwrap_or_default();
            Ok(match cx.iter().any(|word| text.contains(word)) {
                true => group::SendDecision::refuse(),
                false => group::SendDecision::allow(),
            })
        })
    })
    .await;
    assert_eq!(gateway.post(COMMAND, message("tea")).await.body, OK);
    assert_ne!(gateway.post(COMMAND, message("casino")).await.body, OK);
}
