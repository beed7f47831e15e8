//! Ten times as much as is decided, for a minute: before-callbacks are answered in time or by their fallback,
//! after-callbacks are kept or turned away, memory is bounded, and afterwards all is as before.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chathook_tests::{Behaviour, Connection, OK, TestDecider, TestGateway, http_decider};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::{
    AFTER, BEFORE, CHAT_WAITS, FALLBACK, MESSAGE, alone, at_length, callback, exchange, quiet, resident, sent,
};

/// How many decisions there can be at once, and how long one takes: 100 a second.
const LANE: usize = 40;
const DECISION: Duration = Duration::from_millis(400);
/// Ten times as many before-callbacks a second, and some after-callbacks.
const BEFORES: usize = 1000;
const AFTERS: usize = 200;

/// What became of the callbacks.
#[derive(Debug, Default)]
struct Outcomes {
    decided: usize,
    fell_back: usize,
    acknowledged: usize,
    turned_away: usize,
    slowest: Duration,
}

/// Connections that wait for the next callback.
type Pool = Arc<Mutex<Vec<Connection>>>;

/// Sends one callback on a connection that is free, or on a new one. Late counts from when it was due.
async fn send(
    pool: Pool,
    address: SocketAddr,
    command: &'static str,
    body: String,
    due: Instant,
) -> (u16, String, Duration) {
    let kept = pool.lock().unwrap().pop();
    let mut connection = match kept {
        Some(connection) => connection,
        None => Connection::open(address).await.expect("the gateway listens"),
    };
    let (answer, _) = exchange(&mut connection, &callback(command, &body)).await.expect("an answer");
    let taken = due.elapsed();
    pool.lock().unwrap().push(connection);
    (answer.status, answer.body, taken)
}

/// An open loop: whether or not there are answers, callbacks come.
async fn load(address: SocketAddr, time: Duration) -> Outcomes {
    let (pool, mut clients, mut outcomes) = (Pool::default(), JoinSet::new(), Outcomes::default());
    let (began, mut befores, mut afters) = (Instant::now(), 0, 0);
    let mut ticks = interval(Duration::from_millis(5));
    while began.elapsed() < time {
        ticks.tick().await;
        let due = |rate: usize| usize::try_from(began.elapsed().as_millis()).unwrap() * rate / 1000;
        let now = Instant::now();
        while befores < due(BEFORES) {
            clients.spawn(send(Arc::clone(&pool), address, BEFORE, MESSAGE.to_owned(), now));
            befores += 1;
        }
        while afters < due(AFTERS) {
            clients.spawn(send(Arc::clone(&pool), address, AFTER, sent(afters), now));
            afters += 1;
        }
        while let Some(ended) = clients.try_join_next() {
            outcomes.count(ended.unwrap());
        }
    }
    while let Some(ended) = clients.join_next().await {
        outcomes.count(ended.unwrap());
    }
    assert_eq!(outcomes.decided + outcomes.fell_back, befores, "every before-callback has an answer");
    assert_eq!(outcomes.acknowledged + outcomes.turned_away, afters, "every after-callback has an answer");
    outcomes
}

impl Outcomes {
    fn count(&mut self, (status, body, taken): (u16, String, Duration)) {
        assert!(taken < CHAT_WAITS, "{status} {body} after {taken:?}");
        self.slowest = self.slowest.max(taken);
        let is_after = body.contains("overloaded");
        match (status, body.as_str()) {
            (503, _) if is_after => self.turned_away += 1,
            (200, FALLBACK) => self.fell_back += 1,
            (200, ACKNOWLEDGED) => self.acknowledged += 1,
            (200, DECIDED) => self.decided += 1,
            _ => panic!("{status} {body}"),
        }
    }
}

/// What is decided is a rewrite, to be told from an acknowledgement.
const DECISION_SENT: &str = r#"{"decision":"rewrite","cloud_custom_data":"x"}"#;
const DECIDED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"CloudCustomData":"x"}"#;
const ACKNOWLEDGED: &str = OK;

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_the_work_is_answered_in_time_and_leaves_nothing_behind() {
    let _alone = alone().await;
    let decider = TestDecider::start(|_, _| {
        let apart = DECISION / u32::try_from(DECISION_SENT.len()).unwrap();
        Behaviour::Trickled(DECISION_SENT.as_bytes().to_vec(), apart)
    })
    .await;
    let toml = quiet(&format!("before_lane = {LANE}"))
        + &http_decider("slow", &[BEFORE], &decider.url("/"), "http.format = \"json\"");
    let gateway = TestGateway::start(&toml).await;
    assert_eq!(gateway.post(BEFORE, MESSAGE).await.body, DECIDED);

    let (peak, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (pid, highest, ended) = (gateway.pid(), Arc::clone(&peak), Arc::clone(&over));
    let watched = tokio::spawn(async move {
        while !ended.load(Ordering::SeqCst) {
            highest.fetch_max(resident(pid), Ordering::SeqCst);
            sleep(Duration::from_millis(200)).await;
        }
    });
    let time = at_length(Duration::from_secs(5), Duration::from_mins(1));
    let outcomes = load(gateway.callbacks, time).await;
    over.store(true, Ordering::SeqCst);
    watched.await.unwrap();
    let peak = peak.load(Ordering::SeqCst);
    println!("{time:?} of ten times the work: {outcomes:?}, at most {peak} MiB");
    // It went on deciding what it could.
    let could = usize::try_from(time.as_millis() / DECISION.as_millis()).unwrap() * LANE;
    assert!(outcomes.decided > could / 2, "{} decisions, where {could} were possible", outcomes.decided);
    assert!(outcomes.fell_back > BEFORES * usize::try_from(time.as_secs()).unwrap() / 2, "it was too much");
    assert!(peak < 200, "{peak} MiB");

    // Recovered: one is decided, one is kept, and nothing is at work.
    assert_eq!(gateway.post(BEFORE, MESSAGE).await.body, DECIDED);
    assert_eq!(gateway.post(AFTER, sent(10_000_000)).await.body, OK);
    gateway.metric_becomes("chathook_requests_in_flight", 0.0).await;
    let kept = gateway.metric("chathook_journal_events").await;
    assert_eq!(kept, f64::from(u32::try_from(outcomes.acknowledged + 1).unwrap()), "what was acknowledged is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_callbacks_as_the_machine_can_send_are_answered_in_time() {
    let _alone = alone().await;
    let gateway = TestGateway::start(&quiet("")).await;
    let ends = Instant::now() + at_length(Duration::from_secs(5), Duration::from_mins(1));
    let mut clients = JoinSet::new();
    for client in 0..256_usize {
        let address = gateway.callbacks;
        clients.spawn(async move {
            let mut connection = Connection::open(address).await.unwrap();
            let (mut kept, mut turned_away, mut decided, mut late) = (0_u32, 0_u32, 0_u32, 0_u32);
            while Instant::now() < ends {
                let number = client * 1_000_000 + usize::try_from(kept + turned_away).unwrap();
                for (command, body) in [(BEFORE, MESSAGE.to_owned()), (AFTER, sent(number))] {
                    let (answer, taken) = exchange(&mut connection, &callback(command, &body)).await.unwrap();
                    late += u32::from(taken >= CHAT_WAITS);
                    match (command, answer.status, answer.body.as_str()) {
                        (BEFORE, 200, OK | FALLBACK) => decided += 1,
                        (AFTER, 200, OK) => kept += 1,
                        (AFTER, 503, _) => turned_away += 1,
                        _ => panic!("{command}: {answer:?}"),
                    }
                }
            }
            (decided, kept, turned_away, late)
        });
    }
    let outcomes = clients.join_all().await;
    let sum = |of: fn(&(u32, u32, u32, u32)) -> u32| outcomes.iter().map(of).sum::<u32>();
    let (decided, kept, turned_away, late) = (sum(|it| it.0), sum(|it| it.1), sum(|it| it.2), sum(|it| it.3));
    let memory = resident(gateway.pid());
    println!("{decided} answers, {kept} kept, {turned_away} turned away, {late} late; {memory} MiB");
    // The clients have the same cores, and are late themselves where somebody else works on them.
    assert!(late * 100 <= decided + kept + turned_away, "{late} of {}", decided + kept + turned_away);
    assert!(memory < 200, "{memory} MiB");
    assert_eq!(gateway.metric("chathook_journal_events").await, f64::from(kept), "what was acknowledged is kept");
}
