//! What is to be sent next: flows that have arrived, and after-callbacks that are sent again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use chathook_protocol::Command;

use crate::plan::Plan;
use crate::shapes::{Facts, SoFar};

/// One callback that is due, with the flow that it belongs to.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) due: Instant,
    pub(super) command: Command,
    pub(super) facts: Facts,
    pub(super) so_far: SoFar,
    /// How often it was sent again.
    pub(super) retries: u32,
    /// Whether the warm-up is over.
    pub(super) counts: bool,
    /// Whether the flow begins with it.
    pub(super) is_first: bool,
}

/// What there is to do.
pub(super) enum Next {
    Job(Job),
    /// Nothing yet.
    Wait,
    /// Nothing any more.
    Over,
}

#[derive(Debug)]
pub(super) struct Agenda {
    plan: Plan,
    is_max: bool,
    /// When the clock of the plan began to run; nothing is due before.
    started: Option<Instant>,
    /// Flows that have arrived.
    arrived: VecDeque<Job>,
    /// What is sent again, at its time.
    later: BinaryHeap<Reverse<Later>>,
    /// Jobs that were given out and may yet come back as retries.
    in_hand: usize,
    is_ended: bool,
}

impl Agenda {
    pub(super) fn new(plan: Plan, is_max: bool) -> Self {
        Self {
            plan,
            is_max,
            started: None,
            arrived: VecDeque::new(),
            later: BinaryHeap::new(),
            in_hand: 0,
            is_ended: false,
        }
    }

    pub(super) fn start(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// Moves what has become due to what can be taken. Gives how much that was, and when there will be more.
    pub(super) fn release(&mut self, now: Instant) -> (usize, Option<Instant>) {
        let Some(started) = self.started else { return (0, None) };
        let before = self.arrived.len();
        while !self.is_max && !self.is_ended && self.plan.next_at().is_some_and(|at| started + at <= now) {
            let Some(arrival) = self.plan.next() else { break };
            self.arrived.push_back(Job::of(started, arrival));
        }
        while self.later.peek().is_some_and(|Reverse(later)| later.0.due <= now) {
            self.arrived.extend(self.later.pop().map(|Reverse(later)| later.0));
        }
        let planned = self.plan.next_at().filter(|_| !self.is_max).map(|at| started + at);
        let later = self.later.peek().map(|Reverse(later)| later.0.due);
        (self.arrived.len() - before, planned.into_iter().chain(later).min())
    }

    /// The next job. Whoever takes one says [`done`](Self::done) afterwards.
    pub(super) fn take(&mut self, now: Instant) -> Next {
        let job = self.arrived.pop_front().or_else(|| {
            let started = self.started.filter(|_| self.is_max)?;
            let arrival = self.plan.next_now(now.saturating_duration_since(started))?;
            Some(Job::of(started, arrival))
        });
        match job {
            Some(job) => {
                self.in_hand += 1;
                Next::Job(job)
            }
            None if self.is_over() => Next::Over,
            None => Next::Wait,
        }
    }

    /// A job was played; what is to be sent again comes back with it.
    pub(super) fn done(&mut self, again: Option<Job>) {
        self.in_hand = self.in_hand.saturating_sub(1);
        self.later.extend(again.filter(|_| !self.is_ended).map(|job| Reverse(Later(job))));
    }

    /// Whether something has arrived that nobody has taken yet.
    pub(super) fn has_more(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// Forgets whatever has not begun.
    pub(super) fn end(&mut self) {
        self.is_ended = true;
        self.plan.end();
        self.arrived.clear();
        self.later.clear();
    }

    /// Whether all was sent, and nothing can come back.
    pub(super) fn is_over(&self) -> bool {
        let has_sent = self.plan.next_at().is_none() && self.arrived.is_empty() && self.later.is_empty();
        self.is_ended || (has_sent && self.in_hand == 0)
    }

    /// What was planned.
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How long the first that has arrived waits for a connection.
    pub(super) fn behind(&self, now: Instant) -> Duration {
        self.arrived.front().map(|job| now.saturating_duration_since(job.due)).unwrap_or_default()
    }
}

impl Job {
    fn of(started: Instant, arrival: crate::plan::Arrival) -> Self {
        Self {
            due: started + arrival.at,
            command: arrival.facts.first(),
            facts: arrival.facts,
            so_far: SoFar::default(),
            retries: 0,
            counts: arrival.counts,
            is_first: true,
        }
    }
}

/// Ordered by when it is due.
#[derive(Debug)]
struct Later(Job);

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.0.due == other.0.due
    }
}

impl Eq for Later {}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.due.cmp(&other.0.due)
    }
}
