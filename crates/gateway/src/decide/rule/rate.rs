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

impl Limiter {
    pub(super) fn new(rate: &Rate) -> Result<Self, Invalid> {
        let quota = Quota::with_period(rate.every / rate.limit.get())
            .ok_or_else(|| Invalid::new("rule.rate.every", "must be more than zero"))?
            .allow_burst(rate.burst.unwrap_or(rate.limit));
        Ok(Self { per: rate.per, limiter: RateLimiter::keyed(quota) })
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
