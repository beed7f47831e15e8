//! Plays a scenario.

mod agenda;
mod lane;
mod pacer;
mod tally;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use self::agenda::Agenda;
use self::lane::Lane;
use self::tally::Tally;

use crate::app::App;
use crate::connection::{Connection, Tls};
use crate::error::SendError;
use crate::plan::Plan;
use crate::report::{Ending, Report};
use crate::request::Request;
use crate::scenario::{Extent, Rate, Scenario, ScenarioError};
use crate::shapes::{SoFar, Stock};
use crate::target::Target;
use crate::verdict::Console;

/// A scenario that is about to be played. Open loop: flows arrive when the scenario says so, however slow the answers are,
/// and times count from there.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use chathook_simulator::{App, Run, Scenario};
/// let run = Run::new(Scenario::load("mixed")?, ["http://127.0.0.1:8080/".parse()?], App::signed(1_400_000_001, "token"));
/// let report = run.until(std::future::pending()).await?;
/// println!("{report}");
/// assert!(report.passed());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Run {
    scenario: Scenario,
    targets: Vec<Target>,
    app: App,
    ca: Option<PathBuf>,
    workers: usize,
    patience: Duration,
    epoch: Option<Duration>,
    progress: watch::Sender<Progress>,
}

/// How far a run is; sent about twice a second.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Since the run began.
    pub elapsed: Duration,
    /// How long the run takes, if that is known beforehand.
    pub total: Option<Duration>,
    /// Whether what is sent counts already.
    pub is_warm: bool,
    /// Callbacks that were answered or given up.
    pub callbacks: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Callbacks in a second, since the last time.
    pub per_second: f64,
    /// 99 of 100 of those took no longer.
    pub p99: Duration,
    /// How far the simulator is behind its schedule: all connections wait for answers.
    pub behind: Duration,
}

/// A run could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The scenario cannot be run.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// No URL was given.
    #[error("there is no URL to send to")]
    NoTarget,
    /// Nobody takes connections at a URL.
    #[error("{target}: {source}")]
    Unreachable {
        /// The URL.
        target: String,
        /// Why.
        source: SendError,
    },
    /// It was stopped before anything was sent.
    #[error("stopped before it began")]
    Stopped,
    /// The system gives no threads or no runtime.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

impl Run {
    /// Plays `scenario` towards all of `targets` in turn, in the name of `app`.
    #[must_use]
    pub fn new(scenario: Scenario, targets: impl IntoIterator<Item = Target>, app: App) -> Self {
        Self {
            scenario,
            targets: targets.into_iter().collect(),
            app,
            ca: None,
            workers: 1,
            patience: Duration::from_secs(5),
            epoch: None,
            progress: watch::Sender::default(),
        }
    }

    /// Trusts the authorities in a file of PEM certificates, in place of those of the system.
    #[must_use]
    pub fn ca(self, file: Option<PathBuf>) -> Self {
        Self { ca: file, ..self }
    }

    /// How many threads send. One is enough for more than a gateway on one core can answer.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        Self { workers: workers.max(1), ..self }
    }

    /// How long no target may take a connection before the run is given up. Five seconds, unless it is set.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The time, since 1970, that the first flow bears in its body; times and sequence numbers count from there. The present,
    /// unless it is set. The same seed and the same epoch send the same bytes, apart from `RequestTime` and `Sign`.
    #[must_use]
    pub fn epoch(self, epoch: Duration) -> Self {
        Self { epoch: Some(epoch), ..self }
    }

    /// How far it is, for a line that shows it.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Plays the scenario to its end, or until `stop` is ready: what is on its way then is still answered or given up.
    ///
    /// # Errors
    /// When it cannot begin: nobody takes connections at one of the URLs, or the scenario makes no sense. Whatever happens
    /// after that is in the report.
    pub async fn until(self, stop: impl Future<Output = ()>) -> Result<Report, RunError> {
        self.scenario.check()?;
        let mut stop = pin!(stop);
        let shared = tokio::select! {
            shared = self.shared() => Arc::new(shared?),
            () = &mut stop => return Err(RunError::Stopped),
        };
        // Whoever drops this future has no use for the load either.
        let _stops = StopsOnDrop(Arc::clone(&shared), None);
        let (tallies, mut ended) = self.start(&shared)?;
        tokio::select! {
            () = shared.all_opened(self.scenario.connections, self.scenario.console.timeout) => {}
            () = &mut stop => shared.stop(Ending::Stopped, None),
        }
        let started = Instant::now();
        shared.agenda().start(started);
        shared.ready.notify_waiters();
        shared.spawn("pacer", pacer::run)?;

        let mut tick = tokio::time::interval(TICK);
        let mut seen = Seen { at: started, callbacks: 0 };
        loop {
            tokio::select! {
                // Every worker has dropped its end.
                _ = ended.recv() => break,
                () = &mut stop, if !shared.is_stopped() => shared.stop(Ending::Stopped, None),
                _ = tick.tick() => self.show(&shared, &tallies, started, &mut seen),
            }
        }
        Ok(self.report(&shared, &tallies, started))
    }

    /// The first callback of each flow, and when it is due: what will be sent, without sending it.
    pub fn preview(&self) -> impl Iterator<Item = (Duration, Request)> {
        let stock = Stock::new(self.scenario.seed);
        let mut plan = Plan::new(&self.scenario, self.epoch.unwrap_or_else(now));
        std::iter::from_fn(move || plan.next())
            .map(move |arrival| (arrival.at, stock.request(arrival.facts.first(), &arrival.facts, &SoFar::default())))
    }

    /// Looks the targets up and connects to each once: who is not there is said at once.
    async fn shared(&self) -> Result<Shared, RunError> {
        let (mut targets, mut addresses) = (Vec::new(), Vec::new());
        for target in &self.targets {
            let unreachable = |source| RunError::Unreachable { target: target.to_string(), source };
            let tls = Tls::new(target, self.ca.as_deref()).map_err(unreachable)?;
            let timeout = self.scenario.console.timeout;
            let connecting = tokio::time::timeout(timeout, Connection::open_any(target, &tls)).await;
            let connection = connecting.unwrap_or(Err(SendError::TimedOut(timeout))).map_err(unreachable)?;
            addresses.push((targets.len(), connection.address()));
            targets.push((target.clone(), tls));
        }
        if targets.is_empty() {
            return Err(RunError::NoTarget);
        }
        let plan = Plan::new(&self.scenario, self.epoch.unwrap_or_else(now));
        Ok(Shared {
            agenda: Mutex::new(Agenda::new(plan, self.scenario.rate == Rate::Max)),
            ready: Notify::new(),
            waiting: AtomicUsize::new(0),
            opened: watch::Sender::new(0),
            stopped: Mutex::new(None),
            out_of_reach: Mutex::new(None),
            patience: self.patience,
            stock: Stock::new(self.scenario.seed),
            app: self.app.clone(),
            targets,
            addresses,
            console: self.scenario.console,
            request_id: self.scenario.request_id,
        })
    }

    /// Starts the workers, with a share of the connections each. The receiver ends when all of them have.
    fn start(&self, shared: &Arc<Shared>) -> Result<(Tallies, mpsc::Receiver<()>), RunError> {
        let (alive, ended) = mpsc::channel(1);
        let workers = self.workers.min(self.scenario.connections);
        let mut tallies = Vec::new();
        for worker in 0..workers {
            let tally = Arc::new(Mutex::new(Tally::new()));
            tallies.push(Arc::clone(&tally));
            let lanes = (worker..self.scenario.connections).step_by(workers);
            let lanes: Vec<_> = lanes.map(|number| Lane::new(Arc::clone(shared), Arc::clone(&tally), number)).collect();
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let (alive, stops) = (alive.clone(), StopsOnDrop(Arc::clone(shared), Some("a thread that sends died")));
            thread::Builder::new().name(format!("worker-{worker}")).spawn(move || {
                runtime.block_on(async {
                    let mut running: JoinSet<()> = lanes.into_iter().map(Lane::run).collect();
                    while let Some(ended) = running.join_next().await {
                        if let Err(error) = ended {
                            stops.0.stop(Ending::Stopped, Some(format!("a connection's task ended: {error}")));
                        }
                    }
                });
                drop((stops, alive));
            })?;
        }
        Ok((tallies, ended))
    }

    fn show(&self, shared: &Shared, tallies: &Tallies, started: Instant, seen: &mut Seen) {
        let now = Instant::now();
        let (mut recent, mut callbacks, mut failed) = (Tally::empty_times(), 0, 0);
        for tally in tallies {
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.take_recent(&mut recent);
            callbacks += tally.callbacks;
            failed += tally.failed;
        }
        let since = now.saturating_duration_since(seen.at).as_secs_f64();
        let elapsed = now.saturating_duration_since(started);
        self.progress.send_replace(Progress {
            elapsed,
            total: self.total(),
            is_warm: elapsed >= self.scenario.warm_up,
            callbacks,
            failed,
            per_second: if since > 0.0 { (callbacks - seen.callbacks) as f64 / since } else { 0.0 },
            p99: Duration::from_micros(recent.value_at_quantile(0.99)),
            behind: shared.agenda().behind(now),
        });
        *seen = Seen { at: now, callbacks };
    }

    /// How long the run takes, the warm-up included.
    fn total(&self) -> Option<Duration> {
        match (self.scenario.extent, self.scenario.rate) {
            (Extent::Duration(duration), _) => Some(self.scenario.warm_up + duration),
            (Extent::Count(_), Rate::Max) => None,
            (Extent::Count(count), rate) => {
                let seconds = rate.seconds(count, self.scenario.warm_up);
                Duration::try_from_secs_f64(seconds).ok().map(|time| self.scenario.warm_up + time)
            }
        }
    }

    fn report(self, shared: &Shared, tallies: &Tallies, started: Instant) -> Report {
        let mut sum = Tally::new();
        for tally in tallies {
            sum.add(&tally.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let (ending, problem) = shared.stopped().clone().unwrap_or((Ending::Completed, None));
        let (over_at, due) = {
            let agenda = shared.agenda();
            (agenda.plan().over_at(), agenda.plan().measured())
        };
        let elapsed = started.elapsed();
        // The time that the last answers took is no time in which anything arrived.
        let measured = over_at.unwrap_or(elapsed).min(elapsed).saturating_sub(self.scenario.warm_up);
        let per_second = |count: u64| if measured.is_zero() { 0.0 } else { count as f64 / measured.as_secs_f64() };
        let all = sum.together(None);
        let mut report = Report {
            scenario: self.scenario.name,
            seed: self.scenario.seed,
            targets: self.targets.iter().map(ToString::to_string).collect(),
            ending,
            measured,
            flows: sum.flows,
            flows_due: if self.scenario.rate == Rate::Max { sum.flows } else { due },
            planned_rate: match self.scenario.rate {
                Rate::Constant(rate) | Rate::Poisson(rate) => Some(rate),
                Rate::Ramp { .. } | Rate::Max => None,
            },
            reached_rate: per_second(sum.flows),
            callbacks: all.callbacks,
            answered_rate: per_second(all.callbacks - all.failed()),
            before: sum.together(Some(chathook_protocol::Phase::Before)),
            after: sum.together(Some(chathook_protocol::Phase::After)),
            all,
            commands: sum.commands(),
            retries: sum.retries,
            connections_opened: sum.opened,
            resent: sum.resent,
            lateness_ms: sum.lateness(),
            thresholds: Vec::new(),
            problem,
        };
        report.thresholds = self.scenario.thresholds.judge(&report);
        report
    }
}

/// One for each worker.
type Tallies = Vec<Arc<Mutex<Tally>>>;

/// How often progress is shown.
const TICK: Duration = Duration::from_millis(500);

/// What was shown last.
struct Seen {
    at: Instant,
    callbacks: u64,
}

/// What all connections of a run have in common.
struct Shared {
    agenda: Mutex<Agenda>,
    /// Told when something is due, or nothing will be any more.
    ready: Notify,
    /// How many connections wait for that.
    waiting: AtomicUsize,
    /// How many connections have tried to connect.
    opened: watch::Sender<usize>,
    /// How and why the run ends early.
    stopped: Mutex<Option<(Ending, Option<String>)>>,
    /// Since when nobody takes a connection.
    out_of_reach: Mutex<Option<Instant>>,
    patience: Duration,
    stock: Stock,
    app: App,
    targets: Vec<(Target, Tls)>,
    /// The address of each target.
    addresses: Vec<(usize, SocketAddr)>,
    console: Console,
    request_id: bool,
}

impl Shared {
    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> MutexGuard<'_, Option<(Ending, Option<String>)>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stopped().is_some()
    }

    /// Ends the run: nothing begins any more, and what is on its way is waited for. The first reason counts.
    fn stop(&self, ending: Ending, problem: Option<String>) {
        self.stopped().get_or_insert((ending, problem));
        self.agenda().end();
        self.ready.notify_waiters();
    }

    /// Runs `what` on a thread of its own. When it dies, so does the run.
    fn spawn(self: &Arc<Self>, name: &'static str, what: impl FnOnce(&Self) + Send + 'static) -> std::io::Result<()> {
        let stops = StopsOnDrop(Arc::clone(self), Some("the clock of the run died"));
        thread::Builder::new().name(name.to_owned()).spawn(move || what(&stops.0)).map(drop)
    }

    fn opened(&self) {
        self.opened.send_modify(|opened| *opened += 1);
    }

    /// Waits until all connections are there, but not for ever.
    async fn all_opened(&self, connections: usize, limit: Duration) {
        let mut opened = self.opened.subscribe();
        let _ = tokio::time::timeout(limit * 2, opened.wait_for(|opened| *opened >= connections)).await;
    }

    /// Somebody took a connection.
    fn reached(&self) {
        *self.out_of_reach.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Nobody takes connections. After a while the run has no point any more.
    fn not_reached(&self, error: &SendError) {
        let now = Instant::now();
        let since = *self.out_of_reach.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(now);
        if now.saturating_duration_since(since) >= self.patience {
            let problem = format!("no connection for {:?}: {error}", self.patience);
            self.stop(Ending::TargetLost, Some(problem));
        }
    }
}

/// Ends what is not over yet, and says why.
struct StopsOnDrop(Arc<Shared>, Option<&'static str>);

impl Drop for StopsOnDrop {
    fn drop(&mut self) {
        if !self.0.agenda().is_over() {
            self.0.stop(Ending::Stopped, self.1.map(str::to_owned));
        }
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::{App, Arc, Ending, Run, Scenario};

    #[tokio::test]
    async fn a_clock_that_dies_ends_the_run() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let run = Run::new(Scenario::load("mixed").unwrap(), [url.parse().unwrap()], App::unsigned(1));
        let shared = Arc::new(run.shared().await.unwrap());
        shared
            .spawn("pacer", |shared| panic!("with {} connections waiting", shared.waiting.load(Ordering::SeqCst)))
            .unwrap();
        let ended = async {
            while !shared.is_stopped() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("it ends");
        assert_eq!(*shared.stopped(), Some((Ending::Stopped, Some("the clock of the run died".to_owned()))));
    }
}
