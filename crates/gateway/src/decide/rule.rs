//! Rules: deciders that need no service.

mod rate;
mod text;

use std::collections::HashSet;
use std::hash::Hash;
use std::path::Path;

use chathook_protocol::message::MsgContent;
use chathook_protocol::reply::Edits;
use chathook_protocol::{
    AnyDecision, Command, Event, GroupType, IllegalDecision, MsgElement, Payload, Platform, Policy, Proposal,
};
use chathook_router::{Deciding, Question};
use serde::Deserialize;

use self::rate::Limiter;
pub use self::rate::{Per, Rate};
pub(super) use self::text::Texts;
use self::text::{ListError, Patterns, Scanner, TextError, Words};
use super::decider::{Derived, failed};
use crate::config::{Entries, Invalid, List, some_size};

/// Whether a message has one of `words`: what the benchmark measures, and no part of the interface.
///
/// # Errors
/// When nothing is left of a word after normalisation.
#[doc(hidden)]
pub fn word_list<'a>(
    words: impl IntoIterator<Item = &'a str>,
) -> Result<impl Fn(&[MsgElement]) -> bool, Box<dyn std::error::Error>> {
    let scanner = Scanner { words: Some(Words::new(words, false)?), patterns: None };
    Ok(move |body: &[MsgElement]| scanner.is_match(&Texts::of(body, &[])).unwrap_or_default())
}

/// `[decider.rule]`: where everything that is given matches, the rule decides; else it lets the callback through.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The text of the message has one of these words. Both are compared normalised, without regard to case.
    pub words: Option<List>,
    /// A word counts only where no other letter or digit touches it. Default: `false`.
    #[serde(default)]
    pub whole_words: bool,
    /// The text of the message matches one of these regular expressions.
    pub patterns: Option<List>,
    /// Who causes the event is one of these.
    pub senders: Option<List>,
    /// It is about one of these groups.
    pub groups: Option<List>,
    /// The group is of one of these types.
    pub group_types: Option<List>,
    /// It comes from one of these platforms; without regard to case.
    pub platforms: Option<List>,
    /// The message has an element of one of these kinds.
    pub elements: Option<List>,
    /// The message has an element of another kind than these.
    pub other_elements: Option<List>,
    /// The elements of the message have more bytes than this, as JSON.
    #[serde(default, deserialize_with = "some_size")]
    pub larger_than: Option<usize>,
    /// The message has more elements than this.
    pub more_elements_than: Option<usize>,
    /// There were more than these. Only callbacks that match in everything else are counted.
    pub rate: Option<Rate>,
    /// Where one of these matches, the rule does not.
    #[serde(default)]
    pub except: Except,
    /// What to do.
    pub then: Action,
    /// What stands for each character that is masked. Default: `*`.
    pub mask: Option<String>,
    /// The code that the client sees of a refusal, in the range of the command.
    pub code: Option<u32>,
    /// The text that the client sees together with the code.
    #[serde(default)]
    pub info: String,
}

/// `[decider.rule.except]`: whom a rule is not for.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Except {
    /// Who causes the event.
    pub senders: Option<List>,
    /// The group that it is about.
    pub groups: Option<List>,
    /// The type of that group.
    pub group_types: Option<List>,
    /// The platform that it comes from.
    pub platforms: Option<List>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Action {
    /// Lets it happen, and asks nobody else.
    Allow,
    /// Masks what the words and patterns found.
    Mask,
    /// Refuses it.
    Reject,
    /// Discards the message; its sender is told that it was sent.
    Drop,
}

impl Config {
    /// Checks that the rule fits the commands that it is for.
    pub(crate) fn check(&self, commands: &[Command]) -> Result<(), Invalid> {
        let reads_text = self.words.is_some() || self.patterns.is_some();
        let reads_message = reads_text
            || self.elements.is_some()
            || self.other_elements.is_some()
            || self.larger_than.is_some()
            || self.more_elements_than.is_some();
        if self.then == Action::Mask && !reads_text {
            return Err(Invalid::new("rule.then", "there is nothing to mask without `words` or `patterns`"));
        }
        if self.then != Action::Mask && self.mask.is_some() {
            return Err(Invalid::new("rule.mask", "is for `then = \"mask\"` only"));
        }
        if self.then != Action::Reject && (self.code.is_some() || !self.info.is_empty()) {
            return Err(Invalid::new("rule.code", "`code` and `info` are for `then = \"reject\"` only"));
        }
        if self.mask.as_ref().is_some_and(|mask| mask.chars().count() > MAX_MASK) {
            return Err(Invalid::new("rule.mask", format!("is longer than {MAX_MASK} characters")));
        }
        if let Some(rate) = &self.rate {
            rate.check()?;
        }
        if self.whole_words && self.words.is_none() {
            return Err(Invalid::new("rule.whole_words", "there are no `words`"));
        }
        for command in commands {
            if reads_message && !has_message(*command) {
                return Err(Invalid::new("rule", format!("looks at a message, and {command} has none")));
            }
            let legal = match self.policy() {
                Some(policy) => AnyDecision::of(*command, &policy, &[]).map(drop),
                None => Ok(()),
            };
            if let Err(problem) = legal {
                let key = match problem {
                    IllegalDecision::CodeOutOfRange { .. } | IllegalDecision::NoCodes => "rule.code",
                    _ => "rule.then",
                };
                return Err(Invalid::new(key, format!("{command}: {problem}")));
            }
        }
        Ok(())
    }

    /// What it answers; a mask depends on the message.
    fn policy(&self) -> Option<Policy> {
        match self.then {
            Action::Allow => Some(Policy::Allow),
            Action::Reject => Some(Policy::Reject { code: self.code, info: self.info.clone() }),
            Action::Drop => Some(Policy::Drop),
            Action::Mask => None,
        }
    }

    fn lists(&self) -> impl Iterator<Item = &List> {
        let except = [&self.except.senders, &self.except.groups, &self.except.group_types, &self.except.platforms];
        [&self.words, &self.patterns, &self.senders, &self.groups, &self.group_types]
            .into_iter()
            .chain([&self.platforms, &self.elements, &self.other_elements])
            .chain(except)
            .flatten()
    }

    /// The files of its lists.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.lists().filter_map(List::file)
    }
}

/// How many characters may stand for one that is masked.
const MAX_MASK: usize = 16;

/// Whether the command has a message that can be looked at and changed.
fn has_message(command: Command) -> bool {
    AnyDecision::of(command, Proposal::Rewrite(Edits::body(Vec::new())), &[]).is_ok()
}

/// A rule at work.
pub(crate) struct Rule {
    scanner: Option<Scanner>,
    whom: Whom,
    except: Whom,
    elements: Option<Set>,
    other_elements: Option<Set>,
    larger_than: Option<usize>,
    more_elements_than: Option<usize>,
    rate: Option<Limiter>,
    act: Act,
}

enum Act {
    Mask(String),
    Answer(Policy),
    Settle,
}

type Set = HashSet<Box<str>>;

/// Who causes an event, where.
#[derive(Default)]
struct Whom {
    senders: Option<Set>,
    groups: Option<Set>,
    group_types: Option<HashSet<GroupType>>,
    platforms: Option<HashSet<Platform>>,
}

impl Rule {
    /// Reads the lists and compiles what is in them.
    pub(crate) fn build(config: &Config) -> Result<Self, Invalid> {
        let words =
            text_list("rule.words", config.words.as_ref(), |words| Words::new(words.iter(), config.whole_words))?;
        let patterns = text_list("rule.patterns", config.patterns.as_ref(), |patterns| Patterns::new(patterns.iter()))?;
        let except = &config.except;
        Ok(Self {
            scanner: (words.is_some() || patterns.is_some()).then_some(Scanner { words, patterns }),
            whom: Whom {
                senders: set("rule.senders", config.senders.as_ref())?,
                groups: set("rule.groups", config.groups.as_ref())?,
                group_types: words_of("rule.group_types", config.group_types.as_ref(), GroupType::WORDS)?,
                platforms: words_of("rule.platforms", config.platforms.as_ref(), Platform::WORDS)?,
            },
            except: Whom {
                senders: set("rule.except.senders", except.senders.as_ref())?,
                groups: set("rule.except.groups", except.groups.as_ref())?,
                group_types: words_of("rule.except.group_types", except.group_types.as_ref(), GroupType::WORDS)?,
                platforms: words_of("rule.except.platforms", except.platforms.as_ref(), Platform::WORDS)?,
            },
            elements: words_of("rule.elements", config.elements.as_ref(), MsgContent::KINDS)?,
            other_elements: words_of("rule.other_elements", config.other_elements.as_ref(), MsgContent::KINDS)?,
            larger_than: config.larger_than,
            more_elements_than: config.more_elements_than,
            rate: config.rate.as_ref().map(Limiter::new).transpose()?,
            act: match (config.then, config.policy()) {
                (Action::Allow, _) => Act::Settle,
                (_, Some(policy)) => Act::Answer(policy),
                (_, None) => Act::Mask(config.mask.clone().unwrap_or_else(|| "*".to_owned())),
            },
        })
    }

    /// Decides on a callback.
    pub(super) fn decide(&self, question: &Question, derived: &Derived) -> Deciding {
        let Some(Ok(callback)) = question.event().callback() else { return Deciding::Passed };
        let payload = callback.payload();
        match self.matches(question, payload, derived) {
            Ok(true) => {}
            Ok(false) => return Deciding::Passed,
            Err(error) => return Deciding::Done(Err(failed(error))),
        }
        let proposal = match &self.act {
            Act::Settle => return Deciding::Settled(AnyDecision::allow(question.command(), question.users())),
            Act::Answer(policy) => Proposal::from(policy),
            Act::Mask(mask) => match self.masked(question, payload, derived, mask) {
                Some(Ok(body)) => Proposal::Rewrite(Edits::body(body)),
                Some(Err(error)) => return Deciding::Done(Err(failed(error))),
                None => return Deciding::Passed,
            },
        };
        let decided = AnyDecision::of(question.command(), proposal, question.users());
        // What is illegal for a command was refused when the configuration was read.
        Deciding::Done(decided.map_err(failed))
    }

    fn masked(
        &self,
        question: &Question,
        payload: &dyn Payload,
        derived: &Derived,
        mask: &str,
    ) -> Option<Result<Vec<MsgElement>, TextError>> {
        Some(self.scanner.as_ref()?.mask(payload.elements(), derived.texts(question), mask))
    }

    /// From the cheap to the dear; the rate last, for it counts.
    fn matches(&self, question: &Question, payload: &dyn Payload, derived: &Derived) -> Result<bool, TextError> {
        let event = question.event();
        let elements = payload.elements();
        let concerns = self.whom.has_all(event, payload)
            && !self.except.has_any(event, payload)
            && self.more_elements_than.is_none_or(|max| elements.len() > max)
            && self.elements.as_ref().is_none_or(|kinds| elements.iter().any(|it| kinds.contains(it.kind())))
            && self.other_elements.as_ref().is_none_or(|kinds| elements.iter().any(|it| !kinds.contains(it.kind())))
            && self.larger_than.is_none_or(|max| length(elements) > max);
        if !concerns {
            return Ok(false);
        }
        let is_match = match &self.scanner {
            Some(scanner) => scanner.is_match(derived.texts(question))?,
            None => true,
        };
        Ok(is_match && self.rate.as_ref().is_none_or(|rate| rate.is_exceeded(event, payload)))
    }

    /// Forgets who was not seen for long.
    pub(super) fn tidy(&self) {
        if let Some(rate) = &self.rate {
            rate.tidy();
        }
    }
}

impl Whom {
    /// Each list that is given has its part of the event.
    fn has_all(&self, event: &Event, payload: &dyn Payload) -> bool {
        self.each(event, payload).into_iter().flatten().all(|is_listed| is_listed)
    }

    /// One of the lists that are given has its part of the event.
    fn has_any(&self, event: &Event, payload: &dyn Payload) -> bool {
        self.each(event, payload).into_iter().flatten().any(|is_listed| is_listed)
    }

    fn each(&self, event: &Event, payload: &dyn Payload) -> [Option<bool>; 4] {
        fn listed(set: Option<&Set>, value: Option<&str>) -> Option<bool> {
            set.map(|set| value.is_some_and(|value| set.contains(value)))
        }
        let platform = event.query().platform.as_ref();
        [
            listed(self.senders.as_ref(), payload.user().map(AsRef::as_ref)),
            listed(self.groups.as_ref(), payload.group().map(AsRef::as_ref)),
            self.group_types.as_ref().map(|set| payload.group_type().is_some_and(|it| set.contains(it))),
            self.platforms.as_ref().map(|set| platform.is_some_and(|platform| set.contains(platform))),
        ]
    }
}

/// The elements of the message that is asked about.
pub(super) fn elements(question: &Question) -> &[MsgElement] {
    match question.event().callback() {
        Some(Ok(callback)) => callback.payload().elements(),
        _ => &[],
    }
}

/// The length of the elements as JSON.
fn length(elements: &[MsgElement]) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // Counting does not fail.
    let _ = serde_json::to_writer(&mut counter, elements);
    counter.0
}

fn read(key: &'static str, list: Option<&List>) -> Result<Option<Entries>, Invalid> {
    list.map(List::read).transpose().map_err(|problem| Invalid::new(key, problem))
}

fn text_list<T>(
    key: &'static str,
    list: Option<&List>,
    compile: impl Fn(&Entries) -> Result<T, ListError>,
) -> Result<Option<T>, Invalid> {
    let compile = |entries: Entries| {
        compile(&entries).map_err(|error| match error.entry {
            Some(entry) => Invalid::new(key, format!("{}: {error}", entries.place(entry))),
            None => Invalid::new(key, error.to_string()),
        })
    };
    read(key, list)?.map(compile).transpose()
}

fn set(key: &'static str, list: Option<&List>) -> Result<Option<Set>, Invalid> {
    Ok(read(key, list)?.map(|entries| entries.iter().map(Box::from).collect()))
}

/// A list of words of an open set. New ones may come; what is nearly one of the `known` is a slip.
fn words_of<T: Eq + Hash + for<'a> From<&'a str>>(
    key: &'static str,
    list: Option<&List>,
    known: &[&str],
) -> Result<Option<HashSet<T>>, Invalid> {
    let Some(entries) = read(key, list)? else { return Ok(None) };
    for (i, entry) in entries.iter().enumerate() {
        let is_known = known.iter().any(|known| T::from(known) == T::from(entry));
        if let Some(meant) = slip(entry, known).filter(|_| !is_known) {
            let place = entries.place(i);
            return Err(Invalid::new(key, format!("{place}: unknown `{entry}`; did you mean `{meant}`?")));
        }
    }
    Ok(Some(entries.iter().map(T::from).collect()))
}

/// The known word that differs from `word` by case, or by a letter or two.
fn slip<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |known: &str| strsim::damerau_levenshtein(&word.to_lowercase(), &known.to_lowercase());
    let near = |known: &&&str| distance(known) <= if known.len() > 6 { 2 } else { 1 };
    known.iter().filter(near).min_by_key(|known| distance(known)).copied().filter(|meant| *meant != word)
}

#[cfg(test)]
mod tests {
    use chathook_protocol::message::MsgContent;
    use chathook_protocol::{GroupType, Platform};

    use super::slip;

    #[test]
    fn a_slip_is_told_and_a_new_word_is_not() {
        for (word, known, meant) in [
            ("AVChatroom", GroupType::WORDS, "AVChatRoom"),
            ("public", GroupType::WORDS, "Public"),
            ("Pubilc", GroupType::WORDS, "Public"),
            ("Webb", Platform::WORDS, "Web"),
            ("TIMTextElm", MsgContent::KINDS, "TIMTextElem"),
            ("TimTextElem", MsgContent::KINDS, "TIMTextElem"),
        ] {
            assert_eq!(slip(word, known), Some(meant), "{word}");
        }
        for known in [GroupType::WORDS, Platform::WORDS, MsgContent::KINDS] {
            assert!(known.iter().all(|word| slip(word, known).is_none()));
        }
        for (word, known) in [
            ("Channel", GroupType::WORDS),
            ("HarmonyOS", Platform::WORDS),
            ("TIMGroupTipElem", MsgContent::KINDS),
            ("TIMStickerElem", MsgContent::KINDS),
        ] {
            assert_eq!(slip(word, known), None, "{word}");
        }
    }
}
