//! What happened to events at targets: every attempt, replay and discard, in a stream of its own. Written in groups, one
//! message for neighbouring events of a target, and read by position.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use async_nats::Client;
use serde::{Deserialize, Serialize};

use super::names::{BUCKET, Names};
use super::read;
use super::wire::{millis, time};
use crate::delivery::{Attempt, DeadClass, Outcome, State};
use crate::error::JournalError;
use crate::look::AttemptMade;

/// Bytes of a detail or a cause that are kept.
const DETAIL: usize = 512;

/// Something that happened to an event at a target. A message is a list of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The event's position.
    pub(super) p: u64,
    /// When, in milliseconds since 1970.
    pub(super) at: u64,
    #[serde(flatten)]
    pub(super) what: What,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub(super) enum What {
    Delivered {
        took: u64,
        detail: String,
    },
    Retrying {
        took: u64,
        detail: String,
        due: u64,
    },
    Dead {
        took: u64,
        detail: String,
        class: String,
    },
    /// Not wanted any more.
    Skipped,
    Replayed,
    Discarded,
}

impl Entry {
    /// Of an attempt.
    pub(super) fn of(position: u64, attempt: &Attempt) -> Self {
        let took = u64::try_from(attempt.took.as_micros()).unwrap_or(u64::MAX);
        let what = match &attempt.outcome {
            Outcome::Delivered { detail } => What::Delivered { took, detail: short(detail) },
            Outcome::Retry { after, cause } => {
                let due = SystemTime::now().checked_add(*after).map_or(u64::MAX, millis);
                What::Retrying { took, detail: short(cause), due }
            }
            Outcome::Dead { class, cause } => What::Dead { took, detail: short(cause), class: class.to_string() },
            Outcome::Skipped => What::Skipped,
        };
        Self { p: position, at: millis(attempt.at), what }
    }
}

/// The beginning of a text.
pub(super) fn short(text: &str) -> String {
    let mut end = text.len().min(DETAIL);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// All that happened to one event at one target.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    pub(super) attempts: Vec<AttemptMade>,
    pub(super) last: Option<Last>,
    /// Attempts since the event was kept or replayed, and when the first of them was.
    pub(super) recent: u32,
    pub(super) first_recent: Option<SystemTime>,
    /// The sequence of the last message about it.
    pub(super) sequence: u64,
}

/// The last that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Delivered,
    /// The attempt was at that time, and the next one is due then.
    Retrying {
        at: SystemTime,
        due: SystemTime,
    },
    Dead {
        class: DeadClass,
    },
    Skipped,
    Replayed,
    Discarded,
}

impl History {
    fn add(&mut self, entry: Entry) {
        let at = time(entry.at);
        let mut attempt = |took: u64, led_to, detail| {
            self.attempts.push(AttemptMade { at, took: Duration::from_micros(took), led_to, detail });
            self.recent = self.recent.saturating_add(1);
            self.first_recent.get_or_insert(at);
        };
        self.last = Some(match entry.what {
            What::Delivered { took, detail } => {
                attempt(took, State::Delivered, detail);
                Last::Delivered
            }
            What::Retrying { took, detail, due } => {
                attempt(took, State::Retrying, detail);
                Last::Retrying { at, due: time(due) }
            }
            What::Dead { took, detail, class } => {
                attempt(took, State::Dead, detail);
                Last::Dead { class: class.parse().unwrap_or(DeadClass::Gateway) }
            }
            What::Skipped => Last::Skipped,
            What::Replayed => {
                (self.recent, self.first_recent) = (0, None);
                Last::Replayed
            }
            What::Discarded => Last::Discarded,
        });
    }

    /// How long until the event is tried again that waits for that. Whoever had the share before may have another clock:
    /// nobody waits longer than was said.
    pub(super) fn wait(&self, now: SystemTime) -> Option<Duration> {
        let Some(Last::Retrying { at, due }) = self.last else { return None };
        let until = |from| due.duration_since(from).unwrap_or_default();
        Some(until(now).min(until(at)))
    }

    /// Whether the target is done with the event.
    pub(super) fn settled(&self) -> bool {
        match self.last {
            Some(Last::Delivered | Last::Dead { .. } | Last::Skipped | Last::Discarded) => true,
            Some(Last::Retrying { .. } | Last::Replayed) | None => false,
        }
    }
}

/// What happened to the events of one bucket at one target.
pub(super) type Histories = HashMap<u64, History>;

/// Reads a bucket.
pub(super) async fn load(client: &Client, names: &Names, target: &str, bucket: u64) -> Result<Histories, JournalError> {
    let mut histories = Histories::new();
    for message in read::all(client, &names.attempts, &names.attempts_of(target, bucket)).await? {
        let entries: Vec<Entry> = serde_json::from_slice(&message.payload).map_err(|error| {
            let at = message.sequence;
            JournalError::Failed(format!("stream {}: message {at} is none of ours: {error}", names.attempts))
        })?;
        for entry in entries {
            let history = histories.entry(entry.p).or_default();
            history.add(entry);
            history.sequence = message.sequence;
        }
    }
    Ok(histories)
}

/// The histories of the bucket that was asked for last: neighbours are asked for one after the other.
#[derive(Debug, Default)]
pub(super) struct Nearby {
    loaded: Option<(u64, Histories)>,
}

impl Nearby {
    /// What happened to an event, as it was when its bucket was read.
    pub(super) async fn of(
        &mut self,
        client: &Client,
        names: &Names,
        target: &str,
        position: u64,
    ) -> Result<History, JournalError> {
        let bucket = position / BUCKET;
        if self.loaded.as_ref().is_none_or(|(loaded, _)| *loaded != bucket) {
            self.loaded = Some((bucket, load(client, names, target, bucket).await?));
        }
        Ok(self.loaded.as_ref().and_then(|(_, histories)| histories.get(&position)).cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_begins_anew_and_forgets_no_attempt() {
        let retry = Outcome::Retry { after: Duration::from_secs(1), cause: "500".into() };
        let attempt = Attempt { at: time(5), took: Duration::from_micros(7), outcome: retry };
        let text = serde_json::to_string(&Entry::of(9, &attempt)).unwrap();
        let mut history = History::default();
        history.add(serde_json::from_str(&text).unwrap());
        assert_eq!((history.recent, history.first_recent, history.settled()), (1, Some(time(5)), false));
        history.add(Entry { p: 9, at: 6, what: What::Replayed });
        assert_eq!((history.recent, history.first_recent, history.attempts.len()), (0, None, 1));
        history.add(Entry { p: 9, at: 8, what: What::Delivered { took: 1, detail: "200".into() } });
        assert_eq!((history.recent, history.settled(), history.attempts.len()), (1, true, 2));
    }

    #[test]
    fn whatever_the_clock_of_who_tried_said_nobody_waits_longer_than_was_said() {
        let hour = 3_600_000;
        let wait = |at, due, now| {
            let mut history = History::default();
            let what = What::Retrying { took: 1, detail: String::new(), due };
            history.add(Entry { p: 1, at, what });
            history.wait(time(now)).unwrap()
        };
        assert_eq!(wait(hour, hour + 1000, hour + 400), Duration::from_millis(600));
        assert_eq!(wait(hour, hour + 1000, hour + 1000), Duration::ZERO);
        assert_eq!(wait(2 * hour, 2 * hour + 1000, hour), Duration::from_millis(1000), "a clock that was ahead");
        assert_eq!(wait(hour, hour + 1000, 2 * hour), Duration::ZERO, "a clock that was behind");
        assert_eq!(History::default().wait(time(0)), None);
    }

    #[test]
    fn a_long_cause_is_cut_between_characters() {
        assert_eq!(short(&"群".repeat(1000)).len(), 510);
        assert_eq!(short("200"), "200");
    }
}
