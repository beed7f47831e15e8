//! The log. Nothing that belongs to users is written to it: no body, no token, no Sign, no account.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

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

impl Config {
    /// Starts the log on standard error. A second call changes nothing.
    ///
    /// # Errors
    /// When the level is not a filter.
    pub fn start(&self) -> Result<(), String> {
        let filter = EnvFilter::try_new(&self.level).map_err(|error| format!("log.level: {error}"))?;
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        // Fails where a program that has the gateway as a library set up its own log already, which is then used.
        let _ = match self.format {
            Format::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
            Format::Json => log.json().flatten_event(true).try_init(),
        };
        Ok(())
    }
}
