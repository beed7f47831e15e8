//! What arrives and is not in the catalog: kept by name, for people to look at.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// How many findings are kept; what comes after them is only counted.
const CAPACITY: usize = 1000;
/// How often the log is told of the same unknown command.
const REMIND: Duration = Duration::from_mins(1);

/// Unread fields and unknown commands, with when and how often they were seen.
#[derive(Default)]
pub(crate) struct Drift(Mutex<BTreeMap<(String, String), Seen>>);

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
    command: String,
    /// A JSON pointer with `*` for the place in an array; none for a command that nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(flatten)]
    seen: Seen,
}

impl Drift {
    /// Notes the fields that no type read.
    pub(crate) fn fields(&self, command: &str, pointers: &[String]) {
        for pointer in pointers {
            let path = pointer.split('/').map(|part| match part.parse::<usize>() {
                Ok(_) => "*",
                Err(_) => part,
            });
            self.note(command, &path.collect::<Vec<_>>().join("/"));
        }
    }

    /// Notes a command that nobody knows, and tells the log from time to time.
    pub(crate) fn command(&self, name: &str) {
        if self.note(name, "") {
            tracing::warn!(command = %name.escape_debug(), "unknown command acknowledged");
        }
    }

    /// Counts a finding; true when it is time to log it.
    fn note(&self, command: &str, path: &str) -> bool {
        let mut findings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let key = (command.to_owned(), path.to_owned());
        if findings.len() >= CAPACITY && !findings.contains_key(&key) {
            return false;
        }
        let seen = findings.entry(key).or_insert(Seen { count: 0, first_seen: now, last_seen: now, logged: None });
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
        let finding = |((command, path), seen): (&(String, String), &Seen)| Finding {
            command: command.clone(),
            path: Some(path.clone()).filter(|path| !path.is_empty()),
            seen: seen.clone(),
        };
        findings.iter().map(finding).collect()
    }
}
