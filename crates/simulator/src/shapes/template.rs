//! Bodies that are the sample with other values: users, groups, rooms, keys, numbers and times are told by their looks, and
//! what was the same in the sample stays the same.

use chathook_protocol::Command;
use serde_json::Value;

use super::Facts;
use super::names;
use crate::request::write_number;
use crate::samples;

/// A sample, cut where its values vary.
#[derive(Debug, Default)]
pub(super) struct Template {
    pieces: Vec<(Box<[u8]>, Slot)>,
    end: Box<[u8]>,
}

/// What varies; the number tells the first such value of the sample from the second.
#[derive(Debug, Clone, Copy)]
enum Slot {
    User(u32),
    Group(u32),
    Community(u32),
    Topic(u32),
    Room(u32),
    Channel(u32),
    Uuid(u32),
    MsgKey(u32),
    MsgSeq(u32),
    Random(u32),
    Millis,
    Seconds,
    Body,
}

/// Around the number of a slot, in the text that is cut.
const MARK: char = '\u{1}';

impl Template {
    pub(super) fn of(command: Command) -> Self {
        let sample = samples::body(command).unwrap_or_default();
        let Ok(mut sample) = serde_json::from_slice(&sample) else { return Self::default() };
        let mut marks = Marks::default();
        marks.mark("", &mut sample);
        let text = sample.to_string();
        let mark = serde_json::to_string(&MARK).unwrap_or_default();
        let mark = mark.trim_matches('"');
        let mut pieces = Vec::new();
        let mut parts = text.split(mark);
        let mut piece = parts.next().unwrap_or_default().to_owned();
        while let (Some(number), Some(rest)) = (parts.next(), parts.next()) {
            let Some(slot) = number.parse().ok().and_then(|i: usize| marks.slots.get(i)) else { continue };
            let mut rest = rest;
            if slot.is_bare() {
                // The quotes were those of the mark.
                piece.pop();
                rest = rest.strip_prefix('"').unwrap_or(rest);
            }
            pieces.push((std::mem::take(&mut piece).into_bytes().into(), slot.slot));
            rest.clone_into(&mut piece);
        }
        Self { pieces, end: piece.into_bytes().into() }
    }

    pub(super) fn write(&self, facts: &Facts, messages: &super::Messages, out: &mut Vec<u8>) {
        for (piece, slot) in &self.pieces {
            out.extend_from_slice(piece);
            slot.write(facts, messages, out);
        }
        out.extend_from_slice(&self.end);
    }
}

/// The slots of a sample, and the values that they stand for.
#[derive(Default)]
struct Marks {
    slots: Vec<Marked>,
    seen: Vec<(&'static str, String)>,
}

struct Marked {
    slot: Slot,
    /// It was a number, not a text.
    is_number: bool,
}

impl Marked {
    fn is_bare(&self) -> bool {
        self.is_number || matches!(self.slot, Slot::Body)
    }
}

impl Marks {
    fn mark(&mut self, name: &str, value: &mut Value) {
        let slot = match (name, &*value) {
            ("MsgBody", Value::Array(_)) => Some(Slot::Body),
            (name, Value::String(text)) => self.slot_of_text(name, text),
            (name, Value::Number(number)) => number.as_u64().and_then(|number| self.slot_of_number(name, number)),
            _ => None,
        };
        if let Some(slot) = slot {
            let mark = format!("{MARK}{}{MARK}", self.slots.len());
            self.slots.push(Marked { slot, is_number: value.is_number() });
            *value = Value::String(mark);
            return;
        }
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.mark(name, item)),
            Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| self.mark(name, value)),
            _ => {}
        }
    }

    fn slot_of_text(&mut self, name: &str, text: &str) -> Option<Slot> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let numbered = |prefix| text.strip_prefix(prefix).is_some_and(digits);
        let is_key = || text.split('_').count() == 3 && text.split('_').all(digits);
        if numbered("u_") {
            Some(Slot::User(self.number("user", text)))
        } else if text.contains("@TOPIC#") {
            Some(Slot::Topic(self.number("topic", text)))
        } else if text.starts_with("@TGS#_") {
            Some(Slot::Community(self.number("community", text)))
        } else if text.starts_with("@TGS#") {
            Some(Slot::Group(self.number("group", text)))
        } else if text.starts_with("@TOA#") {
            Some(Slot::Channel(self.number("channel", text)))
        } else if numbered("live_") || numbered("meet_") || (name == "RoomId" && digits(text)) {
            Some(Slot::Room(self.number("room", text)))
        } else if is_key() {
            Some(Slot::MsgKey(self.number("key", text)))
        } else if text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) {
            Some(Slot::Uuid(self.number("uuid", text)))
        } else if text.len() == 13 && digits(text) {
            Some(Slot::Millis)
        } else {
            None
        }
    }

    fn slot_of_number(&mut self, name: &str, number: u64) -> Option<Slot> {
        match name {
            "MsgSeq" => Some(Slot::MsgSeq(self.number("seq", &number.to_string()))),
            "MsgRandom" | "Random" => Some(Slot::Random(self.number("random", &number.to_string()))),
            _ if (1_500_000_000_000..2_000_000_000_000).contains(&number) => Some(Slot::Millis),
            _ if (1_500_000_000..2_000_000_000).contains(&number) => Some(Slot::Seconds),
            _ => None,
        }
    }

    /// Which of its kind `value` is.
    fn number(&mut self, kind: &'static str, value: &str) -> u32 {
        let of_kind = self.seen.iter().filter(|(seen, _)| *seen == kind);
        let (count, found) = (of_kind.clone().count(), of_kind.clone().position(|(_, seen)| seen == value));
        found.unwrap_or_else(|| {
            self.seen.push((kind, value.to_owned()));
            count
        }) as u32
    }
}

impl Slot {
    fn write(self, facts: &Facts, messages: &super::Messages, out: &mut Vec<u8>) {
        match self {
            Self::User(0) => names::user(out, facts.from),
            Self::User(i) => names::user(out, facts.other(i - 1)),
            Self::Group(i) => names::group(out, facts.group.wrapping_add(i)),
            Self::Community(i) => names::community(out, facts.group.wrapping_add(i)),
            Self::Topic(i) => names::topic(out, facts.group, facts.topic.wrapping_add(i)),
            Self::Room(i) => names::live_room(out, facts.group.wrapping_add(i)),
            Self::Channel(i) => names::channel(out, facts.group.wrapping_add(i)),
            Self::Uuid(i) => names::uuid(out, facts.dice.wrapping_add(u64::from(i))),
            Self::MsgKey(i) => facts.key(i, out),
            Self::MsgSeq(i) => write_number(out, u64::from(facts.seq.wrapping_add(i))),
            Self::Random(i) => write_number(out, u64::from(facts.random(i))),
            Self::Millis => write_number(out, facts.time),
            Self::Seconds => write_number(out, facts.time / 1000),
            Self::Body => out.extend_from_slice(messages.get(facts.message()).as_bytes()),
        }
    }
}
