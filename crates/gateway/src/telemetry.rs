//! The log. Nothing that belongs to users is written to it: no body, no token, no Sign, no account.

use serde::Deserialize;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{Invalid, nearest};

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `chathook=debug,actix_server=warn`.
    /// Default: `info`.
    pub level: String,
    /// `text` for people, `json` for machines: one object a line. Default: `text`.
    pub format: Format,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Text }
    }
}

/// Keeps the log going. When it is dropped, the lines that wait are written, as far as somebody takes them at once.
#[must_use = "the log ends when this is dropped"]
#[derive(Debug)]
pub struct Guard {
    _lines: WorkerGuard,
}

/// How many lines may wait to be written.
const MAX_LINES: usize = 8192;

/// What is not worth a line each: requests that are no HTTP, which anybody can send, and the threads of the server. And
/// what RabbitMQ's client writes of messages, with their bodies where no queue took them.
const QUIET: &str = "actix_http=off,actix_server=warn,lapin=warn,lapin::returned_messages=off";

impl Config {
    /// Starts the log on standard error, until the guard is dropped. A second call changes nothing.
    ///
    /// Lines are written by a thread of their own. Where nobody takes them any more, those beyond a few thousand are
    /// lost, and nothing waits for them.
    ///
    /// Panics are logged by their place from then on, and their message, which may quote a user, is not. A program with a
    /// log of its own should do the same, and turn `lapin::returned_messages` off, which writes bodies.
    ///
    /// # Errors
    /// When the level is not a filter.
    pub fn start(&self) -> Result<Guard, String> {
        let filter = EnvFilter::try_new(format!("{QUIET},{}", self.level)).map_err(|error| error.to_string())?;
        let lines = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_LINES);
        let (lines, guard) = lines.thread_name("log").finish(std::io::stderr());
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
        // Fails where a program that has the gateway as a library set up its own log already, which is then used.
        let _ = match self.format {
            Format::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
            Format::Json => log.json().flatten_event(true).try_init(),
        };
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%place, "panicked");
        }));
        Ok(Guard { _lines: guard })
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        let invalid = |problem: String| Err(Invalid::new("log.level", problem));
        for directive in self.level.split(',').map(str::trim) {
            // A filter would take a misspelt level for the name of a module, and log nothing.
            let is_level = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(directive));
            if !is_level && !directive.contains(['=', ':', '[']) {
                return invalid(match nearest(directive, LEVELS) {
                    Some(level) => format!("{directive:?} is not a level; did you mean `{level}`?"),
                    None => format!("{directive:?} is not a level; there are {}", LEVELS.join(", ")),
                });
            }
        }
        match EnvFilter::try_new(&self.level) {
            Ok(_) => Ok(()),
            Err(error) => invalid(error.to_string()),
        }
    }
}
