//! Several deciders: their order, what they come to together, who is asked at all, and what changes while running.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chathook_protocol::reply::GroupCode;
use chathook_protocol::{MsgElement, group, signature};
use chathook_router::Ctx;
use chathook_tests::{
    APP, Behaviour, Connection, Down, Gate, OK, REFUSED, Response, TestDecider, TestGateway, config, http_decider, now,
    request, signed, unsigned,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

const MESSAGE: &str = "Group.CallbackBeforeSendMsg";
const INVITE: &str = "Group.CallbackBeforeInviteJoinGroup";
const FRIENDS: &str = "Sns.CallbackPrevFriendAdd";

const REJECTED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":10150}"#;
const FALLBACK: &str = r#"{"ActionStatus":"OK","ErrorInfo":"try again","ErrorCode":10199}"#;
const DROPPED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}"#;

/// What is decided at once is answered in this time.
const AT_ONCE: Duration = Duration::from_millis(200);

fn message(text: &str) -> String {
    format!(
        r#"{{"CallbackCommand":"{MESSAGE}","GroupId":"@TGS#1","Type":"Public","From_Account":"u_1","MsgBody":[{}]}}"#,
        element(text)
    )
}

fn element(text: &str) -> String {
    format!(r#"{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"{text}"}}}}"#)
}

fn rewritten(text: &str) -> String {
    format!(r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[{}]}}"#, element(text))
}

fn fallback() -> String {
    let on_failure = "on_failure = { decision = \"reject\", code = 10199, info = \"try again\" }";
    format!("{}[decide]\nlate = \"0s\"\n[decide.{MESSAGE:?}]\n{on_failure}\n", config(""))
}

/// A decider for [`MESSAGE`] that speaks passthrough.
fn decider(name: &str, decider: &TestDecider) -> String {
    http_decider(name, &[MESSAGE], &decider.url("/"), "http.breaker = false")
}

/// A decider of any command that speaks JSON.
fn json_decider(name: &str, decider: &TestDecider, more: &str) -> String {
    http_decider(name, &["*"], &decider.url("/"), &format!("http.breaker = false\nhttp.format = \"json\"\n{more}"))
}

/// Sends a callback, and does not wait for the answer.
async fn begin(gateway: &TestGateway, command: &str, body: &str) -> Connection {
    let mut connection = gateway.connect().await;
    connection.write(&request(&format!("/?{}", signed(command)), body.as_bytes())).await.unwrap();
    connection
}

#[track_caller]
fn is(response: &Response, answer: &str) {
    assert_eq!((response.status, response.body.as_str()), (200, answer));
}

// In order.

#[tokio::test]
async fn deciders_are_asked_in_the_order_of_the_configuration() {
    let gate = Gate::default();
    let held = gate.clone();
    let first = TestDecider::start(move |_, _| Behaviour::json(OK).once(&held)).await;
    let second = TestDecider::answering(REJECTED).await;
    let gateway = TestGateway::start(&(fallback() + &decider("first", &first) + &decider("second", &second))).await;
    let mut asked = begin(&gateway, MESSAGE, &message("tea")).await;
    first.request(0).await;
    assert_eq!(second.opened(), 0, "the second is asked after the first");
    gate.open();
    is(&asked.response().await.unwrap(), REJECTED);
    assert_eq!((first.requests()[0].text(), second.requests()[0].text()), (&*message("tea"), &*message("tea")));
    assert_eq!(first.requests()[0].target(), second.requests()[0].target());
    for (name, decision) in [("first", "allow"), ("second", "reject")] {
        let series = format!(r#"chathook_decider_decisions_total{{decider="{name}",decision="{decision}"}}"#);
        assert_eq!(gateway.metric(&series).await, 1.0, "{name}");
    }
    let series = format!(r#"chathook_decisions_total{{command="{MESSAGE}",decision="reject"}}"#);
    assert_eq!(gateway.metric(&series).await, 1.0);
}

#[tokio::test]
async fn the_first_refusal_or_drop_ends_the_chain() {
    for answer in [REJECTED, DROPPED] {
        let first = TestDecider::answering(answer).await;
        let second = TestDecider::answering(rewritten("***")).await;
        let gateway = TestGateway::start(&(fallback() + &decider("first", &first) + &decider("second", &second))).await;
        is(&gateway.post(MESSAGE, message("tea")).await, answer);
        assert_eq!((first.asked(), second.opened()), (1, 0));
    }
}

#[tokio::test]
async fn nobody_asked_means_allowed() {
    let other = TestDecider::answering(REJECTED).await;
    let toml = fallback() + &http_decider("other", &["C2C.*"], &other.url("/"), "");
    let gateway = TestGateway::start(&toml).await;
    is(&gateway.post(MESSAGE, message("tea")).await, OK);
    assert_eq!(other.opened(), 0);
}

#[tokio::test]
async fn a_handler_is_asked_before_all_deciders() {
    let later = TestDecider::answering(OK).await;
    let gateway = TestGateway::with(&(fallback() + &decider("later", &later)), (), |gateway| {
        gateway.before(|_cx: Ctx, message: group::BeforeSendMsg| async move {
            Ok(match message.body[0].as_text() {
                Some("rewrite") => group::SendDecision::rewrite(vec![MsgElement::text("***")]),
                Some("reject") => group::SendDecision::reject(GroupCode::of::<10_150>(), "no"),
                _ => group::SendDecision::allow(),
            })
        })
    })
    .await;
    is(&gateway.post(MESSAGE, message("tea")).await, OK);
    is(&gateway.post(MESSAGE, message("reject")).await, REJECTED);
    is(&gateway.post(MESSAGE, message("rewrite")).await, &rewritten("***"));
    let asked: Vec<_> = later.requests().iter().map(|request| request.text().to_owned()).collect();
    assert_eq!(asked, [message("tea"), message("***")], "a refusal ends it, and a rewrite goes on");
}

// Rewrites.

#[tokio::test]
async fn a_rewrite_is_seen_by_the_next_decider_and_nothing_else_changes() {
    let body = |elements: &str, data: &str| {
        [
            r#"{"New":{ "a" : [1e1, 1.0] },"CloudCustomData":"#,
            data,
            r#","GroupId":"@TGS#1\u002f2","MsgBody":"#,
            elements,
            r#","From_Account":"u_1","Random":4294967295,"CallbackCommand":"Group.CallbackBeforeSendMsg"}"#,
        ]
        .concat()
    };
    let rewrite = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"CloudCustomData":"{\"seen\":1}",
        "MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}},{"MsgType":"TIMNewElem","MsgContent":{"A":  1.0}}]}"#;
    let first = TestDecider::answering(rewrite).await;
    let second = TestDecider::answering(OK).await;
    let third = TestDecider::answering(r#"{"decision":"allow"}"#).await;
    let toml =
        fallback() + &decider("first", &first) + &decider("second", &second) + &json_decider("third", &third, "");
    let gateway = TestGateway::start(&toml).await;
    let sent = body(r#"[ {"MsgContent":{"Text":"damn"},"MsgType":"TIMTextElem"} ]"#, "\"{}\"");
    let query = signed(MESSAGE) + "&x=%41";
    let answered = gateway.post_query(&query, &sent).await;
    let elements =
        r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}},{"MsgType":"TIMNewElem","MsgContent":{"A":  1.0}}]"#;
    let data = r#""{\"seen\":1}""#;
    is(
        &answered,
        &format!(
            r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":{elements},"CloudCustomData":{data}}}"#
        ),
    );
    assert_eq!(first.request(0).await.text(), sent);
    let asked = second.request(0).await;
    assert_eq!(asked.text(), body(elements, data));
    assert_eq!(asked.query(), query);
    let asked = third.request(0).await;
    assert!(asked.text().contains(&format!(r#""payload":{}"#, body(elements, data))), "{}", asked.text());
}

#[tokio::test]
async fn all_deciders_of_a_callback_are_told_the_same_id() {
    let rewrite = format!(r#"{{"decision":"rewrite","msg_body":[{}]}}"#, element("***"));
    let (first, second) =
        (TestDecider::answering(rewrite).await, TestDecider::answering(r#"{"decision":"allow"}"#).await);
    let toml = fallback() + &json_decider("first", &first, "") + &json_decider("second", &second, "");
    let gateway = TestGateway::start(&toml).await;
    is(&gateway.post(MESSAGE, message("damn")).await, &rewritten("***"));
    let (first, second) = (first.request(0).await.json(), second.request(0).await.json());
    assert_eq!(first["id"], second["id"]);
    assert!(first["deadline_ms"].as_u64() >= second["deadline_ms"].as_u64(), "time goes by");
}

#[tokio::test]
async fn the_last_rewrite_of_each_part_is_what_chat_gets() {
    let rewrite = |elements: Option<&str>, data: Option<&str>| {
        let body = elements.map(|text| format!(r#","msg_body":[{}]"#, element(text))).unwrap_or_default();
        let data = data.map(|data| format!(r#","cloud_custom_data":"{data}""#)).unwrap_or_default();
        format!(r#"{{"decision":"rewrite"{body}{data}}}"#)
    };
    for (first, second, text, data) in [
        (rewrite(Some("one"), Some("first")), rewrite(Some("two"), None), Some("two"), Some("first")),
        (rewrite(None, Some("first")), rewrite(Some("two"), None), Some("two"), Some("first")),
        (rewrite(Some("one"), None), rewrite(None, Some("second")), Some("one"), Some("second")),
        (rewrite(Some("one"), Some("first")), rewrite(Some("two"), Some("second")), Some("two"), Some("second")),
        (rewrite(Some("one"), None), r#"{"decision":"allow"}"#.to_owned(), Some("one"), None),
    ] {
        let (first, second) = (TestDecider::answering(first).await, TestDecider::answering(second).await);
        let toml = fallback() + &json_decider("first", &first, "") + &json_decider("second", &second, "");
        let gateway = TestGateway::start(&toml).await;
        let text = text.map(|text| format!(r#","MsgBody":[{}]"#, element(text))).unwrap_or_default();
        let data = data.map(|data| format!(r#","CloudCustomData":"{data}""#)).unwrap_or_default();
        let answer = format!(r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0{text}{data}}}"#);
        is(&gateway.post(MESSAGE, message("tea")).await, &answer);
        let series = format!(r#"chathook_decisions_total{{command="{MESSAGE}",decision="rewrite"}}"#);
        assert_eq!(gateway.metric(&series).await, 1.0);
    }
}

#[tokio::test]
async fn a_refusal_after_a_rewrite_is_a_refusal_only() {
    let first = TestDecider::answering(rewritten("***")).await;
    let second = TestDecider::answering(REJECTED).await;
    let gateway = TestGateway::start(&(fallback() + &decider("first", &first) + &decider("second", &second))).await;
    is(&gateway.post(MESSAGE, message("damn")).await, REJECTED);
}

#[tokio::test]
async fn a_fallback_that_allows_keeps_the_rewrite_before_it() {
    let first = TestDecider::answering(rewritten("***")).await;
    let down = Down::new();
    let chain = decider("first", &first) + &http_decider("second", &[MESSAGE], &down.url("/"), "http.breaker = false");
    let allowing = config("") + "[decide]\non_failure = \"allow\"\n";
    let gateway = TestGateway::start(&(allowing + &chain)).await;
    is(&gateway.post(MESSAGE, message("damn")).await, &rewritten("***"));
    let series = format!(r#"chathook_fallbacks_total{{command="{MESSAGE}",reason="error"}}"#);
    assert_eq!(gateway.metric(&series).await, 1.0);

    let gateway = TestGateway::start(&(fallback() + &chain)).await;
    is(&gateway.post(MESSAGE, message("damn")).await, FALLBACK);
}

#[tokio::test]
async fn one_deadline_is_for_the_whole_chain() {
    let gate = Gate::default();
    let held = gate.clone();
    let first = TestDecider::start(move |_, _| Behaviour::json(OK).once(&held)).await;
    let second = TestDecider::start(|_, _| Behaviour::Hang).await;
    let toml = fallback().replace("[decide]", "[decide]\ndeadline = \"600ms\"")
        + &decider("first", &first)
        + &decider("second", &second);
    let gateway = TestGateway::start(&toml).await;
    let first_takes = async {
        first.request(0).await;
        tokio::time::sleep(Duration::from_millis(350)).await;
        gate.open();
    };
    let ((response, took), ()) = tokio::join!(gateway.timed(MESSAGE, message("tea")), first_takes);
    is(&response, FALLBACK);
    assert!(took < Duration::from_millis(350 + 600), "{took:?}");
    assert_eq!(second.asked(), 1);
}

// Some of those concerned.

#[tokio::test]
async fn partial_refusals_of_two_deciders_add_up() {
    let partial = |users: &str| format!(r#"{{"decision":"partial","refused":[{users}]}}"#);
    let body = r#"{"GroupId":"g","Operator_Account":"u","DestinationMembers":[
        {"Member_Account":"u_1"},{"Member_Account":"u_2"},{"Member_Account":"u_3"}]}"#;
    for (first, second, refused, decision) in [
        (r#""u_1""#, r#""u_2""#, r#""u_1","u_2""#, "partial"),
        (r#""u_1","u_2""#, r#""u_2""#, r#""u_1","u_2""#, "partial"),
        (r#""u_1","u_2""#, r#""u_3""#, r#""u_1","u_2","u_3""#, "reject"),
    ] {
        let (one, other) =
            (TestDecider::answering(partial(first)).await, TestDecider::answering(partial(second)).await);
        let toml = fallback() + &json_decider("first", &one, "") + &json_decider("second", &other, "");
        let gateway = TestGateway::start(&toml).await;
        let answer =
            format!(r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RefusedMembers_Account":[{refused}]}}"#);
        is(&gateway.post(INVITE, body).await, &answer);
        let series = format!(r#"chathook_decisions_total{{command="{INVITE}",decision="{decision}"}}"#);
        assert_eq!(gateway.metric(&series).await, 1.0, "{decision}: {first} and {second}");
    }
}

#[tokio::test]
async fn the_first_refusal_of_each_friend_stands() {
    let first = r#"{"decision":"partial","refused":["u_1"],"code":38001,"info":"first"}"#;
    let second = r#"{"decision":"partial","refused":["u_1","u_2"],"code":38002,"info":"second"}"#;
    let (first, second) = (TestDecider::answering(first).await, TestDecider::answering(second).await);
    let toml = fallback() + &json_decider("first", &first, "") + &json_decider("second", &second, "");
    let gateway = TestGateway::start(&toml).await;
    let body = r#"{"Requester_Account":"u","From_Account":"u",
        "FriendItem":[{"To_Account":"u_1"},{"To_Account":"u_2"},{"To_Account":"u_3"}]}"#;
    is(
        &gateway.post(FRIENDS, body).await,
        concat!(
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":["#,
            r#"{"To_Account":"u_1","ResultCode":38001,"ResultInfo":"first"},"#,
            r#"{"To_Account":"u_2","ResultCode":38002,"ResultInfo":"second"},"#,
            r#"{"To_Account":"u_3","ResultCode":0,"ResultInfo":""}]}"#
        ),
    );
}

// Who is asked.

#[tokio::test]
async fn a_condition_says_who_is_asked() {
    let strict = TestDecider::answering(REJECTED).await;
    let when = r#"when = 'payload.Type == "AVChatRoom" && query.OptPlatform == "Web"'"#;
    let toml = fallback() + &http_decider("strict", &[MESSAGE], &strict.url("/"), when);
    let gateway = TestGateway::start(&toml).await;
    let mut asked = 0;
    for (group_type, platform, answer) in
        [("AVChatRoom", "Web", REJECTED), ("AVChatRoom", "iOS", OK), ("Public", "Web", OK), ("Public", "RESTAPI", OK)]
    {
        let query = signed(MESSAGE).replace("RESTAPI", platform);
        let body = message("tea").replace("Public", group_type);
        is(&gateway.post_query(&query, body).await, answer);
        asked += usize::from(answer == REJECTED);
        assert_eq!(strict.asked(), asked, "{group_type} {platform}");
    }
}

#[tokio::test]
async fn a_condition_knows_the_time() {
    for (when, answer) in [
        (r#"when = 'time > timestamp("2024-01-01T00:00:00Z")'"#, REJECTED),
        (r#"when = 'time < timestamp("2024-01-01T00:00:00Z")'"#, OK),
    ] {
        let strict = TestDecider::answering(REJECTED).await;
        let toml = fallback() + &http_decider("strict", &[MESSAGE], &strict.url("/"), when);
        let gateway = TestGateway::start(&toml).await;
        is(&gateway.post(MESSAGE, message("tea")).await, answer);
    }
}

#[tokio::test]
async fn a_condition_sees_the_rewritten_message() {
    let first = TestDecider::answering(rewritten("***")).await;
    let second = TestDecider::answering(REJECTED).await;
    let when = r#"when = 'payload.MsgBody[0].MsgContent.Text == "***"'"#;
    let toml = fallback() + &decider("first", &first) + &http_decider("second", &[MESSAGE], &second.url("/"), when);
    let gateway = TestGateway::start(&toml).await;
    is(&gateway.post(MESSAGE, message("damn")).await, REJECTED);
}

#[tokio::test]
async fn a_condition_on_what_is_not_there_does_not_hold() {
    let asked = TestDecider::answering(REJECTED).await;
    let when = "when = 'payload.NoSuchField > 1'";
    let toml = fallback() + &http_decider("asked", &[MESSAGE], &asked.url("/"), when);
    let gateway = TestGateway::start(&toml).await;
    is(&gateway.post(MESSAGE, message("tea")).await, OK);
    assert_eq!(asked.opened(), 0);
    assert_eq!(gateway.sum(r#"chathook_decider_errors_total{decider="asked""#).await, 0.0);
}

#[tokio::test]
async fn a_condition_that_fails_is_a_failure_of_the_decider() {
    let asked = TestDecider::answering(OK).await;
    let when = "when = 'payload.GroupId > 1'";
    let toml = fallback() + &http_decider("broken", &[MESSAGE], &asked.url("/"), when);
    let gateway = TestGateway::start(&toml).await;
    is(&gateway.post(MESSAGE, message("tea")).await, FALLBACK);
    assert_eq!(asked.opened(), 0);
    assert_eq!(gateway.metric(r#"chathook_decider_errors_total{decider="broken",reason="error"}"#).await, 1.0);
    let series = format!(r#"chathook_fallbacks_total{{command="{MESSAGE}",reason="error"}}"#);
    assert_eq!(gateway.metric(&series).await, 1.0);
}

#[tokio::test]
async fn a_body_that_is_not_read_is_nobodys_to_decide() {
    let asked = TestDecider::answering(OK).await;
    let gateway = TestGateway::start(&(fallback() + &decider("asked", &asked))).await;
    is(&gateway.post(MESSAGE, "not JSON").await, FALLBACK);
    assert_eq!(asked.opened(), 0);
    let series = format!(r#"chathook_fallbacks_total{{command="{MESSAGE}",reason="decode"}}"#);
    assert_eq!(gateway.metric(&series).await, 1.0);
    assert_eq!(gateway.sum(r#"chathook_decider_errors_total{decider="asked""#).await, 0.0);
}

// Shadows.

#[tokio::test]
async fn a_shadow_is_asked_and_not_obeyed_and_its_disagreement_is_counted() {
    let shadow = TestDecider::start(|request, _| match request.text().contains("damn") {
        true => Behaviour::json(rewritten("shadow")),
        false => Behaviour::json(REJECTED),
    })
    .await;
    let first = TestDecider::start(|request, _| match request.text().contains("spam") {
        true => Behaviour::json(REJECTED),
        false => Behaviour::json(OK),
    })
    .await;
    let toml = fallback()
        + &http_decider("shadow", &[MESSAGE], &shadow.url("/"), "mode = \"shadow\"\nhttp.breaker = false")
        + &decider("first", &first);
    let gateway = TestGateway::start(&toml).await;
    let disagreements =
        |decision: &str| format!(r#"chathook_decider_disagreements_total{{decider="shadow",decision="{decision}"}}"#);
    // It would reject what is allowed.
    is(&gateway.post(MESSAGE, message("tea")).await, OK);
    gateway.metric_becomes(&disagreements("reject"), 1.0).await;
    // It would rewrite, and nobody sees that.
    is(&gateway.post(MESSAGE, message("damn")).await, OK);
    gateway.metric_becomes(&disagreements("rewrite"), 1.0).await;
    assert_eq!(first.requests()[1].text(), message("damn"));
    // It agrees.
    is(&gateway.post(MESSAGE, message("spam")).await, REJECTED);
    let decided = r#"chathook_decider_decisions_total{decider="shadow",decision="reject"}"#;
    gateway.metric_becomes(decided, 2.0).await;
    assert_eq!(gateway.sum("chathook_decider_disagreements_total{").await, 2.0);
    assert_eq!((shadow.asked(), first.asked()), (3, 3));
}

#[tokio::test]
async fn nobody_waits_for_a_shadow() {
    let shadow = TestDecider::start(|_, _| Behaviour::Hang).await;
    let first = TestDecider::answering(REJECTED).await;
    let more = "mode = \"shadow\"\nhttp.breaker = false\nhttp.timeout = \"300ms\"";
    let toml = fallback() + &http_decider("shadow", &[MESSAGE], &shadow.url("/"), more) + &decider("first", &first);
    let gateway = TestGateway::start(&toml).await;
    let (response, took) = gateway.timed(MESSAGE, message("tea")).await;
    is(&response, REJECTED);
    assert!(took < AT_ONCE, "{took:?}");
    shadow.request(0).await;
    gateway.metric_becomes(r#"chathook_decider_errors_total{decider="shadow",reason="timeout"}"#, 1.0).await;
    shadow.has_at_most(0).await;
    assert_eq!(gateway.sum("chathook_fallbacks_total{").await, 0.0, "the failure of a shadow is nobody else's");
    assert_eq!(gateway.sum("chathook_decider_disagreements_total{").await, 0.0);
}

#[tokio::test]
async fn a_shadow_that_is_down_harms_nobody() {
    let down = Down::new();
    let toml =
        fallback() + &http_decider("shadow", &[MESSAGE], &down.url("/"), "mode = \"shadow\"\nhttp.breaker = false");
    let gateway = TestGateway::start(&toml).await;
    is(&gateway.post(MESSAGE, message("tea")).await, OK);
    gateway.metric_becomes(r#"chathook_decider_errors_total{decider="shadow",reason="connect"}"#, 1.0).await;
    assert_eq!(gateway.sum("chathook_fallbacks_total{").await, 0.0);
    let series = format!(r#"chathook_decisions_total{{command="{MESSAGE}",decision="allow"}}"#);
    assert_eq!(gateway.metric(&series).await, 1.0);
}

/// A shadow that answers so, at its place among others.
fn shadow(decider: &TestDecider) -> String {
    http_decider("shadow", &[MESSAGE], &decider.url("/"), "mode = \"shadow\"\nhttp.breaker = false")
}

fn mask(name: &str, word: &str, more: &str) -> String {
    format!(
        "[[decider]]\nname = {name:?}\ncommands = [{MESSAGE:?}]\nrule.words = [{word:?}]\nrule.then = \"mask\"\n{more}\n"
    )
}

/// How often the shadow was heard, and what of it disagreed, once it was heard `times`.
async fn disagreements(gateway: &TestGateway, times: f64) -> f64 {
    timeout(Duration::from_secs(20), async {
        while gateway.sum(r#"chathook_decider_decisions_total{decider="shadow","#).await < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the shadow is heard");
    gateway.sum(r#"chathook_decider_disagreements_total{decider="shadow","#).await
}

#[tokio::test]
async fn a_shadow_is_compared_with_what_is_decided_from_its_place_on() {
    let allows = TestDecider::answering(OK).await;
    // It allows the message as it was masked before, as all after it do.
    let gateway = TestGateway::start(&(fallback() + &mask("words", "damn", "") + &shadow(&allows))).await;
    is(&gateway.post(MESSAGE, message("damn")).await, &rewritten("****"));
    assert_eq!(disagreements(&gateway, 1.0).await, 0.0);
    // It allows what is masked after it.
    let gateway = TestGateway::start(&(fallback() + &shadow(&allows) + &mask("words", "damn", ""))).await;
    is(&gateway.post(MESSAGE, message("damn")).await, &rewritten("****"));
    assert_eq!(disagreements(&gateway, 1.0).await, 1.0);
}

#[tokio::test]
async fn a_shadow_is_not_compared_with_a_fallback() {
    let (rejects, down) = (TestDecider::answering(REJECTED).await, Down::new());
    let toml =
        fallback() + &shadow(&rejects) + &http_decider("down", &[MESSAGE], &down.url("/"), "http.breaker = false");
    let gateway = TestGateway::start(&toml).await;
    is(&gateway.post(MESSAGE, message("tea")).await, FALLBACK);
    assert_eq!(disagreements(&gateway, 1.0).await, 0.0);
}

#[tokio::test]
async fn a_shadow_that_writes_another_message_disagrees() {
    for (text, expected) in [("****", 0.0), ("####", 1.0)] {
        let rewrites = TestDecider::answering(rewritten(text)).await;
        let gateway = TestGateway::start(&(fallback() + &shadow(&rewrites) + &mask("words", "damn", ""))).await;
        is(&gateway.post(MESSAGE, message("damn")).await, &rewritten("****"));
        assert_eq!(disagreements(&gateway, 1.0).await, expected, "{text}");
    }
}

#[tokio::test]
async fn a_shadow_rule_that_does_not_match_allows() {
    let rejects = TestDecider::answering(REJECTED).await;
    let rule = mask("shadow", "damn", "mode = \"shadow\"\nwhen = 'payload.Type == \"Public\"'");
    let gateway = TestGateway::start(&(fallback() + &rule + &decider("rejects", &rejects))).await;
    is(&gateway.post(MESSAGE, message("tea")).await, REJECTED);
    assert_eq!(disagreements(&gateway, 1.0).await, 1.0);
    // Where its condition does not hold it was not asked.
    is(&gateway.post(MESSAGE, message("tea").replace("Public", "Private")).await, REJECTED);
    is(&gateway.post(MESSAGE, message("damn")).await, REJECTED);
    assert_eq!(disagreements(&gateway, 2.0).await, 2.0);
    assert_eq!(gateway.metric(r#"chathook_decider_decisions_total{decider="shadow",decision="allow"}"#).await, 1.0);
}

// What is answered when nobody decided.

#[tokio::test]
async fn fallbacks_are_declared_for_each_command_and_application() {
    const SECOND: u64 = APP + 1;
    let c2c = r#"{"From_Account":"u","To_Account":"v","MsgSeq":1,"MsgTime":1,"MsgBody":[]}"#;
    let invite = r#"{"GroupId":"g","Operator_Account":"u","DestinationMembers":[{"Member_Account":"u_1"}]}"#;
    let down = Down::new();
    let toml = config("")
        + &format!(
            "[[app]]\nsdk_app_id = {SECOND}\ntokens = [\"second-token\"]\n\
             [app.decide]\non_failure = {{ decision = \"reject\", info = \"second\" }}\n\
             [app.decide.{MESSAGE:?}]\non_failure = \"drop\"\n\
             [app.decide.\"C2C.CallbackBeforeSendMsg\"]\n\
             on_failure = {{ decision = \"reject\", code = 130000, info = \"二\" }}\n\
             [decide]\non_failure = {{ decision = \"reject\", info = \"first\" }}\n\
             [decide.{MESSAGE:?}]\non_failure = {{ decision = \"reject\", code = 10123, info = \"later\" }}\n\
             [decide.\"C2C.CallbackBeforeSendMsg\"]\non_failure = \"allow\"\n"
        )
        + &http_decider("down", &["*"], &down.url("/"), "http.breaker = false");
    let gateway = TestGateway::start(&toml).await;
    let query = |app: u64, command: &str| {
        let (time, token) = (now(), if app == APP { chathook_tests::TOKEN } else { "second-token" });
        let query = unsigned(command).replace(&APP.to_string(), &app.to_string());
        format!("{query}&Sign={}&RequestTime={time}", signature::sign(token, time))
    };
    let rejected =
        |info: &str, code: u32| format!(r#"{{"ActionStatus":"OK","ErrorInfo":"{info}","ErrorCode":{code}}}"#);
    for (app, command, body, answer) in [
        (APP, MESSAGE, message("tea"), rejected("later", 10_123)),
        (APP, INVITE, invite.to_owned(), rejected("first", 1)),
        (APP, "C2C.CallbackBeforeSendMsg", c2c.to_owned(), OK.to_owned()),
        (SECOND, MESSAGE, message("tea"), DROPPED.to_owned()),
        (SECOND, INVITE, invite.to_owned(), rejected("second", 1)),
        (SECOND, "C2C.CallbackBeforeSendMsg", c2c.to_owned(), rejected("二", 130_000)),
    ] {
        is(&gateway.post_query(&query(app, command), body).await, &answer);
    }
    // The token of one application is not that of another.
    let foreign = unsigned(MESSAGE).replace(&APP.to_string(), &SECOND.to_string());
    let time = now();
    let sign = signature::sign(chathook_tests::TOKEN, time);
    let refused = gateway.post_query(&format!("{foreign}&Sign={sign}&RequestTime={time}"), message("tea")).await;
    assert_eq!((refused.status, refused.body.as_str()), (403, REFUSED));
}

#[tokio::test]
async fn an_application_may_have_a_deadline_of_its_own() {
    let decider = TestDecider::start(|_, _| Behaviour::Hang).await;
    let toml = config("")
        + "[app.decide]\ndeadline = \"300ms\"\non_failure = \"reject\"\n"
        + &http_decider("slow", &[MESSAGE], &decider.url("/"), "");
    let gateway = TestGateway::start(&toml).await;
    let (response, took) = gateway.timed(MESSAGE, message("tea")).await;
    is(&response, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}"#);
    assert!(took <= Duration::from_secs(1), "the deadline of others is later: {took:?}");
}

// Too much to do.

#[tokio::test]
async fn after_callbacks_are_shed_before_before_callbacks_are() {
    const AFTER: &str = "State.StateChange";
    let change = r#"{"Info":{"Action":"Login","To_Account":"u","Reason":"Register"}}"#;
    let gate = Gate::default();
    let held = gate.clone();
    let slow = TestDecider::start(move |_, _| Behaviour::json(REJECTED).once(&held)).await;
    let toml = fallback().replace("[admin]", "before_lane = 4\n[admin]") + &decider("slow", &slow);
    let gateway = TestGateway::start(&toml).await;
    let mut waiting = Vec::new();
    for n in 0..2 {
        waiting.push(begin(&gateway, MESSAGE, &message("tea")).await);
        slow.request(n).await;
    }
    assert_eq!(gateway.post(AFTER, change).await.status, 200, "half full is not more than half");

    waiting.push(begin(&gateway, MESSAGE, &message("tea")).await);
    slow.request(2).await;
    let shed = gateway.post(AFTER, change).await;
    assert_eq!(
        (shed.status, shed.body.as_str()),
        (503, r#"{"ActionStatus":"FAIL","ErrorInfo":"overloaded","ErrorCode":1}"#)
    );
    let series = format!(r#"chathook_callbacks_total{{command="{AFTER}",outcome="shed"}}"#);
    assert_eq!(gateway.metric(&series).await, 1.0);
    is(&gateway.post("Nobody.Knows", "{}").await, OK);
    is(&gateway.post(INVITE, r#"{"GroupId":"g","Operator_Account":"u","DestinationMembers":[]}"#).await, OK);

    waiting.push(begin(&gateway, MESSAGE, &message("tea")).await);
    slow.request(3).await;
    let (beyond, took) = gateway.timed(MESSAGE, message("tea")).await;
    is(&beyond, FALLBACK);
    assert!(took < AT_ONCE, "{took:?}");
    let series = format!(r#"chathook_fallbacks_total{{command="{MESSAGE}",reason="overload"}}"#);
    assert_eq!(gateway.metric(&series).await, 1.0);

    gate.open();
    for connection in &mut waiting {
        is(&connection.response().await.unwrap(), REJECTED);
    }
    assert_eq!(gateway.post(AFTER, change).await.status, 200);
}

// While running.

/// Another configuration for the gateway.
fn write(gateway: &TestGateway, toml: &str) {
    replace(&gateway.dir().join("chathook.toml"), toml);
}

/// In one step, as editors and Kubernetes do.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deciders_rules_lists_and_fallbacks_change_under_load_without_a_failed_request() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("words.txt");
    std::fs::write(&list, "gin\n").unwrap();
    let old = TestDecider::answering(OK).await;
    let new = TestDecider::answering(rewritten("new")).await;
    let words = |info: &str| {
        format!(
            "[[decider]]\nname = \"words\"\ncommands = [{MESSAGE:?}]\nrule.words = {{ file = {list:?} }}\n\
             rule.then = \"reject\"\nrule.code = 10111\nrule.info = \"{info}\"\n"
        )
    };
    let gateway = Arc::new(TestGateway::start(&(fallback() + &words("old") + &decider("http", &old))).await);
    let is_over = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for text in ["tea", "gin", "rum", "tea"] {
        let (gateway, is_over) = (Arc::clone(&gateway), Arc::clone(&is_over));
        load.spawn(async move {
            let mut connection = gateway.connect().await;
            let mut answers = Vec::new();
            let mut is_last = false;
            while !is_last {
                is_last = is_over.load(Ordering::Relaxed);
                connection.write(&request(&format!("/?{}", signed(MESSAGE)), message(text).as_bytes())).await.unwrap();
                let response = connection.response().await.unwrap();
                assert_eq!(response.status, 200, "{text}: {}", response.body);
                if answers.last() != Some(&response.body) {
                    answers.push(response.body);
                }
            }
            (text, answers)
        });
    }
    let rejected = |info: &str| format!(r#"{{"ActionStatus":"OK","ErrorInfo":"{info}","ErrorCode":10111}}"#);
    becomes(&gateway, "gin", &rejected("old")).await;
    is(&gateway.post(MESSAGE, message("rum")).await, OK);

    replace(&list, "gin\nrum\n");
    becomes(&gateway, "rum", &rejected("old")).await;
    write(&gateway, &(fallback().replace("try again", "changed") + &words("new") + &decider("http", &new)));
    becomes(&gateway, "tea", &rewritten("new")).await;
    is(&gateway.post(MESSAGE, message("gin")).await, &rejected("new"));
    is(&gateway.post(MESSAGE, "not JSON").await, &FALLBACK.replace("try again", "changed"));
    write(&gateway, &fallback());
    becomes(&gateway, "tea", OK).await;
    becomes(&gateway, "gin", OK).await;

    is_over.store(true, Ordering::Relaxed);
    for (text, answers) in load.join_all().await {
        let expected = match text {
            "tea" => vec![OK.to_owned(), rewritten("new"), OK.to_owned()],
            "gin" => vec![rejected("old"), rejected("new"), OK.to_owned()],
            _ => vec![OK.to_owned(), rejected("old"), rejected("new"), OK.to_owned()],
        };
        assert_eq!(answers, expected, "{text}");
    }
    assert_eq!(gateway.sum("chathook_decider_errors_total{").await, 0.0);
    assert_eq!(gateway.metric(r#"chathook_config_reloads_total{outcome="refused"}"#).await, 0.0);
}

/// Waits until the answer to `text` is this one.
async fn becomes(gateway: &TestGateway, text: &str, answer: &str) {
    let changed = async {
        while gateway.post(MESSAGE, message(text)).await.body != answer {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), changed).await.unwrap_or_else(|_| panic!("{text}: never {answer}"));
}

#[tokio::test]
async fn a_callback_in_flight_keeps_the_deciders_that_it_began_with() {
    let gate = Gate::default();
    let held = gate.clone();
    let old = TestDecider::start(move |_, _| Behaviour::json(REJECTED).once(&held)).await;
    let toml = fallback().replace("[decide]", "[decide]\ndeadline = \"1900ms\"");
    let gateway = TestGateway::start(&(toml.clone() + &decider("http", &old))).await;
    let next = TestDecider::answering(rewritten("new")).await;
    write(&gateway, &(toml + &decider("http", &next)));
    let mut asked = begin(&gateway, MESSAGE, &message("tea")).await;
    let reloaded = gateway.logged("configuration reloaded");
    let response = tokio::select! {
        () = reloaded => {
            gate.open();
            asked.response().await.unwrap()
        }
        response = asked.response() => response.unwrap(),
    };
    is(&response, REJECTED);
    is(&gateway.post(MESSAGE, message("tea")).await, &rewritten("new"));
}

#[tokio::test]
async fn a_wrong_file_is_refused_as_a_whole_with_the_reason_in_log_readyz_and_metric() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("patterns.txt");
    std::fs::write(&list, "# links\nhttps?://\n").unwrap();
    let http = TestDecider::answering(rewritten("asked")).await;
    let links = |info: &str, more: &str| {
        format!(
            "[[decider]]\nname = \"links\"\ncommands = [{MESSAGE:?}]\nrule.patterns = {{ file = {list:?} }}\n\
             rule.then = \"reject\"\nrule.info = \"{info}\"\n{more}\n"
        )
    };
    let good = fallback() + &links("old", "") + &decider("http", &http);
    let gateway = TestGateway::start(&good).await;
    let link = message("see http://a.b");
    let old = r#"{"ActionStatus":"OK","ErrorInfo":"old","ErrorCode":1}"#;
    is(&gateway.post(MESSAGE, &link).await, old);

    // One wrong key, and nothing of the file is taken: neither the new fallback nor the new text.
    let changed = fallback().replace("try again", "changed");
    write(&gateway, &(changed.clone() + &links("new", "wen = \"true\"") + &decider("http", &http)));
    gateway.logged("did you mean `when`?").await;
    refused(&gateway, 1.0, "did you mean `when`?").await;
    is(&gateway.post(MESSAGE, &link).await, old);
    is(&gateway.post(MESSAGE, message("tea")).await, &rewritten("asked"));
    is(&gateway.post(MESSAGE, "not JSON").await, FALLBACK);

    // The same for an error in a list.
    write(&gateway, &good);
    gateway.logged("configuration reloaded").await;
    assert!(!gateway.get("/readyz").await.body.contains("refused"));
    replace(&list, "https?://\n# next\n(\n");
    gateway.logged("unclosed group").await;
    refused(&gateway, 2.0, "unclosed group").await;
    is(&gateway.post(MESSAGE, &link).await, old);
    std::fs::remove_file(&list).unwrap();
    refused(&gateway, 3.0, "patterns.txt").await;
    is(&gateway.post(MESSAGE, &link).await, old);

    // And once it is well again, it is taken.
    replace(&list, "tea\n");
    becomes(&gateway, "tea", old).await;
    is(&gateway.post(MESSAGE, &link).await, &rewritten("asked"));
    assert!(!gateway.get("/readyz").await.body.contains("refused"));
}

async fn refused(gateway: &TestGateway, times: f64, reason: &str) {
    gateway.metric_becomes(r#"chathook_config_reloads_total{outcome="refused"}"#, times).await;
    let ready = gateway.get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert!(ready.body.contains("configuration refused") && ready.body.contains(reason), "{}", ready.body);
}

#[tokio::test]
async fn a_decider_that_stays_as_it_is_keeps_its_connection_over_a_reload() {
    let decided = TestDecider::answering(REJECTED).await;
    let gateway = TestGateway::start(&(fallback() + &decider("http", &decided))).await;
    is(&gateway.post(MESSAGE, message("tea")).await, REJECTED);
    write(&gateway, &(fallback().replace("try again", "changed") + &decider("http", &decided)));
    gateway.logged("configuration reloaded").await;
    is(&gateway.post(MESSAGE, message("tea")).await, REJECTED);
    is(&gateway.post(MESSAGE, "not JSON").await, &FALLBACK.replace("try again", "changed"));
    assert_eq!(decided.opened(), 1);
}

#[tokio::test]
async fn a_decider_that_is_gone_leaves_no_connection_behind() {
    let decided = TestDecider::answering(REJECTED).await;
    let gateway = TestGateway::start(&(fallback() + &decider("http", &decided))).await;
    is(&gateway.post(MESSAGE, message("tea")).await, REJECTED);
    write(&gateway, &fallback());
    gateway.logged("configuration reloaded").await;
    is(&gateway.post(MESSAGE, message("tea")).await, OK);
    decided.has_at_most(0).await;
}
