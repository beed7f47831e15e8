//! One form for all spellings of a text, so that a word is found however it is written.
//!
//! The form is NFKC with full case folding, less what is not seen and less what is drawn over letters:
//!
//! - Full-width, half-width, circled, squared, superscript, mathematical and ligature forms become plain characters,
//!   CJK compatibility ideographs the unified ones, jamo syllables (NFKC). So do white letters in black circles and
//!   squares, which NFKC leaves alone.
//! - Case goes: `ß` is `ss`, `ς` is `σ`, `İ` is `i`. `ı` stays, because in Turkish it makes other words.
//! - Invisible characters go: `Default_Ignorable_Code_Point` (zero-width, joiners, bidirectional controls, soft hyphen,
//!   variation selectors, tags, Hangul fillers), interlinear annotation, and control characters but for white space.
//! - Ornaments go: overlays such as strike-through, lines above and below, enclosing marks (keycaps), Hebrew points,
//!   Arabic and Syriac vowel marks, tatweel.
//! - Other accents stay where with their letter they are one character of Unicode: `é`, `ñ`, `й`, `ồ`, `أ` are not `e`,
//!   `n`, `и`, `o`, `ا`, because these are other words. A letter with marks that make no such character loses them all.
//! - Marks that spell, such as those of kana, Indic scripts and Thai, stay, in canonical order.
//!
//! Not done: look-alikes of other scripts (Cyrillic `а` for Latin `a`), marks of one script on letters of another, small
//! capitals, digits for letters, spaces or dots between letters, text turned round by bidirectional controls, simplified
//! for traditional ideographs, Katakana for Hiragana.

use std::ops::Range;
use std::sync::LazyLock;

use unicode_normalization::char::{canonical_combining_class, compose, decompose_compatible, is_combining_mark};
use unicode_normalization::{IsNormalized, is_nfc_quick};

/// The normal form of a text.
pub(super) fn normal(text: &str) -> String {
    // Here, so that it is worked out for the first word of a list and not for the first message.
    let kinds = &*KINDS;
    if text.is_ascii() {
        let mut normal = text.to_ascii_lowercase();
        if text.bytes().any(|byte| byte < b' ' || byte == b'\x7f') {
            normal.retain(|c| !is_invisible(c));
        }
        return normal;
    }
    let mut normal = String::with_capacity(text.len());
    write(text, kinds, &mut normal, |_, _| {});
    normal
}

/// The normal form of a text, and where it comes from.
pub(super) struct Mapped {
    pub(super) normal: String,
    clusters: Vec<Cluster>,
}

/// Characters that were normalised together.
struct Cluster {
    /// Where it begins in the normal form.
    at: usize,
    original: Range<usize>,
}

impl Mapped {
    pub(super) fn of(text: &str) -> Self {
        let (mut normal, mut clusters) = (String::with_capacity(text.len()), Vec::with_capacity(text.len()));
        write(text, &KINDS, &mut normal, |original, at| {
            let cluster = text.get(original.clone()).unwrap_or_default();
            let seen = cluster.trim_end_matches(|c| is_invisible(c) && !is_combining_mark(c));
            clusters.push(Cluster { at, original: original.start..original.start + seen.len() });
        });
        Self { normal, clusters }
    }

    /// The characters of the text that a part of the normal form comes from, with the marks on the last.
    pub(super) fn original(&self, normal: &Range<usize>) -> Range<usize> {
        let before = |end: usize| self.clusters.partition_point(|cluster| cluster.at < end).checked_sub(1);
        let cluster = |end: usize| before(end).and_then(|i| self.clusters.get(i)).map(|cluster| &cluster.original);
        let first = cluster(normal.start + 1).map_or(0, |original| original.start);
        first..cluster(normal.end).map_or(first, |original| original.end)
    }
}

/// Writes the normal form of `text` cluster by cluster, in one pass; `wrote` is told where each is in `text`, and where in
/// `normal` begins what it left.
fn write(text: &str, kinds: &Kinds, normal: &mut String, mut wrote: impl FnMut(Range<usize>, usize)) {
    let mut scratch = Scratch::default();
    let mut chars = text.char_indices().map(|(at, c)| (at, kinds.of(c))).peekable();
    while let Some((from, kind)) = chars.next() {
        let (mut mark, mut simple) = (None, true);
        while let Some((_, next)) = chars.next_if(|(_, next)| next.joins()) {
            match next {
                Kind::Dropped => {}
                Kind::Mark(c) if mark.is_none() => mark = Some(c),
                _ => simple = false,
            }
        }
        let to = chars.peek().map_or(text.len(), |(next, _)| *next);
        let at = normal.len();
        match kind {
            Kind::Is(c) if simple => {
                normal.push(c);
                normal.extend(mark);
            }
            _ => normal.extend(scratch.normal(text.get(from..to).unwrap_or_default())),
        }
        wrote(from..to, at);
    }
}

/// What a character does. A cluster is one that does not join, and all behind it that do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Begins a cluster, and becomes this character where nothing joins it.
    Is(char),
    /// Begins a cluster, and becomes something longer.
    Compound,
    /// Joins, and may change what is there.
    Joins,
    /// Joins, and stays itself where no other mark does.
    Mark(char),
    /// Joins, and leaves nothing.
    Dropped,
}

impl Kind {
    fn joins(self) -> bool {
        !matches!(self, Self::Is(_) | Self::Compound)
    }
}

/// The kinds of the characters below U+10000, worked out once.
static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::new);

/// What each of the characters becomes that begin a cluster, and for the others a surrogate.
struct Kinds(Box<[u16]>);

const COMPOUND: u16 = 0xD800;
const JOINS: u16 = 0xD801;
const MARK: u16 = 0xD802;
const DROPPED: u16 = 0xD803;

impl Kinds {
    fn new() -> Self {
        let mut scratch = Scratch::default();
        let mut code = |c: char| match kind_if_joining(c) {
            Some(Kind::Dropped) => DROPPED,
            Some(Kind::Mark(_)) => MARK,
            Some(_) => JOINS,
            None => match scratch.normal(c.encode_utf8(&mut [0; 4])) {
                [c] => u16::try_from(u32::from(*c)).unwrap_or(COMPOUND),
                _ => COMPOUND,
            },
        };
        Self((0..=0xFFFF).map(|c| char::from_u32(c).map_or(COMPOUND, &mut code)).collect())
    }

    fn of(&self, c: char) -> Kind {
        match self.0.get(c as usize) {
            Some(&JOINS) => Kind::Joins,
            Some(&MARK) => Kind::Mark(c),
            Some(&DROPPED) => Kind::Dropped,
            Some(&code) => char::from_u32(code.into()).map_or(Kind::Compound, Kind::Is),
            // Pictographs and ideographs.
            None if matches!(c, '\u{1F300}'..='\u{1FAFF}' | '\u{20000}'..='\u{2F7FF}' | '\u{30000}'..='\u{3FFFD}') => {
                Kind::Is(c)
            }
            None => kind_if_joining(c).unwrap_or(Kind::Compound),
        }
    }
}

/// The kind of a character that joins; `None` for one that begins a cluster.
fn kind_if_joining(c: char) -> Option<Kind> {
    let mut first = None;
    decompose_compatible(c, |c| first = first.or(Some(c)));
    let first = first?;
    if is_dropped(first) {
        return Some(Kind::Dropped);
    }
    let composes = is_nfc_quick(std::iter::once(first)) != IsNormalized::Yes;
    match canonical_combining_class(first) {
        0 if !composes => None,
        1.. if !composes && first == c && !is_accent(c) => Some(Kind::Mark(c)),
        _ => Some(Kind::Joins),
    }
}

/// What the normal form of a cluster is made in.
#[derive(Default)]
struct Scratch {
    decomposed: Vec<char>,
    composed: Vec<char>,
}

impl Scratch {
    fn normal(&mut self, cluster: &str) -> &[char] {
        let Self { decomposed, composed } = self;
        decomposed.clear();
        cluster.chars().for_each(|c| decompose_folded(c, |c| decomposed.push(c)));
        for letter in decomposed.chunk_by_mut(|_, next| canonical_combining_class(*next) != 0) {
            letter.sort_by_key(|c| canonical_combining_class(*c));
        }
        compose_all(decomposed, composed);
        if composed.iter().any(|c| is_accent(*c)) {
            // More than one letter has: ornaments.
            decomposed.retain(|c| !is_accent(*c));
            compose_all(decomposed, composed);
        }
        composed
    }
}

/// The compatibility decomposition of a character, in lower case and without what is dropped.
fn decompose_folded(c: char, mut push: impl FnMut(char)) {
    let c = match c {
        '\u{1F150}'..='\u{1F169}' => letter(c, '\u{1F150}'),
        '\u{1F170}'..='\u{1F189}' => letter(c, '\u{1F170}'),
        _ => c,
    };
    decompose_compatible(c, |c| match c {
        _ if is_dropped(c) => {}
        // Upper case makes other letters of these.
        'ı' | '\u{345}' => push(c),
        // Have no case: Hebrew to Myanmar, jamo to Ethiopic, ideographs, kana.
        '\u{590}'..='\u{109F}' | '\u{1100}'..='\u{139F}' | '\u{2E80}'..='\u{A63F}' => push(c),
        // Full case folding in terms of the standard library: `ẞ` to `ß` to `SS` to `ss`.
        _ => c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase).for_each(&mut push),
    });
}

/// The letter that a symbol stands for, of an alphabet of symbols that begins with `a`.
fn letter(symbol: char, a: char) -> char {
    u8::try_from(symbol as u32 - a as u32).map_or(symbol, |i| char::from(b'a' + i))
}

/// Canonical composition of characters in canonical order.
fn compose_all(decomposed: &[char], composed: &mut Vec<char>) {
    composed.clear();
    let (mut starter, mut last_class) = (None, 0);
    for &c in decomposed {
        let class = canonical_combining_class(c);
        let blocked = |starter: usize| starter + 1 != composed.len() && last_class >= class;
        let base = starter.filter(|starter| !blocked(*starter)).and_then(|starter: usize| composed.get_mut(starter));
        if let Some(base) = base
            && let Some(both) = compose(*base, c)
        {
            *base = both;
            continue;
        }
        if class == 0 {
            starter = Some(composed.len());
        }
        last_class = class;
        composed.push(c);
    }
}

/// Whether a character leaves nothing in the normal form.
fn is_dropped(c: char) -> bool {
    is_invisible(c) || is_ornament(c)
}

/// Whether nothing of a character is seen, white space apart.
pub(super) fn is_invisible(c: char) -> bool {
    match c {
        ' '..='~' | '\t'..='\r' | '\u{85}' => false,
        '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}' | '\u{FFF9}'..='\u{FFFB}' => true,
        // Default_Ignorable_Code_Point.
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' => true,
        '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' => true,
        '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' => true,
        '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}' => true,
        _ => false,
    }
}

/// Whether a character is drawn over, around or beside a letter and makes no other letter of it.
fn is_ornament(c: char) -> bool {
    match c {
        // Tatweel, which only stretches a word.
        '\u{640}' => true,
        // Lines above and below.
        '\u{305}' | '\u{332}' | '\u{333}' | '\u{33F}' => true,
        // Hebrew points, Arabic and Syriac vowel marks; not the three that make letters.
        '\u{653}'..='\u{655}' => false,
        '\u{591}'..='\u{5C7}' | '\u{610}'..='\u{61A}' | '\u{64B}'..='\u{65F}' | '\u{670}' => is_combining_mark(c),
        '\u{6D6}'..='\u{6ED}' | '\u{730}'..='\u{74A}' | '\u{897}'..='\u{8FF}' => is_combining_mark(c),
        // Overlays are of class 1, enclosing marks of class 0.
        _ => is_accent(c) && canonical_combining_class(c) <= 1,
    }
}

/// Whether a character is a mark for letters of any script, which spells only where it makes another letter.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36F}' | '\u{483}'..='\u{489}' | '\u{653}'..='\u{655}' | '\u{1AB0}'..='\u{1AFF}')
        || matches!(c, '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use unicode_normalization::UnicodeNormalization;

    use super::{KINDS, Kind, Mapped, Scratch, canonical_combining_class, is_accent, is_invisible, normal};

    /// All that are not private or unassigned by the thousand.
    fn every_char() -> impl Iterator<Item = char> {
        ('\0'..'\u{E000}').chain('\u{F000}'..'\u{34000}').chain('\u{DFF00}'..'\u{E1100}')
    }

    #[test]
    fn spellings_of_the_same_text_have_the_same_form() {
        for (form, spellings) in [
            ("微信abc123", &["微信ABC123", "微信ａｂｃ１２３", "微信ⓐⓑⓒ①②③", "微信𝖆𝕓𝒄¹²³"][..]),
            ("spam", &["SPAM", "ＳＰＡＭ", "🅂🄿🄰🄼", "🆂🅿🅰🅼", "🅢🅟🅐🅜", "ſpam", "𝓈𝓅𝒶𝓂", "ˢᵖᵃᵐ"]),
            (
                "spam",
                &[
                    "s\u{200b}p\u{200d}a\u{2060}m",
                    "\u{feff}sp\u{ad}am",
                    "s\u{fe0f}pam\u{e0100}",
                    "\u{202e}spam\u{202c}",
                ],
            ),
            ("spam", &["s\0p\u{1b}a\u{9c}m", "s\u{3164}p\u{115f}a\u{e0061}m"]),
            ("spam", &["s\u{336}p\u{336}a\u{336}m\u{336}", "s\u{332}p\u{305}a\u{333}m", "s\u{20dd}p\u{20e0}am"]),
            (
                "spam",
                &[
                    "s\u{334}\u{301}\u{327}\u{30a}pam",
                    "s\u{300}\u{316}p\u{317}\u{32a}\u{346}am",
                    "s\u{20d0}\u{1dc4}pam",
                ],
            ),
            ("1+2", &["1\u{fe0f}\u{20e3}+2\u{20e3}", "１＋２", "¹⁺²"]),
            ("strasse", &["Straße", "STRASSE", "STRAẞE", "ｓｔｒａße"]),
            ("istanbul", &["İstanbul", "i\u{307}stanbul", "ISTANBUL"]),
            ("οδυσσευσ", &["Οδυσσευς", "ΟΔΥΣΣΕΥΣ"]),
            ("office", &["oﬃce", "ＯＦＦＩＣＥ"]),
            ("café", &["CAFÉ", "cafe\u{301}", "c\u{336}afé\u{336}", "cafe\u{301}\u{336}", "cafe\u{336}\u{301}"]),
            ("lồn", &["LỒN", "lô\u{300}n", "lo\u{302}\u{300}n", "l\u{332}ồ\u{332}n\u{332}"]),
            ("ậ", &["â\u{323}", "ạ\u{302}", "a\u{323}\u{302}", "a\u{302}\u{323}"]),
            ("мой", &["МОЙ", "мои\u{306}", "м\u{338}о\u{338}й\u{338}", "мо\u{301}й"]),
            ("한국", &["\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}", "하\u{11ab}국", "한\u{200b}국"]),
            ("가", &["ㄱㅏ", "ﾡￂ", "\u{1100}\u{1161}"]),
            ("ガギ", &["ｶﾞｷﾞ", "カ\u{3099}キ\u{3099}"]),
            ("คู่", &["ค\u{e39}\u{e48}", "ค\u{e48}\u{e39}"]),
            ("क\u{93c}", &["क़", "\u{958}"]),
            ("أهلا", &["أَهْلاً", "ا\u{654}هلا", "أهـــلا", "ﺃﻫﻼ"]),
            ("שלום", &["שָׁלוֹם", "\u{fb2a}לום"]),
            ("秘密", &["㊙密", "秘\u{fe00}密"]),
            ("車", &["\u{f902}", "⾞"]),
            ("❤👍", &["❤\u{fe0f}👍", "❤\u{fe0e}\u{200d}👍"]),
            ("a b", &["A\u{3000}B", "a\u{a0}b", "a\u{2003}b"]),
            ("a\tb\r\nc", &["A\tB\r\nC"]),
        ] {
            for spelling in spellings {
                assert_eq!(normal(spelling), form, "{}", spelling.escape_unicode());
            }
        }
    }

    #[test]
    fn other_words_have_other_forms() {
        for (a, b) in
            [("año", "ano"), ("й", "и"), ("ı", "i"), ("か", "が"), ("가", "각"), ("क", "कि"), ("ồ", "o"), ("أ", "ا")]
        {
            assert_ne!(normal(a), normal(b));
        }
    }

    #[test]
    fn what_is_not_seen_is_nothing() {
        for text in
            ["", "\u{200b}", "\u{336}\u{301}", "\u{301}", "\0\u{7f}", "\u{640}\u{64b}", "\u{fe0f}\u{20e3}", "\u{fe77}"]
        {
            assert_eq!(normal(text), "", "{}", text.escape_unicode());
        }
    }

    #[test]
    fn the_form_of_a_form_is_itself_and_equivalents_have_the_same() {
        for c in every_char() {
            let (text, form) = (c.to_string(), normal(&c.to_string()));
            assert_eq!(normal(&form), form, "{}", c.escape_unicode());
            let lower = text.to_lowercase();
            for same in [text.nfd().collect(), text.nfkc().collect(), text.nfkd().collect(), lower] {
                let same: String = same;
                assert_eq!(normal(&same), form, "{} {}", c.escape_unicode(), same.escape_unicode());
            }
        }
    }

    #[test]
    fn upper_case_has_the_same_form() {
        // Upper case of the dotless i is that of i, and of the Greek iota below a letter an iota beside it.
        for c in every_char().filter(|c| *c != 'ı' && !c.nfd().any(|c| c == '\u{345}')) {
            let upper: String = c.to_uppercase().collect();
            assert_eq!(normal(&upper), normal(&c.to_string()), "{}", c.escape_unicode());
        }
    }

    #[test]
    fn nothing_but_nfkc_happens_to_what_has_no_case_and_no_accents() {
        for text in [
            "ｶﾀｶﾅ가나ㄱㅏ㎏㍿",
            "हिन्दी क़",
            "ภาษาไทย ำ",
            "မြန်မာ",
            "བོད་",
            "𝟘𝟙ª",
            "\u{1100}\u{1161}\u{11a8}\u{11a8}",
            "漢字㊗",
        ] {
            assert_eq!(normal(text), text.nfkc().collect::<String>().to_lowercase());
        }
    }

    #[test]
    fn a_mark_that_goes_through_quickly_comes_out_as_it_would_slowly() {
        let mut scratch = Scratch::default();
        // One of each combining class.
        let marks = every_char().filter(|c| KINDS.of(*c) == Kind::Mark(*c));
        let marks: BTreeMap<_, _> = marks.map(|c| (canonical_combining_class(c), c)).collect();
        assert!(marks.len() > 20, "{marks:?}");
        let bases = ('\0'..'\u{2000}').filter(|c| c.nfd().nth(1).is_some()).chain(['e', '가', '각', 'ﬁ', '的', '😀']);
        for base in bases.filter(|c| matches!(KINDS.of(*c), Kind::Is(_))) {
            for mark in marks.values() {
                let cluster = format!("{base}{mark}");
                assert_eq!(
                    normal(&cluster),
                    scratch.normal(&cluster).iter().collect::<String>(),
                    "{}",
                    cluster.escape_unicode()
                );
            }
        }
    }

    #[test]
    fn every_character_alone_comes_out_as_it_would_slowly() {
        let mut scratch = Scratch::default();
        for c in every_char().map(|c| c.to_string()) {
            assert_eq!(normal(&c), scratch.normal(&c).iter().collect::<String>(), "{}", c.escape_unicode());
        }
    }

    #[test]
    fn the_invisible_are_those_of_unicode_and_controls() {
        let invisible = regex::Regex::new(r"[\p{Default_Ignorable_Code_Point}\u{FFF9}-\u{FFFB}[\p{Cc}--\s]]").unwrap();
        for c in every_char() {
            assert_eq!(is_invisible(c), invisible.is_match(c.encode_utf8(&mut [0; 4])), "{}", c.escape_unicode());
        }
    }

    #[test]
    fn an_accent_is_a_mark() {
        let mark = regex::Regex::new(r"[\p{M}\p{Cn}]").unwrap();
        assert!(every_char().filter(|c| is_accent(*c)).all(|c| mark.is_match(c.encode_utf8(&mut [0; 4]))));
    }

    /// The original of every part of the form that matches `word`.
    fn originals<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
        let mapped = Mapped::of(text);
        assert_eq!(mapped.normal, normal(text));
        let found = mapped.normal.match_indices(word);
        found.map(|(at, word)| &text[mapped.original(&(at..at + word.len()))]).collect()
    }

    #[test]
    fn a_part_of_the_form_is_found_in_the_original() {
        for (text, word, found) in [
            ("say ＳＰＡＭ now", "spam", &["ＳＰＡＭ"][..]),
            ("say s\u{200b}pam\u{200b} now", "spam", &["s\u{200b}pam"]),
            ("\u{feff}s\u{336}p\u{336}!", "sp", &["s\u{336}p\u{336}"]),
            ("Straße Straße", "strasse", &["Straße", "Straße"]),
            ("aßb", "as", &["aß"]),
            ("aßb", "sb", &["ßb"]),
            ("aßb", "s", &["ß", "ß"]),
            ("xİstanbul", "ist", &["İst"]),
            ("oﬃce", "fi", &["ﬃ"]),
            ("㍿a", "式会", &["㍿"]),
            ("\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}", "국", &["\u{1100}\u{116e}\u{11a8}"]),
            ("xcafe\u{301}x", "café", &["cafe\u{301}"]),
            ("😀𝒔𝒑𝒂𝒎😀", "spam", &["𝒔𝒑𝒂𝒎"]),
            ("❤\u{fe0f}x", "❤", &["❤\u{fe0f}"]),
            ("שָׁלוֹם רב", "שלום", &["שָׁלוֹם"]),
            ("\u{200b}a", "a", &["a"]),
        ] {
            assert_eq!(originals(text, word), found, "{text} {word}");
        }
    }

    #[test]
    fn the_whole_form_comes_from_the_whole_text() {
        for c in every_char() {
            let (text, mapped) = (c.to_string(), Mapped::of(&c.to_string()));
            if !mapped.normal.is_empty() {
                assert_eq!(mapped.original(&(0..mapped.normal.len())), 0..text.len());
            }
        }
    }
}
