//! Looking into the streams.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::Shared;
use super::book::Lane;
use super::history::{History, Last, Nearby};
use super::names::{lane, share_in, untoken};
use super::read::{self, Found, Query};
use super::record::DeadRecord;
use super::target::{Share, ShareRecord, ShareRecords};
use super::wire::{self, time};
use crate::delivery::State;
use crate::error::JournalError;
use crate::look::{DeadFilter, DeadLetter, Filter, Kept, Stats, Summary, TargetHistory, TargetStats};
use crate::record::{Position, Record};

/// Events looked at in one go, at least and at most.
const CHUNK: u64 = 256;
const LARGE_CHUNK: u64 = 4096;
const LARGEST_CHUNK: u64 = 1_048_576;
const PAGE: usize = 512;
/// Events of dead letters read at once.
const BODIES: usize = 32;
/// Clocks of gateways and servers differ by less.
const CLOCKS: Duration = Duration::from_secs(600);

impl Shared {
    /// Events, newest first: backwards through the stream in chunks. Command and conversation are found by the subject.
    pub(super) async fn events(&self, filter: &Filter) -> Result<Vec<Summary>, JournalError> {
        let mut states = States::new(self).await?;
        if let Some((Some(target), _)) = &filter.state
            && !states.records.contains_key(target)
        {
            return Err(JournalError::NoSuchTarget(target.clone()));
        }
        let state = self.info().await?.state;
        let command = match filter.commands.as_slice() {
            [command] => Some(command.as_str()),
            _ => None,
        };
        let slot = filter.key.as_deref().map(lane);
        let subject = (command.is_some() || slot.is_some()).then(|| self.names.events_of(slot, command));
        let mut high =
            filter.before.map_or(state.last_sequence, |before| before.0.saturating_sub(1).min(state.last_sequence));
        if let Some(until) = filter.until {
            high = high.min(self.last_before(until, state.last_sequence).await?);
        }
        let first = match filter.since {
            Some(since) => self.first_after(since).await?,
            None => 0,
        };
        let (mut chunk, mut found) = (CHUNK, Vec::new());
        while high >= state.first_sequence.max(1) && found.len() < filter.limit {
            let low = high.saturating_sub(chunk - 1).max(state.first_sequence).max(1);
            let (events, older) = self.chunk(filter, subject.as_deref(), low, high).await?;
            for event in events.into_iter().rev() {
                if found.len() >= filter.limit {
                    break;
                }
                let targets = states.of(&event).await?;
                if wants_state(filter, &targets) {
                    found.push(summary(&event, targets));
                }
            }
            // Where the clock of a gateway jumped, newer events are behind older ones; that of the server tells.
            if older && low <= first || low <= 1 {
                break;
            }
            high = low - 1;
            // Where the server picks by subject, it sends little of a long range.
            chunk = (chunk * 2).min(if subject.is_some() { LARGEST_CHUNK } else { LARGE_CHUNK });
        }
        Ok(found)
    }

    /// The events between two positions that fit, and whether all of them are too old.
    async fn chunk(
        &self,
        filter: &Filter,
        subject: Option<&str>,
        low: u64,
        high: u64,
    ) -> Result<(Vec<Event>, bool), JournalError> {
        let (mut events, mut seq, mut newest) = (Vec::new(), low, None::<SystemTime>);
        while seq <= high {
            let query = Query::from(seq, subject.map(str::to_owned), PAGE);
            let page = read::page(&self.client, &self.names.events, &query).await?;
            let Some(last) = page.messages.last().map(|found| found.sequence) else { break };
            for found in page.messages {
                if found.sequence > high {
                    break;
                }
                let Some(event) = Event::of(found) else { continue };
                newest = newest.max(Some(event.record.received));
                if fits(filter, &event.record) {
                    events.push(event);
                }
            }
            seq = last + 1;
            if page.more == 0 {
                break;
            }
        }
        let older = filter
            .since
            .zip(newest)
            .is_some_and(|(since, newest)| since.duration_since(newest).is_ok_and(|before| before > CLOCKS));
        Ok((events, older))
    }

    /// The first event that may have come after a time, by the clock of the server.
    async fn first_after(&self, since: SystemTime) -> Result<u64, JournalError> {
        let query = Query::first_since(since.checked_sub(CLOCKS).unwrap_or(since));
        let page = read::page(&self.client, &self.names.events, &query).await?;
        Ok(page.messages.first().map_or(u64::MAX, |found| found.sequence))
    }

    /// The last event that may have come before a time.
    async fn last_before(&self, until: SystemTime, last: u64) -> Result<u64, JournalError> {
        let query = Query::first_since(until.checked_add(CLOCKS).unwrap_or(until));
        let page = read::page(&self.client, &self.names.events, &query).await?;
        Ok(page.messages.first().map_or(last, |found| found.sequence))
    }

    /// The event at a position, if there is one.
    pub(super) async fn event_at(&self, position: u64) -> Result<Option<Event>, JournalError> {
        let query = Query::from(position.max(1), None, 1);
        let mut page = read::page(&self.client, &self.names.events, &query).await?;
        match page.messages.pop() {
            Some(found) if found.sequence == position => Ok(Event::of(found)),
            _ if self.holds(position).await? => {
                Err(JournalError::Unavailable("a server lags behind; ask again".into()))
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn event(&self, position: u64) -> Result<Option<Kept>, JournalError> {
        let Some(event) = self.event_at(position).await? else { return Ok(None) };
        let mut targets = Vec::new();
        for (target, state, history) in States::new(self).await?.histories(&event).await? {
            let (mut due, mut class) = (None, None);
            match history.last {
                Some(Last::Retrying { due: then, .. }) => due = Some(then),
                Some(Last::Dead { class: fault }) => class = Some(fault),
                Some(Last::Delivered | Last::Skipped | Last::Replayed | Last::Discarded) | None => {}
            }
            if state.is_some() || !history.attempts.is_empty() {
                targets.push(TargetHistory { target, state, due, class, attempts: history.attempts });
            }
        }
        Ok(Some(Kept { position: Position(position), record: event.record, targets }))
    }

    /// Dead letters, newest event first.
    pub(super) async fn dead_letters(&self, filter: &DeadFilter) -> Result<Vec<DeadLetter>, JournalError> {
        if let Some(target) = &filter.target
            && self.target_records(target).await?.is_empty()
        {
            return Err(JournalError::NoSuchTarget(target.clone()));
        }
        let first = self.info().await?.state.first_sequence;
        let subject = self.names.dead_letters_of(filter.target.as_deref());
        let mut newest = BTreeMap::new();
        let mut seq = 1;
        loop {
            let query = Query::from(seq, Some(subject.clone()), PAGE);
            let page = read::page(&self.client, &self.names.dead, &query).await?;
            let Some(last) = page.messages.last().map(|found| found.sequence) else { break };
            let mut letters = Vec::new();
            for found in page.messages {
                let letter = dead_letter(&found.subject, &found.payload)?;
                letters.extend(letter.filter(|letter| letter.position.0 >= first && fits_dead(filter, letter)));
            }
            let mut letters = stream::iter(letters).map(|letter| self.with_body(filter, letter)).buffered(BODIES);
            while let Some(letter) = letters.try_next().await? {
                let Some(letter) = letter else { continue };
                newest.insert((letter.position, letter.target.clone()), letter);
                if newest.len() > filter.limit {
                    newest.pop_first();
                }
            }
            if page.more == 0 {
                break;
            }
            seq = last + 1;
        }
        Ok(newest.into_values().rev().collect())
    }

    /// A dead letter, where what is to be in the body of its event is there.
    async fn with_body(&self, filter: &DeadFilter, letter: DeadLetter) -> Result<Option<DeadLetter>, JournalError> {
        let Some(text) = &filter.contains else { return Ok(Some(letter)) };
        let event = self.event_at(letter.position.0).await?;
        Ok(event.filter(|event| contains(&event.record.body, text.as_bytes())).map(|_| letter))
    }

    pub(super) async fn stats(&self) -> Result<Stats, JournalError> {
        let state = self.info().await?.state;
        let names: Vec<String> = self.targets().keys().cloned().collect();
        let mut targets = Vec::with_capacity(names.len());
        for name in names {
            let records = self.target_records(&name).await?;
            let shares =
                records.iter().map(|(share, record)| self.share_stats(&name, *share, record, state.last_sequence));
            let shares = try_join_all(shares).await?;
            let wishes = self.count(&self.names.state, self.names.replays_of(&name)).await?;
            targets.push(TargetStats {
                backlog: shares.iter().map(|share| share.backlog).sum::<u64>() + wishes,
                retrying: shares.iter().map(|share| share.retrying).sum(),
                dead_letters: self.count(&self.names.dead, self.names.dead_letters_of(Some(&name))).await?,
                oldest: shares.iter().filter_map(|share| share.oldest).min(),
                target: name,
            });
        }
        Ok(Stats {
            events: state.messages,
            bytes: state.bytes,
            expired_dead_letters: self.expired_dead_letters.load(Ordering::Relaxed),
            targets,
        })
    }

    pub(super) async fn count(&self, stream: &str, subject: String) -> Result<u64, JournalError> {
        let query = Query::from(1, Some(subject), 1);
        let page = read::page(&self.client, stream, &query).await?;
        Ok(page.more + u64::try_from(page.messages.len()).unwrap_or(0))
    }

    async fn share_stats(
        &self,
        target: &str,
        share: u64,
        record: &ShareRecord,
        last: u64,
    ) -> Result<ShareStats, JournalError> {
        let live = self.live(target, share).map(|share| share.book().progress());
        let progress = live.as_ref().unwrap_or(&record.progress);
        let (mut backlog, mut oldest) = (progress.unsettled, progress.oldest.map(time));
        if progress.read <= last {
            let query = Query::from(progress.read.max(1), Some(self.names.share(share)), 1);
            let page = read::page(&self.client, &self.names.events, &query).await?;
            backlog += page.more + u64::try_from(page.messages.len()).unwrap_or(0);
            let next = page.messages.into_iter().next();
            oldest =
                oldest.or_else(|| next.and_then(|found| Some(wire::record(&found.headers, found.payload)?.received)));
        }
        Ok(ShareStats { backlog, retrying: progress.retrying, oldest })
    }

    /// A share that this process delivers.
    pub(super) fn live(&self, target: &str, share: u64) -> Option<Arc<Share>> {
        let targets = self.targets();
        targets.get(target)?.as_ref()?.holds(share).map(Arc::clone)
    }
}

/// An event, and where it lies.
pub(super) struct Event {
    pub(super) position: u64,
    pub(super) share: u64,
    pub(super) record: Record,
}

impl Event {
    /// None: it is no event of ours.
    fn of(found: Found) -> Option<Self> {
        let (position, share) = (found.sequence, share_in(&found.subject)?);
        Some(Self { position, share, record: wire::record(&found.headers, found.payload)? })
    }

    pub(super) fn lane(&self) -> Lane {
        Lane::of(self.position, &self.record)
    }
}

/// How far a share of a target is.
struct ShareStats {
    backlog: u64,
    retrying: u64,
    oldest: Option<SystemTime>,
}

/// How far events are with each target.
struct States<'a> {
    shared: &'a Shared,
    records: BTreeMap<String, ShareRecords>,
    nearby: HashMap<String, Nearby>,
}

impl<'a> States<'a> {
    async fn new(shared: &'a Shared) -> Result<Self, JournalError> {
        Ok(Self { shared, records: shared.all_records().await?, nearby: HashMap::new() })
    }

    async fn of(&mut self, event: &Event) -> Result<Vec<(String, State)>, JournalError> {
        let histories = self.histories(event).await?;
        Ok(histories.into_iter().filter_map(|(target, state, _)| Some((target, state?))).collect())
    }

    async fn histories(&mut self, event: &Event) -> Result<Vec<(String, Option<State>, History)>, JournalError> {
        let (shared, lane) = (self.shared, event.lane());
        let Event { position, share, .. } = *event;
        let mut histories = Vec::with_capacity(self.records.len());
        for (target, records) in &self.records {
            let Some(record) = records.get(&share) else { continue };
            let nearby = self.nearby.entry(target.clone()).or_default();
            let history = nearby.of(&shared.client, &shared.names, target, position).await?;
            let state = match history.last {
                Some(Last::Delivered) => Some(State::Delivered),
                Some(Last::Retrying { .. }) => Some(State::Retrying),
                Some(Last::Dead { .. }) => Some(State::Dead),
                Some(Last::Replayed) => Some(State::Pending),
                Some(Last::Skipped | Last::Discarded) => None,
                None if position < record.from || shared.is_target(target).is_err() => None,
                None => shared.is_unsettled(target, share, record, lane, position).then_some(State::Pending),
            };
            histories.push((target.clone(), state, history));
        }
        Ok(histories)
    }
}

impl Shared {
    /// Whether an event of which nothing was recorded is still to be delivered. What was skipped lately by another replica
    /// cannot be told from what is to come.
    fn is_unsettled(&self, target: &str, share: u64, record: &ShareRecord, lane: Lane, position: u64) -> bool {
        match self.live(target, share) {
            Some(share) => share.book().unsettled(lane, position),
            None => {
                let behind = &record.progress.behind;
                position >= record.progress.cursor
                    || behind.iter().any(|b| b.lane == lane && (b.next..=b.last).contains(&position))
            }
        }
    }
}

fn fits(filter: &Filter, record: &Record) -> bool {
    filter.since.is_none_or(|since| record.received >= since)
        && filter.until.is_none_or(|until| record.received < until)
        && (filter.commands.is_empty() || filter.commands.contains(&record.command))
        && filter.key.as_ref().is_none_or(|key| record.key.as_ref() == Some(key))
        && filter.contains.as_ref().is_none_or(|text| contains(&record.body, text.as_bytes()))
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || body.windows(wanted.len()).any(|window| window == wanted)
}

fn wants_state(filter: &Filter, targets: &[(String, State)]) -> bool {
    filter.state.as_ref().is_none_or(|(target, state)| {
        targets.iter().any(|(name, is)| is == state && target.as_ref().is_none_or(|target| target == name))
    })
}

fn summary(Event { position, record, .. }: &Event, targets: Vec<(String, State)>) -> Summary {
    Summary {
        position: Position(*position),
        id: record.id.clone(),
        app: record.app,
        command: record.command.clone(),
        key: record.key.clone(),
        received: record.received,
        size: u64::try_from(record.body.len()).unwrap_or(u64::MAX),
        decoded: record.decoded,
        targets,
    }
}

fn dead_letter(subject: &str, payload: &[u8]) -> Result<Option<DeadLetter>, JournalError> {
    let mut tokens = subject.rsplit('.');
    let position = tokens.next().and_then(|token| token.parse().ok());
    let (Some(position), Some(target)) = (position, tokens.next().and_then(untoken)) else { return Ok(None) };
    let letter: DeadRecord = serde_json::from_slice(payload)
        .map_err(|error| JournalError::Failed(format!("dead letter {subject} is none of ours: {error}")))?;
    Ok(Some(DeadLetter {
        position: Position(position),
        target,
        class: letter.class.parse().map_err(|_| JournalError::Failed(format!("dead letter {subject}: its class")))?,
        cause: letter.cause,
        attempts: letter.attempts,
        died: time(letter.died),
        id: letter.id,
        command: letter.command,
        key: letter.key,
        received: time(letter.received),
    }))
}

/// Whether a dead letter is meant, as far as one sees without its event.
fn fits_dead(filter: &DeadFilter, letter: &DeadLetter) -> bool {
    filter.before.is_none_or(|before| letter.position < before)
        && filter.since.is_none_or(|since| letter.received >= since)
        && filter.until.is_none_or(|until| letter.received < until)
        && filter.class.is_none_or(|class| letter.class == class)
        && (filter.commands.is_empty() || filter.commands.contains(&letter.command))
        && filter.key.as_ref().is_none_or(|key| letter.key.as_ref() == Some(key))
}
