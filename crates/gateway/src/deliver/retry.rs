//! When a delivery is tried again.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::config::{Invalid, duration};

/// `[target.retry]`: exponential back-off with jitter, up to a number of attempts and an age.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// The first pause; each one after it is twice as long. Default: `1s`.
    #[serde(deserialize_with = "duration")]
    pub first: Duration,
    /// The longest pause. Default: `10m`.
    #[serde(deserialize_with = "duration")]
    pub max: Duration,
    /// After so many attempts an event is a dead letter. Default: 100.
    pub attempts: u32,
    /// So long after its first attempt an event is a dead letter. Default: `3d`.
    #[serde(deserialize_with = "duration")]
    pub age: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            max: Duration::from_secs(10 * 60),
            attempts: 100,
            age: Duration::from_secs(3 * 24 * 60 * 60),
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if self.first.is_zero() || self.first > self.max {
            return Err(Invalid::new("retry.first", "must be more than zero, and at most `retry.max`"));
        }
        if self.attempts == 0 {
            return Err(Invalid::new("retry.attempts", "must be more than zero"));
        }
        Ok(())
    }

    /// The pause after an attempt, of `attempts` made altogether, the first of them at `first_attempt`; none where it
    /// was the last. A target that says when to come back is believed, up to an hour.
    pub(crate) fn pause(
        &self,
        attempts: u32,
        first_attempt: SystemTime,
        now: SystemTime,
        asked: Option<Duration>,
    ) -> Option<Duration> {
        let age = now.duration_since(first_attempt).unwrap_or_default();
        if attempts >= self.attempts || age >= self.age {
            return None;
        }
        let doubled = self.first.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
        let pause = jittered(doubled.min(self.max));
        Some(asked.map_or(pause, |asked| asked.min(LONGEST_ASKED).max(pause)))
    }
}

/// No target is waited for longer because it asks for it.
const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);

/// Between half of a pause and the whole: what failed together does not come back together.
fn jittered(pause: Duration) -> Duration {
    // Each state of the standard library's hash maps has keys of its own.
    let random = RandomState::new().hash_one(0_u8) >> 40;
    let half = pause / 2;
    half + half.mul_f64(random as f64 / f64::from(1_u32 << 24))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::Config;

    const T0: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_never_less_than_half() {
        let retry = Config { max: Duration::from_secs(60), ..Config::default() };
        for (attempts, whole) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (40, 60), (99, 60)] {
            let whole = Duration::from_secs(whole);
            let pauses: Vec<_> = (0..50).map(|_| retry.pause(attempts, T0, T0, None).unwrap()).collect();
            assert!(pauses.iter().all(|pause| whole / 2 <= *pause && *pause <= whole), "{attempts}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "they differ");
        }
    }

    #[test]
    fn attempts_and_age_have_a_limit() {
        let retry = Config { attempts: 3, age: Duration::from_secs(10), ..Config::default() };
        let at = |seconds| T0 + Duration::from_secs(seconds);
        assert!(retry.pause(2, T0, at(9), None).is_some());
        assert_eq!(retry.pause(3, T0, at(9), None), None);
        assert_eq!(retry.pause(1, T0, at(10), None), None);
        // A clock that jumps back makes nothing older.
        assert!(retry.pause(1, at(100), T0, None).is_some());
    }

    #[test]
    fn a_target_that_says_when_to_come_back_is_believed_up_to_an_hour() {
        let retry = Config::default();
        let asked = |seconds| retry.pause(1, T0, T0, Some(Duration::from_secs(seconds))).unwrap();
        assert_eq!(asked(30), Duration::from_secs(30));
        assert_eq!(asked(1_000_000), Duration::from_secs(3600));
        assert!(asked(0) >= Duration::from_millis(500));
    }
}
