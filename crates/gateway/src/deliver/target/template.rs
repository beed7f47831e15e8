//! Names that depend on the event: subjects, streams, routing keys.

use std::borrow::Cow;

use chathook_journal::Record;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::cloudevent::named;
use crate::config::nearest;

/// Text with `{app}`, `{command}` and `{key}` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    App,
    Command,
    Key,
}

/// What stands for an application or a conversation that an event does not have.
const NONE: &str = "-";

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                return Err("has a `{` without its `}`".to_owned());
            };
            parts.push(Part::Text(before.to_owned()));
            parts.push(match name {
                "app" => Part::App,
                "command" => Part::Command,
                "key" => Part::Key,
                _ => {
                    let known = nearest(name, ["app", "command", "key"]).unwrap_or("command");
                    return Err(format!("there is no {{{name}}}; did you mean {{{known}}}?"));
                }
            });
            rest = after;
        }
        if rest.contains('}') {
            return Err("has a `}` without its `{`".to_owned());
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// With the values as they are.
    pub(super) fn plain(&self, event: &Record) -> String {
        self.fill(event, |command| command.into(), |key| key.into())
    }

    /// With dots between words, as NATS and topic exchanges have it: the dots of a command part it, those of a
    /// conversation do not. What cannot be in a word is percent-encoded.
    pub(super) fn words(&self, event: &Record) -> String {
        self.fill(event, command_words, |key| utf8_percent_encode(key, NOT_IN_KEYS).into())
    }

    fn fill(
        &self,
        event: &Record,
        command: impl Fn(&str) -> Cow<'_, str>,
        key: impl Fn(&str) -> Cow<'_, str>,
    ) -> String {
        let mut filled = String::new();
        for part in &self.0 {
            match (part, event.app) {
                (Part::Text(text), _) => filled.push_str(text),
                (Part::App, Some(app)) => filled.push_str(&app.to_string()),
                (Part::App, None) => filled.push_str(NONE),
                (Part::Command, _) => filled.push_str(&command(named(&event.command))),
                (Part::Key, _) => filled.push_str(&event.key.as_deref().map_or(NONE.into(), &key)),
            }
        }
        filled
    }
}

/// Blanks part a line of the protocol, and the stars and the angle are wildcards. The percent sign stays: it is encoded
/// in conversations already.
const NOT_IN_WORDS: &AsciiSet = &CONTROLS.add(b' ').add(b'*').add(b'>').add(b'#');
const NOT_IN_KEYS: &AsciiSet = &NOT_IN_WORDS.add(b'.');

/// A command has dots, but no word of it may be empty.
fn command_words(command: &str) -> Cow<'_, str> {
    let encoded: Cow<'_, str> = utf8_percent_encode(command, NOT_IN_WORDS).into();
    match encoded.split('.').any(str::is_empty) {
        false => encoded,
        true => encoded
            .split('.')
            .map(|word| if word.is_empty() { NONE } else { word })
            .collect::<Vec<_>>()
            .join(".")
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use chathook_journal::Record;

    use super::super::cloudevent::tests::event;
    use super::Template;

    fn words(template: &str, event: &Record) -> String {
        Template::parse(template).unwrap().words(event)
    }

    #[test]
    fn names_are_filled_in() {
        let event = event("Group.CallbackAfterSendMsg", "{}");
        assert_eq!(words("chat.{app}.{command}", &event), "chat.1400000001.Group.CallbackAfterSendMsg");
        assert_eq!(Template::parse("{key}:{app}").unwrap().plain(&event), "group/@TGS#1:1400000001");
        assert_eq!(words("chat", &event), "chat");
        let none = Record { app: None, key: None, ..event };
        assert_eq!(words("{app}.{key}.x", &none), "-.-.x");
    }

    #[test]
    fn a_word_has_nothing_that_means_something_else() {
        let key = |key: &str| Record { key: Some(key.to_owned()), ..event("", "{}") };
        assert_eq!(words("{key}", &key("group/@TGS#1.*>\r\n 你%20")), "group/@TGS%231%2E%2A%3E%0D%0A%20%E4%BD%A0%20");
        for (command, expected) in [
            ("New.*", "New.%2A"),
            ("a b>", "a%20b%3E"),
            ("..a..b.", "-.-.a.-.b.-"),
            (".", "-.-"),
            ("", "unknown"),
            ("\0", "%00"),
        ] {
            assert_eq!(words("{command}", &event(command, "{}")), expected, "{command:?}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (text, problem) in [
            ("chat.{comand}", "there is no {comand}; did you mean {command}?"),
            ("chat.{", "has a `{` without its `}`"),
            ("chat.}", "has a `}` without its `{`"),
            ("{app}}", "has a `}` without its `{`"),
        ] {
            assert_eq!(Template::parse(text).unwrap_err(), problem);
        }
    }
}
