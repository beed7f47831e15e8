//! Keyword lists over a message of 500 characters without a hit, its normalisation included.
//!
//! `tests/bench words`

use std::hint::black_box;

use chathook_gateway::decide::rule::word_list;
use chathook_protocol::MsgElement;
use criterion::Criterion;

/// The same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(limit)) as u32
    }

    /// A word of at least `from` and less than `to` letters, out of `letters` that begin with `first`.
    fn word(&mut self, first: char, letters: u32, from: u32, to: u32) -> String {
        let length = from + self.below(to - from);
        (0..length).filter_map(|_| char::from_u32(u32::from(first) + self.below(letters))).collect()
    }
}

/// Latin and Chinese words by turns.
fn words(count: usize) -> Vec<String> {
    let mut numbers = Numbers(1);
    let mut word = |i| match i % 2 {
        0 => numbers.word('a', 26, 5, 12),
        _ => numbers.word('一', 3500, 2, 5),
    };
    (0..count).map(&mut word).collect()
}

/// 500 characters in which none of the words is.
fn text(words: &[String], mut next: impl FnMut(&mut Numbers) -> String) -> String {
    let (mut numbers, mut text) = (Numbers(7), String::new());
    while text.chars().count() < 500 {
        let longer = format!("{text}{}", next(&mut numbers));
        if !words.iter().any(|word| longer.contains(word.as_str())) {
            text = longer;
        }
    }
    text.chars().take(500).collect()
}

pub(crate) fn run(_given: &[f64]) {
    let mut criterion = Criterion::default();
    let words = words(10_000);
    let latin = text(&words, |numbers| numbers.word('a', 26, 2, 9) + " ");
    let wide = |c: char| if c == ' ' { '\u{3000}' } else { char::from_u32(u32::from(c) + 0xFEE0).unwrap_or(c) };
    let texts = [
        ("Latin", latin.clone()),
        ("Chinese", text(&words, |numbers| numbers.word('一', 3500, 1, 2))),
        ("Russian", text(&words, |numbers| numbers.word('а', 32, 2, 9) + " ")),
        ("Korean", text(&words, |numbers| numbers.word('가', 11_172, 2, 4) + " ")),
        ("full width", latin.chars().map(wide).collect()),
        ("struck through", latin.chars().take(250).flat_map(|c| [c, '\u{336}']).collect()),
    ];
    let has_word = word_list(words.iter().map(String::as_str)).expect("words that can be seen");
    let mut group = criterion.benchmark_group("10,000 words, 500 characters");
    for (name, text) in texts {
        let message = [MsgElement::text(text.as_str())];
        group.bench_function(name, |bencher| bencher.iter(|| assert!(!has_word(black_box(&message)))));
    }
    group.finish();
    criterion.final_summary();
}
