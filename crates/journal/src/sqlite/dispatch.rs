//! Which events of a target may be given out now, in memory: those read ahead, in lanes by their key.
//!
//! Every event up to `read_to` was taken up. Taken up, it is settled, or it is in `open`, or it has a row in the database that
//! says what it waits for. So memory holds what is about to be delivered, and the database what has to wait.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::seen;
use crate::delivery::Outcome;
use crate::error::JournalError;
use crate::record::Record;

/// Events of a target in memory, at most, and bytes of them.
const MAX_OPEN: usize = 1024;
const MAX_OPEN_BYTES: usize = 8 << 20;
/// Read at once.
const MAX_READ: usize = 256;
/// Events of one lane in memory: more wait in the database, so that one busy conversation leaves room for others.
const MAX_LANE: usize = 64;
/// Rows of one lane that are taken up at once.
pub(super) const LANE_ROWS: usize = 16;
/// With so many events in retry the target may be dead: new ones are tried slowly, and freely only as long as it takes them.
const MAX_RETRYING: usize = 1000;
/// So many new events are tried then each `PAUSE`, whatever becomes of them.
const TRIED: usize = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// With so many events in retry nothing new is read: each has its place in memory, some two hundred bytes.
const MOST_RETRYING: usize = 100_000;
/// When the cursor is so far behind because of few events, these get rows, and it moves on.
const MAX_LAG: u64 = 8192;

#[derive(Default)]
pub(super) struct Dispatch {
    /// Whether what the database says was taken up.
    pub(super) is_loaded: bool,
    /// Rows changed while that was being done.
    pub(super) is_stale: bool,
    pub(super) is_loading: bool,
    /// Why nothing could be read.
    pub(super) failed: Option<JournalError>,
    /// The last event there is.
    head: u64,
    read_to: u64,
    open: HashMap<u64, Open>,
    bytes: usize,
    /// Taken up, not settled, and without row.
    unrecorded: BTreeSet<u64>,
    /// Beyond `read_to`, and settled or with a row: known from before a restart.
    known_ahead: HashMap<u64, Ahead>,
    ready: BTreeSet<u64>,
    lanes: HashMap<i64, Lane>,
    /// To get rows with the next transaction.
    parking: Vec<(u64, i64)>,
    /// When rows are to be looked up.
    due: BinaryHeap<Reverse<(Instant, Due)>>,
    /// Rows to be looked up now.
    wanted: VecDeque<Due>,
    /// Events that were tried in vain and are not settled.
    retrying: usize,
    /// New events that may be taken up though so many are in retry.
    credit: usize,
    /// When there is more credit, whatever happens.
    credit_at: Option<Instant>,
    leases: u64,
}

struct Open {
    record: Arc<Record>,
    lane: Option<i64>,
    attempts: u32,
    first_attempt: Option<i64>,
    /// Whether there may be a row.
    has_row: bool,
    out: Option<Out>,
}

struct Out {
    lease: u64,
    is_settling: bool,
}

/// The events of one key.
#[derive(Default)]
struct Lane {
    holder: Holder,
    /// Read ahead, in order.
    waiting: VecDeque<u64>,
    /// Whether there may be rows behind those.
    has_rows: bool,
    /// Whether there may be rows before those.
    has_replays: bool,
    /// How many are on their way into rows.
    parking: usize,
}

/// Who has the turn in a lane.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Holder {
    #[default]
    Nobody,
    /// An event that is ready or out.
    Event,
    /// An event that is about to become a row that waits.
    Settling,
    /// A row that waits for its next attempt.
    Retry,
    /// A row that is being looked up.
    Lookup,
}

/// Rows that are to be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The first ones of a lane.
    Lane(i64),
    /// That of an event without key.
    Event(u64),
}

/// An event that was given out.
pub(super) struct Taken {
    pub(super) position: u64,
    pub(super) record: Arc<Record>,
    pub(super) attempts: u32,
    pub(super) first_attempt: Option<i64>,
    pub(super) lease: u64,
}

/// What is to be read from the database.
pub(super) struct Need {
    pub(super) rows: Vec<Due>,
    pub(super) events: Option<Range>,
    /// Rows up to this position only: those behind it are not taken up yet.
    pub(super) rows_to: u64,
    /// Beyond so many bytes only what must be read.
    pub(super) bytes: usize,
}

/// The events after a position, up to another one, and how many at most.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub(super) after: u64,
    pub(super) to: u64,
    pub(super) most: usize,
}

/// A row that waits, with its event.
pub(super) struct Row {
    pub(super) position: u64,
    pub(super) record: Arc<Record>,
    pub(super) attempts: u32,
    pub(super) first_attempt: Option<i64>,
    /// Not before this time from now.
    pub(super) wait: Duration,
}

/// What the database says of a target at the start.
pub(super) struct Known {
    pub(super) cursor: u64,
    /// Beyond the cursor, and settled or with a row.
    pub(super) ahead: HashMap<u64, Ahead>,
    /// Lanes and events with rows, up to the cursor.
    pub(super) rows: Vec<Due>,
    /// How many of these rows were tried before.
    pub(super) retrying: usize,
}

/// An event that was not taken up since the start, and is not as new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    Settled,
    /// It has a row; but events of its lane without one may come before.
    Row {
        lane: Option<i64>,
        is_retrying: bool,
    },
}

/// What a settlement has to know of an event.
#[derive(Clone)]
pub(super) struct Facts {
    pub(super) lane: Option<i64>,
    pub(super) attempts: u32,
    pub(super) first_attempt: Option<i64>,
    pub(super) has_row: bool,
}

impl Lane {
    /// Whether a new event has to wait in the database.
    fn must_park(&self) -> bool {
        self.has_rows
            || self.has_replays
            || self.parking > 0
            || matches!(self.holder, Holder::Settling | Holder::Retry | Holder::Lookup)
            || self.waiting.len() >= MAX_LANE
    }
}

impl Dispatch {
    pub(super) fn new(head: u64) -> Self {
        Self { head, ..Self::default() }
    }

    /// Forgets everything but what there is: as after a restart.
    pub(super) fn reset(&mut self) {
        *self = Self { head: self.head, leases: self.leases, is_loading: self.is_loading, ..Self::default() };
    }

    pub(super) fn load(&mut self, known: Known) {
        self.reset();
        self.is_loaded = true;
        self.read_to = known.cursor;
        self.known_ahead = known.ahead;
        self.retrying = known.retrying;
        for row in known.rows {
            if let Due::Lane(lane) = row {
                self.lanes.insert(lane, Lane { holder: Holder::Lookup, ..Lane::default() });
            }
            self.wanted.push_back(row);
        }
    }

    /// Up to here every event is settled or has a row. Nothing before it is loaded.
    pub(super) fn cursor(&self) -> Option<u64> {
        self.is_loaded.then(|| self.unrecorded.first().map_or(self.read_to, |position| position.saturating_sub(1)))
    }

    /// Events that are neither settled nor have a row.
    pub(super) fn unsettled(&self) -> Option<u64> {
        let ahead = self.head.saturating_sub(self.read_to).saturating_sub(self.known_ahead.len() as u64);
        self.is_loaded.then(|| ahead + self.unrecorded.len() as u64)
    }

    /// The first event that is neither settled nor has a row.
    pub(super) fn first_unsettled(&self) -> Option<u64> {
        self.cursor().map(|cursor| cursor + 1).filter(|first| *first <= self.head)
    }

    // Giving out.

    pub(super) fn take(&mut self, most: usize, taken: &mut Vec<Taken>) {
        while taken.len() < most {
            let Some(position) = self.ready.pop_first() else { return };
            let Some(open) = self.open.get_mut(&position) else { continue };
            self.leases += 1;
            open.out = Some(Out { lease: self.leases, is_settling: false });
            taken.push(Taken {
                position,
                record: Arc::clone(&open.record),
                attempts: open.attempts,
                first_attempt: open.first_attempt,
                lease: self.leases,
            });
        }
    }

    /// The delivery was not settled: it is given out again.
    pub(super) fn hand_back(&mut self, position: u64, lease: u64) -> bool {
        let Some(open) = self.open.get_mut(&position) else { return false };
        if open.out.as_ref().is_some_and(|out| out.lease == lease && !out.is_settling) {
            open.out = None;
            return self.ready.insert(position);
        }
        false
    }

    /// Announces a settlement. False: the delivery is not out.
    pub(super) fn begin_settling(&mut self, position: u64, lease: u64) -> bool {
        match self.open.get_mut(&position).and_then(|open| open.out.as_mut()) {
            Some(out) if out.lease == lease && !out.is_settling => {
                out.is_settling = true;
                true
            }
            _ => false,
        }
    }

    /// Settles at once what leaves nothing to be recorded. False: there may be a row to be removed.
    pub(super) fn skip(&mut self, position: u64) -> bool {
        let is_bare = self.open.get(&position).is_some_and(|open| !open.has_row);
        if is_bare {
            self.settled(position, &Outcome::Skipped);
        }
        is_bare
    }

    /// What is known of a delivery that is being settled.
    pub(super) fn facts(&self, position: u64, lease: u64) -> Option<Facts> {
        let open = self.open.get(&position)?;
        open.out.as_ref().filter(|out| out.lease == lease)?;
        Some(Facts {
            lane: open.lane,
            attempts: open.attempts,
            first_attempt: open.first_attempt,
            has_row: open.has_row,
        })
    }

    /// It is durable that an event is settled.
    pub(super) fn settled(&mut self, position: u64, outcome: &Outcome) {
        let Some(open) = self.close(position) else { return };
        if open.attempts > 0 {
            self.retrying = self.retrying.saturating_sub(1);
        } else if self.is_slowed() {
            // What the target takes at once pays for itself and another; what it does not want, for itself.
            let earned = match outcome {
                Outcome::Delivered { .. } => 2,
                Outcome::Skipped => 1,
                Outcome::Retry { .. } | Outcome::Dead { .. } => 0,
            };
            self.credit = (self.credit + earned).min(MAX_OPEN);
        }
        if let Some(lane) = open.lane {
            self.release(lane);
        }
    }

    /// An event is about to wait for its next attempt: the events behind it, which are to get rows too. From now on new ones go
    /// the same way.
    pub(super) fn begin_retry(&mut self, position: u64) -> Vec<u64> {
        let Some(lane) = self.open.get(&position).and_then(|open| open.lane) else { return Vec::new() };
        let Some(lane) = self.lanes.get_mut(&lane) else { return Vec::new() };
        lane.holder = Holder::Settling;
        lane.waiting.iter().copied().collect()
    }

    /// It is durable that an event waits for its next attempt, and those behind it for it.
    pub(super) fn retried(&mut self, position: u64, behind: &[u64], at: Instant) {
        let Some(open) = self.close(position) else { return };
        if open.attempts == 0 {
            self.retrying += 1;
        }
        let Some(id) = open.lane else {
            self.due.push(Reverse((at, Due::Event(position))));
            return;
        };
        for position in behind {
            self.close(*position);
        }
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.holder = Holder::Retry;
            lane.waiting.clear();
            lane.has_rows |= !behind.is_empty();
        }
        self.due.push(Reverse((at, Due::Lane(id))));
    }

    fn close(&mut self, position: u64) -> Option<Open> {
        let open = self.open.remove(&position)?;
        self.bytes = self.bytes.saturating_sub(open.record.size());
        self.unrecorded.remove(&position);
        self.ready.remove(&position);
        Some(open)
    }

    fn release(&mut self, id: i64) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.holder = Holder::Nobody;
            self.advance(id);
        }
    }

    /// Gives the turn in a lane to the next event.
    fn advance(&mut self, id: i64) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if lane.holder != Holder::Nobody {
            return;
        }
        match lane.waiting.front() {
            // Rows are looked up once all are written that are on their way.
            _ if lane.has_replays && lane.parking > 0 => {}
            _ if lane.has_replays => self.look_up(id),
            Some(_) => {
                lane.holder = Holder::Event;
                self.ready.extend(lane.waiting.pop_front());
            }
            None if lane.parking > 0 => {}
            None if lane.has_rows => self.look_up(id),
            None => {
                self.lanes.remove(&id);
            }
        }
    }

    fn is_retrying(&self, id: i64) -> bool {
        self.lanes.get(&id).is_some_and(|lane| lane.holder == Holder::Retry)
    }

    fn look_up(&mut self, id: i64) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.holder = Holder::Lookup;
            lane.has_rows = false;
            lane.has_replays = false;
            self.wanted.push_back(Due::Lane(id));
        }
    }

    // Taking up.

    /// Events that were just kept. Who is up to date takes them up as they are, others read them later.
    pub(super) fn offer(&mut self, events: &[(u64, Arc<Record>)]) {
        let Some((last, _)) = events.last() else { return };
        self.head = *last;
        if !self.is_loaded || self.is_loading {
            return;
        }
        for (position, record) in events {
            if self.read_to + 1 == *position && self.room() > 0 && self.has_bytes() && self.may_take_up() > 0 {
                self.take_up(*position, Arc::clone(record));
            }
        }
    }

    /// Whether so many events are in retry that new ones are taken up slowly.
    fn is_slowed(&self) -> bool {
        self.retrying >= MAX_RETRYING
    }

    /// How many new events may be taken up.
    fn may_take_up(&self) -> usize {
        match self.retrying {
            0..MAX_RETRYING => usize::MAX,
            MAX_RETRYING..MOST_RETRYING => self.credit,
            _ => 0,
        }
    }

    /// Gives credit when it is time.
    fn give_credit(&mut self, now: Instant) {
        let next = Some(now + PAUSE);
        (self.credit, self.credit_at) = match self.credit_at {
            _ if !self.is_slowed() => (0, None),
            None => (0, next),
            Some(at) if at <= now => (self.credit.max(TRIED), next),
            not_yet => (self.credit, not_yet),
        };
    }

    fn room(&self) -> usize {
        MAX_OPEN.saturating_sub(self.open.len() + self.parking.len())
    }

    fn has_bytes(&self) -> bool {
        self.bytes < MAX_OPEN_BYTES
    }

    fn take_up(&mut self, position: u64, record: Arc<Record>) {
        self.read_to = position;
        match self.known_ahead.remove(&position) {
            None => {}
            Some(Ahead::Settled) => return,
            Some(Ahead::Row { lane, is_retrying }) => return self.take_up_row(position, lane, is_retrying),
        }
        self.credit = self.credit.saturating_sub(1);
        self.unrecorded.insert(position);
        let id = record.key.as_deref().map(seen::hash);
        match id {
            None => {
                self.ready.insert(position);
            }
            Some(id) => {
                let lane = self.lanes.entry(id).or_default();
                if lane.must_park() {
                    lane.parking += 1;
                    self.parking.push((position, id));
                    return;
                }
                match lane.holder {
                    Holder::Nobody => {
                        lane.holder = Holder::Event;
                        self.ready.insert(position);
                    }
                    Holder::Event | Holder::Settling | Holder::Retry | Holder::Lookup => {
                        lane.waiting.push_back(position);
                    }
                }
            }
        }
        self.insert(position, Open { record, lane: id, attempts: 0, first_attempt: None, has_row: false, out: None });
    }

    fn take_up_row(&mut self, position: u64, lane: Option<i64>, is_retrying: bool) {
        self.retrying += usize::from(is_retrying);
        match lane {
            None => self.wanted.push_back(Due::Event(position)),
            Some(id) => {
                self.lanes.entry(id).or_default().has_rows = true;
                self.advance(id);
            }
        }
    }

    fn insert(&mut self, position: u64, open: Open) {
        self.bytes += open.record.size();
        self.open.insert(position, open);
    }

    /// What is to be read now. Who gets an answer reads it and says what was found.
    pub(super) fn need(&mut self, now: Instant) -> Option<Need> {
        if self.is_loading || !self.is_loaded {
            return None;
        }
        while self.due.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            match self.due.pop() {
                Some(Reverse((_, Due::Lane(id)))) if self.is_retrying(id) => self.look_up(id),
                Some(Reverse((_, event @ Due::Event(_)))) => self.wanted.push_back(event),
                _ => {}
            }
        }
        self.give_credit(now);
        if !self.has_bytes() && !self.ready.is_empty() {
            return None;
        }
        let room = self.room();
        let rows: Vec<Due> = self.wanted.drain(..self.wanted.len().min((room / LANE_ROWS).max(1))).collect();
        let room = room.saturating_sub(rows.len() * LANE_ROWS);
        // Not event by event while memory is full.
        let is_worth_it = room >= MAX_OPEN / 4 || self.ready.is_empty() && room > 0;
        let most = room.min(MAX_READ).min(self.may_take_up());
        let is_wanted = self.read_to < self.head && most > 0 && is_worth_it;
        let events = is_wanted.then_some(Range { after: self.read_to, to: self.head, most });
        if rows.is_empty() && events.is_none() {
            return None;
        }
        self.is_loading = true;
        Some(Need { rows, events, rows_to: self.read_to, bytes: MAX_OPEN_BYTES.saturating_sub(self.bytes) })
    }

    /// When there is something to be read without anybody saying so.
    pub(super) fn next_due(&self) -> Option<Instant> {
        // Who reads says when that is done.
        if !self.is_loaded || self.is_loading {
            return None;
        }
        let is_waiting = self.read_to < self.head && self.is_slowed() && self.credit == 0;
        let credit_at = self.credit_at.filter(|_| is_waiting && self.retrying < MOST_RETRYING);
        self.due.peek().map(|Reverse((at, _))| *at).into_iter().chain(credit_at).min()
    }

    /// Reading failed: the same is to be read again.
    pub(super) fn unread(&mut self, need: Need) {
        self.wanted.extend(need.rows);
    }

    /// The events that follow `read_to`, as far as they are still there, up to the position `last`.
    pub(super) fn events_read(&mut self, events: Vec<(u64, Arc<Record>)>, last: u64) {
        for (position, record) in events {
            if position > self.read_to {
                self.take_up(position, record);
            }
        }
        self.read_to = self.read_to.max(last);
    }

    /// The row of an event without key; none when it was settled.
    pub(super) fn event_row_read(&mut self, row: Option<Row>, now: Instant) {
        let Some(row) = row.filter(|row| !self.open.contains_key(&row.position)) else { return };
        match row.wait.is_zero() {
            true => {
                self.ready.insert(row.position);
                self.insert_row(row, None);
            }
            false => self.due.push(Reverse((now + row.wait, Due::Event(row.position)))),
        }
    }

    /// The first rows of a lane, and whether there are more.
    pub(super) fn lane_rows_read(&mut self, id: i64, rows: Vec<Row>, has_more: bool, now: Instant) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.has_rows |= has_more;
        if let Some(first) = rows.first()
            && !first.wait.is_zero()
            && lane.waiting.front().is_none_or(|waiting| *waiting > first.position)
        {
            lane.holder = Holder::Retry;
            lane.has_rows |= rows.len() > 1;
            self.due.push(Reverse((now + first.wait, Due::Lane(id))));
            return;
        }
        for row in rows {
            let Some(lane) = self.lanes.get_mut(&id) else { return };
            if !row.wait.is_zero() {
                lane.has_rows = true;
                break;
            }
            if !self.open.contains_key(&row.position) {
                let place = lane.waiting.partition_point(|waiting| *waiting < row.position);
                lane.waiting.insert(place, row.position);
                self.insert_row(row, Some(id));
            }
        }
        self.release(id);
    }

    fn insert_row(&mut self, row: Row, lane: Option<i64>) {
        let Row { position, record, attempts, first_attempt, wait: _ } = row;
        self.insert(position, Open { record, lane, attempts, first_attempt, has_row: true, out: None });
    }

    /// An operator wants an event again: there is a row for it.
    pub(super) fn replayed(&mut self, position: u64, lane: Option<i64>, was_retrying: bool, now: Instant) {
        self.is_stale = true;
        if !self.is_loaded || self.open.contains_key(&position) {
            return;
        }
        if position > self.read_to {
            self.known_ahead.insert(position, Ahead::Row { lane, is_retrying: was_retrying });
            return;
        }
        match lane {
            None => self.wanted.push_back(Due::Event(position)),
            Some(id) if was_retrying => self.due.push(Reverse((now, Due::Lane(id)))),
            Some(id) => {
                self.lanes.entry(id).or_default().has_replays = true;
                self.advance(id);
            }
        }
    }

    /// Whether an event without row is not settled.
    pub(super) fn is_underway(&self, position: u64) -> bool {
        match position > self.read_to {
            true => !self.known_ahead.contains_key(&position),
            false => self.unrecorded.contains(&position),
        }
    }

    // Getting rows.

    /// Events that are to get rows, with their lanes: those that must wait, and those that hold up the cursor.
    pub(super) fn begin_recording(&mut self) -> ToRecord {
        let parked = self.parking.clone();
        let mut held_up = Vec::new();
        let is_behind = self.unrecorded.first().is_some_and(|first| self.read_to.saturating_sub(*first) > MAX_LAG);
        if is_behind {
            for position in self.unrecorded.range(..self.read_to.saturating_sub(MAX_LAG / 2)) {
                // Those that are not open are being parked.
                if let Some(open) = self.open.get_mut(position)
                    && !open.out.as_ref().is_some_and(|out| out.is_settling)
                {
                    open.has_row = true;
                    held_up.push((*position, open.lane));
                }
            }
        }
        ToRecord { parked, held_up }
    }

    /// It is durable that these have rows.
    pub(super) fn recorded(&mut self, recorded: &ToRecord) {
        for (position, _) in &recorded.held_up {
            self.unrecorded.remove(position);
        }
        let count = recorded.parked.len().min(self.parking.len());
        for (position, id) in self.parking.drain(..count).collect::<Vec<_>>() {
            self.unrecorded.remove(&position);
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.parking = lane.parking.saturating_sub(1);
            lane.has_rows = true;
            self.advance(id);
        }
    }

    pub(super) fn has_to_record(&self) -> bool {
        !self.parking.is_empty()
    }
}

/// Events that are to get rows.
#[derive(Default)]
pub(super) struct ToRecord {
    pub(super) parked: Vec<(u64, i64)>,
    pub(super) held_up: Vec<(u64, Option<i64>)>,
}

impl ToRecord {
    pub(super) fn is_empty(&self) -> bool {
        self.parked.is_empty() && self.held_up.is_empty()
    }
}
