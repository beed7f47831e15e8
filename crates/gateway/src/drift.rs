//! What arrives and is not in the table of commands or in their types: kept by name, for people to look at.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chathook_protocol::DecodeError;
use chathook_protocol::error::DecodeErrorKind;
use serde::Serialize;

/// How many findings are kept; what comes after them is only counted.
const CAPACITY: usize = 1000;
/// How often the log is told of the same finding.
const REMIND: Duration = Duration::from_mins(1);

/// How much of a name is kept, in bytes.
const NAME: usize = 256;

/// What was found, with when and how often.
#[derive(Default)]
pub(crate) struct Drift(Mutex<BTreeMap<Found, Seen>>);

/// What can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A command that nobody knows.
    UnknownCommand,
    /// A field that no type reads.
    UnreadField,
    /// A body that was not read, and where.
    BodyNotRead,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Found {
    command: String,
    kind: Kind,
    /// A JSON pointer with `*` for the place in an array; empty for the whole.
    path: String,
}

#[derive(Clone, Serialize)]
struct Seen {
    count: u64,
    /// Unix seconds.
    first_seen: u64,
    /// Unix seconds.
    last_seen: u64,
    #[serde(skip)]
    logged: Option<Instant>,
}

/// One finding, as `/api/drift` shows it.
#[derive(Serialize)]
pub(crate) struct Finding {
    #[serde(flatten)]
    found: Found,
    #[serde(flatten)]
    seen: Seen,
}

impl Drift {
    /// Notes the fields that no type read.
    pub(crate) fn fields(&self, command: &str, pointers: &[String]) {
        for pointer in pointers {
            self.note(command, Kind::UnreadField, pointer);
        }
    }

    /// Notes a command that nobody knows, and tells the log from time to time.
    pub(crate) fn command(&self, name: &str) {
        if self.note(name, Kind::UnknownCommand, "") {
            tracing::warn!(command = %beginning(name).escape_debug(), "unknown command acknowledged");
        }
    }

    /// Notes a body that was not read, and tells the log from time to time. The cause may quote the body: only its
    /// kind is told.
    pub(crate) fn body(&self, error: &DecodeError) {
        if self.note(error.command.as_str(), Kind::BodyNotRead, &error.path) {
            let cause = match &error.source {
                DecodeErrorKind::Utf8(_) => "not UTF-8",
                DecodeErrorKind::Json(json) if json.is_data() => "not of its shape",
                DecodeErrorKind::Json(_) => "not JSON",
            };
            tracing::warn!(command = %error.command, path = %error.path, cause, "body not read");
        }
    }

    /// Counts a finding; true when it is time to log it.
    fn note(&self, command: &str, kind: Kind, pointer: &str) -> bool {
        let parts = beginning(pointer).split('/').map(|part| match part.parse::<usize>() {
            Ok(_) => "*",
            Err(_) => part,
        });
        let found = Found { command: beginning(command).to_owned(), kind, path: parts.collect::<Vec<_>>().join("/") };
        let mut findings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if findings.len() >= CAPACITY && !findings.contains_key(&found) {
            return false;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let seen = findings.entry(found).or_insert(Seen { count: 0, first_seen: now, last_seen: now, logged: None });
        seen.count += 1;
        seen.last_seen = now;
        let due = seen.logged.is_none_or(|logged| logged.elapsed() >= REMIND);
        if due {
            seen.logged = Some(Instant::now());
        }
        due
    }

    /// All findings, by command and path.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let findings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        findings.iter().map(|(found, seen)| Finding { found: found.clone(), seen: seen.clone() }).collect()
    }
}

/// As much of a name as is kept: a sender may make it as long as a body.
fn beginning(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME)]
}
