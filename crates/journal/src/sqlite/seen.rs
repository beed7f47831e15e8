//! Finds duplicates: a fingerprint of each identity of the last while, in memory.
//!
//! A fingerprint that is found says where to look: the identity itself is compared in the database. Eight bytes an event,
//! in runs that are written to the database once, when they are full; so they cost next to nothing, and are back at once
//! after a start. However many runs there are, only those are searched that a sieve lets through.

use std::collections::VecDeque;
use std::time::SystemTime;

use rusqlite::{Connection, params};

use super::time::{millis, to_millis};
use std::time::Duration;

/// A run is full with so many events, or a few more.
const RUN: usize = 32_768;
/// No duplicates are found beyond so many full runs (eight million events), however long the window is: 64 MiB. With the one
/// that takes the place of the oldest they fill their sieves, which are 8 MiB.
const MAX_RUNS: usize = 255;
/// More than twice what a run takes; a slot holds an index and one, zero is empty.
const SLOTS: usize = 1 << 16;

/// Runs in one sieve, and so many sieves for all of them.
const COLUMNS: usize = u64::BITS as usize;
const SIEVES: usize = MAX_RUNS / COLUMNS + 1;
/// Rows of a sieve: with two of them a fingerprint, one of 20 runs is let through that does not have it. 2 MiB.
const ROWS: usize = 1 << 18;

pub(super) struct Seen {
    window: i64,
    full: VecDeque<Run>,
    /// Each for the full runs in [`COLUMNS`] columns.
    sieves: Vec<Sieve>,
    /// Whether the last of the full runs is in the database.
    is_saved: bool,
    current: Run,
}

struct Run {
    first: u64,
    newest: i64,
    /// Of the sieves, once it is full.
    column: usize,
    /// One a position.
    fingerprints: Vec<u32>,
    slots: Box<[u16]>,
}

/// The fingerprint of an identity.
pub(super) fn fingerprint(id: &str) -> u32 {
    let hash = hash(id).cast_unsigned();
    (hash ^ (hash >> 32)) as u32
}

/// FNV-1a, because it is the same tomorrow; mixed, because its low bits are weak.
pub(super) fn hash(text: &str) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash ^ (hash >> 29)).cast_signed()
}

impl Run {
    fn new(first: u64) -> Self {
        let slots = vec![0; SLOTS].into_boxed_slice();
        Self { first, newest: i64::MIN, column: 0, fingerprints: Vec::new(), slots }
    }

    fn push(&mut self, fingerprint: u32) {
        let mut slot = fingerprint as usize % SLOTS;
        while self.slots.get(slot).is_some_and(|taken| *taken != 0) {
            slot = (slot + 1) % SLOTS;
        }
        self.fingerprints.push(fingerprint);
        let index = u16::try_from(self.fingerprints.len()).unwrap_or(u16::MAX);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = index;
        }
    }

    /// Forgets those beyond `len`, the youngest first: so no chain of slots is torn.
    fn truncate(&mut self, len: usize) {
        while self.fingerprints.len() > len {
            let index = u16::try_from(self.fingerprints.len()).unwrap_or(u16::MAX);
            let Some(fingerprint) = self.fingerprints.pop() else { return };
            let mut slot = fingerprint as usize % SLOTS;
            while let Some(place) = self.slots.get_mut(slot) {
                if *place == index || *place == 0 {
                    *place = 0;
                    break;
                }
                slot = (slot + 1) % SLOTS;
            }
        }
    }

    fn find(&self, fingerprint: u32, found: &mut Vec<u64>) {
        let mut slot = fingerprint as usize % SLOTS;
        while let Some(index) = self.slots.get(slot).copied().filter(|index| *index != 0) {
            let index = usize::from(index) - 1;
            if self.fingerprints.get(index) == Some(&fingerprint) {
                found.push(self.first + index as u64);
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// Which runs may have a fingerprint: a bit for each of them.
struct Sieve(Box<[u64]>);

impl Sieve {
    fn new() -> Self {
        Self(vec![0; ROWS].into_boxed_slice())
    }

    fn rows(fingerprint: u32) -> [usize; 2] {
        let fingerprint = fingerprint as usize;
        [fingerprint % ROWS, (fingerprint >> (u32::BITS - ROWS.ilog2())) % ROWS]
    }

    fn put(&mut self, column: usize, fingerprints: &[u32]) {
        for row in fingerprints.iter().flat_map(|fingerprint| Self::rows(*fingerprint)) {
            if let Some(columns) = self.0.get_mut(row) {
                *columns |= 1 << column;
            }
        }
    }

    /// Empties all other columns.
    fn keep(&mut self, columns: u64) {
        self.0.iter_mut().for_each(|row| *row &= columns);
    }

    fn columns(&self, fingerprint: u32) -> u64 {
        let columns = |row| self.0.get(row).copied().unwrap_or_default();
        let [one, other] = Self::rows(fingerprint);
        columns(one) & columns(other)
    }
}

impl Seen {
    /// What was seen before, up to the position `head`.
    pub(super) fn load(connection: &Connection, window: Duration, head: u64) -> rusqlite::Result<Self> {
        let window = millis(window);
        let since = to_millis(SystemTime::now()).saturating_sub(window);
        let mut runs = VecDeque::new();
        let mut query = connection
            .prepare("SELECT first, newest, fingerprints FROM seen WHERE newest >= ? ORDER BY first DESC LIMIT ?")?;
        let mut rows = query.query(params![since, MAX_RUNS as i64])?;
        while let Some(row) = rows.next()? {
            let mut run = Run::new(row.get::<_, i64>(0)?.cast_unsigned());
            run.newest = row.get(1)?;
            let (fingerprints, _) = row.get_ref(2)?.as_blob()?.as_chunks::<4>();
            for fingerprint in fingerprints.iter().take(SLOTS - 1) {
                run.push(u32::from_le_bytes(*fingerprint));
            }
            runs.push_front(run);
        }
        let after: i64 =
            connection.query_row("SELECT coalesce(max(first + length(fingerprints) / 4), 0) FROM seen", [], |row| {
                row.get(0)
            })?;
        let after = after.cast_unsigned().max(head.saturating_sub(RUN as u64 + 4096) + 1);
        let (full, sieves) = (VecDeque::with_capacity(runs.len()), Vec::new());
        let mut seen = Self { window, full, sieves, is_saved: true, current: Run::new(after) };
        runs.into_iter().for_each(|run| seen.close(run));
        let mut query =
            connection.prepare("SELECT position, id, received FROM event WHERE position >= ? ORDER BY position")?;
        let mut rows = query.query([after.cast_signed()])?;
        while let Some(row) = rows.next()? {
            let position = row.get::<_, i64>(0)?.cast_unsigned();
            if seen.current.fingerprints.is_empty() {
                seen.current.first = position;
            }
            seen.add(position, fingerprint(row.get_ref(1)?.as_str()?), row.get(2)?);
        }
        if seen.current.fingerprints.is_empty() {
            seen.current.first = head + 1;
        }
        Ok(seen)
    }

    /// Where an event with this identity may be.
    pub(super) fn find(&self, fingerprint: u32) -> Vec<u64> {
        // Mostly nothing is found, and nothing allocated.
        let mut found = Vec::new();
        let mut columns = [0; SIEVES];
        for (columns, sieve) in columns.iter_mut().zip(&self.sieves) {
            *columns = sieve.columns(fingerprint);
        }
        let may_have = |run: &&Run| {
            columns.get(run.column / COLUMNS).is_some_and(|columns| columns >> (run.column % COLUMNS) & 1 == 1)
        };
        for run in self.full.iter().filter(may_have) {
            run.find(fingerprint, &mut found);
        }
        self.current.find(fingerprint, &mut found);
        found
    }

    /// Whether something received at `earlier` still counts for something received at `now`: not when the clock jumped back
    /// by more than the window meanwhile.
    pub(super) fn is_within(&self, earlier: i64, now: i64) -> bool {
        now.abs_diff(earlier) <= self.window.unsigned_abs()
    }

    pub(super) fn add(&mut self, position: u64, fingerprint: u32, received: i64) {
        // Positions follow one another but for those that retention removed.
        while self.current.first + (self.current.fingerprints.len() as u64) < position
            && self.current.fingerprints.len() < SLOTS / 2
        {
            self.current.push(0);
        }
        self.current.push(fingerprint);
        self.current.newest = self.current.newest.max(received);
    }

    /// How many there are now, for `forget_after`.
    pub(super) fn mark(&self) -> usize {
        self.current.fingerprints.len()
    }

    /// Forgets those that were added since `mark`: they were not kept.
    pub(super) fn forget_after(&mut self, mark: usize) {
        self.current.truncate(mark);
    }

    /// Closes a run that is full.
    pub(super) fn roll(&mut self) {
        if self.current.fingerprints.len() >= RUN {
            let next = Run::new(self.current.first + self.current.fingerprints.len() as u64);
            let run = std::mem::replace(&mut self.current, next);
            self.close(run);
            self.is_saved = false;
        }
    }

    /// Adds a run that is full, in a column of its own.
    fn close(&mut self, mut run: Run) {
        let is_free = |column: &usize| !self.full.iter().any(|other| other.column == *column);
        run.column = (0..).find(is_free).unwrap_or_default();
        let number = run.column / COLUMNS;
        while self.sieves.len() <= number {
            self.sieves.push(Sieve::new());
        }
        if let Some(sieve) = self.sieves.get_mut(number) {
            sieve.put(run.column % COLUMNS, &run.fingerprints);
        }
        self.full.push_back(run);
    }

    /// Writes the run that was closed, if it is not written. `saved` when that is durable.
    pub(super) fn save(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Some(run) = self.full.back().filter(|_| !self.is_saved) else { return Ok(()) };
        let bytes: Vec<u8> = run.fingerprints.iter().flat_map(|fingerprint| fingerprint.to_le_bytes()).collect();
        connection
            .prepare_cached("INSERT OR REPLACE INTO seen (first, newest, fingerprints) VALUES (?, ?, ?)")?
            .execute(params![run.first.cast_signed(), run.newest, bytes])?;
        let expired = to_millis(SystemTime::now()).saturating_sub(self.window);
        connection
            .prepare_cached("DELETE FROM seen WHERE newest < ? AND first < ?")?
            .execute(params![expired.min(run.newest.saturating_sub(self.window)), run.first.cast_signed()])?;
        Ok(())
    }

    pub(super) fn saved(&mut self) {
        if std::mem::replace(&mut self.is_saved, true) {
            return;
        }
        let since = self.full.back().map_or(i64::MIN, |run| run.newest).saturating_sub(self.window);
        let before = self.full.len();
        self.full.retain(|run| run.newest >= since);
        while self.full.len() > MAX_RUNS {
            self.full.pop_front();
        }
        if self.full.len() < before {
            self.sweep();
        }
    }

    /// Empties the columns of the runs that are gone.
    fn sweep(&mut self) {
        for (number, sieve) in self.sieves.iter_mut().enumerate() {
            let runs = self.full.iter().filter(|run| run.column / COLUMNS == number);
            sieve.keep(runs.fold(0, |columns, run| columns | 1 << (run.column % COLUMNS)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(run: &Run, fingerprint: u32) -> Vec<u64> {
        let mut found = Vec::new();
        run.find(fingerprint, &mut found);
        found
    }

    #[test]
    fn what_was_not_kept_is_forgotten_and_the_rest_is_found() {
        let mut run = Run::new(100);
        // All in one chain of slots.
        let of = |number: u32| 7 + number * SLOTS as u32;
        for number in 0..1000 {
            run.push(of(number % 600));
        }
        assert_eq!(found(&run, of(1)), [101, 701]);
        run.truncate(601);
        assert_eq!(found(&run, of(0)), [100, 700]);
        assert_eq!(found(&run, of(1)), [101]);
        assert_eq!(found(&run, of(599)), [699]);
        run.truncate(0);
        assert!(found(&run, of(0)).is_empty());
        assert!(run.slots.iter().all(|slot| *slot == 0));
    }

    fn seen() -> Seen {
        let window = 1000;
        Seen { window, full: VecDeque::new(), sieves: Vec::new(), is_saved: true, current: Run::new(1) }
    }

    fn positions(seen: &Seen, number: u32) -> Vec<u64> {
        seen.find(number.wrapping_mul(0x9e37_79b9))
    }

    /// Runs in which each number comes once; the time of receipt of a run is its number.
    fn fill(seen: &mut Seen, runs: std::ops::Range<usize>) {
        for number in runs {
            for i in 0..RUN {
                let position = (number * RUN + i) as u64 + 1;
                seen.add(position, (position as u32).wrapping_mul(0x9e37_79b9), number as i64);
            }
            seen.roll();
            seen.saved();
        }
    }

    #[test]
    fn what_any_of_the_runs_has_is_found_and_what_the_window_let_go_is_not() {
        let mut seen = seen();
        fill(&mut seen, 0..70);
        for number in [1, RUN, RUN + 1, 64 * RUN, 64 * RUN + 1, 70 * RUN] {
            assert_eq!(positions(&seen, number as u32), [number as u64], "{number}");
        }
        assert!(positions(&seen, 70 * RUN as u32 + 1).is_empty());
        // The window goes on; those that come have the columns of those that went.
        seen.window = 5;
        fill(&mut seen, 70..80);
        assert!(positions(&seen, 74 * RUN as u32).is_empty());
        for number in 74 * RUN + 1..=80 * RUN {
            assert_eq!(positions(&seen, number as u32), [number as u64], "{number}");
        }
        assert!(seen.full.iter().all(|run| run.column < 11), "the columns of runs that went are taken again");
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for_and_few_runs_are_searched() {
        let mut seen = seen();
        fill(&mut seen, 0..MAX_RUNS + 2);
        assert_eq!(seen.full.len(), MAX_RUNS);
        assert!(positions(&seen, 2 * RUN as u32).is_empty());
        assert_eq!(positions(&seen, 2 * RUN as u32 + 1), [2 * RUN as u64 + 1]);
        let searched = |number: u32| -> u32 {
            let fingerprint = number.wrapping_mul(0x9e37_79b9);
            seen.sieves.iter().map(|sieve| sieve.columns(fingerprint).count_ones()).sum()
        };
        let searched: u32 = (0..1000).map(|i| searched(u32::MAX - i)).sum();
        assert!(searched < 1000 * MAX_RUNS as u32 / 10, "{searched} of {} runs", 1000 * MAX_RUNS);
    }

    #[test]
    fn the_hash_of_a_key_is_the_same_tomorrow() {
        // It is in databases.
        assert_eq!(hash(""), -8831310031781878669);
        assert_eq!(hash("c2c:a:b"), 9125599647910966346);
    }
}
