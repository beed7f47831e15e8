//! A circuit breaker: who fails too often is left alone for a while, and then tried with one call at a time.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use tokio::time::Instant;

use super::failure::Failure;
use crate::config::{Invalid, duration};

/// `breaker = { ... }`: when a service is left alone.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// It opens when more than this share of the calls fail, timeouts and illegal answers included. Default: `0.5`.
    pub error_share: f64,
    /// The calls of this time count. Default: `10s`.
    #[serde(deserialize_with = "duration")]
    pub window: Duration,
    /// It stays closed while there are fewer of them. Default: 20.
    pub min_calls: u32,
    /// How long nothing is asked before one call is tried. Default: `5s`.
    #[serde(deserialize_with = "duration")]
    pub open: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { error_share: 0.5, window: Duration::from_secs(10), min_calls: 20, open: Duration::from_secs(5) }
    }
}

impl Config {
    pub(super) fn check(&self) -> Result<(), Invalid> {
        let wrong = |key: &str, problem: &str| Err(Invalid::new(format!("http.breaker.{key}"), problem));
        match self {
            _ if !(0.0..1.0).contains(&self.error_share) => wrong("error_share", "must be 0 or more, and less than 1"),
            _ if !TIMES.contains(&self.window) => wrong("window", "must be between 100ms and 1h"),
            _ if self.min_calls == 0 => wrong("min_calls", "must be 1 or more"),
            _ if !TIMES.contains(&self.open) => wrong("open", "must be between 100ms and 1h"),
            _ => Ok(()),
        }
    }
}

const TIMES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(1);

/// Reads a table, or `false` for none.
pub(super) fn or_false<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Config>, D::Error> {
    struct TableOrFalse;

    impl<'de> Visitor<'de> for TableOrFalse {
        type Value = Option<Config>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table, or `false` for no breaker")
        }

        fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<Option<Config>, E> {
            Ok(is_on.then(Config::default))
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Option<Config>, A::Error> {
            Config::deserialize(MapAccessDeserializer::new(fields)).map(Some)
        }
    }

    deserializer.deserialize_any(TableOrFalse)
}

/// The breaker of one service.
pub(super) struct Breaker {
    config: Config,
    state: Mutex<State>,
    /// How many are open.
    open: IntGauge,
}

enum State {
    /// Calls are made, and counted.
    Closed(Window),
    /// No call is made before this moment; the first one after it is the probe.
    Open(Instant),
    /// One call is made, to see.
    Probing,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
    /// Nobody waited long enough to know.
    Unknown,
}

impl Breaker {
    pub(super) fn new(config: Config, open: IntGauge) -> Self {
        let state = Mutex::new(State::Closed(Window::new(config.window, Instant::now())));
        Self { config, state, open }
    }

    /// Permits a call that is made `now` and has to be answered by `limit`, or does not.
    pub(super) fn permit(self: &Arc<Self>, now: Instant, limit: Instant) -> Result<Permit, Failure> {
        let is_probe = self.admit(now)?;
        Ok(Permit { breaker: Arc::clone(self), made: now, limit, is_probe, verdict: Verdict::Unknown })
    }

    /// Gives whether the call is the probe.
    fn admit(&self, now: Instant) -> Result<bool, Failure> {
        let mut state = self.state();
        match *state {
            State::Closed(_) => Ok(false),
            State::Open(until) if now >= until => {
                *state = State::Probing;
                Ok(true)
            }
            State::Open(_) | State::Probing => Err(Failure::Breaker),
        }
    }

    /// Notes how a call ended that was made at `made`.
    fn note(&self, is_probe: bool, verdict: Verdict, made: Instant, now: Instant) {
        let mut state = self.state();
        match (&mut *state, is_probe, verdict) {
            (State::Closed(window), false, Verdict::Good | Verdict::Bad) => {
                let (calls, errors) = window.count(made, now, verdict == Verdict::Bad);
                let is_too_much = f64::from(errors) > f64::from(calls) * self.config.error_share;
                if calls >= self.config.min_calls && is_too_much {
                    *state = self.opened(now);
                    self.open.inc();
                }
            }
            (State::Probing, true, Verdict::Good) => {
                *state = State::Closed(Window::new(self.config.window, now));
                self.open.dec();
            }
            (State::Probing, true, Verdict::Bad) => *state = self.opened(now),
            (State::Probing, true, Verdict::Unknown) => *state = State::Open(now),
            // Of calls that were made before it opened.
            _ => {}
        }
    }

    fn opened(&self, now: Instant) -> State {
        // Checked to be no more than an hour, if it was checked.
        State::Open(now.checked_add(self.config.open).unwrap_or(now))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        if !matches!(*self.state(), State::Closed(_)) {
            self.open.dec();
        }
    }
}

/// One call that is made. What came of it counts when this is dropped.
pub(super) struct Permit {
    breaker: Arc<Breaker>,
    made: Instant,
    limit: Instant,
    is_probe: bool,
    verdict: Verdict,
}

/// Who waits reads the clock a moment earlier than we do.
const A_MOMENT: Duration = Duration::from_millis(5);

impl Permit {
    pub(super) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// The call ended, or its time did.
    pub(super) fn ended(mut self, is_good: bool) {
        self.verdict = if is_good { Verdict::Good } else { Verdict::Bad };
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = Instant::now();
        // Who waited may go the moment that the time is over.
        let is_late = self.verdict == Verdict::Unknown && now + A_MOMENT >= self.limit;
        self.breaker.note(self.is_probe, if is_late { Verdict::Bad } else { self.verdict }, self.made, now);
    }
}

/// The calls of the last while, in slices that are forgotten one by one.
struct Window {
    slices: [Slice; Window::SLICES],
    /// How long a slice is.
    length: Duration,
    began: Instant,
    /// The number of the slice that stands first, from the beginning.
    newest: usize,
}

#[derive(Clone, Copy, Default)]
struct Slice {
    calls: u32,
    errors: u32,
}

impl Window {
    const SLICES: usize = 10;

    fn new(window: Duration, now: Instant) -> Self {
        let length = window / 10;
        Self { slices: Default::default(), length, began: now, newest: 0 }
    }

    /// Counts a call, and gives how many calls and errors there are with it.
    ///
    /// It counts when it was made, and not when it ended: else, where the callbacks stop for a while, only those would be
    /// left that took the longest, which are those that failed.
    fn count(&mut self, made: Instant, now: Instant, is_error: bool) -> (u32, u32) {
        let number = self.number(now);
        let new = number.saturating_sub(self.newest).min(Self::SLICES);
        self.newest = self.newest.max(number);
        self.slices.rotate_right(new);
        self.slices[..new].fill(Slice::default());
        let age = self.newest.saturating_sub(self.number(made));
        // What was made before the window began says nothing about it.
        if let Some(slice) = self.slices.get_mut(age).filter(|_| made >= self.began) {
            slice.calls = slice.calls.saturating_add(1);
            slice.errors = slice.errors.saturating_add(is_error.into());
        }
        self.slices.iter().fold((0, 0), |(calls, errors), slice| {
            (calls.saturating_add(slice.calls), errors.saturating_add(slice.errors))
        })
    }

    /// The number of the slice that a moment is in.
    fn number(&self, at: Instant) -> usize {
        let passed = at.saturating_duration_since(self.began).as_nanos() / self.length.as_nanos().max(1);
        usize::try_from(passed).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use prometheus::IntGauge;
    use tokio::time::Instant;

    use super::{Breaker, Config, Failure, Verdict};

    struct Clock(Breaker, Instant);

    impl Clock {
        /// A breaker that opens for 5s when more than half of at least 4 calls in 10s are bad.
        fn new() -> Self {
            let config = Config { min_calls: 4, ..Config::default() };
            Self(Breaker::new(config, IntGauge::new("open", "open").unwrap()), Instant::now())
        }

        fn passes(&mut self, millis: u64) {
            self.1 += Duration::from_millis(millis);
        }

        fn admit(&self) -> Result<bool, Failure> {
            self.0.admit(self.1)
        }

        fn calls(&self, verdicts: &str) {
            for verdict in verdicts.chars() {
                assert_eq!(self.admit(), Ok(false));
                let verdict = if verdict == '+' { Verdict::Good } else { Verdict::Bad };
                self.0.note(false, verdict, self.1, self.1);
            }
        }

        #[track_caller]
        fn is_open(&self, is_open: bool) {
            assert_eq!(self.0.open.get(), i64::from(is_open));
        }
    }

    #[test]
    fn it_opens_when_too_many_calls_fail() {
        for (verdicts, is_open) in
            [("---", false), ("----", true), ("--+-", true), ("-+-+", false), ("+++---", false), ("+++----", true)]
        {
            let clock = Clock::new();
            clock.calls(verdicts);
            clock.is_open(is_open);
            assert_eq!(clock.admit(), if is_open { Err(Failure::Breaker) } else { Ok(false) }, "{verdicts}");
        }
    }

    #[test]
    fn old_calls_are_forgotten() {
        let mut clock = Clock::new();
        clock.calls("---");
        clock.passes(11_000);
        clock.calls("-++");
        clock.is_open(false);
        clock.passes(5_000);
        clock.calls("--");
        clock.is_open(true);

        let mut clock = Clock::new();
        clock.calls("++++");
        clock.passes(4_900);
        clock.calls("----");
        clock.is_open(false);
        clock.passes(5_200);
        clock.calls("-");
        clock.is_open(true);

        let mut clock = Clock::new();
        clock.calls("---");
        clock.passes(1_000_000_000);
        clock.calls("---");
        clock.is_open(false);
    }

    #[test]
    fn slow_failures_do_not_count_more_than_the_good_calls_that_were_made_with_them() {
        let mut clock = Clock::new();
        // One of four fails, and takes so long that all others have ended by then; then nobody calls for a while.
        let made = clock.1;
        clock.calls("+++");
        clock.passes(1_500);
        clock.0.note(false, Verdict::Bad, made, clock.1);
        clock.passes(8_400);
        clock.calls("-");
        clock.is_open(false);
        clock.passes(100);
        clock.calls("+");
        clock.is_open(false);
    }

    #[test]
    fn calls_from_before_it_opened_say_nothing_once_it_is_closed_again() {
        let mut clock = Clock::new();
        let made = clock.1;
        clock.calls("----");
        clock.passes(5_000);
        assert_eq!(clock.admit(), Ok(true));
        clock.0.note(true, Verdict::Good, clock.1, clock.1);
        for _ in 0..10 {
            clock.0.note(false, Verdict::Bad, made, clock.1);
        }
        clock.is_open(false);
    }

    #[test]
    fn one_probe_at_a_time_decides_whether_it_closes() {
        let mut clock = Clock::new();
        clock.calls("----");
        clock.passes(4_999);
        assert_eq!(clock.admit(), Err(Failure::Breaker));
        clock.passes(1);
        assert_eq!(clock.admit(), Ok(true));
        assert_eq!(clock.admit(), Err(Failure::Breaker));
        clock.0.note(true, Verdict::Bad, clock.1, clock.1);
        clock.is_open(true);
        clock.passes(4_999);
        assert_eq!(clock.admit(), Err(Failure::Breaker));
        clock.passes(1);
        assert_eq!(clock.admit(), Ok(true));
        clock.0.note(true, Verdict::Good, clock.1, clock.1);
        clock.is_open(false);
        // What was counted before is forgotten.
        clock.calls("---");
        clock.is_open(false);
    }

    #[test]
    fn a_probe_that_nobody_waited_for_makes_room_for_the_next() {
        let mut clock = Clock::new();
        clock.calls("----");
        clock.passes(5_000);
        assert_eq!(clock.admit(), Ok(true));
        clock.0.note(true, Verdict::Unknown, clock.1, clock.1);
        clock.is_open(true);
        assert_eq!(clock.admit(), Ok(true));
    }

    #[test]
    fn calls_from_before_it_opened_say_nothing() {
        let mut clock = Clock::new();
        clock.calls("----");
        clock.0.note(false, Verdict::Good, clock.1, clock.1);
        clock.0.note(false, Verdict::Bad, clock.1, clock.1);
        clock.is_open(true);
        clock.passes(5_000);
        assert_eq!(clock.admit(), Ok(true));
        clock.0.note(false, Verdict::Good, clock.1, clock.1);
        assert_eq!(clock.admit(), Err(Failure::Breaker));
        clock.is_open(true);
    }

    #[test]
    fn a_call_nobody_waited_for_counts_when_its_time_was_over() {
        let open = IntGauge::new("open", "open").unwrap();
        let config = Config { min_calls: 1, error_share: 0.0, ..Config::default() };
        let breaker = Arc::new(Breaker::new(config, open.clone()));
        let now = Instant::now();
        drop(breaker.permit(now, now + Duration::from_mins(1)).unwrap());
        assert_eq!(open.get(), 0);
        drop(breaker.permit(now, now).unwrap());
        assert_eq!(open.get(), 1);
        drop(breaker);
        assert_eq!(open.get(), 0, "one that is gone is not open");
    }
}
