//! The clock of the gateway jumps, in a real process, while events are kept and wait for another attempt.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chathook_tests::{
    Behaviour, Clock, Name, OK, Server, Tally, TestDecider, TestGateway, binary, eventually, http_target,
};
use tokio::time::timeout;

use crate::deliver::kept_in;
use crate::jetstream::journal;

const GROUPS: usize = 8;
/// The longest pause of the target is a second, and a jump is an hour: busy machines have the rest.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn with_sqlite_a_clock_that_jumps_loses_nothing_and_makes_nobody_wait() {
    let dir = tempfile::tempdir().unwrap();
    the_clock_jumps(&kept_in(dir.path(), "")).await;
}

#[tokio::test]
async fn with_jetstream_a_clock_that_jumps_loses_nothing_and_makes_nobody_wait() {
    let nats = Server::nats("").await;
    the_clock_jumps(&journal(&nats.nats_url(), "replicas = 1, timeout = \"20s\"")).await;
}

/// An hour back, an hour ahead, and right again: while it runs, and while it does not.
async fn the_clock_jumps(toml: &str) {
    let target = Target::start().await;
    // Chat's clock is right.
    let toml = toml.replace("tokens =", "max_age = \"2h\"\ntokens =")
        + &http_target("crm", &target.service.url("/"), "")
            .replace("\"10ms\", max = \"100ms\"", "\"1s\", max = \"1s\"");
    let (clock, tally) = (Clock::right(), Tally::default());
    let gateway = start(&toml, &clock).await;
    for (round, hours) in [(0, -1), (1, 1)] {
        target.fails_under_load(&gateway, &tally, round, || clock.set(hours)).await;
        let skew = gateway.metric("chathook_clock_skew_seconds").await;
        assert!((skew - 3600.0 * f64::from(hours)).abs() < 600.0, "the clock did not jump: {skew}");
        target.is_mended(&gateway).await;
    }
    // What is to be tried again after the restart has its time from the wrong clock.
    target.fails_under_load(&gateway, &tally, 2, || ()).await;
    gateway.stop().await;
    clock.set(0);
    let gateway = start(&toml, &clock).await;
    target.is_mended(&gateway).await;
    target.fails_under_load(&gateway, &tally, 3, || ()).await;
    target.is_mended(&gateway).await;
    let figures = tally.nothing_is_lost(target.taken(), gateway.dead_messages("crm").await);
    // What was kept when the answer was late is delivered too.
    assert_eq!((figures.duplicates, figures.dead), (0, 0), "{figures}");
}

async fn start(toml: &str, clock: &Clock) -> TestGateway {
    TestGateway::program(binary(), toml, |command, file| {
        command.args(["serve", "--config"]).arg(file).envs(clock.variables());
    })
    .await
}

/// A service that fails until it is mended.
struct Target {
    service: TestDecider,
    is_mended: Arc<AtomicBool>,
    failures: Arc<AtomicUsize>,
    taken: Arc<Mutex<Vec<Name>>>,
}

impl Target {
    async fn start() -> Self {
        let (is_mended, failures) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let taken = Arc::<Mutex<Vec<Name>>>::default();
        let (mended, failed, list) = (Arc::clone(&is_mended), Arc::clone(&failures), Arc::clone(&taken));
        let service = TestDecider::start(move |request, _| {
            if !mended.load(Ordering::Relaxed) {
                failed.fetch_add(1, Ordering::Relaxed);
                return Behaviour::answer(500, &[], "");
            }
            list.lock().unwrap().push(Name::of(&request.json()));
            Behaviour::json(OK)
        })
        .await;
        Self { service, is_mended, failures, taken }
    }

    /// Fails; and once an event of each group waits for its next attempt, something happens, and more events come.
    async fn fails_under_load(&self, gateway: &TestGateway, tally: &Tally, round: u64, happens: impl FnOnce()) {
        self.is_mended.store(false, Ordering::Relaxed);
        let (is_over, failed) = (AtomicBool::new(false), self.failures.load(Ordering::Relaxed));
        let numbers = (round * 1_000_000..).take_while(|_| !is_over.load(Ordering::Relaxed));
        let happening = async {
            let fail = async || self.failures.load(Ordering::Relaxed) >= failed + GROUPS;
            eventually("events that fail", fail).await;
            happens();
            tally.has_acknowledged(tally.acknowledged() + 200).await;
            is_over.store(true, Ordering::Relaxed);
        };
        tokio::join!(tally.send_groups(gateway, ("g", GROUPS), numbers), happening);
    }

    /// Takes everything, which comes within the pauses that were said.
    async fn is_mended(&self, gateway: &TestGateway) {
        self.is_mended.store(true, Ordering::Relaxed);
        let drained = timeout(SOON, gateway.is_drained("crm")).await;
        assert!(drained.is_ok(), "after {SOON:?} something still waits to be tried again");
    }

    fn taken(&self) -> Vec<Name> {
        self.taken.lock().unwrap().clone()
    }
}
