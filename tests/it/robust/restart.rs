//! Rolling restarts: two gateways behind a load balancer, one after the other stopped and started again. No callback
//! goes without an answer, and nothing that was acknowledged is lost.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chathook_tests::{Behaviour, Connection, OK, TestDecider, TestGateway, http_decider};
use tokio::sync::{RwLock, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use crate::{AFTER, BEFORE, CHAT_WAITS, MESSAGE, alone, at_length, callback, exchange, quiet, sent};

/// From one callback to the next: 1,000 a second.
const PACE: Duration = Duration::from_millis(1);
/// Enough for that, each with one callback at a time.
const WORKERS: usize = 64;
/// How often the load balancer asks whether callbacks are taken.
const ASKS: Duration = Duration::from_millis(50);

/// A gateway as the load balancer sees it.
struct Backend {
    callbacks: SocketAddr,
    admin: SocketAddr,
    is_ready: AtomicBool,
}

/// Sends each callback to one that is ready, the next time to another, and never a second time.
#[derive(Default)]
struct Balancer {
    backends: RwLock<Vec<Arc<Backend>>>,
    turn: AtomicUsize,
}

impl Balancer {
    async fn add(&self, gateway: &TestGateway) -> Arc<Backend> {
        let (callbacks, admin) = (gateway.callbacks, gateway.admin);
        let backend = Arc::new(Backend { callbacks, admin, is_ready: AtomicBool::new(false) });
        self.backends.write().await.push(Arc::clone(&backend));
        backend
    }

    async fn remove(&self, callbacks: SocketAddr) {
        self.backends.write().await.retain(|backend| backend.callbacks != callbacks);
    }

    /// Follows `/readyz` of all for ever.
    async fn asks(&self) {
        loop {
            for backend in self.backends.read().await.clone() {
                let is_ready = timeout(Duration::from_secs(1), asked(backend.admin)).await.unwrap_or(false);
                backend.is_ready.store(is_ready, Ordering::SeqCst);
            }
            sleep(ASKS).await;
        }
    }

    async fn next(&self) -> Option<SocketAddr> {
        let backends = self.backends.read().await;
        let ready: Vec<_> = backends.iter().filter(|backend| backend.is_ready.load(Ordering::SeqCst)).collect();
        let turn = self.turn.fetch_add(1, Ordering::SeqCst);
        ready.get(turn % ready.len().max(1)).map(|backend| backend.callbacks)
    }
}

/// Whether the gateway takes callbacks.
async fn asked(admin: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(admin).await else { return false };
    let asked = connection.write(b"GET /readyz HTTP/1.1\r\nHost: admin\r\n\r\n").await;
    asked.is_ok() && connection.response().await.is_ok_and(|response| response.status == 200)
}

/// When the next callback is sent, whoever sends it. Who comes late makes up for it.
struct Pace {
    began: Instant,
    sent: AtomicU32,
}

impl Pace {
    async fn next(&self) {
        let due = self.began + PACE * self.sent.fetch_add(1, Ordering::SeqCst);
        sleep_until(due.into()).await;
    }
}

/// Sends callbacks over the balancer, on connections that are kept, until it is told to stop; gives how many
/// before-callbacks were answered, how many after-callbacks acknowledged, and the slowest.
async fn sends(
    balancer: Arc<Balancer>,
    pace: Arc<Pace>,
    worker: usize,
    stop: watch::Receiver<bool>,
) -> (usize, usize, Duration) {
    let mut kept: HashMap<SocketAddr, Connection> = HashMap::new();
    let (mut decided, mut acknowledged, mut slowest) = (0, 0, Duration::ZERO);
    while !*stop.borrow() {
        pace.next().await;
        let address = balancer.next().await.expect("a gateway is ready");
        // A balancer keeps no connections to those that are not ready.
        kept.retain(|kept, _| *kept == address || !is_gone(&balancer, *kept));
        let mut connection = match kept.remove(&address) {
            Some(connection) => connection,
            None => Connection::open(address).await.expect("who is ready listens"),
        };
        let (command, body) = match (decided + acknowledged) % 2 {
            0 => (BEFORE, MESSAGE.to_owned()),
            _ => (AFTER, sent(worker * 1_000_000 + acknowledged)),
        };
        let (answer, taken) = exchange(&mut connection, &callback(command, &body))
            .await
            .unwrap_or_else(|error| panic!("{command} got no answer: {error}"));
        assert_eq!((answer.status, answer.body.as_str()), (200, OK), "{command}");
        assert!(taken < CHAT_WAITS, "{command} was answered after {taken:?}");
        slowest = slowest.max(taken);
        match command {
            BEFORE => decided += 1,
            _ => acknowledged += 1,
        }
        if answer.header("connection") != Some("close") {
            kept.insert(address, connection);
        }
    }
    (decided, acknowledged, slowest)
}

fn is_gone(balancer: &Balancer, address: SocketAddr) -> bool {
    let Ok(backends) = balancer.backends.try_read() else { return false };
    !backends.iter().any(|backend| backend.callbacks == address && backend.is_ready.load(Ordering::SeqCst))
}

async fn start(journal: &Path, decider: &TestDecider) -> TestGateway {
    let toml = quiet("").replace("delay = \"0s\"", "delay = \"1s\"")
        + &format!("[journal]\npath = {journal:?}\n")
        + &http_decider("slow", &[BEFORE], &decider.url("/"), "http.format = \"json\"");
    TestGateway::start(&toml).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_callback_goes_without_an_answer_while_two_gateways_are_restarted_in_turn() {
    let _alone = alone().await;
    // Decisions take 60 ms, so that there are always some under way.
    let decider =
        TestDecider::start(|_, _| Behaviour::Trickled(br#"{"decision":"allow"}"#.to_vec(), Duration::from_millis(3)))
            .await;
    let dir = tempfile::tempdir().unwrap();
    let journals = [dir.path().join("one.db"), dir.path().join("other.db")];
    let balancer = Arc::new(Balancer::default());
    let mut gateways = Vec::new();
    for journal in &journals {
        let gateway = start(journal, &decider).await;
        balancer.add(&gateway).await.is_ready.store(true, Ordering::SeqCst);
        gateways.push(Some(gateway));
    }
    let follows = Arc::clone(&balancer);
    let follows = tokio::spawn(async move { follows.asks().await });
    let (stop, stopped) = watch::channel(false);
    let mut workers = JoinSet::new();
    let pace = Arc::new(Pace { began: Instant::now(), sent: AtomicU32::new(0) });
    for worker in 0..WORKERS {
        workers.spawn(sends(Arc::clone(&balancer), Arc::clone(&pace), worker, stopped.clone()));
    }

    let (began, mut restarts) = (pace.began, 0);
    while restarts < 2 || began.elapsed() < at_length(Duration::ZERO, Duration::from_secs(60)) {
        let place = restarts % 2;
        let old = gateways[place].take().unwrap();
        let callbacks = old.callbacks;
        assert_eq!(old.stop().await.code, Some(0));
        balancer.remove(callbacks).await;
        let new = start(&journals[place], &decider).await;
        let backend = balancer.add(&new).await;
        let ready = async {
            while !backend.is_ready.load(Ordering::SeqCst) {
                sleep(ASKS).await;
            }
        };
        timeout(Duration::from_secs(20), ready).await.expect("it takes callbacks again");
        gateways[place] = Some(new);
        restarts += 1;
    }
    stop.send_replace(true);
    let (mut decided, mut acknowledged, mut slowest) = (0, 0, Duration::ZERO);
    for (before, after, taken) in workers.join_all().await {
        decided += before;
        acknowledged += after;
        slowest = slowest.max(taken);
    }
    follows.abort();
    let mut kept = 0.0;
    for gateway in gateways.iter().flatten() {
        kept += gateway.metric("chathook_journal_events").await;
    }
    println!(
        "{restarts} restarts in {:?}: {decided} decisions and {acknowledged} acknowledgements, none lost, the slowest \
         after {slowest:?}",
        began.elapsed()
    );
    assert!(decided > 100 && acknowledged > 100);
    assert_eq!(kept, f64::from(u32::try_from(acknowledged).unwrap()), "what was acknowledged is kept");
}
