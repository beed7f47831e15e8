use std::num::NonZeroU32;
use std::time::Duration;

use chathook_protocol::{Event, Payload};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde::Deserialize;

use crate::config::{Invalid, duration};

/// How many callbacks of one sender or in one group are let through.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Rate {
    /// What is counted.
    pub per: Per,
    /// How many are let through `every` span.
    pub limit: NonZeroU32,
    /// The span.
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
    /// How many are let through at once after a pause. Default: `limit`.
    pub burst: Option<NonZeroU32>,
}

/// What a rate is counted by; different applications count apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// Who causes the event.
    Sender,
    /// The group that it is about.
    Group,
}

/// Counts, each replica for itself.
pub(super) struct Limiter {
    per: Per,
    limiter: DefaultKeyedRateLimiter<(u64, Box<str>)>,
}

/// The longest `every`, and the longest time after which a whole burst is granted again.
const MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Rate {
    /// Checks that it can be counted.
    pub(super) fn check(&self) -> Result<(), Invalid> {
        self.quota().map(drop)
    }

    fn quota(&self) -> Result<Quota, Invalid> {
        let wrong = |key: &str, problem: &str| Err(Invalid::new(format!("rule.rate.{key}"), problem));
        let (period, burst) = (self.every / self.limit.get(), self.burst.unwrap_or(self.limit));
        if self.every > MAX {
            return wrong("every", "is longer than 1d");
        }
        if period.checked_mul(burst.get()).is_none_or(|pause| pause > MAX) {
            return wrong("burst", "is too much: after it, nothing would be granted for more than 1d");
        }
        match Quota::with_period(period) {
            Some(quota) => Ok(quota.allow_burst(burst)),
            None if self.every.is_zero() => wrong("every", "must be more than zero"),
            None => wrong("limit", "is more than one each nanosecond"),
        }
    }
}

impl Limiter {
    pub(super) fn new(rate: &Rate) -> Result<Self, Invalid> {
        Ok(Self { per: rate.per, limiter: RateLimiter::keyed(rate.quota()?) })
    }

    /// Counts the event. What has neither sender nor group is not counted.
    pub(super) fn is_exceeded(&self, event: &Event, payload: &dyn Payload) -> bool {
        let key = match self.per {
            Per::Sender => payload.user().map(AsRef::as_ref),
            Per::Group => payload.group().map(AsRef::as_ref),
        };
        let app = event.query().sdk_app_id.unwrap_or_default();
        key.is_some_and(|key: &str| self.limiter.check_key(&(app, key.into())).is_err())
    }

    /// Forgets those who would be let through anyway.
    pub(super) fn tidy(&self) {
        self.limiter.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::{Limiter, Per, Rate};

    fn rate(limit: u32, every: Duration, burst: Option<u32>) -> Rate {
        let number = |number| NonZeroU32::new(number).unwrap();
        Rate { per: Per::Sender, limit: number(limit), every, burst: burst.map(number) }
    }

    #[test]
    fn what_cannot_be_counted_is_refused_with_its_key() {
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(24 * 60 * 60));
        for (limit, every, burst, key) in [
            (1, Duration::ZERO, None, "every"),
            (u32::MAX, Duration::from_nanos(1), None, "limit"),
            (1, 30 * day, Some(10_000), "every"),
            (1, Duration::MAX, None, "every"),
            (1, Duration::MAX, Some(u32::MAX), "every"),
            (u32::MAX, Duration::MAX, Some(u32::MAX), "every"),
            (1, day, Some(2), "burst"),
            (1, second, Some(u32::MAX), "burst"),
        ] {
            let rate = rate(limit, every, burst);
            assert_eq!(rate.check().unwrap_err().key, format!("rule.rate.{key}"), "{rate:?}");
            assert!(Limiter::new(&rate).is_err());
        }
        for (limit, every, burst) in
            [(1, day, None), (u32::MAX, day, None), (u32::MAX, 5 * second, Some(u32::MAX)), (1, second, Some(86_400))]
        {
            let rate = rate(limit, every, burst);
            assert!(rate.check().is_ok() && Limiter::new(&rate).is_ok(), "{rate:?}");
        }
    }
}
