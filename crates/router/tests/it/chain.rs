//! Deciders beside the handler: in order, composed, in time.

use std::sync::Arc;
use std::time::Duration;

use chathook_protocol::reply::Edits;
use chathook_protocol::{AnyDecision, Command, Effect, MsgElement, Policy, Proposal, Raw, group};
use chathook_router::{
    BoxError, Ctx, Decided, Decider, Deciding, DispatchError, FallbackReason, Fallbacks, Outcome, Question, Router,
    Running,
};
use tokio::time::{Instant, sleep};

use crate::{Count, DEADLINE, GROUP_MSG, OK, forever, question};

const MS: Duration = Duration::from_millis(1);
const COMMAND: Command = Command::GroupBeforeSendMsg;
const REFUSED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}"#;

type Decide = Box<dyn Fn(&Question) -> Deciding + Send + Sync>;

/// A decider that does what the test says, and counts how often it is asked.
struct Scripted {
    decide: Decide,
    is_shadow: bool,
    asked: Count,
}

impl Decider for Scripted {
    fn is_shadow(&self) -> bool {
        self.is_shadow
    }

    fn decide(&self, question: &Arc<Question>) -> Deciding {
        self.asked.up();
        (self.decide)(question)
    }
}

fn decider(decide: impl Fn(&Question) -> Deciding + Send + Sync + 'static) -> Arc<Scripted> {
    Arc::new(Scripted { decide: Box::new(decide), is_shadow: false, asked: Count::default() })
}

fn shadow(decide: impl Fn(&Question) -> Deciding + Send + Sync + 'static) -> Arc<Scripted> {
    Arc::new(Scripted { decide: Box::new(decide), is_shadow: true, asked: Count::default() })
}

fn decision(proposal: impl Into<Proposal>) -> AnyDecision {
    AnyDecision::of(COMMAND, proposal, &[]).unwrap()
}

fn says(policy: Policy) -> Arc<Scripted> {
    decider(move |_| Deciding::Done(Ok(decision(&policy))))
}

fn rewrites(text: &'static str) -> Arc<Scripted> {
    decider(move |_| Deciding::Done(Ok(decision(Proposal::Rewrite(Edits::body(vec![MsgElement::text(text)]))))))
}

fn never(timeout: Option<Duration>) -> impl Fn(&Question) -> Deciding {
    move |_| Deciding::Running(Running::new(forever()), timeout)
}

async fn decide(router: &Router, deciders: &[Arc<Scripted>], policy: &Policy) -> (Decided<Scripted>, Duration) {
    let started = Instant::now();
    let question = question(COMMAND, GROUP_MSG, started + DEADLINE);
    (router.decide(question, deciders, &Fallbacks::all(policy)).await, started.elapsed())
}

fn without_handler() -> Router {
    Router::builder().build(()).unwrap()
}

fn asked(deciders: &[Arc<Scripted>]) -> Vec<usize> {
    deciders.iter().map(|decider| decider.asked.get()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_refusal_ends_the_chain() {
    let chain = [says(Policy::Allow), says(Policy::reject()), says(Policy::Drop)];
    let (decided, _) = decide(&without_handler(), &chain, &Policy::Allow).await;
    assert_eq!(decided.answer.body(), REFUSED);
    assert_eq!(asked(&chain), [1, 1, 0]);
    assert!(decided.failure.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_handler_comes_first_and_its_refusal_ends_the_chain() {
    let handler = |decision: fn() -> group::SendDecision| {
        let handler = move |_cx: Ctx, _msg: group::BeforeSendMsg| async move { Ok::<_, BoxError>(decision()) };
        Router::builder().before(handler).build(()).unwrap()
    };
    let chain = [says(Policy::Drop)];
    let (decided, _) = decide(&handler(group::SendDecision::refuse), &chain, &Policy::Allow).await;
    assert_eq!((decided.said.effect, asked(&chain)), (Effect::Reject, vec![0]));
    let (decided, _) = decide(&handler(group::SendDecision::allow), &chain, &Policy::Allow).await;
    assert_eq!((decided.said.effect, asked(&chain)), (Effect::Drop, vec![1]));
    assert!(decided.steps[0].decider.is_none() && decided.steps[1].decider.is_some());
}

#[tokio::test(start_paused = true)]
async fn each_decider_sees_what_those_before_it_have_changed() {
    let sees = |text: &'static str| {
        decider(move |question| {
            let body = std::str::from_utf8(question.event().body()).unwrap();
            assert!(
                body.contains(&format!(r#""Text":"{text}""#)) && body.contains(r#""From_Account":"u_1""#),
                "{body}"
            );
            let Some(Ok(callback)) = question.event().callback() else { panic!("not read") };
            assert_eq!(callback.payload().elements()[0].as_text(), Some(text));
            Deciding::Passed
        })
    };
    let handler = |_cx: Ctx, _msg: group::BeforeSendMsg| async {
        Ok::<_, BoxError>(group::SendDecision::rewrite(vec![MsgElement::text("handled")]))
    };
    let router = Router::builder().before(handler).build(()).unwrap();
    let chain = [sees("handled"), rewrites("once"), sees("once"), rewrites("twice"), sees("twice")];
    let (decided, _) = decide(&router, &chain, &Policy::reject()).await;
    assert_eq!(
        decided.answer.body(),
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"twice"}}]}"#
    );
    assert_eq!(asked(&chain), [1; 5]);
}

#[tokio::test(start_paused = true)]
async fn who_fails_panics_or_is_late_ends_the_chain_in_the_fallback() {
    let error = || DispatchError::Decider { reason: "status", counts_as: FallbackReason::Error, source: "500".into() };
    for (decider, reason, label, after) in [
        (decider(move |_| Deciding::Done(Err(error()))), FallbackReason::Error, "status", Duration::ZERO),
        (decider(|_| panic!("boom")), FallbackReason::Panic, "panic", Duration::ZERO),
        (
            decider(|_| Deciding::Running(Running::new(async { panic!("boom") }), None)),
            FallbackReason::Panic,
            "panic",
            Duration::ZERO,
        ),
        (decider(never(None)), FallbackReason::Timeout, "timeout", DEADLINE),
        (decider(never(Some(200 * MS))), FallbackReason::Timeout, "timeout", 200 * MS),
        (decider(never(Some(2 * DEADLINE))), FallbackReason::Timeout, "timeout", DEADLINE),
    ] {
        let chain = [decider, says(Policy::Allow)];
        let (decided, took) = decide(&without_handler(), &chain, &Policy::Drop).await;
        let failure = decided.failure.unwrap();
        assert_eq!((FallbackReason::from(&failure), failure.reason(), took), (reason, label, after));
        assert_eq!(decided.said.effect, Effect::Drop);
        assert_eq!(asked(&chain), [1, 0], "{label}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_deadline_is_for_the_whole_chain() {
    let slow = || {
        decider(|_| {
            let decision = async {
                sleep(DEADLINE * 2 / 3).await;
                Ok(decision(Proposal::Allow))
            };
            Deciding::Running(Running::new(decision), None)
        })
    };
    let chain = [slow(), slow(), says(Policy::Allow)];
    let (decided, took) = decide(&without_handler(), &chain, &Policy::reject()).await;
    assert!(matches!(decided.failure, Some(DispatchError::TimedOut)));
    assert_eq!((took, asked(&chain)), (DEADLINE, vec![1, 1, 0]));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_allows_keeps_what_was_changed_and_one_that_refuses_does_not() {
    for (policy, effect) in [(Policy::Allow, Effect::Rewrite), (Policy::reject(), Effect::Reject)] {
        let chain = [rewrites("***"), decider(never(None))];
        let (decided, _) = decide(&without_handler(), &chain, &policy).await;
        assert!(decided.failure.is_some());
        assert_eq!(decided.said.effect, effect);
    }
}

#[tokio::test(start_paused = true)]
async fn who_settles_it_is_the_last_to_be_asked() {
    let chain = [rewrites("***"), decider(|_| Deciding::Settled(decision(Proposal::Allow))), says(Policy::Drop)];
    let (decided, _) = decide(&without_handler(), &chain, &Policy::Allow).await;
    assert_eq!((decided.said.effect, asked(&chain)), (Effect::Rewrite, vec![1, 1, 0]));
}

#[tokio::test(start_paused = true)]
async fn a_shadow_is_asked_and_neither_obeyed_nor_waited_for() {
    let chain = [
        shadow(|_| Deciding::Done(Ok(decision(&Policy::reject())))),
        shadow(|_| Deciding::Settled(decision(&Policy::reject()))),
        shadow(|_| Deciding::Done(Err(DispatchError::TimedOut))),
        shadow(never(None)),
        shadow(|_| panic!("boom")),
        says(Policy::Allow),
    ];
    let (decided, took) = decide(&without_handler(), &chain, &Policy::reject()).await;
    assert_eq!((decided.answer.body().as_ref(), took), (OK.as_bytes(), Duration::ZERO));
    assert!(decided.failure.is_none());
    let outcomes: Vec<_> = decided.steps.iter().map(|step| format!("{:?}", step.outcome)).collect();
    assert!(outcomes[0].contains("Refuse") && outcomes[1].contains("Refuse"), "{outcomes:?}");
    assert!(matches!(decided.steps[2].outcome, Outcome::Failed("timeout")));
    assert!(matches!(decided.steps[3].outcome, Outcome::Running(..)));
    assert!(matches!(decided.steps[4].outcome, Outcome::Failed("panic")));
    assert_eq!(decided.steps.len(), 6);
}

#[tokio::test]
async fn what_comes_without_waiting_and_too_late_is_no_decision() {
    let slowly = |deciding: fn() -> Deciding| {
        decider(move |question| {
            while Instant::now() < question.deadline() {
                std::thread::yield_now();
            }
            deciding()
        })
    };
    for late in [
        slowly(|| Deciding::Passed),
        slowly(|| Deciding::Done(Ok(decision(Proposal::Allow)))),
        slowly(|| Deciding::Settled(decision(Proposal::Allow))),
    ] {
        let question = question(COMMAND, GROUP_MSG, Instant::now() + 5 * MS);
        let decided = without_handler().decide(question, &[late], &Fallbacks::all(&Policy::Drop)).await;
        assert!(matches!(decided.failure, Some(DispatchError::TimedOut)));
        assert_eq!(decided.said.effect, Effect::Drop);
        assert!(matches!(decided.steps[0].outcome, Outcome::Failed("timeout")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_shadow_stands_beside_those_who_are_obeyed_from_its_place_on() {
    let allows = || shadow(|_| Deciding::Done(Ok(decision(Proposal::Allow))));
    let obeyed = |decided: &Decided<Scripted>| -> Vec<_> {
        let steps = decided.steps.iter().filter(|step| step.decider.as_ref().is_some_and(|it| it.is_shadow));
        steps.map(|step| step.obeyed.as_ref().map(AnyDecision::effect)).collect()
    };
    let chain = [allows(), rewrites("***"), allows(), says(Policy::Allow), allows(), says(Policy::reject())];
    let (decided, _) = decide(&without_handler(), &chain, &Policy::Allow).await;
    assert_eq!(obeyed(&decided), [Some(Effect::Reject); 3]);
    let (decided, _) = decide(&without_handler(), &chain[..5], &Policy::Allow).await;
    assert_eq!(obeyed(&decided), [Some(Effect::Rewrite), Some(Effect::Allow), Some(Effect::Allow)]);
    // Nobody decided on a fallback.
    let chain = [allows(), decider(never(None))];
    let (decided, _) = decide(&without_handler(), &chain, &Policy::Allow).await;
    assert_eq!(obeyed(&decided), [None]);
}

#[tokio::test(start_paused = true)]
async fn who_is_late_can_be_listened_to() {
    let chain = [decider(|_| {
        let decision = async {
            sleep(DEADLINE + 100 * MS).await;
            Ok(decision(&Policy::reject()))
        };
        Deciding::Running(Running::new(decision), None)
    })];
    let (mut decided, _) = decide(&without_handler(), &chain, &Policy::Allow).await;
    assert_eq!(decided.said.effect, Effect::Allow);
    let Outcome::Running(running, _) = decided.steps.remove(0).outcome else { panic!("it is at work") };
    let started = Instant::now();
    assert_eq!(running.await.unwrap().effect(), Effect::Reject);
    assert_eq!(started.elapsed(), 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_over_nobody_is_asked() {
    let chain = [says(Policy::reject())];
    let question = question(COMMAND, GROUP_MSG, Instant::now());
    let decided = without_handler().decide(question, &chain, &Fallbacks::all(&Policy::Drop)).await;
    assert_eq!((decided.said.effect, asked(&chain)), (Effect::Drop, vec![0]));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_read_is_for_a_raw_handler_alone() {
    const UNREADABLE: &str = r#"{"GroupId":"@TGS#a"}"#;
    let handler = |decision: fn() -> group::SendDecision| {
        let handler = move |_cx: Ctx, _msg: Raw<group::BeforeSendMsg>| async move { Ok::<_, BoxError>(decision()) };
        Router::builder().before(handler).build(()).unwrap()
    };
    for (router, effect, is_fallback) in [
        (without_handler(), Effect::Drop, true),
        (handler(group::SendDecision::allow), Effect::Drop, true),
        (handler(group::SendDecision::refuse), Effect::Reject, false),
    ] {
        let chain = [says(Policy::Allow)];
        let question = question(COMMAND, UNREADABLE, Instant::now() + DEADLINE);
        let decided = router.decide(question, &chain, &Fallbacks::all(&Policy::Drop)).await;
        assert_eq!((decided.said.effect, decided.failure.is_some()), (effect, is_fallback));
        assert_eq!(asked(&chain), [0]);
        let reason = decided.failure.as_ref().map(FallbackReason::from);
        assert!(reason.is_none_or(|reason| reason == FallbackReason::Decode));
    }
}
