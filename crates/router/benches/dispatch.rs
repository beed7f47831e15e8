//! What one before-callback of 1 KiB costs from the URL to the answer, on one core and without a socket.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use chathook_protocol::{AnyDecision, Command, Event, Query, group, signature};
use chathook_router::{Ctx, Decider, Deciding, Fallbacks, NoDecider, Question, Router};
use criterion::{Criterion, Throughput};

const TOKEN: &str = "k3y-Example_01";
const SENT: u64 = 1_718_000_000;
const NOW: Duration = Duration::from_secs(SENT + 1);
const MAX_AGE: Duration = Duration::from_secs(60);

/// The sample of the command on one line, with a text so long that the body has 1 KiB.
fn body() -> Bytes {
    const TEXT: &str = "who takes the early bus?";
    let sample = include_str!("../../../tests/wire/Group.CallbackBeforeSendMsg/sample.json");
    let sample: String = sample.lines().map(str::trim_start).collect();
    assert!(sample.contains(TEXT), "the sample has another text");
    let longer = TEXT.len() + 1024 - sample.len();
    let text: String = TEXT.chars().chain([' ']).cycle().take(longer).collect();
    let body = sample.replacen(TEXT, &text, 1);
    assert_eq!(body.len(), 1024);
    body.into()
}

/// The sample's query, signed.
fn query() -> String {
    let sample = include_str!("../../../tests/wire/Group.CallbackBeforeSendMsg/sample.query");
    format!("{}&Sign={}&RequestTime={SENT}", sample.trim_end(), signature::sign(TOKEN, SENT))
}

fn verify(query: &Query) {
    let verified = signature::verify(black_box(query), [TOKEN], NOW, MAX_AGE);
    assert_eq!(verified, Ok(()));
}

#[expect(clippy::expect_used, reason = "a benchmark that cannot start has nothing to measure")]
fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let (query, body) = (query(), body());

    criterion.bench_function("verify", |bencher| {
        let query = Query::parse(&query);
        bencher.iter(|| verify(&query));
    });

    let router = Router::builder()
        .before(|_cx: Ctx, msg: group::BeforeSendMsg| async move {
            let mut texts = msg.body.iter().filter_map(|element| element.as_text());
            Ok(match texts.any(|text| text.contains("casino")) {
                true => group::SendDecision::refuse(),
                false => group::SendDecision::allow(),
            })
        })
        .build(())
        .expect("one handler");
    let fallbacks = Fallbacks::default();
    let nobody: &[Arc<NoDecider>] = &[];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");

    let mut whole = criterion.benchmark_group("callback");
    whole.throughput(Throughput::Elements(1));
    whole.bench_function("verify + decode + dispatch", |bencher| {
        bencher.iter_custom(|times| {
            runtime.block_on(async {
                let started = Instant::now();
                for _ in 0..times {
                    let query = Query::parse(black_box(&query));
                    verify(&query);
                    let event = Event::read(query, body.clone());
                    let deadline = tokio::time::Instant::now() + Duration::from_millis(1500);
                    let question = Question::new(Command::GroupBeforeSendMsg, event, deadline, SystemTime::now());
                    let decided = router.decide(question, nobody, &fallbacks).await;
                    assert!(black_box(decided).failure.is_none());
                }
                started.elapsed()
            })
        });
    });
    whole.finish();

    // What asking costs, without what deciders do: the same question with eight who let it pass, and with none.
    let eight: Vec<_> = std::iter::repeat_with(|| Arc::new(Passes)).take(8).collect();
    let unhandled = Router::<()>::builder().build(()).expect("no handlers");
    let mut chain = criterion.benchmark_group("chain");
    for deciders in [&eight[..0], &eight[..]] {
        chain.bench_function(format!("{} deciders", deciders.len()), |bencher| {
            bencher.iter_custom(|times| {
                runtime.block_on(async {
                    let mut took = Duration::ZERO;
                    for _ in 0..times {
                        let event = Event::read(Query::parse(&query), body.clone());
                        let deadline = tokio::time::Instant::now() + Duration::from_millis(1500);
                        let question = Question::new(Command::GroupBeforeSendMsg, event, deadline, SystemTime::now());
                        let started = Instant::now();
                        let decided = unhandled.decide(question, deciders, &fallbacks).await;
                        took += started.elapsed();
                        assert!(black_box(decided).failure.is_none());
                    }
                    took
                })
            });
        });
    }
    chain.finish();
    criterion.final_summary();
}

/// Lets everything pass.
struct Passes;

impl Decider for Passes {
    fn is_shadow(&self) -> bool {
        false
    }

    fn decide(&self, question: &Arc<Question>) -> Deciding {
        Deciding::Done(Ok(AnyDecision::allow(question.command(), question.users())))
    }
}
