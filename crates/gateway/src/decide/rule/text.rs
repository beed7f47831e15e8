//! The text of a message: lists of words and regular expressions over it, and masking of what they match.
//!
//! The texts of a message are `Text` of its text elements and, in combined messages, `Title`, `CompatibleText`,
//! `AbstractList` and again the texts of `MsgList`. Each is looked at by itself: nothing spans two of them.
//! Words are compared as [`normal`] describes; patterns are matched against the text as it came.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::OnceLock;

use chathook_protocol::{Event, MsgElement};

mod elements;
mod mask;
mod normal;
mod patterns;
mod words;

pub(crate) use patterns::Patterns;
pub(crate) use words::Words;

/// Why a list of words or patterns cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub(crate) struct ListError {
    /// The entry at fault, counted from 0; none where it is the list as a whole.
    pub(crate) entry: Option<usize>,
    problem: String,
}

impl ListError {
    fn of_entry(entry: usize, problem: String) -> Self {
        Self { entry: Some(entry), problem }
    }
}

/// How long the texts of a message may be together, in bytes: some patterns take time by the square of it. A message of
/// Chat has at most 12 KiB.
const MAX_TEXT: usize = 64 << 10;

/// Why words and patterns cannot be looked for in a message, or not be masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TextError {
    /// There is text that was not read.
    #[error("the message has text that cannot be read")]
    Unread,
    /// It would take too long.
    #[error("the message has more than {} KiB of text", MAX_TEXT >> 10)]
    TooLong,
    /// It would take too long.
    #[error("patterns match more than {} times", patterns::MAX_MATCHES)]
    TooMany,
    /// A text stands where it cannot be changed.
    #[error("the message has text that cannot be masked")]
    Unmasked,
}

/// The texts of one message. Each is normalised when a rule first needs it, and then once for all rules.
pub(crate) struct Texts(Result<Vec<Text>, TextError>);

struct Text {
    original: Box<str>,
    normal: OnceLock<String>,
}

impl Texts {
    /// The texts of a `MsgBody`; `unread` are the fields of the callback that no type reads.
    pub(crate) fn of(body: &[MsgElement], unread: &[String]) -> Self {
        let (mut texts, mut length) = (Vec::new(), 0_usize);
        let is_all = elements::visit(body, &mut |text| {
            length = length.saturating_add(text.len());
            if length <= MAX_TEXT {
                texts.push(Text { original: text.into(), normal: OnceLock::new() });
            }
        });
        let is_all = is_all && unread.len() < Event::MAX_UNREAD && !unread.iter().any(|it| elements::hides_text(it));
        Self(match is_all {
            false => Err(TextError::Unread),
            true if length > MAX_TEXT => Err(TextError::TooLong),
            true => Ok(texts),
        })
    }

    fn get(&self) -> Result<&[Text], TextError> {
        self.0.as_deref().map_err(|error| *error)
    }
}

impl Text {
    fn normal(&self) -> &str {
        self.normal.get_or_init(|| normal::normal(&self.original))
    }
}

/// What a rule looks for in the text of a message.
pub(crate) struct Scanner {
    pub(crate) words: Option<Words>,
    pub(crate) patterns: Option<Patterns>,
}

impl Scanner {
    /// Whether the message has one of the words and matches one of the patterns; what is not given is not asked for.
    ///
    /// # Errors
    /// When it has text that cannot be looked at.
    pub(crate) fn is_match(&self, texts: &Texts) -> Result<bool, TextError> {
        let texts = texts.get()?;
        let has_word = |words: &Words| texts.iter().any(|text| words.is_match(text.normal()));
        let fits = |patterns: &Patterns| texts.iter().any(|text| patterns.is_match(&text.original));
        Ok(self.words.as_ref().is_none_or(has_word) && self.patterns.as_ref().is_none_or(fits))
    }

    /// The message of these texts with `mask` for every character of what words or patterns match.
    ///
    /// Marks and invisible characters of a match vanish. Elements without a match stay byte for byte; of the others
    /// only the texts change. What `mask` makes of a text is not looked at again.
    ///
    /// # Errors
    /// When something would stay as it is that matches, or too much matches.
    pub(crate) fn mask(&self, body: &[MsgElement], texts: &Texts, mask: &str) -> Result<Vec<MsgElement>, TextError> {
        let (mut masked, mut matching) = (HashMap::new(), 0_usize);
        for text in texts.get()? {
            if let Some(instead) = self.mask_text(&text.original, mask)? {
                masked.insert(&*text.original, instead);
                matching += 1;
            }
        }
        let edited = Cell::new(0_usize);
        let body = elements::edit(body, &|text| {
            let instead = masked.get(text)?;
            edited.set(edited.get() + 1);
            Some(instead.clone())
        });
        body.filter(|_| edited.get() == matching).ok_or(TextError::Unmasked)
    }

    fn mask_text(&self, text: &str, mask: &str) -> Result<Option<String>, TextError> {
        let mut spans = self.patterns.as_ref().map_or(Ok(Vec::new()), |patterns| patterns.find(text))?;
        spans.extend(self.words.iter().flat_map(|words| words.find(text)));
        Ok((!spans.is_empty()).then(|| mask::mask(text, spans, mask)))
    }
}

#[cfg(test)]
mod tests {
    use chathook_protocol::MsgElement;
    use chathook_protocol::message::{MsgContent, Relay};

    use super::normal::normal;
    use super::{MAX_TEXT, Patterns, Scanner, TextError, Texts, Words};

    fn words(words: &[&str]) -> Scanner {
        Scanner { words: Some(Words::new(words.iter().copied(), false).unwrap()), patterns: None }
    }

    fn patterns(patterns: &[&str]) -> Scanner {
        Scanner { words: None, patterns: Some(Patterns::new(patterns.iter().copied()).unwrap()) }
    }

    fn both(words: &[&str], patterns: &[&str]) -> Scanner {
        Scanner { patterns: self::patterns(patterns).patterns, ..self::words(words) }
    }

    fn body(json: &str) -> Vec<MsgElement> {
        serde_json::from_str(json).unwrap()
    }

    /// Masks a body, and checks that it is masked where it matches.
    fn masked(scanner: &Scanner, json: &str, mask: &str) -> Option<String> {
        let masked = mask_body(scanner, &body(json), mask);
        masked.map(|body| serde_json::to_string(&body).unwrap())
    }

    fn mask_body(scanner: &Scanner, body: &[MsgElement], mask: &str) -> Option<Vec<MsgElement>> {
        let texts = Texts::of(body, &[]);
        scanner.is_match(&texts).unwrap().then(|| scanner.mask(body, &texts, mask).unwrap())
    }

    fn masked_text(scanner: &Scanner, text: &str, mask: &str) -> String {
        let masked = mask_body(scanner, &[MsgElement::text(text)], mask).unwrap();
        masked[0].as_text().unwrap().to_owned()
    }

    fn is_match(scanner: &Scanner, json: &str, unread: &[&str]) -> Result<bool, TextError> {
        let unread: Vec<_> = unread.iter().map(|path| (*path).to_owned()).collect();
        scanner.is_match(&Texts::of(&body(json), &unread))
    }

    const RELAY: &str = concat!(
        r#"[{"MsgType":"TIMFaceElem","MsgContent":{"Index":1.0,"Data":"bad"}},"#,
        r#"{"MsgType":"TIMRelayElem","MsgContent":{"Zeta":1e400,"Title":"a BAD title","MsgNum":2,"CompatibleText":"bad\n","#,
        r#""AbstractList":["fine", "ann: bad",7],"MsgList":[{"X":12345678901234567890123,"From_Account":"bad","MsgBody":["#,
        r#"{"Y":true,"MsgContent":{"New":[1, 2],"Text":"so bad"},"MsgType":"TIMTextElem"},"#,
        r#"{"MsgType":"TIMCustomElem","MsgContent":{"Data":"bad"}},"#,
        r#"{"MsgType":"TIMRelayElem","MsgContent":{"Title":"in","MsgList":{"From_Account":"u","MsgBody":"#,
        r#"{"MsgType":"TIMTextElem","MsgContent":{"text":"bad"}}}}}],"CloudCustomData":"bad"}]}}]"#,
    );

    #[test]
    fn the_texts_of_a_message_are_those_of_its_text_and_combined_elements() {
        let texts = Texts::of(&body(RELAY), &[]);
        let originals: Vec<_> = texts.get().unwrap().iter().map(|text| &*text.original).collect();
        assert_eq!(originals, ["a BAD title", "bad\n", "fine", "ann: bad", "7", "so bad", "in", "", "bad"]);
        assert_eq!(texts.get().unwrap()[0].normal(), "a bad title");
    }

    #[test]
    fn text_that_cannot_be_read_is_not_let_through() {
        let scanner = words(&["bad"]);
        let nested = |depth: usize| {
            let (open, close) =
                (r#"{"MsgType":"TIMRelayElem","MsgContent":{"MsgList":[{"From_Account":"u","MsgBody":["#, "]}]}}");
            format!(
                r#"[{}{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"bad"}}}}{}]"#,
                open.repeat(depth),
                close.repeat(depth)
            )
        };
        for elements in [
            r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":["bad"]}}]"#,
            r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":{"a":"bad"}}}]"#,
            r#"[{"MsgType":"TIMTextElem","MsgContent":{"TEXT":"bad"}}]"#,
            r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"fine","Text":"bad"}}]"#,
            r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"fine","text":"bad"}}]"#,
            r#"[{"MsgType":"TIMTextElem"}]"#,
            r#"[{"MsgType":"TIMTextelem","MsgContent":{"Text":"bad"}}]"#,
            r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"fine"}},{"MsgType":"TIMRelayElem","MsgContent":7}]"#,
            &nested(40),
        ] {
            assert_eq!(is_match(&scanner, elements, &[]), Err(TextError::Unread), "{elements}");
        }
        let fine = r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"fine"}},{"MsgType":"TIMNewElem","MsgContent":{"Text":"bad"}}]"#;
        assert_eq!(
            is_match(&scanner, fine, &["/New", "/MsgBody/0/MsgContent/Extra", "/MsgBody/1/MsgContent/Text"]),
            Ok(false)
        );
        let cut = format!("/{}…", "a".repeat(250));
        for unread in [
            "/MsgBody/0/MsgContent/TEXT",
            "/MsgBody/0/msgContent",
            "/MSGBODY",
            "/MsgBody/0/MsgContent/MsgList/0/msgbody",
            &cut,
        ] {
            assert_eq!(is_match(&scanner, fine, &[unread]), Err(TextError::Unread), "{unread}");
        }
        assert_eq!(is_match(&scanner, fine, &["/a"; 100]), Err(TextError::Unread), "there may be more");
        assert_eq!(is_match(&scanner, &nested(3), &[]), Ok(true));
    }

    #[test]
    fn what_matches_is_masked_or_it_fails() {
        let scanner = words(&["bad"]);
        for elements in [
            r#"[{"MsgType":"TIMTextElem","MsgContent":["bad"]}]"#,
            r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"bad"}},{"MsgType":"TIMTextElem","MsgContent":["bad"]}]"#,
            r#"[{"MsgType":"TIMRelayElem","MsgContent":{"Title":"bad","MsgList":[{"From_Account":"u","MsgBody":[["TIMTextElem",{"Text":"bad"}]]}]}}]"#,
        ] {
            let body = body(elements);
            let texts = Texts::of(&body, &[]);
            let masked = scanner.is_match(&texts).and_then(|_| scanner.mask(&body, &texts, "*"));
            let error = masked.map(|_| ()).unwrap_err();
            assert!(matches!(error, TextError::Unread | TextError::Unmasked), "{elements}");
        }
    }

    #[test]
    fn what_would_take_long_is_not_looked_at() {
        let of = |length: usize| [MsgElement::text("a".repeat(length - 3)), MsgElement::text("bad")];
        let scanner = words(&["bad"]);
        assert_eq!(scanner.is_match(&Texts::of(&of(MAX_TEXT), &[])), Ok(true));
        assert_eq!(scanner.is_match(&Texts::of(&of(MAX_TEXT + 1), &[])), Err(TextError::TooLong));
        // Each of its matches is found only when the whole rest was seen.
        let slow = patterns(&["a.*b|a"]);
        let texts = Texts::of(&of(MAX_TEXT), &[]);
        assert_eq!(slow.is_match(&texts), Ok(true));
        let body = [MsgElement::text("a".repeat(5_000))];
        assert_eq!(slow.mask(&body, &Texts::of(&body, &[]), "*").err(), Some(TextError::TooMany));
    }

    #[test]
    fn a_combined_message_is_masked_at_any_depth_and_loses_nothing() {
        let json = masked(&words(&["bad"]), RELAY, "*").unwrap();
        // What the protocol crate does not keep of a top-level element is not in this one.
        let expected = RELAY.replace("BAD", "***").replace("\"bad\\n", "\"***\\n").replace("ann: bad", "ann: ***");
        let expected = expected.replace("so bad", "so ***").replace(r#""text":"bad""#, r#""text":"***""#);
        // Lists that were edited are written without their white space.
        assert_eq!(json, expected.replace("\"fine\", ", "\"fine\","));
    }

    #[test]
    fn a_text_element_keeps_its_other_fields_and_other_elements_stay_as_they_came() {
        let json = concat!(
            r#"[{"MsgType":"TIMTextElem","MsgContent":{"A":48.000,"Text":"a \"bad\" day","New":[1, {}]}},"#,
            r#"{"MsgType":"TIMTextElem","MsgContent":{ "Text" : "good" }},"#,
            r#"{"MsgType":"TIMLocationElem","MsgContent":{"Desc":"bad","Latitude":48.000,"Longitude":1e1}},"#,
            r#"{"MsgType":"TIMNewElem","MsgContent":{"Text":"bad"}}]"#,
        );
        assert_eq!(masked(&words(&["bad"]), json, "*").unwrap(), json.replace(r#"\"bad\" day"#, r#"\"***\" day"#));
        assert_eq!(masked(&words(&["worse"]), json, "*"), None);
    }

    #[test]
    fn a_text_that_is_a_number_is_masked_as_a_text() {
        let json = r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":13800138000}}]"#;
        assert_eq!(masked(&patterns(&[r"\d{11}"]), json, "#").unwrap(), json.replace("13800138000", "\"###########\""));
    }

    #[test]
    fn an_element_that_a_program_made_is_masked_too() {
        let mut relay = Relay::default();
        relay.title = "bad".into();
        let masked = mask_body(&words(&["bad"]), &[relay.into(), MsgElement::text("ok")], "").unwrap();
        assert!(matches!(masked[0].content(), MsgContent::Relay(relay) if relay.title.is_empty()));
        assert_eq!(masked[1].as_text(), Some("ok"));
    }

    #[test]
    fn a_word_does_not_span_two_texts() {
        let json = r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"ba"}},{"MsgType":"TIMTextElem","MsgContent":{"Text":"d"}}]"#;
        assert_eq!(masked(&words(&["bad"]), json, "*"), None);
    }

    #[test]
    fn words_and_patterns_both_have_to_match_and_both_are_masked() {
        let scanner = both(&["free"], &[r"https?://\S+"]);
        let is_match = |text| scanner.is_match(&Texts::of(&[MsgElement::text(text)], &[])).unwrap();
        assert!(is_match("FREE http://x") && !is_match("free") && !is_match("http://x"));
        let apart = [MsgElement::text("free"), MsgElement::text("http://x")];
        assert_eq!(scanner.is_match(&Texts::of(&apart, &[])), Ok(true));
        assert_eq!(masked_text(&scanner, "get FREE at http://x now", "*"), "get **** at ******** now");
        assert_eq!(masked_text(&both(&["abc"], &["cd"]), "xabcdx", "*"), "x****x");
    }

    #[test]
    fn the_characters_of_the_original_are_masked() {
        for (word, text, expected) in [
            ("spam", "＊ＳＰＡＭ！", "＊****！"),
            ("spam", "s\u{200b}p\u{200d}am", "****"),
            ("spam", "s\u{336}p\u{336}a\u{336}m\u{336} x\u{336}", "**** x\u{336}"),
            ("strasse", "Straße!", "******!"),
            ("ss", "aßb", "a*b"),
            ("istanbul", "İstanbul'da", "********'da"),
            ("office", "oﬃce", "****"),
            ("café", "cafe\u{301}s", "****s"),
            ("cafe", "c\u{301}a\u{336}fe", "c\u{301}a\u{336}fe"),
            ("한국", "\u{1112}\u{1161}\u{11ab}국!", "****!"),
            ("❤", "a❤\u{fe0f}b", "a*b"),
            ("👨👩", "👨\u{200d}👩\u{200d}👧", "**\u{200d}👧"),
            ("𝒔𝒑", "x𝓼𝓹x", "x**x"),
            ("שלום", "(שָׁלוֹם)", "(****)"),
            ("سلام", "ســلام!", "******!"),
            ("微信", "加微️信", "加**"),
        ] {
            let masked = words(&[word]).mask_text(text, "*").unwrap();
            assert_eq!(masked.as_deref().unwrap_or(text), expected, "{word} in {text}");
        }
    }

    #[test]
    fn a_mask_may_be_of_any_length() {
        let scanner = words(&["bad"]);
        assert_eq!(masked_text(&scanner, "a bad day", ""), "a  day");
        assert_eq!(masked_text(&scanner, "a bad day", "<>"), "a <><><> day");
        assert_eq!(masked_text(&scanner, "a bad day", "好"), "a 好好好 day");
    }

    #[test]
    fn of_any_mixture_all_that_matches_is_masked_and_the_rest_stays() {
        const PARTS: &[&str] = &[
            "a", "B", "b", "ß", "s", "ﬁ", "f", "i", "İ", "e", "é", "\u{301}", "\u{307}", "\u{336}", "\u{200b}",
            "\u{fe0f}", "가", "\u{1100}", "\u{1161}", "\u{11a8}", "ค", "\u{e39}", "\u{e48}", "か", "\u{3099}", "的",
            "😀", "\u{640}", "ﷺ", " ",
        ];
        let mut seed = 1_u64;
        let mut below = |n: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % n
        };
        let mut matched = 0;
        for _ in 0..2_000 {
            let mut some = |most: usize| (0..=below(most)).map(|_| PARTS[below(PARTS.len())]).collect::<String>();
            let list: Vec<_> = (0..4).map(|_| some(3)).filter(|word| !normal(word).is_empty()).collect();
            let (scanner, text) = (words(&list.iter().map(String::as_str).collect::<Vec<_>>()), some(20));
            let expected = list.iter().any(|word| normal(&text).contains(&normal(word)));
            let masked = scanner.mask_text(&text, "*").unwrap();
            assert_eq!(masked.is_some(), expected, "{list:?} {text:?}");
            let Some(masked) = masked else { continue };
            matched += 1;
            assert_eq!(scanner.mask_text(&masked, "*"), Ok(None), "{list:?} {text:?} {masked:?}");
            // What is not masked stands in the text in this order.
            let mut rest = text.as_str();
            for part in masked.split('*') {
                rest = rest.split_once(part).unwrap_or_else(|| panic!("{list:?} {text:?} {masked:?}")).1;
            }
        }
        assert!(matched > 400, "{matched}");
    }
}
