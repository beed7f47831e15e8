//! Configured deciders: who is asked about which command, in which order.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use chathook_protocol::{AnyDecision, Command, Phase};
use chathook_router::{BoxError, Deciding, DispatchError, FallbackReason, Question};
use serde::Deserialize;
use strum::EnumCount;
use tokio::runtime::Handle;

use super::http::{self, HttpDecider};
use super::rule::{self, Rule, Texts};
use crate::condition::{Condition, Facts};
use crate::config::{Commands, Invalid, contents};
use crate::metrics::{DeciderMetrics, HANDLER, Metrics};
use crate::traces::Span;

/// `[[decider]]`: a service or a rule that decides, after the handler of the command and in the order of the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// What it is called in metrics and in the log: letters, digits, `-` and `_`.
    pub name: String,
    /// What it decides on: names of before-commands, or patterns such as `*.CallbackBeforeSendMsg`.
    pub commands: Commands,
    /// Whether it is obeyed. Default: `enforce`.
    #[serde(default)]
    pub mode: Mode,
    /// A condition in CEL, over `payload`, `query` and `time`: it is asked where this holds. Default: always.
    #[serde(default)]
    pub when: Option<String>,
    /// A service that is asked over HTTP.
    #[serde(default)]
    pub http: Option<http::Config>,
    /// A rule.
    #[serde(default)]
    pub rule: Option<rule::Config>,
}

/// Whether a decider is obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Mode {
    /// It is.
    #[default]
    Enforce,
    /// It is asked and recorded, and nobody waits for it.
    Shadow,
}

impl Config {
    /// What decides; exactly one of the kinds is there.
    fn check(&self) -> Result<(), Invalid> {
        let is_label = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_label) {
            return Err(Invalid::new("name", "must be 1 to 64 letters, digits, `-` and `_`"));
        }
        if self.name == HANDLER {
            return Err(Invalid::new("name", format!("`{HANDLER}` is what handlers are called")));
        }
        match (&self.http, &self.rule) {
            (Some(http), None) => http.check(),
            (None, Some(rule)) => rule.check(&self.commands.of_phase(Phase::Before)?),
            (None, None) => Err(Invalid::new("http", "say who decides: `http` for a service, `rule` for a rule")),
            (Some(_), Some(_)) => Err(Invalid::new("rule", "there is `http` already; make it a decider of its own")),
        }?;
        self.condition().map(drop)
    }

    fn condition(&self) -> Result<Option<Condition>, Invalid> {
        let compile = |text| Condition::compile(text).map_err(|error| Invalid::new("when", error.to_string()));
        self.when.as_deref().map(compile).transpose()
    }

    /// The files that it is made of besides the configuration.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.http.iter().flat_map(http::Config::files).chain(self.rule.iter().flat_map(rule::Config::files))
    }
}

/// Checks all deciders of a configuration.
pub(crate) fn check(configs: &[Config]) -> Result<(), Invalid> {
    let mut names = HashSet::new();
    for (i, config) in configs.iter().enumerate() {
        config.check().and_then(|()| config.commands.of_phase(Phase::Before)).map_err(|error| error.within(i))?;
        if !names.insert(&config.name) {
            return Err(Invalid::new("name", "this name is there twice").within(i));
        }
    }
    Ok(())
}

impl Invalid {
    fn within(self, i: usize) -> Self {
        Self { key: format!("decider[{i}].{}", self.key), ..self }
    }
}

/// A decider at work.
pub(crate) struct Decider {
    config: Config,
    contents: u64,
    condition: Option<Condition>,
    kind: Kind,
    pub(crate) metrics: Arc<DeciderMetrics>,
}

enum Kind {
    Http(HttpDecider),
    Rule(Box<Rule>),
    /// A service without a network.
    Canned(Option<Canned>),
}

/// How services are asked.
pub(crate) enum Services<'a> {
    /// Over the network, by tasks of this runtime.
    Network(&'a Handle),
    /// Not at all: this is what they say. Others fail when they are asked; shadows are not asked then.
    Canned(&'a BTreeMap<String, Canned>),
}

/// What a service says where there is no network.
#[derive(Debug, Clone)]
pub(crate) enum Canned {
    /// An answer in the `json` format.
    Answer(Vec<u8>),
    TimedOut,
    Failed,
}

impl Canned {
    fn decide(&self, question: &Question) -> Result<AnyDecision, DispatchError> {
        match self {
            Self::Answer(answer) => http::read_json(question, answer),
            Self::TimedOut => Err(DispatchError::TimedOut),
            Self::Failed => Err(failed("as the case says")),
        }
    }
}

/// What is said of a service that is asked where no answer was prepared.
pub(crate) const NO_CANNED: &str = "it is asked, and the case has no answer of it";

fn allow(question: &Question) -> AnyDecision {
    AnyDecision::allow(question.command(), question.users())
}

pub(super) fn failed(problem: impl Into<BoxError>) -> DispatchError {
    DispatchError::Decider { reason: "error", counts_as: FallbackReason::Error, source: problem.into() }
}

/// What is worked out from an event for all deciders.
#[derive(Default)]
pub(super) struct Derived {
    facts: OnceLock<Facts>,
    texts: OnceLock<Texts>,
}

impl Derived {
    fn facts(&self, question: &Question) -> &Facts {
        let event = question.event();
        self.facts.get_or_init(|| Facts::new(event.query().as_str(), event.body(), question.arrived()))
    }

    pub(super) fn texts(&self, question: &Question) -> &Texts {
        self.texts.get_or_init(|| Texts::of(super::rule::elements(question), question.event().unread()))
    }
}

impl Decider {
    fn build(config: &Config, contents: u64, metrics: &Metrics, services: &Services<'_>) -> Result<Self, Invalid> {
        let metrics = Arc::new(metrics.decider(&config.name));
        let kind = match (&config.http, &config.rule, services) {
            (Some(http), _, Services::Network(runtime)) => {
                Kind::Http(HttpDecider::build(http, Arc::clone(&metrics), (*runtime).clone())?)
            }
            (Some(_), _, Services::Canned(canned)) => Kind::Canned(canned.get(&config.name).cloned()),
            (None, Some(rule), _) => Kind::Rule(Box::new(Rule::build(rule)?)),
            (None, None, _) => return Err(Invalid::new("http", "nobody decides")),
        };
        Ok(Self { config: config.clone(), contents, condition: config.condition()?, kind, metrics })
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether it is asked over a network.
    pub(crate) fn is_service(&self) -> bool {
        matches!(self.kind, Kind::Http(_))
    }

    /// Forgets what is over.
    fn tidy(&self) {
        if let Kind::Rule(rule) = &self.kind {
            rule.tidy();
        }
    }
}

impl chathook_router::Decider for Decider {
    fn is_shadow(&self) -> bool {
        self.config.mode == Mode::Shadow
    }

    fn decide(&self, question: &Arc<Question>) -> Deciding {
        let Some(derived) = question.derived::<Derived>() else { return Deciding::Passed };
        match self.condition.as_ref().map(|condition| condition.holds(derived.facts(question))) {
            None | Some(Ok(true)) => {}
            Some(Ok(false)) => return Deciding::Passed,
            Some(Err(error)) => return Deciding::Done(Err(failed(error))),
        }
        match &self.kind {
            Kind::Http(http) => http.decide(question, Span::current().asks(self.name(), self.is_shadow())),
            Kind::Rule(rule) => match rule.decide(question, derived) {
                // It was asked, and has nothing against it: that is compared as well.
                Deciding::Passed if self.is_shadow() => Deciding::Done(Ok(allow(question))),
                deciding => deciding,
            },
            Kind::Canned(None) if self.is_shadow() => Deciding::Passed,
            Kind::Canned(None) => Deciding::Done(Err(failed(NO_CANNED))),
            Kind::Canned(Some(canned)) => Deciding::Done(canned.decide(question)),
        }
    }
}

/// All configured deciders, by command.
pub(crate) struct Deciders {
    all: Vec<Arc<Decider>>,
    by_command: Box<[Vec<Arc<Decider>>]>,
}

impl Deciders {
    /// Builds the deciders of a configuration. One that is in `running` as it is configured goes on as it is, with its
    /// connections, its counts and its breaker.
    pub(crate) fn build(
        configs: &[Config],
        running: Option<&Self>,
        metrics: &Metrics,
        services: &Services<'_>,
    ) -> Result<Self, Invalid> {
        let mut all = Vec::new();
        let mut by_command: Box<[Vec<_>]> = std::iter::repeat_with(Vec::new).take(Command::COUNT).collect();
        for (i, config) in configs.iter().enumerate() {
            let contents = contents(config.files());
            let is_same = |old: &&Arc<Decider>| old.config == *config && old.contents == contents;
            let decider = match running.and_then(|running| running.all.iter().find(is_same)) {
                Some(old) => Arc::clone(old),
                None => Arc::new(Decider::build(config, contents, metrics, services).map_err(|error| error.within(i))?),
            };
            for command in config.commands.of_phase(Phase::Before).map_err(|error| error.within(i))? {
                by_command[command as usize].push(Arc::clone(&decider));
            }
            all.push(decider);
        }
        Ok(Self { all, by_command })
    }

    /// Those who are asked about `command`, in order.
    pub(crate) fn of(&self, command: Command) -> &[Arc<Decider>] {
        &self.by_command[command as usize]
    }

    /// Forgets what is over.
    pub(crate) fn tidy(&self) {
        self.all.iter().for_each(|decider| decider.tidy());
    }
}
