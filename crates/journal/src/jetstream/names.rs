//! Names of streams and subjects. Everything that is kept lies under the name of the stream.

use std::fmt::Write;

use crate::record::Record;

/// The conversations are divided into so many shares, and the work for a target with them.
pub(super) const SHARES: u64 = 8;

/// Keys are spread over so many slots. The slot is part of an event's subject, so that what waits behind a failed event
/// of a key is found without reading the rest. More slots cost the server memory: it keeps a count for every subject.
/// A multiple of the shares: a slot belongs to one.
const SLOTS: u64 = 1024;

/// A command that is longer as a token is in the subject by its hash: servers cut off who sends long subjects.
const MAX_COMMAND: usize = 128;

/// Attempts of so many neighbouring events share a subject.
pub(super) const BUCKET: u64 = 1024;

/// The streams of one journal and their subjects.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// Of the events.
    pub(super) events: String,
    /// Of the attempts made.
    pub(super) attempts: String,
    /// Of the dead letters.
    pub(super) dead: String,
    /// Of what operators did.
    pub(super) audit: String,
    /// Of how far the targets are.
    pub(super) state: String,
}

impl Names {
    pub(super) fn new(stream: &str) -> Self {
        Self {
            events: stream.to_owned(),
            attempts: format!("{stream}_ATTEMPTS"),
            dead: format!("{stream}_DEAD"),
            audit: format!("{stream}_AUDIT"),
            state: format!("{stream}_STATE"),
        }
    }

    /// What the stream of the events takes.
    pub(super) fn every_event(&self) -> String {
        format!("{}.*.*.*.*", self.events)
    }

    /// Where that goes which only uses positions up. It is in no share.
    pub(super) fn gap(&self) -> String {
        format!("{}.-.-.-.-", self.events)
    }

    /// Where an event goes: share, slot, application, command.
    pub(super) fn event(&self, record: &Record) -> String {
        let mut subject = self.slot(share_of(record), record.key.as_deref().map(lane));
        match record.app {
            Some(app) => {
                let _ = write!(subject, ".{app}.");
            }
            None => subject.push_str(".-."),
        }
        push_command(&mut subject, &record.command);
        subject
    }

    /// The events of a slot, or of a command, or of both. Those of other commands may be among them, if the command is long.
    pub(super) fn events_of(&self, lane: Option<u64>, command: Option<&str>) -> String {
        let mut subject = match lane {
            Some(lane) => self.slot(lane % SHARES, Some(lane)),
            None => format!("{}.*.*", self.events),
        };
        subject.push_str(".*.");
        match command {
            Some(command) => push_command(&mut subject, command),
            None => subject.push('*'),
        }
        subject
    }

    /// The events of a conversation, or those without; some of other conversations are among them.
    pub(super) fn conversation(&self, key: Option<&str>) -> String {
        match key {
            Some(key) => self.events_of(Some(lane(key)), None),
            None => format!("{}.*.-.*.*", self.events),
        }
    }

    /// The events of a share.
    pub(super) fn share(&self, share: u64) -> String {
        format!("{}.{share}.>", self.events)
    }

    /// Those without key have the slot `-`.
    fn slot(&self, share: u64, lane: Option<u64>) -> String {
        match lane {
            Some(lane) => format!("{}.{share}.{}", self.events, lane % SLOTS),
            None => format!("{}.{share}.-", self.events),
        }
    }

    /// The attempts of a target in the bucket of a position.
    pub(super) fn attempts_of(&self, target: &str, bucket: u64) -> String {
        format!("{}.{}.{bucket}", self.attempts, token(target))
    }

    pub(super) fn dead_letter(&self, target: &str, position: u64) -> String {
        format!("{}.{}.{position}", self.dead, token(target))
    }

    pub(super) fn dead_letters_of(&self, target: Option<&str>) -> String {
        match target {
            Some(target) => format!("{}.{}.*", self.dead, token(target)),
            None => format!("{}.*.*", self.dead),
        }
    }

    /// Who delivers a share of a target, and how far it is.
    pub(super) fn share_record(&self, target: &str, share: u64) -> String {
        format!("{}.target.{}.{share}", self.state, token(target))
    }

    /// The records of all shares of a target, or of every target.
    pub(super) fn share_records(&self, target: Option<&str>) -> String {
        match target {
            Some(target) => format!("{}.target.{}.*", self.state, token(target)),
            None => format!("{}.target.*.*", self.state),
        }
    }

    /// A replica.
    pub(super) fn member(&self, name: &str) -> String {
        format!("{}.member.{name}", self.state)
    }

    pub(super) fn members(&self) -> String {
        format!("{}.member.*", self.state)
    }

    /// When a target was last configured anywhere.
    pub(super) fn configured(&self, target: &str) -> String {
        format!("{}.configured.{}", self.state, token(target))
    }

    pub(super) fn replay(&self, target: &str, share: u64, position: u64) -> String {
        format!("{}.replay.{}.{share}.{position}", self.state, token(target))
    }

    pub(super) fn replays_of(&self, target: &str) -> String {
        format!("{}.replay.{}.*.*", self.state, token(target))
    }

    pub(super) fn replays_of_share(&self, target: &str, share: u64) -> String {
        format!("{}.replay.{}.{share}.*", self.state, token(target))
    }
}

/// The consumer of a share of a target.
pub(super) fn consumer(target: &str, share: u64) -> String {
    format!("{}-{share}", token(target))
}

/// The share that an event lies in, by its subject.
pub(super) fn share_in(subject: &str) -> Option<u64> {
    subject.split('.').nth(1)?.parse().ok()
}

/// The share of the conversations that an event goes to. One without key is a conversation of its own. Where one lies that is
/// kept tells its subject alone: it may have been given another identity since.
fn share_of(record: &Record) -> u64 {
    lane(record.key.as_deref().unwrap_or(&record.id)) % SHARES
}

/// The number at the end of a subject.
pub(super) fn last_number(subject: &str) -> Option<u64> {
    subject.rsplit('.').next()?.parse().ok()
}

/// The lane of a key: its hash (FNV-1a), which has to stay the same for ever. Two keys that fall together wait for each
/// other needlessly, nothing more.
pub(super) fn lane(key: &str) -> u64 {
    key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A name as one token of a subject, and as the name of a consumer: letters, digits, `-` and `_` as they are, others as `=2E`.
pub(super) fn token(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    push_token(&mut token, name);
    token
}

/// The name of a command as one token; of a long one its hash, as `=h`, which no other name begins with.
fn push_command(subject: &mut String, command: &str) {
    let begin = subject.len();
    if command.len() <= MAX_COMMAND {
        push_token(subject, command);
    }
    if command.len() > MAX_COMMAND || subject.len() - begin > MAX_COMMAND {
        subject.truncate(begin);
        let _ = write!(subject, "=h{:016x}", lane(command));
    }
}

fn push_token(subject: &mut String, name: &str) {
    if name.is_empty() {
        subject.push('=');
    }
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            subject.push(char::from(byte));
        } else {
            let _ = write!(subject, "={byte:02X}");
        }
    }
}

/// What a token was made from; none when it was not made by `token`.
pub(super) fn untoken(token: &str) -> Option<String> {
    if token == "=" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'=' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_one_token_and_comes_back() {
        for name in ["", "crm", "Sns.CallbackFriendAdd", "a b", "*", ">", "=", "群/1", "\r\n"] {
            let token = token(name);
            assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte)), "{token}");
            assert_eq!(untoken(&token).as_deref(), Some(name));
        }
        assert_eq!(untoken("=4"), None);
        assert_eq!(untoken("=zz"), None);
    }

    #[test]
    fn a_subject_is_short_however_long_the_command_is() {
        let names = Names::new("S");
        let long = "x".repeat(MAX_COMMAND + 1);
        for command in [long.as_str(), &"群".repeat(40), &"x".repeat(100_000)] {
            let subject = names.event(&record(Some("a"), None, command));
            assert_eq!(subject, format!("S.4.140.-.=h{:016x}", lane(command)));
            assert!(names.events_of(None, Some(command)).ends_with(&subject[9..]));
        }
        assert_eq!(names.event(&record(None, Some(7), &long[1..])), format!("S.0.-.7.{}", &long[1..]));
    }

    fn record(key: Option<&str>, app: Option<u64>, command: &str) -> Record {
        Record {
            id: "id".into(),
            app,
            command: command.into(),
            key: key.map(str::to_owned),
            received: std::time::UNIX_EPOCH,
            query: String::new(),
            body: bytes::Bytes::new(),
            answer: None,
            by_content: false,
            decoded: true,
        }
    }

    #[test]
    fn a_slot_belongs_to_one_share_and_has_the_events_of_its_keys() {
        let names = Names::new("S");
        assert_eq!(SLOTS % SHARES, 0);
        for key in ["a", "b", "group:@TGS#1", ""] {
            let subject = names.event(&record(Some(key), None, "c"));
            let of = |pattern: String| pattern.trim_end_matches('>').trim_end_matches("*.*").to_owned();
            assert!(subject.starts_with(&of(names.conversation(Some(key)))), "{subject}");
            assert!(subject.starts_with(&of(names.share(share_of(&record(Some(key), None, "c"))))), "{subject}");
        }
    }

    #[test]
    fn the_lane_of_a_key_never_changes() {
        assert_eq!(lane(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(lane("group:@TGS#1"), lane("group:@TGS#1"));
        assert_eq!(lane("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
