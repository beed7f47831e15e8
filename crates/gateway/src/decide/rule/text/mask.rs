//! What stands in the place of a match.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;

use super::normal::is_invisible;

/// The text with `mask` for every character of the spans. Marks and invisible characters among them vanish, and so do
/// the marks on the last character of a span.
pub(super) fn mask(text: &str, mut spans: Vec<Range<usize>>, mask: &str) -> String {
    spans.sort_unstable_by_key(|span| span.start);
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for span in spans {
        if span.end <= done {
            continue;
        }
        let start = span.start.max(done);
        let end = span.end + marks(text.get(span.end..).unwrap_or_default());
        masked.push_str(text.get(done..start).unwrap_or_default());
        for _ in text.get(start..end).unwrap_or_default().chars().filter(|c| is_visible(*c)) {
            masked.push_str(mask);
        }
        done = end;
    }
    masked.push_str(text.get(done..).unwrap_or_default());
    masked
}

fn is_visible(c: char) -> bool {
    !is_combining_mark(c) && !is_invisible(c)
}

/// How many bytes at the beginning of a text are marks on what stands before it, with what is invisible between them.
fn marks(text: &str) -> usize {
    let marked = text.char_indices().take_while(|(_, c)| !is_visible(*c)).filter(|(_, c)| is_combining_mark(*c));
    marked.last().map_or(0, |(at, c)| at + c.len_utf8())
}

#[cfg(test)]
mod tests {
    fn mask<const N: usize>(text: &str, spans: [(usize, usize); N], mask: &str) -> String {
        super::mask(text, spans.into_iter().map(|(start, end)| start..end).collect(), mask)
    }

    #[test]
    fn the_mask_stands_for_each_character() {
        assert_eq!(mask("a bad word", [(2, 5)], "*"), "a *** word");
        assert_eq!(mask("练法轮功吗", [(3, 12)], "*"), "练***吗");
        assert_eq!(mask("x😀y", [(1, 5)], "█"), "x█y");
        assert_eq!(mask("bad", [(0, 3)], "#!"), "#!#!#!");
        assert_eq!(mask("a bad word", [(2, 5)], ""), "a  word");
        assert_eq!(mask("bad", [(0, 3)], ""), "");
    }

    #[test]
    fn spans_may_overlap_and_come_in_any_order() {
        assert_eq!(mask("abcdefgh", [(4, 6), (0, 2), (1, 3), (4, 5), (1, 2)], "*"), "***d**gh");
    }

    #[test]
    fn marks_and_invisible_characters_vanish() {
        let struck = "b\u{336}a\u{336}d\u{336}";
        assert_eq!(mask(struck, [(0, struck.len())], "*"), "***");
        assert_eq!(mask("b\u{200b}ad", [(0, 6)], "*"), "***");
        assert_eq!(mask("❤\u{fe0f}!", [(0, 6)], "*"), "*!");
    }

    #[test]
    fn marks_on_the_last_character_vanish_with_it_and_nothing_else_does() {
        assert_eq!(mask("a\u{301}b", [(0, 1)], "*"), "*b");
        assert_eq!(mask("a\u{200b}\u{301}\u{200b}b", [(0, 1)], "*"), "*\u{200b}b");
        assert_eq!(mask("a\u{200b}b", [(0, 1)], "*"), "*\u{200b}b");
        assert_eq!(mask("ก้า", [(0, 3)], "*"), "*า");
    }

    #[test]
    fn many_spans_among_many_marks_take_one_pass() {
        let text = format!("a{}", "\u{301}\u{302}".repeat(1 << 18));
        let spans = (0..1 << 18).map(|i| 1 + 4 * i..3 + 4 * i).collect();
        assert_eq!(super::mask(&text, spans, "*"), "a");
    }
}
