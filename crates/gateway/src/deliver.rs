//! Delivery: each event of the journal to each target that wants it, at least once, and in order within its conversation.

mod pump;
mod retry;
mod selection;
pub mod target;
mod taker;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chathook_journal::{Journal, JournalError, Position};
use chathook_protocol::Command;
use futures_util::future::join_all;
use serde::Deserialize;
use strum::IntoEnumIterator;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::pump::Pump;
pub use self::retry::Config as RetryConfig;
pub(crate) use self::selection::Selection;
pub(crate) use self::taker::Observer;
use self::taker::{Handlers, Taker};
use self::target::Target;
pub(crate) use self::target::timestamp;
use crate::config::{Commands, Invalid, contents, duration};
use crate::metrics::Metrics;
use crate::traces::Traces;

/// `[[target]]`: who gets events.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Table")]
#[non_exhaustive]
pub struct Config {
    /// What it is called in metrics, in the log and in the journal: letters, digits, `-` and `_`. The after-handlers are
    /// always called `handlers`.
    pub name: String,
    /// What it gets: names of commands, or patterns such as `Sns.*`. Default: everything.
    pub commands: Commands,
    /// Whether it gets before-callbacks too, which are kept with `journal.decisions`. Default: `false`.
    pub decisions: bool,
    /// A condition in CEL, over `payload`, `query` and `time`: it gets what this holds for. Default: everything.
    pub when: Option<String>,
    /// How many events may be on their way to it at once. Default: 64.
    pub concurrency: usize,
    /// When an event is delivered again that it did not take.
    pub retry: RetryConfig,
    /// Where they go.
    pub to: To,
}

/// Where events go.
#[derive(Debug, Clone, PartialEq)]
pub enum To {
    /// Out of this program.
    Target(target::Config),
    /// To its after-handlers. They get theirs without a `[[target]]`, too.
    Handlers(HandlersConfig),
}

/// A `[[target]]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    #[serde(default = "Commands::all")]
    commands: Commands,
    #[serde(default)]
    decisions: bool,
    #[serde(default)]
    when: Option<String>,
    #[serde(default = "concurrency")]
    concurrency: usize,
    #[serde(default)]
    retry: RetryConfig,
    http: Option<target::http::Config>,
    nats: Option<target::nats::Config>,
    redis: Option<target::redis::Config>,
    rabbitmq: Option<target::rabbitmq::Config>,
    kafka: Option<target::kafka::Config>,
    file: Option<target::file::Config>,
    stdout: Option<target::stdout::Config>,
    handlers: Option<HandlersConfig>,
}

impl TryFrom<Table> for Config {
    type Error = &'static str;

    fn try_from(table: Table) -> Result<Self, Self::Error> {
        let Table { name, commands, decisions, when, concurrency, retry, .. } = table;
        let to = [
            table.http.map(target::Config::Http).map(To::Target),
            table.nats.map(target::Config::Nats).map(To::Target),
            table.redis.map(target::Config::Redis).map(To::Target),
            table.rabbitmq.map(target::Config::Rabbitmq).map(To::Target),
            table.kafka.map(target::Config::Kafka).map(To::Target),
            table.file.map(target::Config::File).map(To::Target),
            table.stdout.map(target::Config::Stdout).map(To::Target),
            table.handlers.map(To::Handlers),
        ];
        let mut to = to.into_iter().flatten();
        match (to.next(), to.next()) {
            (Some(to), None) => Ok(Self { name, commands, decisions, when, concurrency, retry, to }),
            (None, _) => Err("say where events go: one of http, nats, redis, rabbitmq, kafka, file, stdout"),
            (Some(_), Some(_)) => Err("goes to two places; make it two targets"),
        }
    }
}

/// `[target.handlers]`: the after-handlers of this program.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct HandlersConfig {
    /// How long a handler may take before it is given up and called again. Default: `30s`.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
}

impl Default for HandlersConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30) }
    }
}

impl HandlersConfig {
    fn check(&self) -> Result<(), Invalid> {
        match self.timeout {
            Duration::ZERO => Err(Invalid::new("handlers.timeout", "must be more than zero")),
            _ => Ok(()),
        }
    }
}

fn concurrency() -> usize {
    64
}

/// What the target is called that nobody configured.
const HANDLERS: &str = "handlers";

impl Config {
    /// The after-handlers, where nothing else is said about them.
    fn handlers() -> Self {
        Self {
            name: HANDLERS.to_owned(),
            commands: Commands::all(),
            decisions: false,
            when: None,
            concurrency: concurrency(),
            retry: RetryConfig::default(),
            to: To::Handlers(HandlersConfig::default()),
        }
    }

    fn is_handlers(&self) -> bool {
        matches!(self.to, To::Handlers(_))
    }

    fn check(&self) -> Result<(), Invalid> {
        let is_label = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_label) {
            return Err(Invalid::new("name", "must be 1 to 64 letters, digits, `-` and `_`"));
        }
        if self.name == HANDLERS && !self.is_handlers() {
            return Err(Invalid::new("name", format!("`{HANDLERS}` is what the handlers of the program are called")));
        }
        // Under another name it would begin anew, and leave behind what waits for the handlers.
        if self.name != HANDLERS && self.is_handlers() {
            return Err(Invalid::new(
                "name",
                format!("must be `{HANDLERS}`, as the handlers are called without a table"),
            ));
        }
        if self.concurrency == 0 {
            return Err(Invalid::new("concurrency", "must be more than zero"));
        }
        self.retry.check()?;
        match &self.to {
            To::Target(target) => target.check()?,
            To::Handlers(handlers) => handlers.check()?,
        }
        Selection::build(self).map(drop)
    }

    /// What kind of target it is.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.to {
            To::Target(target) => target.kind(),
            To::Handlers(_) => HANDLERS,
        }
    }

    /// The files that it is made of besides the configuration.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let files = match &self.to {
            To::Target(target) => target.files(),
            To::Handlers(_) => Vec::new(),
        };
        files.into_iter()
    }
}

/// Checks all targets of a configuration.
pub(crate) fn check(configs: &[Config]) -> Result<(), Invalid> {
    let mut names = HashSet::new();
    for (i, config) in configs.iter().enumerate() {
        config.check().map_err(within(i))?;
        if !names.insert(&config.name) {
            return Err(within(i)(Invalid::new("name", "this name is there twice")));
        }
    }
    Ok(())
}

fn within(i: usize) -> impl Fn(Invalid) -> Invalid {
    move |error| Invalid { key: format!("target[{i}].{}", error.key), ..error }
}

/// The target of the after-handlers, where there are any and nobody configured it.
fn implicit(configs: &[Config], observer: &dyn Observer) -> Option<Config> {
    let observes = Command::iter().map(Some).chain([None]).any(|command| observer.observes(command));
    (observes && !configs.iter().any(Config::is_handlers)).then(Config::handlers)
}

/// The names of all targets that a gateway has.
pub(crate) fn names(configs: &[Config], observer: &dyn Observer) -> Vec<String> {
    configs.iter().chain(&implicit(configs, observer)).map(|config| config.name.clone()).collect()
}

/// All targets of a running gateway.
pub(crate) struct Targets {
    journal: Journal,
    observer: Arc<dyn Observer>,
    traces: Traces,
    runtime: Handle,
    running: Mutex<Vec<Running>>,
    /// Whether the journal knows of targets that are gone.
    has_too_many: AtomicBool,
}

/// A target and what carries events to it.
struct Running {
    config: Config,
    /// Of its files.
    contents: u64,
    pump: Arc<Pump>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends it: what is on its way has a while to arrive, and is handed back then. It will be delivered again.
    async fn end(mut self) {
        self.stop.cancel();
        if timeout(MAX_END, &mut self.task).await.is_err() {
            tracing::warn!(target_name = self.config.name, "deliveries are broken off, and made again");
            self.task.abort();
            let _ = self.task.await;
        }
    }
}

/// A target that is changed or gone is waited for no longer.
const MAX_END: Duration = Duration::from_secs(5);

/// Targets that were built, and wait to be started.
pub(crate) struct Prepared {
    kept: HashSet<String>,
    names: Vec<String>,
    fresh: Vec<(Config, u64, Arc<Pump>)>,
}

impl Targets {
    pub(crate) fn new(journal: Journal, observer: Arc<dyn Observer>, traces: Traces, runtime: Handle) -> Self {
        Self { journal, observer, traces, runtime, running: Mutex::default(), has_too_many: AtomicBool::new(false) }
    }

    /// Builds the targets that are new or changed; the others go on as they are.
    pub(crate) fn prepare(&self, configs: &[Config], metrics: &Metrics) -> Result<Prepared, Invalid> {
        let implicit = implicit(configs, &*self.observer);
        let mut prepared = Prepared { kept: HashSet::new(), names: Vec::new(), fresh: Vec::new() };
        let running = self.running();
        for (i, config) in configs.iter().chain(&implicit).enumerate() {
            let contents = contents(config.files());
            prepared.names.push(config.name.clone());
            let is_same = |running: &Running| running.config == *config && running.contents == contents;
            if running.iter().any(|running| is_same(running) && !running.task.is_finished()) {
                prepared.kept.insert(config.name.clone());
                continue;
            }
            let pump = self.pump(config, metrics).map_err(within(i))?;
            prepared.fresh.push((config.clone(), contents, Arc::new(pump)));
        }
        Ok(prepared)
    }

    fn pump(&self, config: &Config, metrics: &Metrics) -> Result<Pump, Invalid> {
        let taker = match &config.to {
            To::Target(target) => Taker::Target(Target::open(&config.name, target)?),
            To::Handlers(HandlersConfig { timeout }) => {
                Taker::Handlers(Handlers { observer: Arc::clone(&self.observer), timeout: *timeout })
            }
        };
        Ok(Pump {
            name: config.name.clone(),
            kind: config.kind(),
            taker,
            selection: Selection::build(config)?,
            retry: config.retry.clone(),
            concurrency: config.concurrency,
            metrics: metrics.target(&config.name),
            traces: self.traces.clone(),
        })
    }

    /// Starts what was prepared, and ends those that are changed or gone: each by itself, so that one that hangs holds up
    /// nobody.
    ///
    /// # Errors
    /// When the journal does not take the names. Then everything goes on as it was.
    pub(crate) async fn start(&self, prepared: Prepared) -> Result<(), JournalError> {
        let Prepared { kept, names, fresh } = prepared;
        let both: HashSet<String> = names.iter().cloned().chain(self.names()).collect();
        self.set_targets(both.iter()).await?;
        let mut ending = self.take_out(|running| !kept.contains(&running.config.name));
        let started = fresh.into_iter().map(|(config, contents, pump)| {
            let stop = CancellationToken::new();
            let old = ending.extract_if(.., |old| old.config.name == config.name).next();
            let run = Arc::clone(&pump).run(self.journal.clone(), stop.clone());
            let task = self.runtime.spawn(async move {
                if let Some(old) = old {
                    old.end().await;
                }
                run.await;
            });
            Running { config, contents, pump, stop, task }
        });
        let started: Vec<_> = started.collect();
        self.running().extend(started);
        join_all(ending.into_iter().map(Running::end)).await;
        self.has_too_many.store(true, Ordering::Relaxed);
        self.tidy().await;
        Ok(())
    }

    /// Has the journal forget those that are gone, where it could not yet: it removes nothing that they have not settled.
    pub(crate) async fn tidy(&self) {
        if !self.has_too_many.load(Ordering::Relaxed) {
            return;
        }
        match self.set_targets(self.names().iter()).await {
            Ok(()) => self.has_too_many.store(false, Ordering::Relaxed),
            Err(error) => tracing::warn!("targets that are gone still hold up the retention: {error}"),
        }
    }

    async fn set_targets(&self, names: impl Iterator<Item = &String>) -> Result<(), JournalError> {
        let names: Vec<&str> = names.map(String::as_str).collect();
        self.journal.set_targets(&names).await
    }

    fn names(&self) -> Vec<String> {
        self.running().iter().map(|running| running.config.name.clone()).collect()
    }

    /// Stops all of them: what is on its way arrives.
    pub(crate) async fn stop_all(&self) {
        let stopping = self.take_out(|_| true);
        stopping.iter().for_each(|running| running.stop.cancel());
        join_all(stopping.into_iter().map(|running| running.task)).await;
    }

    fn take_out(&self, which: impl Fn(&Running) -> bool) -> Vec<Running> {
        self.running().extract_if(.., |running| which(running)).collect()
    }

    fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The targets that run, by name and kind.
    pub(crate) fn list(&self) -> Vec<(String, &'static str)> {
        let running = self.running();
        running.iter().map(|running| (running.config.name.clone(), running.config.kind())).collect()
    }

    /// Whether an event would be delivered to a target, if it were given out once more. Of those that cannot be told by the
    /// command alone, the event is read.
    ///
    /// # Errors
    /// When there is no such target, or the journal cannot be read.
    pub(crate) async fn wants(&self, target: &str, position: Position, command: &str) -> Result<bool, JournalError> {
        let pump = self.running().iter().find(|it| it.config.name == target).map(|it| Arc::clone(&it.pump));
        let pump = pump.ok_or_else(|| JournalError::NoSuchTarget(target.to_owned()))?;
        if !pump.may_want(command) || !pump.selection.has_condition() {
            return Ok(pump.may_want(command));
        }
        let event = self.journal.event(position).await?;
        // Where nobody can say, it is delivered, and a dead letter that says why.
        Ok(event.is_some_and(|event| pump.wants(&event.record).unwrap_or(true)))
    }
}
