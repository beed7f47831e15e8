//! Lists of words.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use unicode_normalization::char::is_combining_mark;

use super::ListError;
use super::normal::{Mapped, normal};

/// Thousands of words that are looked for in one pass.
pub(crate) struct Words {
    automaton: AhoCorasick,
    whole: bool,
}

impl Words {
    /// Builds the list. With `whole_words` a word counts only where no letter or digit of a script with spaces between
    /// words touches it. Chinese, Japanese, Thai and the like have no such spaces: their words always count, and their
    /// characters may stand beside any word.
    ///
    /// # Errors
    /// When nothing is left of an entry after [normalisation](super::normal), or there are gigabytes of them.
    pub(crate) fn new<'a>(words: impl IntoIterator<Item = &'a str>, whole_words: bool) -> Result<Self, ListError> {
        let word = |(i, word): (usize, &str)| match normal(word) {
            normal if normal.is_empty() => {
                let word = word.escape_debug();
                Err(ListError::of_entry(i, format!("\"{word}\" is empty: it has nothing that can be seen")))
            }
            normal => Ok(normal),
        };
        let words = words.into_iter().enumerate().map(word).collect::<Result<Vec<_>, _>>()?;
        let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).build(words);
        let automaton =
            automaton.map_err(|error| ListError { entry: None, problem: format!("the list is too long: {error}") })?;
        Ok(Self { automaton, whole: whole_words })
    }

    /// Whether one of the words is in a normalised text.
    pub(super) fn is_match(&self, normal: &str) -> bool {
        if self.whole {
            // A shorter word may count where a longer one does not, so all are looked at.
            self.automaton.find_overlapping_iter(normal).any(|word| is_whole(normal, word.range()))
        } else {
            self.automaton.is_match(normal)
        }
    }

    /// Where in a text words are. What overlaps is one span.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let text = Mapped::of(text);
        let mut spans: Vec<Range<usize>> = Vec::new();
        // Ends ascend.
        for word in self.automaton.find_overlapping_iter(&text.normal).map(|word| word.range()) {
            if self.whole && !is_whole(&text.normal, word.clone()) {
                continue;
            }
            let mut start = word.start;
            while let Some(last) = spans.pop_if(|last| last.end > word.start) {
                start = start.min(last.start);
            }
            spans.push(start..word.end);
        }
        spans.iter().map(|span| text.original(span)).collect()
    }
}

/// Whether nothing that is spelled with spaces goes on at either end of a word.
fn is_whole(text: &str, word: Range<usize>) -> bool {
    let (before, from) = text.split_at_checked(word.start).unwrap_or_default();
    let (upto, after) = text.split_at_checked(word.end).unwrap_or_default();
    let goes_on = |outside: Option<char>, edge: Option<char>| {
        let spelled = |c: char| (c.is_alphanumeric() || is_combining_mark(c)) && !is_unspaced(c);
        outside.is_some_and(spelled) && !edge.is_some_and(is_unspaced)
    };
    !goes_on(before.chars().next_back(), from.chars().next())
        && !goes_on(after.chars().next(), upto.chars().next_back())
}

/// Whether a character is of a script that has no spaces between words. By blocks, which is exact enough.
fn is_unspaced(c: char) -> bool {
    match c {
        // Thai, Lao, Tibetan; Myanmar; Khmer; Tai Le to Khmer symbols; Tai Tham; Balinese.
        '\u{E00}'..='\u{FFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' => true,
        '\u{1950}'..='\u{19FF}' | '\u{1A20}'..='\u{1AAF}' | '\u{1B00}'..='\u{1B7F}' => true,
        // Radicals to Bopomofo, less Hangul, to Yi; Javanese and Myanmar; Tai Viet; compatibility ideographs.
        '\u{2E80}'..='\u{312F}' | '\u{3190}'..='\u{A4CF}' | '\u{A980}'..='\u{A9FF}' => true,
        '\u{AA60}'..='\u{AADF}' | '\u{F900}'..='\u{FAFF}' => true,
        // Kana supplements; ideographs.
        '\u{1AFF0}'..='\u{1B16F}' | '\u{20000}'..='\u{3FFFD}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Words, normal};

    fn has(words: &[&str], whole: bool, text: &str) -> bool {
        Words::new(words.iter().copied(), whole).unwrap().is_match(&normal(text))
    }

    fn found<'t>(words: &[&str], whole: bool, text: &'t str) -> Vec<&'t str> {
        let words = Words::new(words.iter().copied(), whole).unwrap();
        let spans = words.find(text);
        assert_eq!(!spans.is_empty(), words.is_match(&normal(text)));
        spans.into_iter().map(|span| &text[span]).collect()
    }

    #[test]
    fn a_word_is_found_however_list_and_text_spell_it() {
        for (word, text) in [
            ("spam", "buy ＳＰＡＭ now"),
            ("ＳＰＡＭ", "buy s\u{200b}p\u{336}am now"),
            ("s\u{ad}pam", "SPAM"),
            ("ẞ", "Strasse"),
            ("strasse", "Straße"),
            ("İzmir", "izmir"),
            ("café", "CAFE\u{301}S"),
            ("微信", "加微\u{200b}信吧"),
            ("ㅂㅏ", "바"),
            ("👍🏻", "ok 👍🏻!"),
            ("❤", "❤\u{fe0f}"),
            ("new york", "NEW\u{3000}YORK"),
        ] {
            assert!(has(&[word], false, text), "{word} in {text}");
        }
    }

    #[test]
    fn a_word_is_not_found_where_another_is_written() {
        for (word, text) in
            [("ano", "año"), ("가", "각"), ("か", "がく"), ("spam", "s pam"), ("sik", "sık"), ("и", "й")]
        {
            assert!(!has(&[word], false, text), "{word} in {text}");
        }
    }

    #[test]
    fn an_empty_list_finds_nothing() {
        assert!(!has(&[], false, "text"));
        assert!(found(&[], true, "text").is_empty());
    }

    #[test]
    fn an_empty_word_is_refused_by_name() {
        for word in ["", "\u{200b}\u{fe0f}", "\u{336}"] {
            let error = Words::new(["fine", word], false).err().unwrap();
            let named = format!("\"{}\" is empty", word.escape_debug());
            assert!(error.entry == Some(1) && error.to_string().starts_with(&named), "{error}");
        }
    }

    #[test]
    fn what_overlaps_is_one_span() {
        assert_eq!(found(&["abc", "cde"], false, "xabcdex"), ["abcde"]);
        assert_eq!(found(&["a", "abcd", "bc"], false, "xabcdx"), ["abcd"]);
        assert_eq!(found(&["ab", "abcdef", "de"], false, "abcdex"), ["ab", "de"]);
        assert_eq!(found(&["b", "d", "bcde", "abcdef"], false, "abcdef"), ["abcdef"]);
        assert_eq!(found(&["法轮", "轮功"], false, "练法轮功吗"), ["法轮功"]);
        assert_eq!(found(&["aa"], false, "aaa aa"), ["aaa", "aa"]);
    }

    #[test]
    fn a_whole_word_is_touched_by_no_letter_or_digit() {
        for text in [
            "ass",
            "an ass!",
            "ASS.",
            "ass-hat",
            "_ass_",
            "\u{200b}ass\u{200b}",
            "ａｓｓ，",
            "a\u{336}ss",
            "«ass»",
            "😀ass😀",
        ] {
            assert!(has(&["ass"], true, text), "{text}");
        }
        for text in ["class", "assume", "ass1", "1ass", "éass", "ass\u{200b}et", "assй", "ass한", "assع", "assक"]
        {
            assert!(!has(&["ass"], true, text), "{text}");
            assert!(has(&["ass"], false, text), "{text}");
        }
        assert!(has(&["хуй"], true, "да хуй!") && !has(&["хуй"], true, "похуй"));
        assert!(!has(&["क"], true, "क्"), "a virama goes on with the word");
    }

    #[test]
    fn scripts_without_spaces_touch_nothing_and_are_not_touched() {
        for (word, text) in [
            ("微信", "加微信号"),
            ("微信", "myv微信x1"),
            ("sex", "我sex你"),
            ("18", "禁18禁"),
            ("спам", "看спам吧"),
            ("さくら", "あさくらさん"),
            ("カラ", "カラー2"),
            ("ควย", "ไอควยนะ"),
        ] {
            assert!(has(&[word], true, text), "{word} in {text}");
        }
        assert!(!has(&["18"], true, "2018年"));
        assert!(!has(&["바보"], true, "바보들"), "Korean has spaces");
    }

    #[test]
    fn a_shorter_word_counts_where_a_longer_one_does_not() {
        assert_eq!(found(&["foo", "foo b"], true, "foo bar"), ["foo"]);
        assert_eq!(found(&["ass", "asset"], true, "assets ass asset"), ["ass", "asset"]);
    }

    #[test]
    fn a_long_text_of_one_kind_is_looked_through_once() {
        let list = ["spam", "微信", "a\u{e48}"];
        for unit in
            ["a", "\u{300}\u{323}", "\u{e48}\u{e38}", "\u{200b}", "\u{1161}", "\u{fdfa}", "的", "\u{1d15f}", "s\u{336}"]
        {
            let text = unit.repeat((1 << 17) / unit.len());
            assert!(!has(&list, false, &text), "{}", unit.escape_unicode());
            assert!(found(&list, true, &text).is_empty(), "{}", unit.escape_unicode());
        }
        assert_eq!(found(&["a", "aa", "aaaa"], false, &"a".repeat(1 << 17)), ["a".repeat(1 << 17)]);
    }

    #[test]
    fn thousands_of_words_are_one_automaton() {
        let words: Vec<_> = (0..10_000).map(|i| format!("w{i:05}x")).collect();
        let words = Words::new(words.iter().map(String::as_str), false).unwrap();
        assert!(words.is_match("so w09999x is there") && !words.is_match("w10000x"));
    }
}
