//! What a scenario sends, and when: decided by its seed, whatever is answered.

use std::time::Duration;

use crate::flow::Flow;
use crate::rng::{Rng, mix};
use crate::scenario::{Extent, Rate, Scenario};
use crate::shapes::{Facts, Society};

/// Flows in the order in which they arrive.
#[derive(Debug)]
pub(crate) struct Plan {
    arrivals: crate::scenario::Arrivals,
    /// The time of the next flow; none when all were given out.
    next: Option<Duration>,
    /// Flows with the sum of the weights up to them.
    mix: Vec<(u64, Flow)>,
    society: Society,
    epoch: u64,
    seed: u64,
    index: u64,
    warm_up: Duration,
    extent: Extent,
    /// Flows after the warm-up.
    measured: u64,
    /// When the flow after the last would have arrived, or the time is over; none where nobody knows yet.
    over_at: Option<Duration>,
    is_max: bool,
}

/// A flow that arrives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// From the start of the run.
    pub(crate) at: Duration,
    /// Whether the warm-up is over.
    pub(crate) counts: bool,
    pub(crate) facts: Facts,
}

impl Plan {
    pub(crate) fn new(scenario: &Scenario, epoch: Duration) -> Self {
        let mut sum = 0;
        let weighted = scenario.mix.iter().filter(|(_, weight)| *weight > 0);
        let mix = weighted
            .map(|(flow, weight)| {
                sum += u64::from(*weight);
                (sum, *flow)
            })
            .collect();
        let mut plan = Self {
            arrivals: scenario.rate.arrivals(scenario.warm_up, scenario.seed),
            next: None,
            mix,
            society: Society::new(scenario.population, epoch),
            epoch: u64::try_from(epoch.as_millis()).unwrap_or_default(),
            seed: mix_seed(scenario.seed),
            index: 0,
            warm_up: scenario.warm_up,
            extent: scenario.extent,
            measured: 0,
            over_at: match scenario.extent {
                Extent::Duration(duration) => Some(scenario.warm_up + duration),
                Extent::Count(_) => None,
            },
            is_max: scenario.rate == Rate::Max,
        };
        plan.advance();
        plan
    }

    /// When the next flow arrives; `None` after the last.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.next
    }

    /// The next flow, at its own time.
    pub(crate) fn next(&mut self) -> Option<Arrival> {
        let at = self.next?;
        let arrival = self.arrive(at);
        self.advance();
        arrival
    }

    /// The next flow, now: for `max`, where flows have no time of their own.
    pub(crate) fn next_now(&mut self, now: Duration) -> Option<Arrival> {
        self.next?;
        let arrival = match self.extent {
            Extent::Duration(duration) if now >= self.warm_up + duration => None,
            Extent::Count(count) if self.measured >= count => None,
            Extent::Duration(_) | Extent::Count(_) => self.arrive(now),
        };
        if arrival.is_none() {
            self.next = None;
        }
        arrival
    }

    /// Flows that were given out after the warm-up.
    pub(crate) fn measured(&self) -> u64 {
        self.measured
    }

    /// When the time of the plan is over, as far as that is known.
    pub(crate) fn over_at(&self) -> Option<Duration> {
        self.over_at
    }

    /// Gives nothing out any more.
    pub(crate) fn end(&mut self) {
        self.next = None;
    }

    fn arrive(&mut self, at: Duration) -> Option<Arrival> {
        let mut rng = Rng::of(self.seed, self.index);
        self.index += 1;
        let (sum, _) = self.mix.last()?;
        let drawn = ((u128::from(rng.next()) * u128::from(*sum)) >> 64) as u64;
        let (_, flow) = self.mix.iter().find(|(sum, _)| drawn < *sum)?;
        let time = self.epoch.saturating_add(u64::try_from(at.as_millis()).unwrap_or_default());
        let facts = self.society.facts(*flow, rng.next(), time);
        let counts = at >= self.warm_up;
        self.measured += u64::from(counts);
        Some(Arrival { at, counts, facts })
    }

    fn advance(&mut self) {
        let next = self.arrivals.next();
        self.next = next.filter(|at| match self.extent {
            _ if self.is_max => true,
            Extent::Duration(duration) => *at < self.warm_up + duration,
            Extent::Count(count) => self.measured < count,
        });
        if self.next.is_none() && self.over_at.is_none() {
            self.over_at = next;
        }
    }
}

/// Neighbouring seeds have nothing in common.
fn mix_seed(seed: u64) -> u64 {
    mix(seed ^ 0x5eed_5eed_5eed_5eed)
}
