//! Every callback gets its answer in time, whatever a handler does.

use std::time::Duration;

use bytes::Bytes;
use chathook_protocol::reply::{FriendCode, GroupCode, Verdict};
use chathook_protocol::{
    Answer, Command, Effect, Event, IllegalDecision, Phase, Platform, Policy, Query, Raw, group, sns,
};
use chathook_router::{BoxError, Ctx, Decided, DispatchError, FallbackReason, Fallbacks, Outcome, Router, Step};
use strum::IntoEnumIterator;
use tokio::time::{Instant, sleep};

use crate::{BLACK_LIST, Count, DEADLINE, FRIENDS, GROUP_MSG, NOBODY, OK, decide, forever, observe, question};

const MS: Duration = Duration::from_millis(1);
const REFUSED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}"#;
const DROPPED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}"#;

/// A body that is not what the command promises.
const UNREADABLE: &str = r#"{"GroupId":"@TGS#a","From_Account":"u_1"}"#;

fn allow() -> Result<group::SendDecision, BoxError> {
    Ok(group::SendDecision::allow())
}

/// A router that does `handler` with a group message.
fn before<Fut>(handler: impl Fn() -> Fut + Send + Sync + 'static) -> Router
where
    Fut: Future<Output = Result<group::SendDecision, BoxError>> + Send + 'static,
{
    Router::builder().before(move |_cx: Ctx, _msg: group::BeforeSendMsg| handler()).build(()).unwrap()
}

/// A router that does `handler` with a new entry of a block list.
fn after<Fut>(handler: impl Fn() -> Fut + Send + Sync + 'static) -> Router
where
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    Router::builder().after(move |_cx: Ctx, _added: sns::BlackListAdd| handler()).build(()).unwrap()
}

fn by_handler(decided: &Decided) -> bool {
    decided.failure.is_none() && matches!(decided.steps[..], [Step { decider: None, outcome: Outcome::Decided(_), .. }])
}

fn by_nobody(decided: &Decided) -> bool {
    decided.failure.is_none() && decided.steps.is_empty()
}

async fn decide_on_group_msg(router: &Router) -> (Decided, Duration) {
    decide(router, Command::GroupBeforeSendMsg, GROUP_MSG, &Fallbacks::default()).await
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_the_decision_are_the_answer() {
    const SPAM: GroupCode = GroupCode::of::<10_137>();
    let router = before(|| async { Ok(group::SendDecision::reject(SPAM, "not here")) });
    let (decided, took) = decide_on_group_msg(&router).await;
    assert!(by_handler(&decided), "{decided:?}");
    assert_eq!(decided.answer.body(), r#"{"ActionStatus":"OK","ErrorInfo":"not here","ErrorCode":10137}"#);
    assert_eq!(decided.answer.effect(), Effect::Reject);
    assert_eq!(took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_payload_is_the_body_that_came() {
    let router = Router::builder()
        .before(|_cx: Ctx, request: sns::PrevFriendAdd| async move {
            Ok(request.decide(|item| match item.to.as_str() {
                "u_3" => Verdict::reject(FriendCode::of::<38_001>(), "no"),
                _ => Verdict::Allow,
            }))
        })
        .build(())
        .unwrap();
    let (decided, _) = decide(&router, Command::SnsPrevFriendAdd, FRIENDS, &Fallbacks::default()).await;
    assert_eq!(
        decided.answer.body(),
        concat!(
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":["#,
            r#"{"To_Account":"u_2","ResultCode":0,"ResultInfo":""},"#,
            r#"{"To_Account":"u_3","ResultCode":38001,"ResultInfo":"no"}]}"#,
        )
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_handler_it_is_allowed_whatever_the_fallback() {
    let router = Router::builder().build(()).unwrap();
    let fallbacks = Fallbacks::all(&Policy::Drop);
    let (decided, _) = decide(&router, Command::GroupBeforeSendMsg, GROUP_MSG, &fallbacks).await;
    assert!(by_nobody(&decided), "{decided:?}");
    assert_eq!(decided.answer.body(), OK);
    assert_eq!(decided.answer.effect(), Effect::Allow);
}

#[tokio::test(start_paused = true)]
async fn without_a_handler_every_friend_is_allowed_by_name() {
    let router = Router::builder().build(()).unwrap();
    let fallbacks = Fallbacks::all(&Policy::reject());
    let (decided, _) = decide(&router, Command::SnsPrevFriendAdd, FRIENDS, &fallbacks).await;
    assert!(by_nobody(&decided), "{decided:?}");
    assert_eq!(
        decided.answer.body(),
        concat!(
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":["#,
            r#"{"To_Account":"u_2","ResultCode":0,"ResultInfo":""},"#,
            r#"{"To_Account":"u_3","ResultCode":0,"ResultInfo":""}]}"#,
        )
    );
}

/// What `router` answers to a group message under each policy: reason, time, and the bytes that the policy asks for.
async fn falls_back(router: &Router, reason: FallbackReason, after: Duration) {
    for (policy, bytes, effect) in [
        (Policy::Allow, OK, Effect::Allow),
        (Policy::reject(), REFUSED, Effect::Reject),
        (Policy::Drop, DROPPED, Effect::Drop),
    ] {
        let fallbacks = Fallbacks::all(&policy);
        let (decided, took) = decide(router, Command::GroupBeforeSendMsg, GROUP_MSG, &fallbacks).await;
        let Some(error) = &decided.failure else { panic!("{policy:?}: {decided:?}") };
        assert_eq!(FallbackReason::from(error), reason, "{policy:?}");
        assert_eq!(decided.answer.body(), bytes, "{policy:?}");
        assert_eq!(decided.answer.effect(), effect, "{policy:?}");
        assert_eq!(decided.said.effect, effect);
        assert_eq!(took, after, "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_falls_back_at_once() {
    falls_back(&before(|| async { Err("no connection".into()) }), FallbackReason::Error, Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_after_an_await_falls_back_then() {
    let router = before(|| async {
        sleep(300 * MS).await;
        Err("no connection".into())
    });
    falls_back(&router, FallbackReason::Error, 300 * MS).await;
}

#[tokio::test(start_paused = true)]
async fn the_handlers_own_error_is_the_source() {
    let (decided, _) = decide_on_group_msg(&before(|| async { Err("no connection".into()) })).await;
    let Some(error) = decided.failure else { panic!("{decided:?}") };
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no connection");
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_there_is_a_future_falls_back_at_once() {
    async fn never_called() -> Result<group::SendDecision, BoxError> {
        allow()
    }
    let router = before(|| {
        assert!(Instant::now().elapsed() > DEADLINE, "boom");
        never_called()
    });
    falls_back(&router, FallbackReason::Panic, Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_first_await_falls_back_at_once() {
    falls_back(&before(|| async { panic!("boom") }), FallbackReason::Panic, Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_after_an_await_falls_back_then() {
    let router = before(|| async {
        sleep(300 * MS).await;
        panic!("boom")
    });
    falls_back(&router, FallbackReason::Panic, 300 * MS).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_the_router_as_it_was() {
    let calls = Count::default();
    let counted = calls.clone();
    let router = before(move || {
        counted.up();
        let first = counted.get() == 1;
        async move { if first { panic!("boom") } else { allow() } }
    });
    assert!(matches!(decide_on_group_msg(&router).await.0.failure, Some(DispatchError::Panicked)));
    assert!(by_handler(&decide_on_group_msg(&router).await.0));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_ends_falls_back_at_the_deadline() {
    falls_back(&before(forever), FallbackReason::Timeout, DEADLINE).await;
}

#[tokio::test(start_paused = true)]
async fn a_decision_just_before_the_deadline_counts() {
    let router = before(|| async {
        sleep(DEADLINE - MS).await;
        Ok(group::SendDecision::refuse())
    });
    let (decided, took) = decide_on_group_msg(&router).await;
    assert!(by_handler(&decided), "{decided:?}");
    assert_eq!(decided.answer.body(), REFUSED);
    assert_eq!(took, DEADLINE - MS);
}

#[tokio::test(start_paused = true)]
async fn a_decision_just_after_the_deadline_comes_too_late() {
    let router = before(|| async {
        sleep(DEADLINE + MS).await;
        allow()
    });
    falls_back(&router, FallbackReason::Timeout, DEADLINE).await;
}

#[tokio::test(start_paused = true)]
async fn a_late_handler_that_nobody_drives_on_is_stopped_where_it_stands() {
    let (started, dropped, ended) = (Count::default(), Count::default(), Count::default());
    let counts = (started.clone(), dropped.clone(), ended.clone());
    let router = before(move || {
        let (started, dropped, ended) = counts.clone();
        async move {
            let _held = dropped.on_drop();
            started.up();
            sleep(DEADLINE + MS).await;
            ended.up();
            allow()
        }
    });
    let (decided, _) = decide_on_group_msg(&router).await;
    assert!(matches!(decided.failure, Some(DispatchError::TimedOut)), "{decided:?}");
    assert_eq!((started.get(), dropped.get()), (1, 0), "whoever wants to know may go on with it");
    drop(decided);
    assert_eq!(dropped.get(), 1);
    sleep(DEADLINE).await;
    assert_eq!(ended.get(), 0);
}

/// Panics when it is dropped.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("boom");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_handler_that_panics_while_it_is_stopped_still_falls_back() {
    let router = before(|| async {
        let _held = Grenade;
        forever().await
    });
    falls_back(&router, FallbackReason::Timeout, DEADLINE).await;
}

#[tokio::test(start_paused = true)]
async fn the_fallback_for_friends_names_every_one() {
    let router = Router::builder().before(|_cx: Ctx, _request: sns::PrevFriendAdd| forever()).build(()).unwrap();
    let fallbacks = Fallbacks::all(&Policy::reject());
    let (decided, _) = decide(&router, Command::SnsPrevFriendAdd, FRIENDS, &fallbacks).await;
    assert_eq!(
        decided.answer.body(),
        concat!(
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":["#,
            r#"{"To_Account":"u_2","ResultCode":38000,"ResultInfo":""},"#,
            r#"{"To_Account":"u_3","ResultCode":38000,"ResultInfo":""}]}"#,
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_read_falls_back_and_the_handler_is_not_asked() {
    let asked = Count::default();
    let counted = asked.clone();
    let with_handler = before(move || {
        counted.up();
        async { allow() }
    });
    let fallbacks = Fallbacks::all(&Policy::reject());
    for router in [with_handler, Router::builder().build(()).unwrap()] {
        for body in [UNREADABLE, "{", "[]", "nonsense"] {
            let (decided, _) = decide(&router, Command::GroupBeforeSendMsg, body, &fallbacks).await;
            let Some(error) = &decided.failure else { panic!("{body}: {decided:?}") };
            assert_eq!(FallbackReason::from(error), FallbackReason::Decode, "{body}");
            assert_eq!(decided.answer.body(), REFUSED, "{body}");
        }
    }
    assert_eq!(asked.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_raw_handler_decides_on_a_body_that_is_not_read() {
    let router = Router::builder()
        .before(|cx: Ctx, msg: Raw<group::BeforeSendMsg>| async move {
            assert!(msg.decode().is_err());
            assert_eq!(msg.bytes(), cx.raw());
            Ok(match msg.field::<String>("From_Account")?.as_deref() {
                Some("u_1") => group::SendDecision::refuse(),
                _ => group::SendDecision::allow(),
            })
        })
        .build(())
        .unwrap();
    let (decided, _) = decide(&router, Command::GroupBeforeSendMsg, UNREADABLE, &Fallbacks::default()).await;
    assert!(by_handler(&decided), "{decided:?}");
    assert_eq!(decided.answer.body(), REFUSED);
}

#[tokio::test(start_paused = true)]
async fn the_context_tells_how_the_callback_came() {
    let seen = Count::default();
    let told = seen.clone();
    let deadline = Instant::now() + DEADLINE;
    let router = Router::builder()
        .before(move |cx: Ctx<Vec<u32>>, _msg: group::BeforeSendMsg| {
            let told = told.clone();
            async move {
                assert_eq!(cx.deadline(), deadline);
                assert_eq!(cx.raw(), GROUP_MSG);
                assert_eq!(cx.client().ip.unwrap().to_string(), "203.0.113.20");
                assert_eq!(cx.client().platform, Some(&Platform::Ios));
                assert_eq!(cx.command().known(), Some(Command::GroupBeforeSendMsg));
                assert_eq!(cx.query().sdk_app_id, Some(1_400_000_001));
                assert_eq!(cx.query().command.as_ref(), Some(cx.command()));
                // The state's own method, and the state itself.
                assert_eq!((cx.first(), cx.as_slice()), (Some(&7), [7, 8].as_slice()));
                told.up();
                allow()
            }
        })
        .build(vec![7, 8])
        .unwrap();
    let question = question(Command::GroupBeforeSendMsg, GROUP_MSG, deadline);
    let decided = router.decide(question, NOBODY, &Fallbacks::default()).await;
    assert!(by_handler(&decided), "{decided:?}");
    assert_eq!(seen.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_query_without_a_client_names_none() {
    let router = Router::builder()
        .after(|cx: Ctx, _added: sns::BlackListAdd| async move {
            assert!(cx.client().ip.is_none() && cx.client().platform.is_none());
            // The body's own name stands in for the one that the query does not have.
            assert_eq!(cx.command().known(), Some(Command::SnsBlackListAdd));
            Ok(())
        })
        .build(())
        .unwrap();
    let body = r#"{"CallbackCommand":"Sns.CallbackBlackListAdd","PairList":[]}"#;
    let event = Event::read(Query::parse(""), Bytes::from_static(body.as_bytes()));
    router.observe(event, Instant::now()).unwrap().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_after_handler_runs_past_the_deadline() {
    let router = after(|| async {
        sleep(10 * DEADLINE).await;
        Ok(())
    });
    let started = Instant::now();
    observe(&router, "Sns.CallbackBlackListAdd", BLACK_LIST).await.unwrap().unwrap();
    assert_eq!(started.elapsed(), 10 * DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_of_after_handlers_come_back() {
    let failing = after(|| async { Err("no connection".into()) });
    let error = observe(&failing, "Sns.CallbackBlackListAdd", BLACK_LIST).await.unwrap().unwrap_err();
    assert!(matches!(&error, DispatchError::Handler(source) if source.to_string() == "no connection"), "{error:?}");

    let panicking = after(|| async { panic!("boom") });
    let error = observe(&panicking, "Sns.CallbackBlackListAdd", BLACK_LIST).await.unwrap().unwrap_err();
    assert!(matches!(error, DispatchError::Panicked), "{error:?}");

    let panicking_later = after(|| async {
        sleep(MS).await;
        panic!("boom")
    });
    let error = observe(&panicking_later, "Sns.CallbackBlackListAdd", BLACK_LIST).await.unwrap().unwrap_err();
    assert!(matches!(error, DispatchError::Panicked), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_after_handler_is_not_told_of_a_body_that_is_not_read_unless_it_takes_raw() {
    let typed = after(|| async { panic!("told") });
    let error = observe(&typed, "Sns.CallbackBlackListAdd", "{}").await.unwrap().unwrap_err();
    assert!(matches!(error, DispatchError::Decode(_)), "{error:?}");

    let raw = Router::builder()
        .after(|_cx: Ctx, added: Raw<sns::BlackListAdd>| async move {
            assert_eq!(added.bytes(), "{}");
            Err("told".into())
        })
        .build(())
        .unwrap();
    let error = observe(&raw, "Sns.CallbackBlackListAdd", "{}").await.unwrap().unwrap_err();
    assert!(matches!(error, DispatchError::Handler(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_wants_is_told_to_nobody() {
    let router = after(|| async { Ok(()) });
    for command in ["Sns.CallbackBlackListDelete", "Sns.CallbackOfTomorrow", "Group.CallbackBeforeSendMsg"] {
        assert!(observe(&router, command, BLACK_LIST).await.is_none(), "{command}");
    }
}

#[tokio::test(start_paused = true)]
async fn unhandled_is_told_of_what_nobody_knows_and_of_after_callbacks_without_a_handler() {
    let (own, rest) = (Count::default(), Count::default());
    let (told_own, told_rest) = (own.clone(), rest.clone());
    let router = Router::builder()
        .before(|_cx: Ctx, _msg: group::BeforeSendMsg| async { allow() })
        .after(move |_cx: Ctx, _added: sns::BlackListAdd| {
            told_own.up();
            async { Ok(()) }
        })
        .unhandled(move |cx: Ctx, body: Bytes| {
            let told = told_rest.clone();
            async move {
                assert_eq!(&body, cx.raw());
                // Fails, so that the test sees who was told what.
                told.up();
                Err(format!("{} {}", cx.command(), body.len()).into())
            }
        })
        .build(())
        .unwrap();

    for (command, body) in [
        ("Sns.CallbackBlackListDelete", BLACK_LIST),
        ("Sns.CallbackBlackListDelete", "not read"),
        ("Sns.CallbackOfTomorrow", "{}"),
        ("Group.CallbackBeforeTomorrow", ""),
    ] {
        let error = observe(&router, command, body).await.unwrap().unwrap_err();
        let DispatchError::Handler(told) = error else { panic!("{command}: {error:?}") };
        assert_eq!(told.to_string(), format!("{command} {}", body.len()));
    }
    assert_eq!((own.get(), rest.get()), (0, 4));

    observe(&router, "Sns.CallbackBlackListAdd", BLACK_LIST).await.unwrap().unwrap();
    assert_eq!((own.get(), rest.get()), (1, 4), "one with a handler of its own is not told twice");
}

#[tokio::test(start_paused = true)]
async fn unhandled_is_not_told_of_before_callbacks() {
    let told = Count::default();
    let counted = told.clone();
    let router = Router::builder()
        .before(|_cx: Ctx, _msg: group::BeforeSendMsg| forever())
        .unhandled(move |_cx: Ctx, _body: Bytes| {
            counted.up();
            async { Ok(()) }
        })
        .build(())
        .unwrap();
    for command in Command::iter().filter(|command| command.phase() == Phase::Before) {
        for body in [GROUP_MSG, FRIENDS, "not read"] {
            decide(&router, command, body, &Fallbacks::default()).await;
            assert!(observe(&router, command.as_str(), body).await.is_none(), "{command}");
        }
    }
    assert_eq!(told.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_unhandled_comes_back() {
    let router = Router::builder()
        .unhandled(|_cx: Ctx, _body: Bytes| -> std::future::Ready<Result<(), BoxError>> { panic!("boom") })
        .build(())
        .unwrap();
    let error = observe(&router, "Sns.CallbackOfTomorrow", "{}").await.unwrap().unwrap_err();
    assert!(matches!(error, DispatchError::Panicked), "{error:?}");
}

#[test]
fn reasons_are_the_words_of_the_metrics() {
    let reasons: Vec<_> = FallbackReason::iter().map(|reason| reason.to_string()).collect();
    assert_eq!(reasons, ["timeout", "error", "panic", "decode", "overload", "too_large"]);
}

#[test]
fn by_default_everything_is_allowed() {
    let fallbacks = Fallbacks::default();
    for command in Command::iter() {
        assert_eq!(fallbacks.policy(command), &Policy::Allow, "{command}");
        assert_ne!(fallbacks.answer(command, &[]).effect(), Effect::Reject, "{command}");
    }
}

#[test]
fn one_policy_for_all_is_the_nearest_that_each_command_has() {
    let rejected = Policy::Reject { code: Some(10_137), info: "not now".to_owned() };
    for (asked, command, nearest) in [
        (Policy::Drop, Command::GroupBeforeSendMsg, Policy::Drop),
        (Policy::Drop, Command::C2cBeforeSendMsg, Policy::Drop),
        (Policy::Drop, Command::GroupBeforeCreateTopic, Policy::reject()),
        (Policy::Drop, Command::SnsPrevFriendAdd, Policy::reject()),
        (Policy::Drop, Command::ChatbotOnC2cSignalMessage, Policy::reject()),
        (Policy::Drop, Command::ChatbotInterfaceInvocation, Policy::Allow),
        (Policy::Drop, Command::SnsBlackListAdd, Policy::Allow),
        (Policy::reject(), Command::LiveBeforeSendGift, Policy::reject()),
        (Policy::reject(), Command::ChatbotInterfaceInvocation, Policy::Allow),
        (Policy::reject(), Command::SnsBlackListAdd, Policy::Allow),
        (rejected.clone(), Command::GroupBeforeSendMsg, rejected.clone()),
        (rejected.clone(), Command::C2cBeforeSendMsg, Policy::reject()),
        (Policy::Allow, Command::GroupBeforeSendMsg, Policy::Allow),
    ] {
        assert_eq!(Fallbacks::all(&asked).policy(command), &nearest, "{command} asked to {asked:?}");
    }
}

#[test]
fn a_fallback_that_a_command_does_not_have_is_refused_with_the_reason() {
    let coded = |code| Policy::Reject { code: Some(code), info: String::new() };
    let mut fallbacks = Fallbacks::default();
    for (command, policy, source, message) in [
        (
            Command::GroupBeforeCreateTopic,
            Policy::Drop,
            IllegalDecision::NoDrop,
            "Group.CallbackBeforeCreateTopic: this command has no silent drop",
        ),
        (
            Command::SnsBlackListAdd,
            Policy::reject(),
            IllegalDecision::NoRefusal,
            "Sns.CallbackBlackListAdd: this command cannot be refused",
        ),
        (
            Command::GroupBeforeSendMsg,
            coded(120_001),
            IllegalDecision::CodeOutOfRange { code: 120_001, range: "10100-10200".to_owned() },
            "Group.CallbackBeforeSendMsg: code 120001 is outside the range of this command, 10100-10200",
        ),
        (
            Command::OfficialAccountBeforeAddSubscriber,
            coded(120_001),
            IllegalDecision::NoCodes,
            "OfficialAccount.CallbackBeforeAddSubscriber: this command has no codes of one's own",
        ),
    ] {
        let error = fallbacks.set(command, policy).unwrap_err();
        assert_eq!((error.command, &error.source), (command, &source));
        assert_eq!(error.to_string(), message);
        assert_eq!(fallbacks.policy(command), &Policy::Allow, "{command}: the old one stays");
    }
}

#[test]
fn a_fallback_of_one_command_is_that_commands_only() {
    let mut fallbacks = Fallbacks::all(&Policy::reject());
    fallbacks.set(Command::GroupBeforeSendMsg, Policy::Reject { code: Some(10_137), info: "later".into() }).unwrap();
    let body = |command| fallbacks.answer(command, &[]).body().clone();
    assert_eq!(body(Command::GroupBeforeSendMsg), r#"{"ActionStatus":"OK","ErrorInfo":"later","ErrorCode":10137}"#);
    assert_eq!(body(Command::C2cBeforeSendMsg), REFUSED);
    assert_eq!(fallbacks.answer(Command::SnsBlackListAdd, &[]), Answer::OK);
}
