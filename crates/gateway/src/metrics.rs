//! What Prometheus sees. Labels come from closed sets only: commands of the table, our own enums.

use std::array;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use chathook_journal::Stats;
use chathook_protocol::{Command, Effect, Phase};
use chathook_router::FallbackReason;
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use strum::{EnumCount, IntoEnumIterator};

use crate::verify::Refusal;

/// Seconds, around the two that Chat waits.
const ANSWER_BUCKETS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0];
/// Seconds that were left of a deadline.
const LEFT_BUCKETS: &[f64] = &[0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.4, 1.5, 1.75, 2.0];

/// Seconds until an event is durable.
const APPEND_BUCKETS: &[f64] = &[0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];
/// Seconds until an event is delivered, up to a day.
const LAG_BUCKETS: &[f64] =
    &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0];

/// Makes a struct of metrics from a table: the documentation of a field is its help text.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ident $([$($label:literal),*])? $(in $buckets:ident)?;)+) => {
        /// The metrics that have a table; those of a command are resolved once, in [`CommandMetrics`].
        struct Vecs {
            $($(#[doc = $help])+ $name: $kind,)+
        }

        impl Vecs {
            fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
                Ok(Self {$(
                    $name: {
                        let help = concat!($($help),+).trim_start();
                        let opts = Opts::new(stringify!($name), help).namespace("chathook");
                        metrics!(@register registry, opts, $kind $([$($label),*])? $(in $buckets)?)
                    },
                )+})
            }
        }
    };
    (@register $registry:ident, $opts:ident, HistogramVec [$($label:literal),+] in $buckets:ident) => {{
        let opts = HistogramOpts { common_opts: $opts, buckets: $buckets.to_vec() };
        registered($registry, HistogramVec::new(opts, &[$($label),+])?)?
    }};
    (@register $registry:ident, $opts:ident, Histogram in $buckets:ident) => {{
        let opts = HistogramOpts { common_opts: $opts, buckets: $buckets.to_vec() };
        registered($registry, Histogram::with_opts(opts)?)?
    }};
    // Without a label: there only once it is known.
    (@register $registry:ident, $opts:ident, $kind:ident [$($label:literal),*]) => {
        registered($registry, $kind::new($opts, &[$($label),*])?)?
    };
    (@register $registry:ident, $opts:ident, $kind:ident) => {
        registered($registry, $kind::with_opts($opts)?)?
    };
}

metrics! {
    /// Callbacks, by what became of them.
    callbacks_total: IntCounterVec["command", "outcome"];
    /// Time from the arrival of a callback to its answer.
    answer_seconds: HistogramVec["phase"] in ANSWER_BUCKETS;
    /// What was left of the deadline when a before-callback was answered.
    deadline_left_seconds: HistogramVec["command"] in LEFT_BUCKETS;
    /// Decisions that were made.
    decisions_total: IntCounterVec["command", "decision"];
    /// Before-callbacks that nobody decided, by the reason.
    fallbacks_total: IntCounterVec["command", "reason"];
    /// Time that deciders took.
    decider_seconds: HistogramVec["decider"] in ANSWER_BUCKETS;
    /// Deciders that gave no decision, by the reason.
    decider_errors_total: IntCounterVec["decider", "reason"];
    /// What deciders said, shadows included.
    decider_decisions_total: IntCounterVec["decider", "decision"];
    /// What shadow deciders would have decided where those who are obeyed from their place on decided otherwise.
    decider_disagreements_total: IntCounterVec["decider", "decision"];
    /// What deciders would have decided whose time was over.
    decider_late_total: IntCounterVec["decider", "decision"];
    /// Shadow deciders, and late ones, that were not listened to because there were too many at work.
    decider_unheard_total: IntCounterVec["decider"];
    /// Second requests to deciders whose answer took long.
    decider_hedges_total: IntCounterVec["decider"];
    /// Whether a decider is left alone for a while because it fails too often.
    decider_breaker_open: IntGaugeVec["decider"];
    /// Requests that a decider is working at.
    decider_in_flight: IntGaugeVec["decider"];
    /// Time to make an event durable.
    journal_append_seconds: Histogram in APPEND_BUCKETS;
    /// Events in the journal.
    journal_events: IntGauge;
    /// Bytes of the events in the journal.
    journal_bytes: IntGauge;
    /// Whether events can be kept.
    journal_up: IntGauge;
    /// Bytes that are free on the disk of the journal, where it is a file.
    journal_free_bytes: IntGaugeVec[];
    /// Attempts to deliver, by their outcome.
    deliveries_total: IntCounterVec["target", "outcome"];
    /// Time from the arrival of an event to its delivery.
    delivery_lag_seconds: HistogramVec["target"] in LAG_BUCKETS;
    /// Events that a target has still to get.
    delivery_backlog: IntGaugeVec["target"];
    /// How long the oldest event has waited that a target has still to get; 0 when it has all.
    delivery_oldest_seconds: GaugeVec["target"];
    /// Events that a target could not take.
    dead_letters: IntGaugeVec["target"];
    /// Requests that were refused, by the reason.
    verify_failures_total: IntCounterVec["reason"];
    /// How far our clock is ahead of Chat's, from the last request with a right Sign.
    clock_skew_seconds: Gauge;
    /// Bodies that were not read.
    decode_errors_total: IntCounterVec["command"];
    /// Fields that no type reads.
    drift_fields_total: IntCounterVec["command"];
    /// Requests that are being answered.
    requests_in_flight: IntGauge;
    /// Whether callbacks are taken, as readyz says.
    ready: IntGauge;
    /// When the first certificate of the chain expires that clients are shown, in seconds since 1970.
    certificate_expiry_timestamp_seconds: IntGaugeVec[];
    /// Attempts to take a changed configuration, by their outcome.
    config_reloads_total: IntCounterVec["outcome"];
    /// Whether the configuration in use is the last one that was read.
    config_last_reload_successful: IntGauge;
    /// The version that runs.
    build_info: GaugeVec["version"];
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// What became of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumIter, EnumCount)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Outcome {
    /// A decision was sent, or nothing stood in the way.
    Decided,
    /// The fallback was sent.
    Fallback,
    /// An after-callback was kept.
    Acknowledged,
    /// An after-callback was kept before.
    Duplicate,
    /// The console looked whether anybody is there.
    Probe,
    /// It was not Chat's.
    Refused,
    /// It could not be kept.
    Lost,
    /// There was too much to do.
    Shed,
}

/// What became of a changed configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumIter)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Reload {
    /// It is in use.
    Applied,
    /// It has an error; the old one stays.
    Refused,
}

/// Why deciders give no decision.
const DECIDER_ERRORS: [&str; 12] = [
    "timeout",
    "error",
    "panic",
    "decode",
    "overload",
    "breaker",
    "connect",
    "io",
    "status",
    "not_json",
    "illegal",
    "too_large",
];

/// What handlers are called among deciders.
pub(crate) const HANDLER: &str = "handler";

/// One counter a variant of `E`.
struct Counters<E, const N: usize>([IntCounter; N], std::marker::PhantomData<E>);

impl<E: IntoEnumIterator + Into<&'static str>, const N: usize> Counters<E, N> {
    /// The counters of `vec`, whose labels are `first`, if there is one, and then the variants.
    fn new(vec: &IntCounterVec, first: Option<&str>) -> Self {
        let mut labels = E::iter().map(Into::into);
        Self(
            array::from_fn(|_| {
                let label = labels.next().unwrap_or_default();
                match first {
                    Some(first) => vec.with_label_values(&[first, label]),
                    None => vec.with_label_values(&[label]),
                }
            }),
            std::marker::PhantomData,
        )
    }
}

/// The metrics of one command, resolved when it is first seen: a look-up by label costs a hash and a lock.
pub(crate) struct CommandMetrics {
    outcomes: Counters<Outcome, { Outcome::COUNT }>,
    pub(crate) decode_errors: IntCounter,
    pub(crate) drift_fields: IntCounter,
    before: Option<BeforeMetrics>,
}

struct BeforeMetrics {
    deadline_left: Histogram,
    decisions: Counters<Effect, { Effect::COUNT }>,
    fallbacks: Counters<FallbackReason, { FallbackReason::COUNT }>,
}

impl CommandMetrics {
    fn new(vecs: &Vecs, command: Option<Command>) -> Self {
        let label = command.map_or("unknown", Command::as_str);
        let is_before = command.is_some_and(|command| command.phase() == Phase::Before);
        Self {
            outcomes: Counters::new(&vecs.callbacks_total, Some(label)),
            decode_errors: vecs.decode_errors_total.with_label_values(&[label]),
            drift_fields: vecs.drift_fields_total.with_label_values(&[label]),
            before: is_before.then(|| BeforeMetrics {
                deadline_left: vecs.deadline_left_seconds.with_label_values(&[label]),
                decisions: Counters::new(&vecs.decisions_total, Some(label)),
                fallbacks: Counters::new(&vecs.fallbacks_total, Some(label)),
            }),
        }
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.outcomes.0[outcome as usize].inc();
    }

    pub(crate) fn decided(&self, effect: Effect) {
        self.count(Outcome::Decided);
        if let Some(before) = &self.before {
            before.decisions.0[effect as usize].inc();
        }
    }

    pub(crate) fn fell_back(&self, reason: FallbackReason) {
        self.count(Outcome::Fallback);
        if let Some(before) = &self.before {
            before.fallbacks.0[reason as usize].inc();
        }
    }

    pub(crate) fn answered_with(&self, left: Duration) {
        if let Some(before) = &self.before {
            before.deadline_left.observe(left.as_secs_f64());
        }
    }
}

/// The metrics of one decider, resolved when it is built.
pub(crate) struct DeciderMetrics {
    seconds: Histogram,
    decisions: Counters<Effect, { Effect::COUNT }>,
    disagreements: Counters<Effect, { Effect::COUNT }>,
    late: Counters<Effect, { Effect::COUNT }>,
    late_errors: IntCounter,
    errors: IntCounterVec,
    name: Box<str>,
    pub(crate) unheard: IntCounter,
    pub(crate) hedges: IntCounter,
    pub(crate) breaker_open: IntGauge,
    pub(crate) in_flight: IntGauge,
}

impl DeciderMetrics {
    fn new(vecs: &Vecs, name: &str) -> Self {
        // From the start, so that the first failure is an increase.
        for reason in DECIDER_ERRORS {
            vecs.decider_errors_total.with_label_values(&[name, reason]);
        }
        Self {
            seconds: vecs.decider_seconds.with_label_values(&[name]),
            decisions: Counters::new(&vecs.decider_decisions_total, Some(name)),
            disagreements: Counters::new(&vecs.decider_disagreements_total, Some(name)),
            late: Counters::new(&vecs.decider_late_total, Some(name)),
            late_errors: vecs.decider_late_total.with_label_values(&[name, "error"]),
            errors: vecs.decider_errors_total.clone(),
            name: name.into(),
            unheard: vecs.decider_unheard_total.with_label_values(&[name]),
            hedges: vecs.decider_hedges_total.with_label_values(&[name]),
            breaker_open: vecs.decider_breaker_open.with_label_values(&[name]),
            in_flight: vecs.decider_in_flight.with_label_values(&[name]),
        }
    }

    pub(crate) fn took(&self, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn decided(&self, effect: Effect) {
        self.decisions.0[effect as usize].inc();
    }

    /// `reason` is of a closed set.
    pub(crate) fn failed(&self, reason: &'static str) {
        self.errors.with_label_values(&[&*self.name, reason]).inc();
    }

    pub(crate) fn disagreed(&self, effect: Effect) {
        self.disagreements.0[effect as usize].inc();
    }

    /// What came when its time was over; `None` for a failure.
    pub(crate) fn was_late(&self, effect: Option<Effect>) {
        match effect {
            Some(effect) => self.late.0[effect as usize].inc(),
            None => self.late_errors.inc(),
        }
    }
}

/// How an attempt to deliver ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumIter, EnumCount)]
#[strum(serialize_all = "lowercase")]
enum Attempted {
    Delivered,
    Retried,
    Dead,
}

/// The metrics of one target, resolved when it is built.
pub(crate) struct TargetMetrics {
    attempts: Counters<Attempted, { Attempted::COUNT }>,
    lag: Histogram,
}

impl TargetMetrics {
    /// So long after it arrived.
    pub(crate) fn delivered(&self, lag: Duration) {
        self.attempts.0[Attempted::Delivered as usize].inc();
        self.lag.observe(lag.as_secs_f64());
    }

    pub(crate) fn retried(&self) {
        self.attempts.0[Attempted::Retried as usize].inc();
    }

    pub(crate) fn dead(&self) {
        self.attempts.0[Attempted::Dead as usize].inc();
    }
}

/// All metrics of one gateway, in a registry of its own.
pub(crate) struct Metrics {
    registry: Registry,
    vecs: Vecs,
    /// By command; the last is for those that nobody knows.
    commands: Box<[OnceLock<CommandMetrics>]>,
    answer: [Histogram; Phase::COUNT],
    refusals: Counters<Refusal, { Refusal::COUNT }>,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let vecs = Vecs::register(&registry)?;
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process))?;
        vecs.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        vecs.config_last_reload_successful.set(1);
        for outcome in Reload::iter() {
            vecs.config_reloads_total.with_label_values(&[<&str>::from(outcome)]);
        }
        let phases: Vec<&'static str> = Phase::iter().map(Into::into).collect();
        Ok(Self {
            commands: std::iter::repeat_with(OnceLock::new).take(Command::COUNT + 1).collect(),
            answer: array::from_fn(|i| vecs.answer_seconds.with_label_values(&[phases[i]])),
            refusals: Counters::new(&vecs.verify_failures_total, None),
            registry,
            vecs,
        })
    }

    /// The metrics of `command`, or of all that nobody knows.
    pub(crate) fn command(&self, command: Option<Command>) -> &CommandMetrics {
        let cell = &self.commands[command.map_or(Command::COUNT, |command| command as usize)];
        cell.get_or_init(|| CommandMetrics::new(&self.vecs, command))
    }

    pub(crate) fn answered(&self, phase: Phase, took: Duration) {
        self.answer[phase as usize].observe(took.as_secs_f64());
    }

    /// The metrics of the decider of that name.
    pub(crate) fn decider(&self, name: &str) -> DeciderMetrics {
        DeciderMetrics::new(&self.vecs, name)
    }

    /// The metrics of the target of that name.
    pub(crate) fn target(&self, name: &str) -> TargetMetrics {
        TargetMetrics {
            attempts: Counters::new(&self.vecs.deliveries_total, Some(name)),
            lag: self.vecs.delivery_lag_seconds.with_label_values(&[name]),
        }
    }

    pub(crate) fn appended(&self, took: Duration) {
        self.vecs.journal_append_seconds.observe(took.as_secs_f64());
    }

    /// Whether events can be kept.
    pub(crate) fn journal_up(&self, is_up: bool) {
        self.vecs.journal_up.set(is_up.into());
    }

    /// Whether callbacks are taken.
    pub(crate) fn ready(&self, is_ready: bool) {
        self.vecs.ready.set(is_ready.into());
    }

    /// Is to be told when the certificate expires, in seconds since 1970.
    pub(crate) fn certificate_expiry(&self) -> IntGauge {
        self.vecs.certificate_expiry_timestamp_seconds.with_label_values::<&str>(&[])
    }

    /// What the journal holds, and how many bytes it has left on its disk.
    pub(crate) fn journal(&self, stats: &Stats, free: Option<u64>) {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        if let Some(free) = free {
            self.vecs.journal_free_bytes.with_label_values::<&str>(&[]).set(count(free));
        }
        self.vecs.journal_events.set(count(stats.events));
        self.vecs.journal_bytes.set(count(stats.bytes));
        self.vecs.delivery_backlog.reset();
        self.vecs.delivery_oldest_seconds.reset();
        self.vecs.dead_letters.reset();
        let now = SystemTime::now();
        for target in &stats.targets {
            let name = [target.target.as_str()];
            let waited = target.oldest.and_then(|oldest| now.duration_since(oldest).ok()).unwrap_or_default();
            self.vecs.delivery_backlog.with_label_values(&name).set(count(target.backlog));
            self.vecs.delivery_oldest_seconds.with_label_values(&name).set(waited.as_secs_f64());
            self.vecs.dead_letters.with_label_values(&name).set(count(target.dead_letters));
        }
    }

    pub(crate) fn refused(&self, reason: Refusal) {
        self.refusals.0[reason as usize].inc();
    }

    pub(crate) fn clock_skew(&self, seconds: f64) {
        self.vecs.clock_skew_seconds.set(seconds);
    }

    pub(crate) fn reloaded(&self, outcome: Reload) {
        self.vecs.config_reloads_total.with_label_values(&[<&str>::from(outcome)]).inc();
        self.vecs.config_last_reload_successful.set((outcome == Reload::Applied).into());
    }

    /// The text that Prometheus scrapes, while `in_flight` requests are being answered.
    pub(crate) fn encode(&self, in_flight: i64) -> Result<String, prometheus::Error> {
        self.vecs.requests_in_flight.set(in_flight);
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
