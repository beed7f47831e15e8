//! Lists of regular expressions.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

use super::{ListError, TextError};

/// MiB that one pattern may take. `\w{1,64}` takes 3.
const LIMIT: usize = 4;

/// Bytes of tables that one pattern may build while it searches, for each thread that does.
const TABLES_LIMIT: usize = 1 << 20;

/// How often patterns may match one text. Each match may take time in proportion to all of the text after it.
pub(super) const MAX_MATCHES: usize = 4096;

/// Regular expressions over the text as it came, of the syntax of the crate `regex`.
pub(crate) struct Patterns(Vec<Regex>);

impl Patterns {
    /// Builds the list.
    ///
    /// # Errors
    /// When an entry is no regular expression, can match without a character, or takes too much memory.
    pub(crate) fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, ListError> {
        let build = |(i, pattern): (usize, &str)| {
            build(pattern).map_err(|problem| ListError::of_entry(i, format!("`{pattern}`: {problem}")))
        };
        patterns.into_iter().enumerate().map(build).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of the patterns matches a text.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(text))
    }

    /// Where in a text patterns match.
    ///
    /// # Errors
    /// When they match more than [`MAX_MATCHES`] times.
    pub(super) fn find(&self, text: &str) -> Result<Vec<Range<usize>>, TextError> {
        let matches = self.0.iter().flat_map(|pattern| pattern.find_iter(text).map(|found| found.range()));
        let spans: Vec<_> = matches.take(MAX_MATCHES + 1).collect();
        if spans.len() > MAX_MATCHES { Err(TextError::TooMany) } else { Ok(spans) }
    }
}

fn build(pattern: &str) -> Result<Regex, String> {
    // `regex` would say the same in several lines.
    let parsed = regex_syntax::parse(pattern).map_err(|error| match &error {
        regex_syntax::Error::Parse(error) => at(error.span(), error.kind()),
        regex_syntax::Error::Translate(error) => at(error.span(), error.kind()),
        _ => error.to_string(),
    })?;
    if parsed.properties().minimum_len() == Some(0) {
        return Err("can match without a character, and so would match every text".to_owned());
    }
    let regex = RegexBuilder::new(pattern).size_limit(LIMIT << 20).dfa_size_limit(TABLES_LIMIT).build();
    regex.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("takes more than {LIMIT} MiB of memory; repeat less"),
        error => error.to_string(),
    })
}

fn at(span: &regex_syntax::ast::Span, problem: impl std::fmt::Display) -> String {
    match span.start {
        regex_syntax::ast::Position { line: 1, column, .. } => format!("{problem} at character {column}"),
        regex_syntax::ast::Position { line, column, .. } => format!("{problem} at line {line}, character {column}"),
    }
}

#[cfg(test)]
mod tests {
    use super::Patterns;

    #[test]
    fn any_of_the_patterns_matches_the_text_as_it_came() {
        let patterns = Patterns::new([r"(?i)https?://\S+", r"\d{11}", "信.?号"]).unwrap();
        assert!(
            patterns.is_match("see HTTP://a.b")
                && patterns.is_match("13800138000")
                && patterns.is_match("微信\u{200b}号")
        );
        assert!(!patterns.is_match("ｈｔｔｐ://a") && !patterns.is_match(""));
        let text = "http://a 13800138000";
        let spans = patterns.find(text).unwrap();
        assert_eq!(spans.into_iter().map(|span| &text[span]).collect::<Vec<_>>(), ["http://a", "13800138000"]);
        assert!(!Patterns::new([]).unwrap().is_match("a"));
    }

    #[test]
    fn what_is_wrong_with_a_pattern_is_said_in_one_line() {
        for (pattern, problem) in [
            ("a(b", "`a(b`: unclosed group at character 2"),
            (
                "微(?=信)",
                "`微(?=信)`: look-around, including look-ahead and look-behind, is not supported at character 2",
            ),
            (r"\p{Nope}", r"`\p{Nope}`: Unicode property not found at character 1"),
            ("a{1000}{1000}", "`a{1000}{1000}`: takes more than 4 MiB of memory; repeat less"),
            (r"(\w{100}){100}", r"`(\w{100}){100}`: takes more than 4 MiB of memory; repeat less"),
        ] {
            let error = Patterns::new(["fine", pattern]).err().unwrap();
            assert_eq!((error.entry, error.to_string().as_str()), (Some(1), problem));
        }
        let nested = format!("{}a{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(Patterns::new([nested.as_str()]).is_err());
    }

    #[test]
    fn a_pattern_that_can_match_nothing_is_refused() {
        for pattern in ["", "a*", "a?", "^", r"\b", "(?i)", "a|", "(a|b*)", "^$"] {
            let error = Patterns::new([pattern]).err().unwrap();
            assert!(error.to_string().contains("without a character"), "{pattern}: {error}");
        }
        Patterns::new([r"\ba", "a+", "(?:a|bc*)", "^a$"]).unwrap();
    }

    #[test]
    fn ordinary_patterns_fit() {
        let emails = r"(?i)[\w.+-]+@[\w-]+(?:\.[\w-]+)+";
        Patterns::new([emails, r"\p{Han}{2,40}", r"(?:[\p{L}\d]\W{0,3}){5}", r"\w{1,64}"]).unwrap();
    }

    #[test]
    fn a_long_text_is_looked_through_once() {
        let patterns = Patterns::new([r"(a+)+b", r"(?:\w+\s?)+!"]).unwrap();
        assert!(!patterns.is_match(&"a".repeat(1 << 18)));
    }
}
