//! How many flows arrive, and when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::rng::Rng;

/// How many flows arrive in a second. In a scenario: `500`, `"10000/min"`, `"max"`, `{ poisson = 500 }` or
/// `{ from = 10, to = 500, over = "30s" }`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Evenly spaced.
    Constant(f64),
    /// Evenly spaced, more and more of them, then as many as at the end.
    Ramp {
        /// A second, at first and during the warm-up.
        from: f64,
        /// A second, at last.
        to: f64,
        /// How long it takes from one to the other.
        over: Duration,
    },
    /// At random, so many a second on average: as independent users do.
    Poisson(f64),
    /// Each connection has its next flow as soon as the last one is over: finds out how much the other side can do, and
    /// says nothing about how long anybody waits.
    Max,
}

/// Not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("has to be above 0 and at most 1000000/s, such as 500, \"500/s\", \"10000/min\", or \"max\"; it is `{0}`")]
pub struct RateError(String);

/// More than this nobody sends from one machine.
const MAX: f64 = 1_000_000.0;

impl Rate {
    /// Flows a second at last, if it is known.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        match self {
            Self::Constant(rate) | Self::Poisson(rate) => Some(*rate),
            Self::Ramp { to, .. } => Some(*to),
            Self::Max => None,
        }
    }

    pub(super) fn check(&self) -> Result<(), RateError> {
        let check = |rate: f64| match rate > 0.0 && rate <= MAX {
            true => Ok(()),
            false => Err(RateError(rate.to_string())),
        };
        match self {
            Self::Constant(rate) | Self::Poisson(rate) => check(*rate),
            Self::Ramp { from, to, .. } => check(*from).and(check(*to)),
            Self::Max => Ok(()),
        }
    }

    /// How long `count` flows take that arrive after the warm-up; on average, where chance has a say.
    pub(crate) fn seconds(&self, count: u64, warm_up: Duration) -> f64 {
        let (count, warm_up) = (count as f64, warm_up.as_secs_f64());
        match *self {
            Self::Constant(rate) | Self::Poisson(rate) => count / rate,
            Self::Ramp { from, to, over } => {
                ramp(from * warm_up + count, from, to, over.as_secs_f64(), warm_up) - warm_up
            }
            Self::Max => 0.0,
        }
    }

    /// When flows arrive, from the start of the warm-up.
    pub(crate) fn arrivals(self, warm_up: Duration, seed: u64) -> Arrivals {
        Arrivals { rate: self, warm_up: warm_up.as_secs_f64(), count: 0, at: 0.0, rng: Rng::of(seed, u64::MAX) }
    }
}

/// When flows arrive; without an end.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals {
    rate: Rate,
    warm_up: f64,
    count: u64,
    at: f64,
    rng: Rng,
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let n = self.count as f64;
        self.count += 1;
        let at = match self.rate {
            Rate::Max => 0.0,
            Rate::Constant(rate) => n / rate,
            Rate::Poisson(rate) => {
                self.at -= (1.0 - self.rng.fraction()).ln() / rate;
                self.at
            }
            Rate::Ramp { from, to, over } => ramp(n, from, to, over.as_secs_f64(), self.warm_up),
        };
        Some(Duration::from_secs_f64(at.min(1e12)))
    }
}

/// When the `n`th flow arrives: `from` a second during the warm-up, then more and more.
fn ramp(n: f64, from: f64, to: f64, over: f64, warm_up: f64) -> f64 {
    let before = from * warm_up;
    if n < before || over <= 0.0 {
        return if n < before { n / from } else { warm_up + (n - before) / to };
    }
    let (n, steeper) = (n - before, (to - from) / over);
    let during = over * (from + to) / 2.0;
    if n >= during {
        return warm_up + over + (n - during) / to;
    }
    // So many have arrived after t: from * t + steeper * t² / 2. Solved so that steeper may be 0.
    warm_up + 2.0 * n / (from + (from * from + 2.0 * steeper * n).max(0.0).sqrt())
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        if text.trim() == "max" {
            return Ok(Self::Max);
        }
        let rate = Self::Constant(per_second(text)?);
        rate.check().map(|()| rate).map_err(|_| RateError(text.to_owned()))
    }
}

/// `500`, `500/s`, `10000/min` or `3600/h`.
fn per_second(text: &str) -> Result<f64, RateError> {
    let no_rate = || RateError(text.to_owned());
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit.trim() {
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(no_rate()),
    };
    let number: f64 = number.trim().replace('_', "").parse().map_err(|_| no_rate())?;
    Ok(number / seconds)
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(rate) => write!(f, "{rate:.0}/s"),
            Self::Poisson(rate) => write!(f, "{rate:.0}/s at random"),
            Self::Ramp { from, to, over } => {
                write!(f, "{from:.0}/s to {to:.0}/s over {}", humantime::format_duration(*over))
            }
            Self::Max => f.write_str("max"),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Number(f64),
            Text(String),
            Poisson(Poisson),
            Ramp(Ramp),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Poisson {
            poisson: Amount,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Ramp {
            from: Amount,
            to: Amount,
            over: String,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Amount {
            Number(f64),
            Text(String),
        }
        fn amount(amount: &Amount) -> Result<f64, RateError> {
            match amount {
                Amount::Number(number) => Ok(*number),
                Amount::Text(text) => per_second(text),
            }
        }
        let form =
            "a rate is 500, \"10000/min\", \"max\", { poisson = 500 } or { from = 10, to = 500, over = \"30s\" }";
        Ok(match Wire::deserialize(deserializer).map_err(|_| D::Error::custom(form))? {
            Wire::Number(rate) => Self::Constant(rate),
            Wire::Text(text) => text.parse().map_err(D::Error::custom)?,
            Wire::Poisson(Poisson { poisson }) => Self::Poisson(amount(&poisson).map_err(D::Error::custom)?),
            Wire::Ramp(Ramp { from, to, over }) => Self::Ramp {
                from: amount(&from).map_err(D::Error::custom)?,
                to: amount(&to).map_err(D::Error::custom)?,
                over: humantime::parse_duration(&over).map_err(D::Error::custom)?,
            },
        })
    }
}
