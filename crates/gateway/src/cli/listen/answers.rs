//! What to answer to which callback.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::Deserialize;

use crate::config::{Commands, duration};

pub(super) const HELP: &str = "\
What to answer to which callback: a TOML file of [[answer]] tables, of which the first that fits is taken. \
What none fits is answered with OK.

  [[answer]]
  commands = [\"Group.CallbackBeforeSendMsg\", \"C2C.*\"]    # default: every command
  contains = \"casino\"                                    # a text in the body; default: any body
  times    = 3                                           # for so many callbacks; default: for all
  body     = '{\"ActionStatus\":\"OK\",\"ErrorInfo\":\"\",\"ErrorCode\":1}'
  status   = 200                                         # 200 to 599; default: 200
  delay    = \"3s\"                                        # default: at once";

/// What the protocol has for OK.
const OK: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answers {
    #[serde(default)]
    answer: Vec<Scripted>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scripted {
    #[serde(default = "Commands::all")]
    commands: Commands,
    contains: Option<String>,
    times: Option<u32>,
    #[serde(default = "ok")]
    body: String,
    #[serde(default = "two_hundred")]
    status: u16,
    #[serde(default, deserialize_with = "duration")]
    delay: Duration,
    #[serde(skip)]
    given: AtomicU32,
}

fn ok() -> String {
    OK.to_owned()
}

fn two_hundred() -> u16 {
    200
}

/// One answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) delay: Duration,
}

impl Answers {
    /// The same answer to everything.
    pub(super) fn fixed(body: String) -> Self {
        let commands = Commands::all();
        let given = AtomicU32::default();
        let always =
            Scripted { commands, contains: None, times: None, body, status: 200, delay: Duration::ZERO, given };
        Self { answer: vec![always] }
    }

    pub(super) fn load(file: &Path) -> Result<Self, String> {
        let wrong = |problem: &dyn std::fmt::Display| format!("{}: {problem}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
        let answers: Self = toml::from_str(&text).map_err(|error| wrong(&error))?;
        for (i, answer) in answers.answer.iter().enumerate() {
            answer
                .commands
                .check()
                .map_err(|invalid| wrong(&format!("answer[{i}].{}: {}", invalid.key, invalid.problem)))?;
            if !(200..600).contains(&answer.status) {
                let problem =
                    format!("answer[{i}].status: {} is not the status of an answer: 200 to 599", answer.status);
                return Err(wrong(&problem));
            }
        }
        Ok(answers)
    }

    /// The answer to a callback. Counts it.
    pub(super) fn to(&self, command: &str, body: &[u8]) -> Answer {
        match self.answer.iter().find(|answer| answer.fits(command, body) && answer.is_left()) {
            Some(Scripted { status, body, delay, .. }) => Answer { status: *status, body: body.clone(), delay: *delay },
            None => Answer { status: 200, body: ok(), delay: Duration::ZERO },
        }
    }
}

impl Scripted {
    fn fits(&self, command: &str, body: &[u8]) -> bool {
        let contains = |text: &String| body.windows(text.len().max(1)).any(|part| part == text.as_bytes());
        self.commands.fit(command) && self.contains.as_ref().is_none_or(contains)
    }

    fn is_left(&self) -> bool {
        let Some(times) = self.times else { return true };
        self.given
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |given| (given < times).then(|| given + 1))
            .is_ok()
    }
}
