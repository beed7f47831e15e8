//! What the doctor has found, printed as it is found.

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::cli::output::{print, printable_lines};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(super) enum Level {
    /// As it has to be.
    Ok,
    /// Callbacks arrive, but not as well as they could, or not for ever.
    Warning,
    /// Callbacks do not arrive, or others than Chat's do.
    Wrong,
    /// Not looked at.
    Skipped,
}

impl Level {
    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Wrong => AnsiColor::Red.on_default().bold(),
            Self::Skipped => Style::new().dimmed(),
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// What.
    pub(super) check: &'static str,
    pub(super) level: Level,
    /// How it is.
    pub(super) found: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
}

impl Finding {
    fn new(check: &'static str, level: Level, found: impl Into<String>) -> Self {
        Self { check, level, found: found.into(), advice: None }
    }

    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Level::Ok, found)
    }

    pub(super) fn warning(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Level::Warning, found)
    }

    pub(super) fn wrong(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Level::Wrong, found)
    }

    pub(super) fn skipped(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Level::Skipped, found)
    }

    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

/// One command that was sent, and what Chat does with the answer.
#[derive(Debug, Serialize)]
pub(super) struct Tried {
    pub(super) command: String,
    pub(super) verdict: &'static str,
    /// The same in words.
    pub(super) chat: String,
    pub(super) milliseconds: f64,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    pub(super) url: String,
    pub(super) findings: Vec<Finding>,
    pub(super) commands: Vec<Tried>,
    /// Prints nothing until the end, and then JSON.
    #[serde(skip)]
    is_json: bool,
}

/// Where what was found begins in a line: behind the level and the check.
const MARGIN: usize = 27;

impl Findings {
    pub(super) fn new(url: String, is_json: bool) -> Self {
        Self { url, findings: Vec::new(), commands: Vec::new(), is_json }
    }

    /// Notes a finding, and shows it.
    pub(super) fn note(&mut self, finding: Finding) {
        if !self.is_json {
            let Finding { check, level, found, advice } = &finding;
            let style = level.style();
            let mut text = format!("{style}{:<8}{style:#} {check:<17} {}", level.to_string(), lines(found));
            if let Some(advice) = advice {
                text = format!("{text}\n{:MARGIN$}-> {}", "", lines(advice));
            }
            print(&text);
        }
        self.findings.push(finding);
    }

    pub(super) fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// Shows the sum of it.
    pub(super) fn end(&self) -> Result<(), serde_json::Error> {
        if self.is_json {
            print(&serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        let (wrong, warnings) = (self.count(Level::Wrong), self.count(Level::Warning));
        let style = if wrong > 0 {
            Level::Wrong
        } else if warnings > 0 {
            Level::Warning
        } else {
            Level::Ok
        }
        .style();
        let verdict = match (wrong, warnings) {
            (0, 0) => "Callbacks arrive as they should.".to_owned(),
            (0, _) => format!("Nothing is wrong; warnings: {warnings}."),
            _ => format!("Wrong: {wrong}; warnings: {warnings}."),
        };
        print(&format!("\n{style}{verdict}{style:#}"));
        Ok(())
    }
}

/// More lines than one, below each other.
fn lines(text: &str) -> String {
    printable_lines(text, &" ".repeat(MARGIN))
}
