//! Finds duplicates: a fingerprint of each identity of the last while, in memory.
//!
//! A fingerprint that is found says where to look: the identity itself is compared in the database. Eight bytes an event,
//! in runs that are written to the database once, when they are full; so they cost next to nothing, and are back at once
//! after a start.

use std::collections::VecDeque;
use std::time::SystemTime;

use rusqlite::{Connection, params};

use super::time::{millis, to_millis};
use std::time::Duration;

/// A run is full with so many events, or a few more.
const RUN: usize = 32_768;
/// No duplicates are found beyond so many full runs (eight million events), however long the window is: 64 MiB.
const MAX_RUNS: usize = 256;
/// More than twice what a run takes; a slot holds an index and one, zero is empty.
const SLOTS: usize = 1 << 16;

pub(super) struct Seen {
    window: i64,
    full: VecDeque<Run>,
    /// Whether the last of the full runs is in the database.
    is_saved: bool,
    current: Run,
}

struct Run {
    first: u64,
    newest: i64,
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
        Self { first, newest: i64::MIN, fingerprints: Vec::new(), slots: vec![0; SLOTS].into_boxed_slice() }
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

impl Seen {
    /// What was seen before, up to the position `head`.
    pub(super) fn load(connection: &Connection, window: Duration, head: u64) -> rusqlite::Result<Self> {
        let window = millis(window);
        let since = to_millis(SystemTime::now()).saturating_sub(window);
        let mut full = VecDeque::new();
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
            full.push_front(run);
        }
        let after: i64 =
            connection.query_row("SELECT coalesce(max(first + length(fingerprints) / 4), 0) FROM seen", [], |row| {
                row.get(0)
            })?;
        let after = after.cast_unsigned().max(head.saturating_sub(RUN as u64 + 4096) + 1);
        let mut seen = Self { window, full, is_saved: true, current: Run::new(after) };
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
    pub(super) fn find(&self, fingerprint: u32, found: &mut Vec<u64>) {
        found.clear();
        for run in self.full.iter().chain([&self.current]) {
            run.find(fingerprint, found);
        }
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
            self.full.push_back(std::mem::replace(&mut self.current, next));
            self.is_saved = false;
        }
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
        self.full.retain(|run| run.newest >= since);
        while self.full.len() > MAX_RUNS {
            self.full.pop_front();
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

    #[test]
    fn the_hash_of_a_key_is_the_same_tomorrow() {
        // It is in databases.
        assert_eq!(hash(""), -8831310031781878669);
        assert_eq!(hash("c2c:a:b"), 9125599647910966346);
    }
}
