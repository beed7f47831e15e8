//! Which deliveries of a share of a target are due: the part that thinks. No input, no output; `pump` reads for it.
//!
//! Events come in the order of their positions. Those of one key make a *lane*, of which one event at most is due or out.
//! A lane follows the stream closely, with a few events in memory, as long as its target takes them. When one has to wait for its next
//! attempt, or too many wait behind it, the lane falls *behind*: its events leave the memory, only the range of positions
//! stays, and each is fetched again by its key when its turn has come. So neither one bad event nor a dead target fills the
//! memory, and other keys go on. An event without key has a lane of its own.
//!
//! With many lanes behind the target may be dead. Then new events are read slowly: as many as it takes, and a few to try.
//!
//! What has to survive is little: how far was read, and the ranges of the lanes that are behind (`Progress`).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::history::History;
use super::names::lane;
use super::wire::millis;
use crate::delivery::{Attempt, Outcome};
use crate::record::Record;

/// Events that were read ahead and are not settled, and their bytes.
const WINDOW: usize = 128;
const WINDOW_BYTES: usize = 4 * 1024 * 1024;
/// Events of one lane in memory; with more it falls behind, so that one key cannot fill the window.
const LANE_WINDOW: usize = 32;
/// With so many lanes behind the target may be dead: new events are tried slowly, and freely only as long as it takes them.
const LANES_FREELY: usize = 125;
/// Then one new event is tried each `PAUSE`, whatever becomes of it.
const PAUSE: Duration = Duration::from_millis(800);
/// With so many lanes behind nothing new is read. Each is in the record of the share, which is written up to twice a second
/// and has to stay far below what the server takes in a message.
const LANES_BEHIND: usize = 2000;
/// Events of lanes that are behind in memory, being fetched or out.
const FETCHED: usize = 64;
/// Wishes to deliver again that are taken before others are fulfilled.
const WISHES: usize = 2000;
/// Fulfilled wishes that are remembered.
const FULFILLED: usize = 2000;
/// How long to wait before a fetch that failed is tried again.
const FETCH_AGAIN: Duration = Duration::from_millis(250);

/// Events that wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Lane {
    /// Of one key, by its hash.
    #[serde(rename = "k")]
    Key(u64),
    /// The one event of this position.
    #[serde(rename = "p")]
    Alone(u64),
}

impl Lane {
    pub(super) fn of(position: u64, record: &Record) -> Self {
        record.key.as_deref().map_or(Self::Alone(position), |key| Self::Key(lane(key)))
    }
}

/// An event of this target that is not settled.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) position: u64,
    pub(super) record: Arc<Record>,
    /// Attempts since it was kept or replayed.
    pub(super) attempts: u32,
    pub(super) first_attempt: Option<SystemTime>,
    /// The operator's wish that it came from.
    pub(super) replay: Option<u64>,
}

impl Event {
    pub(super) fn new(position: u64, record: Arc<Record>, history: &History) -> Self {
        let (attempts, first_attempt) = (history.recent, history.first_recent);
        Self { position, record, attempts, first_attempt, replay: None }
    }

    fn bytes(&self) -> usize {
        self.record.body.len() + self.record.query.len() + self.record.answer.as_ref().map_or(0, Bytes::len)
    }
}

/// How far a share of a target is: enough to go on elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Every event below is settled, or belongs to a lane that is behind.
    pub(super) cursor: u64,
    /// Where to read on.
    pub(super) read: u64,
    pub(super) behind: Vec<Behind>,
    /// Events below `read` that are not settled, without wishes to deliver again.
    pub(super) unsettled: u64,
    /// Of these, events that wait for their next attempt.
    pub(super) retrying: u64,
    /// When the oldest of them came.
    pub(super) oldest: Option<u64>,
}

/// A lane whose events of a range of positions are not settled, and not in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Row", from = "Row")]
pub(super) struct Behind {
    pub(super) lane: Lane,
    /// Where the unsettled ones begin.
    pub(super) next: u64,
    /// The last one. An event of this lane has this position.
    pub(super) last: u64,
    /// How many they are.
    pub(super) count: u64,
    /// When the first of them came.
    pub(super) received: u64,
}

/// A lane that is behind as it is kept: short, because there may be many.
type Row = (Lane, u64, u64, u64, u64);

impl From<Behind> for Row {
    fn from(behind: Behind) -> Self {
        (behind.lane, behind.next, behind.last, behind.count, behind.received)
    }
}

impl From<Row> for Behind {
    fn from((lane, next, last, count, received): Row) -> Self {
        Self { lane, next, last, count, received }
    }
}

/// What to fetch for a lane that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) lane: Lane,
    pub(super) what: Wanted,
    /// The position of the event that failed here: what happened to it need not be read.
    pub(super) failed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This event, which an operator wants delivered again.
    Replay { position: u64, wish: u64 },
    /// The first unsettled event of the lane in this range.
    Next { from: u64, last: u64 },
}

/// What becomes of the wish to deliver an event again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// It is delivered again.
    Taken,
    /// It is on its way anyway.
    Moot,
    /// It was not read yet, or too many wishes wait; ask again.
    Later,
}

#[derive(Debug, Default)]
struct LaneState {
    front: Option<Front>,
    /// Behind the front, in memory.
    queue: VecDeque<Event>,
    behind: Option<Range>,
    /// Wishes to deliver again, by position.
    replays: BTreeMap<u64, u64>,
    /// When to fetch what is next; none: it is being fetched, or there is nothing to fetch.
    due: Option<Instant>,
    /// The front failed and waits for its next attempt.
    retrying: bool,
    /// The attempts of the event that failed: the count, and when the first was.
    failed: Option<(u64, u32, SystemTime)>,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    next: u64,
    last: u64,
    count: u64,
    received: u64,
}

#[derive(Debug)]
struct Front {
    event: Event,
    out: bool,
    fetched: bool,
}

/// The deliveries of a share of a target.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Counts how often the share was taken over; a delivery of an earlier time is void.
    generation: u64,
    /// Nothing is given out any more: the share is about to be handed over.
    closed: bool,
    /// Deliveries that are out.
    out: usize,
    read: u64,
    /// Unsettled events that were read and are in memory, with the time when they came.
    flow: BTreeMap<u64, (u64, usize)>,
    flow_bytes: usize,
    lanes: HashMap<Lane, LaneState>,
    behind: usize,
    fetched: usize,
    ready: BTreeSet<(u64, Lane)>,
    timers: BTreeSet<(Instant, Lane)>,
    /// Wishes that were taken and are not fulfilled.
    wishes: usize,
    /// Wishes that were fulfilled; a look at the wishes that began before may still show them.
    fulfilled: BTreeSet<u64>,
    /// New events that may be read though so many lanes are behind.
    credit: usize,
    /// When there is more credit, whatever happens.
    credit_at: Option<Instant>,
}

impl Book {
    /// Goes on where somebody stopped. What was out before is void.
    pub(super) fn restore(&mut self, progress: &Progress, now: Instant) {
        *self = Self { generation: self.generation + 1, read: progress.cursor, ..Self::default() };
        for behind in &progress.behind {
            let Behind { lane, next, last, count, received } = *behind;
            let range = Range { next, last, count, received };
            self.lanes.insert(lane, LaneState { behind: Some(range), ..LaneState::default() });
            self.behind += 1;
            self.schedule(lane, now);
        }
    }

    /// Gives nothing out any more, and takes no outcome.
    pub(super) fn clear(&mut self) {
        *self = Self { generation: self.generation + 1, ..Self::default() };
    }

    /// Gives nothing out any more, but takes the outcomes of what is out.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether a delivery is out.
    pub(super) fn has_out(&self) -> bool {
        self.out > 0
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The position that is read next.
    pub(super) fn read_next(&self) -> u64 {
        self.read
    }

    /// How many events may be read ahead now.
    pub(super) fn room(&mut self, now: Instant) -> usize {
        self.give_credit(now);
        if self.closed || self.flow_bytes >= WINDOW_BYTES {
            return 0;
        }
        let room = WINDOW.saturating_sub(self.flow.len());
        match self.behind {
            0..LANES_FREELY => room,
            LANES_FREELY..LANES_BEHIND => room.min(self.credit),
            _ => 0,
        }
    }

    /// When there may be room again though nothing else happens.
    pub(super) fn room_at(&self) -> Option<Instant> {
        self.credit_at.filter(|_| self.behind < LANES_BEHIND && self.credit == 0)
    }

    /// Whether so many lanes are behind that new events are read slowly.
    fn is_slowed(&self) -> bool {
        self.behind >= LANES_FREELY
    }

    /// Gives credit when it is time.
    fn give_credit(&mut self, now: Instant) {
        (self.credit, self.credit_at) = match self.credit_at {
            _ if !self.is_slowed() => (0, None),
            None => (0, Some(now + PAUSE)),
            Some(at) if at <= now => (self.credit.max(1), Some(now + PAUSE)),
            later => (self.credit, later),
        };
    }

    /// Takes in the next event of the stream, with what happened to it so far.
    pub(super) fn read(&mut self, position: u64, record: Arc<Record>, history: &History, now: Instant) {
        if position < self.read {
            return;
        }
        self.read = position + 1;
        if history.settled() {
            return;
        }
        self.credit = self.credit.saturating_sub(1);
        let lane = Lane::of(position, &record);
        let received = millis(record.received);
        let event = Event::new(position, record, history);
        if let Some(state) = self.lanes.get_mut(&lane) {
            if let Some(range) = &mut state.behind {
                if position > range.last {
                    range.last = position;
                    range.count += 1;
                }
                return;
            }
            self.enter_flow(position, received, event.bytes());
            let Some(state) = self.lanes.get_mut(&lane) else { return };
            state.queue.push_back(event);
            if state.queue.len() > LANE_WINDOW {
                self.fall_behind(lane);
            }
            return;
        }
        self.lanes.insert(lane, LaneState::default());
        if let Some(wait) = history.wait(SystemTime::now()) {
            // Whoever had the target before had it waiting.
            self.set_behind(lane, Range { next: position, last: position, count: 1, received });
            if let Some(state) = self.lanes.get_mut(&lane) {
                state.retrying = true;
            }
            self.schedule(lane, now + wait);
            return;
        }
        self.enter_flow(position, received, event.bytes());
        self.set_front(lane, event, false);
    }

    /// Passes over positions that hold no event of ours.
    pub(super) fn pass(&mut self, position: u64) {
        self.read = self.read.max(position + 1);
    }

    /// The position of the delivery that is given out next.
    pub(super) fn first_ready(&self) -> Option<u64> {
        self.ready.first().filter(|_| !self.closed).map(|(position, _)| *position)
    }

    /// Gives out the first delivery that is due.
    pub(super) fn take(&mut self) -> Option<Event> {
        if self.closed {
            return None;
        }
        let (_, lane) = self.ready.pop_first()?;
        let front = self.lanes.get_mut(&lane)?.front.as_mut()?;
        front.out = true;
        self.out += 1;
        Some(front.event.clone())
    }

    /// Whether this delivery is out.
    pub(super) fn is_out(&self, generation: u64, lane: Lane, position: u64) -> bool {
        generation == self.generation
            && self
                .lanes
                .get(&lane)
                .and_then(|state| state.front.as_ref())
                .is_some_and(|front| front.out && front.event.position == position)
    }

    /// Takes back a delivery that was not tried.
    pub(super) fn give_back(&mut self, generation: u64, lane: Lane, position: u64) {
        if self.is_out(generation, lane, position)
            && let Some(front) = self.lanes.get_mut(&lane).and_then(|state| state.front.as_mut())
        {
            front.out = false;
            self.out -= 1;
            self.ready.insert((position, lane));
        }
    }

    /// Takes how an attempt of a delivery ended, after it was recorded.
    pub(super) fn settled(&mut self, generation: u64, lane: Lane, position: u64, attempt: &Attempt, now: Instant) {
        if !self.is_out(generation, lane, position) {
            return;
        }
        if let Outcome::Retry { after, .. } = attempt.outcome {
            return self.failed(lane, attempt.at, now + after);
        }
        self.leave_flow(position);
        let Some(event) = self.take_front(lane) else { return };
        let replay = event.replay;
        if event.attempts == 0 && self.is_slowed() {
            // What the target takes at once pays for itself and another; what it does not want, for itself.
            let earned = match attempt.outcome {
                Outcome::Delivered { .. } => 2,
                Outcome::Skipped => 1,
                Outcome::Retry { .. } | Outcome::Dead { .. } => 0,
            };
            self.credit = (self.credit + earned).min(WINDOW);
        }
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        state.failed = None;
        if let Some(wish) = replay {
            if state.replays.get(&position) == Some(&wish) {
                state.replays.remove(&position);
                self.wishes -= 1;
            }
            self.remember(wish);
        } else if let Some(range) = &mut state.behind {
            range.next = position + 1;
            range.count = range.count.saturating_sub(1);
        }
        self.advance(lane, now);
    }

    fn failed(&mut self, lane: Lane, at: SystemTime, due: Instant) {
        if self.lanes.get(&lane).is_some_and(|state| state.behind.is_none()) {
            self.fall_behind(lane);
        }
        let Some(event) = self.take_front(lane) else { return };
        if let Some(state) = self.lanes.get_mut(&lane) {
            state.retrying = true;
            state.failed = Some((event.position, event.attempts.saturating_add(1), event.first_attempt.unwrap_or(at)));
        }
        self.schedule(lane, due);
    }

    /// What has to be fetched now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Fetch> {
        let mut fetches = Vec::new();
        while self.fetched < FETCHED {
            let Some(&(due, lane)) = self.timers.first() else { break };
            if due > now {
                break;
            }
            self.unschedule(lane);
            let Some(state) = self.lanes.get(&lane) else { continue };
            let replay = state.replays.first_key_value().map(|(position, wish)| (*position, *wish));
            let what = match (replay, state.behind) {
                (Some((position, wish)), Some(range)) if position < range.next => Wanted::Replay { position, wish },
                (_, Some(range)) => Wanted::Next { from: range.next, last: range.last },
                (Some((position, wish)), None) => Wanted::Replay { position, wish },
                (None, None) => continue,
            };
            let failed = state.failed.map(|(position, ..)| position);
            self.fetched += 1;
            fetches.push(Fetch { lane, what, failed });
        }
        fetches
    }

    /// When something has to be fetched next; none: not before something is settled.
    pub(super) fn next_due(&self) -> Option<Instant> {
        if self.fetched >= FETCHED {
            return None;
        }
        self.timers.first().map(|(due, _)| *due)
    }

    /// Takes what was fetched; none: there is nothing any more.
    pub(super) fn fetched(&mut self, generation: u64, fetch: Fetch, found: Option<(Event, History)>, now: Instant) {
        if generation != self.generation {
            return;
        }
        self.fetched -= 1;
        let Fetch { lane, what, .. } = fetch;
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        let awaited = match what {
            Wanted::Replay { position, wish } => state.replays.get(&position) == Some(&wish),
            Wanted::Next { from, .. } => state.behind.is_some_and(|range| range.next == from),
        };
        if state.front.is_some() || !awaited {
            return;
        }
        let Some((mut event, history)) = found else { return self.nothing(lane, what, now) };
        match what {
            Wanted::Replay { wish, .. } => event.replay = Some(wish),
            Wanted::Next { .. } => {
                if let Some(range) = &mut state.behind {
                    range.next = event.position;
                    range.received = millis(event.record.received);
                    if history.settled() {
                        range.next += 1;
                        range.count = range.count.saturating_sub(1);
                        return self.advance(lane, now);
                    }
                }
            }
        }
        match state.failed {
            Some((position, attempts, first)) if position == event.position => {
                (event.attempts, event.first_attempt) = (attempts, Some(first));
            }
            _ => {
                // Whoever had the target before had it waiting.
                if let Some(wait) = history.wait(SystemTime::now()).filter(|wait| !wait.is_zero())
                    && !state.retrying
                {
                    state.retrying = true;
                    return self.schedule(lane, now + wait);
                }
            }
        }
        self.fetched += 1;
        self.set_front(lane, event, true);
    }

    fn nothing(&mut self, lane: Lane, what: Wanted, now: Instant) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        match what {
            Wanted::Replay { position, .. } => self.wishes -= usize::from(state.replays.remove(&position).is_some()),
            Wanted::Next { last, .. } => {
                if let Some(range) = &mut state.behind {
                    range.next = last + 1;
                    // What came meanwhile is left; how many that are, nobody counted apart.
                    range.count = if range.next > range.last { 0 } else { range.count.max(1) };
                }
            }
        }
        state.retrying = false;
        self.advance(lane, now);
    }

    /// A fetch that failed is tried again.
    pub(super) fn fetch_failed(&mut self, generation: u64, fetch: Fetch, now: Instant) {
        if generation == self.generation {
            self.fetched -= 1;
            self.schedule(fetch.lane, now + FETCH_AGAIN);
        }
    }

    /// Whether more wishes are taken now.
    pub(super) fn takes_wishes(&self) -> bool {
        self.wishes < WISHES
    }

    /// Takes the wish to deliver an event again. One that waits for its next attempt is then tried at once.
    pub(super) fn replay(&mut self, lane: Lane, position: u64, wish: u64, now: Instant) -> Wish {
        if self.fulfilled.contains(&wish) {
            return Wish::Moot;
        }
        let answer = self.take_wish(lane, position, wish, now);
        if answer == Wish::Moot {
            // Whoever looks again, once the event is settled, is not to have it delivered twice.
            self.remember(wish);
        }
        answer
    }

    /// A wish that is fulfilled, or will be without more being done.
    fn remember(&mut self, wish: u64) {
        self.fulfilled.insert(wish);
        if self.fulfilled.len() > FULFILLED {
            self.fulfilled.pop_first();
        }
    }

    fn take_wish(&mut self, lane: Lane, position: u64, wish: u64, now: Instant) -> Wish {
        if position >= self.read {
            return Wish::Later;
        }
        if self.flow.contains_key(&position) {
            return Wish::Moot;
        }
        let is_taken = self.lanes.get(&lane).is_some_and(|state| state.replays.contains_key(&position));
        if !is_taken && !self.takes_wishes() {
            return Wish::Later;
        }
        let state = self.lanes.entry(lane).or_default();
        if state.front.as_ref().is_some_and(|front| front.event.position == position && front.event.replay.is_none()) {
            return Wish::Moot;
        }
        if let Some(range) = state.behind
            && (range.next..=range.last).contains(&position)
        {
            if range.next == position && state.front.is_none() {
                self.schedule(lane, now);
            }
            return Wish::Moot;
        }
        self.wishes += usize::from(!is_taken);
        if state.replays.insert(position, wish) == Some(wish) {
            return Wish::Taken;
        }
        let after_a_retry = state.retrying && state.behind.is_some_and(|range| range.next < position);
        if state.front.is_none() && !after_a_retry {
            state.failed = None;
            self.schedule(lane, now);
        }
        Wish::Taken
    }

    /// How far the share is.
    pub(super) fn progress(&self) -> Progress {
        let mut progress = Progress {
            cursor: self.flow.first_key_value().map_or(self.read, |(position, _)| *position),
            read: self.read,
            unsettled: u64::try_from(self.flow.len()).unwrap_or(u64::MAX),
            oldest: self.flow.first_key_value().map(|(_, (received, _))| *received),
            ..Progress::default()
        };
        for (lane, state) in &self.lanes {
            progress.retrying += u64::from(state.retrying);
            let Some(range) = state.behind else { continue };
            if range.next > range.last {
                continue;
            }
            let Range { next, last, count, received } = range;
            progress.behind.push(Behind { lane: *lane, next, last, count, received });
            progress.unsettled += count;
            progress.oldest = Some(progress.oldest.map_or(received, |oldest| oldest.min(received)));
        }
        progress
    }

    /// Whether an event of a lane is not settled, as far as it was read.
    pub(super) fn unsettled(&self, lane: Lane, position: u64) -> bool {
        position >= self.read
            || self.flow.contains_key(&position)
            || self.lanes.get(&lane).is_some_and(|state| {
                state.replays.contains_key(&position)
                    || state.behind.is_some_and(|range| (range.next..=range.last).contains(&position))
            })
    }

    /// Takes the next event of a lane, or lets go of the lane.
    fn advance(&mut self, lane: Lane, now: Instant) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        if state.behind.is_some_and(|range| range.next > range.last) {
            state.behind = None;
            self.behind -= 1;
        }
        if state.behind.is_some() || !state.replays.is_empty() {
            self.schedule(lane, now);
        } else if let Some(event) = state.queue.pop_front() {
            self.set_front(lane, event, false);
        } else {
            self.unschedule(lane);
            self.lanes.remove(&lane);
        }
    }

    /// Lets the events of a lane go from memory. The front stays, if there is one.
    fn fall_behind(&mut self, lane: Lane) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        let queue = std::mem::take(&mut state.queue);
        let front = state.front.as_ref().filter(|front| front.event.replay.is_none());
        let waiting = front.map(|front| &front.event).into_iter().chain(&queue);
        let (mut first, mut last, mut count) = (None, 0, 0);
        for event in waiting {
            first.get_or_insert((event.position, millis(event.record.received)));
            last = event.position;
            count += 1;
        }
        let Some((next, received)) = first else { return };
        self.set_behind(lane, Range { next, last, count, received });
        for event in queue {
            self.leave_flow(event.position);
        }
        self.leave_flow(next);
    }

    fn set_behind(&mut self, lane: Lane, range: Range) {
        if let Some(state) = self.lanes.get_mut(&lane) {
            state.behind = Some(range);
            self.behind += 1;
        }
    }

    fn set_front(&mut self, lane: Lane, event: Event, fetched: bool) {
        self.unschedule(lane);
        if let Some(state) = self.lanes.get_mut(&lane) {
            self.ready.insert((event.position, lane));
            state.retrying = false;
            state.front = Some(Front { event, out: false, fetched });
        }
    }

    fn take_front(&mut self, lane: Lane) -> Option<Event> {
        let front = self.lanes.get_mut(&lane)?.front.take()?;
        self.out -= usize::from(front.out);
        self.fetched -= usize::from(front.fetched);
        Some(front.event)
    }

    fn schedule(&mut self, lane: Lane, due: Instant) {
        self.unschedule(lane);
        if let Some(state) = self.lanes.get_mut(&lane) {
            state.due = Some(due);
            self.timers.insert((due, lane));
        }
    }

    fn unschedule(&mut self, lane: Lane) {
        if let Some(due) = self.lanes.get_mut(&lane).and_then(|state| state.due.take()) {
            self.timers.remove(&(due, lane));
        }
    }

    fn enter_flow(&mut self, position: u64, received: u64, bytes: usize) {
        self.flow.insert(position, (received, bytes));
        self.flow_bytes += bytes;
    }

    fn leave_flow(&mut self, position: u64) {
        if let Some((_, bytes)) = self.flow.remove(&position) {
            self.flow_bytes = self.flow_bytes.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::history::Last;
    use crate::jetstream::wire::time;

    fn record(key: Option<u64>) -> Arc<Record> {
        Arc::new(Record {
            id: "id".into(),
            app: None,
            command: "C2C.CallbackAfterSendMsg".into(),
            key: key.map(|key| key.to_string()),
            received: time(1),
            query: String::new(),
            body: bytes::Bytes::from_static(b"{}"),
            answer: None,
            by_content: false,
            decoded: true,
        })
    }

    fn attempt(outcome: Outcome) -> Attempt {
        Attempt { at: time(1), took: Duration::ZERO, outcome }
    }

    /// Numbers that are the same in every run.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % sides
        }
    }

    /// A stream of which two thirds are of this share, a target that fails now and then, and gateways that hand over or die
    /// now and then.
    struct World {
        stream: Vec<Arc<Record>>,
        book: Book,
        saved: Progress,
        histories: HashMap<u64, History>,
        out: Vec<(Lane, u64)>,
        delivered: Vec<u64>,
        now: Instant,
        dice: Dice,
    }

    impl World {
        fn is_ours(&self, position: u64) -> bool {
            let record = &self.stream[usize::try_from(position - 1).unwrap()];
            match record.key.as_deref() {
                Some(key) => key.parse::<u64>().unwrap() % 3 > 0,
                None => !position.is_multiple_of(3),
            }
        }

        fn ours(&self) -> usize {
            (1..=self.stream.len() as u64).filter(|position| self.is_ours(*position)).count()
        }

        /// In an orderly way: what is out is settled before, most of it.
        fn hand_over(&mut self) {
            self.book.close();
            assert!(self.book.take().is_none() && self.book.room(self.now) == 0);
            self.settle();
            assert_eq!(self.book.has_out(), !self.out.is_empty());
            self.saved = self.book.progress();
            self.restart();
        }

        fn restart(&mut self) {
            self.book.restore(&self.saved, self.now);
            self.out.clear();
        }

        fn history(&self, position: u64) -> History {
            self.histories.get(&position).cloned().unwrap_or_default()
        }

        fn read(&mut self) {
            for _ in 0..self.dice.roll(200) {
                let last = self.stream.len() as u64;
                let Some(position) = (self.book.read_next()..=last).find(|position| self.is_ours(*position)) else {
                    return;
                };
                if self.book.room(self.now) == 0 {
                    return;
                }
                let record = Arc::clone(&self.stream[usize::try_from(position - 1).unwrap()]);
                let history = self.history(position);
                self.book.read(position, record, &history, self.now);
            }
        }

        fn fetch(&mut self) {
            for fetch in self.book.due(self.now) {
                if self.dice.roll(10) == 0 {
                    self.book.fetch_failed(self.book.generation(), fetch, self.now);
                    continue;
                }
                let range = match fetch.what {
                    Wanted::Replay { position, .. } => position..=position,
                    Wanted::Next { from, last } => from..=last,
                };
                let found = range
                    .map(|position| (position, &self.stream[usize::try_from(position - 1).unwrap()]))
                    .find(|(position, record)| Lane::of(*position, record) == fetch.lane)
                    .map(|(position, record)| {
                        let history = self.history(position);
                        (Event::new(position, Arc::clone(record), &history), history)
                    });
                self.book.fetched(self.book.generation(), fetch, found, self.now);
            }
        }

        fn take(&mut self) {
            for _ in 0..self.dice.roll(64) {
                let Some(event) = self.book.take() else { return };
                let lane = Lane::of(event.position, &event.record);
                assert!(self.out.iter().all(|(other, _)| *other != lane), "two of a key are out");
                assert_eq!(event.attempts, self.history(event.position).recent);
                self.out.push((lane, event.position));
            }
        }

        fn settle(&mut self) {
            for _ in 0..self.dice.roll(64) {
                if self.out.is_empty() {
                    return;
                }
                let index = usize::try_from(self.dice.roll(self.out.len() as u64)).unwrap();
                let (lane, position) = self.out.swap_remove(index);
                let outcome = match self.dice.roll(8) {
                    0 => Outcome::Retry { after: Duration::from_millis(self.dice.roll(5000)), cause: String::new() },
                    1 => {
                        self.book.give_back(self.book.generation(), lane, position);
                        continue;
                    }
                    _ => Outcome::Delivered { detail: String::new() },
                };
                let attempt = attempt(outcome);
                let history = self.histories.entry(position).or_default();
                history.recent += 1;
                history.first_recent.get_or_insert(attempt.at);
                history.last = Some(match attempt.outcome {
                    Outcome::Retry { .. } => Last::Retrying { at: time(0), due: time(1) },
                    _ => Last::Delivered,
                });
                if matches!(attempt.outcome, Outcome::Delivered { .. }) {
                    self.delivered.push(position);
                }
                self.book.settled(self.book.generation(), lane, position, &attempt, self.now);
            }
        }
    }

    #[test]
    fn whatever_fails_and_dies_each_key_comes_in_order_and_nothing_is_lost() {
        for seed in 0..20 {
            let mut dice = Dice(seed);
            let stream: Vec<_> = (0..3000)
                .map(|_| match dice.roll(6) {
                    0 => record(None),
                    1 | 2 => record(Some(0)),
                    _ => record(Some(dice.roll(300))),
                })
                .collect();
            let saved = Progress { cursor: 1, read: 1, ..Progress::default() };
            let mut world = World {
                stream,
                book: Book::default(),
                saved,
                histories: HashMap::new(),
                out: Vec::new(),
                delivered: Vec::new(),
                now: Instant::now(),
                dice,
            };
            world.restart();
            let ours = world.ours();
            while world.delivered.len() < ours {
                match world.dice.roll(6) {
                    0 => world.read(),
                    1 => world.fetch(),
                    2 => world.take(),
                    3 => world.settle(),
                    4 if world.dice.roll(20) == 0 => world.restart(),
                    4 if world.dice.roll(20) == 0 => world.hand_over(),
                    _ => world.saved = world.book.progress(),
                }
                world.now += Duration::from_millis(world.dice.roll(50));
            }
            let mut last = HashMap::new();
            for position in &world.delivered {
                let record = &world.stream[usize::try_from(position - 1).unwrap()];
                if let Some(before) = record.key.as_ref().and_then(|key| last.insert(key.clone(), *position)) {
                    assert!(before < *position, "{position} came after {before}");
                }
            }
            world.read();
            world.fetch();
            assert!(world.book.take().is_none(), "something is given out that was delivered");
            let end = world.book.progress();
            assert_eq!((end.unsettled, end.behind.len(), end.retrying), (0, 0, 0));
        }
    }

    fn begun() -> (Instant, Book) {
        let (now, mut book) = (Instant::now(), Book::default());
        book.restore(&Progress { cursor: 1, read: 1, ..Progress::default() }, now);
        (now, book)
    }

    /// Reads the next event, of a key of its own, and says how its first attempt ended.
    fn try_one(book: &mut Book, outcome: Outcome, now: Instant) {
        let position = book.read_next();
        book.read(position, record(Some(position)), &History::default(), now);
        let event = book.take().unwrap();
        book.settled(book.generation(), Lane::of(position, &event.record), position, &attempt(outcome), now);
    }

    fn fails() -> Outcome {
        Outcome::Retry { after: Duration::from_secs(3600), cause: String::new() }
    }

    #[test]
    fn a_dead_target_is_read_ahead_for_slowly_and_not_without_bound() {
        let (mut now, mut book) = begun();
        while book.room(now) > 0 {
            try_one(&mut book, fails(), now);
        }
        assert_eq!(book.progress().behind.len(), LANES_FREELY);
        for _ in 0..10 {
            assert_eq!(book.room(now), 0);
            now = book.room_at().unwrap();
            assert_eq!(book.room(now), 1);
            try_one(&mut book, fails(), now);
        }
        // It is there again: from now on it gets as many as it takes.
        now += PAUSE;
        for _ in 0..1000 {
            assert!(book.room(now) > 0);
            try_one(&mut book, Outcome::Delivered { detail: String::new() }, now);
        }
        // And dead for ever.
        while let Some(at) = book.room_at().or(Some(now).filter(|now| book.room(*now) > 0)) {
            now = at;
            if book.room(now) > 0 {
                try_one(&mut book, fails(), now);
            }
        }
        assert_eq!(book.progress().behind.len(), LANES_BEHIND);
        assert!(serde_json::to_vec(&book.progress()).unwrap().len() < 200_000, "the record fits into a message");
    }

    #[test]
    fn progress_reads_as_it_was_written() {
        let (now, mut book) = begun();
        try_one(&mut book, fails(), now);
        book.read(2, record(None), &History::default(), now);
        let progress = book.progress();
        let text = serde_json::to_string(&progress).unwrap();
        assert_eq!(serde_json::from_str::<Progress>(&text).unwrap(), progress);
    }

    #[test]
    fn a_key_with_many_events_leaves_room_for_others() {
        let (now, mut book) = begun();
        for position in 1..=10_000 {
            book.read(position, record(Some(7)), &History::default(), now);
        }
        assert!(book.room(now) > WINDOW / 2);
        let progress = book.progress();
        assert_eq!((progress.unsettled, progress.read, progress.behind.len()), (10_000, 10_001, 1));
    }

    #[test]
    fn wishes_are_taken_as_many_at_once_as_are_remembered() {
        let mut book = Book::default();
        let (now, wishes) = (Instant::now(), WISHES as u64);
        book.pass(2 * wishes);
        for position in 0..wishes {
            assert_eq!(book.replay(Lane::Alone(position), position, position, now), Wish::Taken);
        }
        assert!(!book.takes_wishes());
        assert_eq!(book.replay(Lane::Alone(wishes), wishes, wishes, now), Wish::Later);
        assert_eq!(book.replay(Lane::Alone(0), 0, 0, now), Wish::Taken, "taken before");
        // One is for an event that is gone, one is delivered again.
        let fetches = book.due(now);
        book.fetched(book.generation(), fetches[0], None, now);
        let Wanted::Replay { position, .. } = fetches[1].what else { panic!("{:?}", fetches[1]) };
        let event = Event::new(position, record(None), &History::default());
        book.fetched(book.generation(), fetches[1], Some((event, History::default())), now);
        book.take().unwrap();
        let outcome = Outcome::Delivered { detail: String::new() };
        book.settled(book.generation(), fetches[1].lane, position, &attempt(outcome), now);
        for more in [wishes, wishes + 1] {
            assert_eq!(book.replay(Lane::Alone(more), more, more, now), Wish::Taken);
        }
        assert!(!book.takes_wishes());
    }

    #[test]
    fn a_wish_for_what_was_on_its_way_is_fulfilled_by_that() {
        let mut book = Book::default();
        let (now, lane) = (Instant::now(), Lane::of(1, &record(Some(1))));
        book.read(1, record(Some(1)), &History::default(), now);
        book.take().unwrap();
        let retry = Outcome::Retry { after: Duration::from_secs(3600), cause: "500".into() };
        book.settled(book.generation(), lane, 1, &attempt(retry), now);
        assert_eq!(book.replay(lane, 1, 7, now), Wish::Moot);
        let fetch = book.due(now)[0];
        let event = Event::new(1, record(Some(1)), &History::default());
        book.fetched(book.generation(), fetch, Some((event, History::default())), now);
        assert_eq!(book.take().unwrap().position, 1);
        let outcome = Outcome::Delivered { detail: String::new() };
        book.settled(book.generation(), lane, 1, &attempt(outcome), now);
        // A look that began before, or did not cross it out.
        assert_eq!(book.replay(lane, 1, 7, now), Wish::Moot);
        assert!(book.due(now).is_empty() && book.take().is_none());
        assert_eq!(book.replay(lane, 1, 8, now), Wish::Taken, "another wish");
    }

    #[test]
    fn what_happened_to_an_event_that_failed_here_is_known() {
        let mut book = Book::default();
        let now = Instant::now();
        book.read(1, record(Some(1)), &History::default(), now);
        book.take().unwrap();
        let retry = Outcome::Retry { after: Duration::ZERO, cause: "500".into() };
        book.settled(book.generation(), Lane::of(1, &record(Some(1))), 1, &attempt(retry), now);
        let fetch = book.due(now)[0];
        assert_eq!(fetch.failed, Some(1));
        let event = Event::new(1, record(Some(1)), &History::default());
        book.fetched(book.generation(), fetch, Some((event, History::default())), now);
        let again = book.take().unwrap();
        assert_eq!((again.attempts, again.first_attempt), (1, Some(time(1))));
    }
}
