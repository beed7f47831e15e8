//! The gateway: built from a configuration and handlers, run until it is told to stop.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use chathook_journal::{Journal, JournalError};
use chathook_protocol::{Ack, Callback, Command, Decision, FromEvent};
use chathook_router::{BoxError, BuildError, Ctx, Router, RouterBuilder};
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;

use crate::config::{Config, ConfigError, Invalid};
use crate::decide::decider::{Deciders, Services};
use crate::decide::record::Recorder;
use crate::decide::{self, Plan};
use crate::deliver::{self, Prepared, Targets};
use crate::drift::Drift;
use crate::http::callback::callback;
use crate::http::{ShutdownConfig, admin, server};
use crate::metrics::{Metrics, Reload};
use crate::reload::Stamp;
use crate::tls::{Material, Tls};
use crate::traces::Traces;
use crate::verify::Verifier;
use crate::{reload, shutdown};

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A value of the configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The handlers contradict each other.
    #[error(transparent)]
    Handlers(#[from] BuildError),
    /// An address cannot be listened on.
    #[error("{key}: cannot listen on {address}: {source}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// The address.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The journal cannot be opened.
    #[error("journal: {0}")]
    Journal(#[from] chathook_journal::OpenError),
    /// The journal does not do what has to be done before the start.
    #[error("journal: {0}")]
    Targets(#[from] chathook_journal::JournalError),
    /// TLS cannot be set up.
    #[error("callbacks.tls: {0}")]
    Tls(#[from] rustls::Error),
    /// Metrics cannot be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A gateway whose listeners are bound; [`run`](Gateway::run) starts answering.
pub struct Gateway {
    callbacks: Server,
    callbacks_address: SocketAddr,
    admin: Server,
    admin_address: SocketAddr,
    control: Control,
}

/// What the running gateway is steered by, whatever its state.
pub(crate) struct Control {
    pub(crate) shared: Arc<dyn Steer>,
    pub(crate) config: Config,
    pub(crate) tls: Option<Arc<Tls>>,
    /// The files as they were before they were read.
    pub(crate) stamps: Vec<Stamp>,
}

impl Gateway {
    /// A gateway without shared state. Its handlers follow.
    pub fn builder(config: Config) -> GatewayBuilder<()> {
        Self::with_state(config, ())
    }

    /// A gateway whose handlers share `state`: their `Ctx<S>` derefs to it.
    pub fn with_state<S: Send + Sync + 'static>(config: Config, state: S) -> GatewayBuilder<S> {
        GatewayBuilder { config, state, router: Router::builder() }
    }

    /// Where callbacks are taken; tells the port where the configuration says 0.
    #[must_use]
    pub fn callbacks_address(&self) -> SocketAddr {
        self.callbacks_address
    }

    /// Where metrics and health are.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Answers until SIGTERM or SIGINT, then what has arrived, then ends.
    ///
    /// # Errors
    /// When a listener fails while running.
    pub async fn run(self) -> io::Result<()> {
        let signals = shutdown::Signals::new()?;
        self.run_until(signals).await
    }

    /// Answers until `stop` has its first moment, then what has arrived, then ends.
    ///
    /// # Errors
    /// When a listener fails while running.
    pub async fn run_until(self, stop: impl shutdown::Stop) -> io::Result<()> {
        let Self { callbacks, admin, control, .. } = self;
        tracing::info!(
            callbacks = %self.callbacks_address, admin = %self.admin_address, handlers = control.shared.handlers(),
            version = env!("CARGO_PKG_VERSION"), "taking callbacks"
        );
        let handles = (callbacks.handle(), admin.handle());
        let servers = async { futures_util::future::try_join(callbacks, admin).await.map(drop) };
        let watch = reload::watch(&control);
        control.shared.become_ready(Readiness::Ready);
        let drain = drain(&control.shared, &control.config.shutdown, handles, stop);
        tokio::select! {
            result = async { tokio::join!(servers, drain).0 } => result,
            () = watch => Ok(()),
        }
    }
}

/// Stops in order: says so, waits for load balancers, waits for what is at work, ends.
async fn drain(
    shared: &Arc<dyn Steer>,
    config: &ShutdownConfig,
    (callbacks, admin): (ServerHandle, ServerHandle),
    mut stop: impl shutdown::Stop,
) {
    let urgency = stop.first().await;
    shared.become_ready(Readiness::Draining);
    tracing::info!("shutting down");
    let orderly = async {
        if urgency == shutdown::Urgency::Orderly {
            tokio::time::sleep(config.delay).await;
        }
        // No new connections, idle ones are closed, and what is at work is answered: all within the grace period.
        callbacks.stop(true).await;
        if tokio::time::timeout(config.grace, shared.stop_deliveries()).await.is_err() {
            tracing::warn!(grace = ?config.grace, "stopping with deliveries under way; they will be made again");
        }
        shared.end_traces().await;
    };
    tokio::select! {
        () = orderly => {}
        _ = stop.first() => tracing::warn!("stopping at once"),
    }
    callbacks.stop(false).await;
    shared.close_journal().await;
    admin.stop(false).await;
}

/// Collects handlers for a [`Gateway`]; each says by its second argument which command it is for.
#[must_use = "a gateway does nothing until it runs"]
pub struct GatewayBuilder<S> {
    config: Config,
    state: S,
    router: RouterBuilder<S>,
}

impl<S: Send + Sync + 'static> GatewayBuilder<S> {
    /// Decides a before-callback. The future is dropped when the deadline is over; it must not block its thread.
    #[track_caller]
    pub fn before<A, F, Fut>(mut self, handler: F) -> Self
    where
        A: FromEvent<Callback: Callback<Reply: Decision>>,
        F: Fn(Ctx<S>, A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<<A::Callback as Callback>::Reply, BoxError>> + Send + 'static,
    {
        self.router = self.router.before(handler);
        self
    }

    /// Is told of an after-callback. It may be told twice of the same one.
    #[track_caller]
    pub fn after<A, F, Fut>(mut self, handler: F) -> Self
    where
        A: FromEvent<Callback: Callback<Reply = Ack>>,
        F: Fn(Ctx<S>, A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.router = self.router.after(handler);
        self
    }

    /// Is told of every command that nobody knows, and of every after-callback without a handler of its own.
    #[track_caller]
    pub fn unhandled<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Ctx<S>, Bytes) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.router = self.router.unhandled(handler);
        self
    }

    /// Opens the journal and binds the listeners. After-handlers will run on the tokio runtime that it is called on.
    ///
    /// # Errors
    /// When the configuration, the handlers, the journal or an address cannot be used.
    pub async fn build(self) -> Result<Gateway, StartError> {
        let Self { config, state, router } = self;
        let stamps = reload::stamps_when_read(&config);
        let material = config.callbacks.tls.as_ref().map(Material::read).transpose();
        let material = material.map_err(|invalid| config.error(invalid))?;
        let shared = Arc::new(Shared::new(&config, router.build(state)?).await?);
        let tls = material.map(|material| Arc::new(Tls::new(material, shared.metrics.certificate_expiry())));
        let targets = shared.targets.prepare(&config.target, &shared.metrics);
        let targets = targets.map_err(|invalid| config.error(invalid))?;

        let public = Arc::clone(&shared);
        let answer = move |request: ServiceRequest| {
            let shared = Arc::clone(&public);
            async move {
                let (request, payload) = request.into_parts();
                let response = callback(&shared, &request, payload).await;
                Ok::<_, actix_web::Error>(ServiceResponse::new(request, response))
            }
        };
        let tls_config = tls.as_ref().map(|tls| tls.server_config()).transpose()?;
        let (callbacks, callbacks_address) = server::bind(&config.callbacks, config.shutdown.grace, tls_config, answer)
            .map_err(listen("callbacks.listen", &config.callbacks.listen))?;

        let data = Data::from(Arc::clone(&shared));
        let address = config.admin.listen.as_str();
        let admin = HttpServer::new(move || App::new().app_data(data.clone()).configure(admin::routes::<S>))
            .workers(1)
            .disable_signals()
            .bind(address)
            .map_err(listen("admin.listen", address))?;
        let unbound = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        let admin_address =
            admin.addrs().first().copied().ok_or_else(unbound).map_err(listen("admin.listen", address))?;

        // Last: from here on there is no error that would leave them behind.
        shared.targets.start(targets).await?;
        Ok(Gateway {
            callbacks_address,
            admin_address,
            callbacks,
            admin: admin.run(),
            control: Control { shared, config, tls, stamps },
        })
    }

    /// Builds the gateway and runs it until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// When it does not start, or a listener fails while running.
    pub async fn run(self) -> Result<(), BoxError> {
        Ok(self.build().await?.run().await?)
    }
}

fn listen(key: &'static str, address: &str) -> impl FnOnce(io::Error) -> StartError {
    let address = address.to_owned();
    move |source| StartError::Listen { key, address, source }
}

/// Whether callbacks are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Readiness {
    /// Not yet.
    Starting,
    /// They are.
    Ready,
    /// Still, but not for long.
    Draining,
}

/// What a changed configuration changes while running.
pub(crate) struct Live {
    pub(crate) path: String,
    pub(crate) verifier: Verifier,
    pub(crate) max_body: usize,
    pub(crate) deciders: Deciders,
    /// How long a decider is listened to when its time is over.
    pub(crate) late: Duration,
    /// Whether before-callbacks are kept too.
    pub(crate) keeps_decisions: bool,
    deadline: Duration,
    plan: Plan,
    plans: HashMap<u64, Plan>,
}

impl Live {
    /// Deciders that go on as they are configured are taken over from `running`.
    pub(crate) fn build(
        config: &Config,
        running: Option<&Self>,
        metrics: &Metrics,
        runtime: &Handle,
    ) -> Result<Self, Invalid> {
        let with_plan = config.app.iter().enumerate().filter(|(_, app)| !app.decide.is_empty());
        let plans = with_plan.map(|(i, app)| {
            let plan = Plan::build(&config.decide, &app.decide);
            plan.map(|plan| (app.sdk_app_id, plan))
                .map_err(|error| Invalid { key: format!("app[{i}].{}", error.key), ..error })
        });
        Ok(Self {
            path: config.callbacks.path.clone(),
            verifier: Verifier::build(&config.app, &config.callbacks)?,
            max_body: config.callbacks.max_body,
            deciders: {
                let running = running.map(|live| &live.deciders);
                Deciders::build(&config.decider, running, metrics, &Services::Network(runtime))?
            },
            late: config.decide.late,
            keeps_decisions: config.journal.decisions,
            deadline: config.decide.deadline,
            plan: Plan::build(&config.decide, &decide::AppConfig::default())?,
            plans: plans.collect::<Result<_, _>>()?,
        })
    }

    /// How long an answer may take from the first byte of the request; what nobody knows has the time of `[decide]`.
    pub(crate) fn deadline(&self, app: Option<u64>, command: Option<Command>) -> Duration {
        command.map_or(self.deadline, |command| self.plan(app).deadline(command))
    }

    /// What is declared for the callbacks of an application.
    pub(crate) fn plan(&self, app: Option<u64>) -> &Plan {
        app.and_then(|app| self.plans.get(&app)).unwrap_or(&self.plan)
    }
}

/// What all threads share.
pub(crate) struct Shared<S> {
    pub(crate) router: Arc<Router<S>>,
    pub(crate) journal: Journal,
    /// The file of the journal, if it is one.
    pub(crate) journal_file: Option<PathBuf>,
    pub(crate) targets: Targets,
    /// Held while the journal is counted.
    pub(crate) counting: Arc<Mutex<()>>,
    pub(crate) metrics: Metrics,
    pub(crate) traces: Traces,
    pub(crate) drift: Drift,
    pub(crate) before_lane: Semaphore,
    before_lane_room: usize,
    pub(crate) after_lane: Arc<Semaphore>,
    live: ArcSwap<Live>,
    refused_config: ArcSwapOption<String>,
    readiness: AtomicU8,
    requests: AtomicI64,
    pub(crate) recorder: Recorder,
    runtime: Handle,
}

/// Counts a request as at work until it is dropped.
pub(crate) struct AtWork<'a>(&'a AtomicI64);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S: Send + Sync + 'static> Shared<S> {
    async fn new(config: &Config, router: Router<S>) -> Result<Self, StartError> {
        let (metrics, runtime) = (Metrics::new()?, Handle::current());
        let live = Live::build(config, None, &metrics, &runtime).map_err(|invalid| config.error(invalid))?;
        let traces = Traces::start(&config.traces, &runtime).map_err(|invalid| config.error(invalid))?;
        let router = Arc::new(router);
        let journal_config = config.journal.open(config.callbacks.max_body).map_err(|invalid| config.error(invalid))?;
        // All of them: what a target has still to get is kept for those only that the journal knows of.
        let names = deliver::names(&config.target, &*router);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let journal = Journal::open(&journal_config, &names).await?;
        let targets = Targets::new(journal.clone(), Arc::clone(&router) as _, traces.clone(), runtime.clone());
        let before_lane_room = config.callbacks.before_lane.min(Semaphore::MAX_PERMITS);
        Ok(Self {
            router,
            journal,
            journal_file: config.journal.file().map(Path::to_owned),
            targets,
            counting: Arc::default(),
            drift: Drift::default(),
            before_lane: Semaphore::new(before_lane_room),
            before_lane_room,
            after_lane: Arc::new(Semaphore::new(config.callbacks.after_lane.min(Semaphore::MAX_PERMITS))),
            live: ArcSwap::from_pointee(live),
            refused_config: ArcSwapOption::empty(),
            readiness: AtomicU8::new(Readiness::Starting as u8),
            requests: AtomicI64::new(0),
            recorder: Recorder::new(&metrics, runtime.clone()),
            metrics,
            traces,
            runtime,
        })
    }
}

impl<S> Shared<S> {
    /// What is configured at this moment.
    pub(crate) fn live(&self) -> arc_swap::Guard<Arc<Live>> {
        self.live.load()
    }

    pub(crate) fn readiness(&self) -> Readiness {
        match self.readiness.load(Ordering::Acquire) {
            0 => Readiness::Starting,
            1 => Readiness::Ready,
            _ => Readiness::Draining,
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.readiness() == Readiness::Draining
    }

    /// How many requests are at work.
    pub(crate) fn in_flight(&self) -> i64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Why the changed configuration is not in use, if it is not.
    pub(crate) fn refused_config(&self) -> Option<Arc<String>> {
        self.refused_config.load_full()
    }

    /// More than half of the before-lane is taken: what can wait is turned away first.
    pub(crate) fn is_pressed(&self) -> bool {
        self.before_lane.available_permits() < self.before_lane_room / 2
    }

    /// Runs a task beside the threads that answer.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.runtime.spawn(task)
    }

    /// Counts a request as at work.
    pub(crate) fn at_work(&self) -> AtWork<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        AtWork(&self.requests)
    }
}

/// What steers a running gateway, whatever its state is.
pub(crate) trait Steer: Send + Sync {
    fn become_ready(&self, readiness: Readiness);
    /// What a configuration comes to, with what goes on as it is.
    fn live(&self, config: &Config) -> Result<Live, Invalid>;
    /// Forgets what is over.
    fn tidy(&self) -> BoxFuture<'_, ()>;
    /// Uses a changed configuration, or keeps in mind why not.
    fn reload(&self, changed: Result<Live, String>);
    /// How many commands have a handler.
    fn handlers(&self) -> usize;
    /// The targets of a changed configuration; those that did not change go on.
    fn targets(&self, config: &Config) -> Result<Prepared, Invalid>;
    /// Starts them, once those have stopped that are changed or gone.
    fn deliver_to(&self, targets: Prepared) -> BoxFuture<'_, Result<(), JournalError>>;
    /// Stops delivering, once what is under way has arrived.
    fn stop_deliveries(&self) -> BoxFuture<'_, ()>;
    /// Hands back what is under way, and closes the journal.
    fn close_journal(&self) -> BoxFuture<'_, ()>;
    /// Sends the traces that wait to be sent, in a limited time.
    fn end_traces(&self) -> BoxFuture<'_, ()>;
}

impl<S: Send + Sync + 'static> Steer for Shared<S> {
    fn become_ready(&self, readiness: Readiness) {
        self.readiness.store(readiness as u8, Ordering::Release);
    }

    fn live(&self, config: &Config) -> Result<Live, Invalid> {
        Live::build(config, Some(&self.live.load()), &self.metrics, &self.runtime)
    }

    fn tidy(&self) -> BoxFuture<'_, ()> {
        self.live.load().deciders.tidy();
        Box::pin(self.targets.tidy())
    }

    fn reload(&self, changed: Result<Live, String>) {
        match changed {
            Ok(live) => {
                self.live.store(Arc::new(live));
                self.refused_config.store(None);
                self.metrics.reloaded(Reload::Applied);
                tracing::info!("configuration reloaded");
            }
            Err(reason) => {
                let reason = Arc::new(reason);
                self.refused_config.store(Some(Arc::clone(&reason)));
                self.metrics.reloaded(Reload::Refused);
                tracing::error!("changed configuration refused, the old one stays: {reason}");
            }
        }
    }

    fn handlers(&self) -> usize {
        self.router.handled().count()
    }

    fn targets(&self, config: &Config) -> Result<Prepared, Invalid> {
        self.targets.prepare(&config.target, &self.metrics)
    }

    fn deliver_to(&self, targets: Prepared) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(self.targets.start(targets))
    }

    fn stop_deliveries(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.targets.stop_all())
    }

    fn close_journal(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.journal.close())
    }

    fn end_traces(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.traces.end())
    }
}
