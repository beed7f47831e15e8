//! JSON for people: indented and coloured, with every character that came.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::cli::output::printable;

const KEY: Style = AnsiColor::Blue.on_default();
const TEXT: Style = AnsiColor::Green.on_default();
const OTHER: Style = AnsiColor::Cyan.on_default();

/// Appends `json`, each line but the first after `margin`. It may end anywhere.
pub(super) fn pretty(out: &mut String, json: &str, margin: &str) {
    let mut depth = 0;
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        match first {
            '{' | '[' => {
                let close = if first == '{' { '}' } else { ']' };
                let inner = rest[1..].trim_start();
                out.push(first);
                if let Some(after) = inner.strip_prefix(close) {
                    out.push(close);
                    rest = after;
                    continue;
                }
                depth += 1;
                new_line(out, margin, depth);
                rest = inner;
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(out, margin, depth);
                out.push(first);
                rest = &rest[1..];
            }
            ',' => {
                out.push(',');
                new_line(out, margin, depth);
                rest = rest[1..].trim_start();
            }
            ':' => {
                out.push_str(": ");
                rest = rest[1..].trim_start();
            }
            '"' => {
                let (string, after) = rest.split_at(string_end(rest));
                let style = if after.trim_start().starts_with(':') { KEY } else { TEXT };
                let _ = write!(out, "{style}{}{style:#}", printable(string));
                rest = after;
            }
            it if it.is_whitespace() => rest = rest.trim_start(),
            _ => {
                let end = rest.find(|it: char| it.is_whitespace() || "{}[],:\"".contains(it)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                let _ = write!(out, "{OTHER}{}{OTHER:#}", printable(word));
                rest = after;
            }
        }
    }
}

/// Deeper nesting is not indented any further.
const DEEPEST: usize = 16;

fn new_line(out: &mut String, margin: &str, depth: usize) {
    out.push('\n');
    out.push_str(margin);
    for _ in 0..depth.min(DEEPEST) {
        out.push_str("  ");
    }
}

/// Where the string that `text` begins with ends.
fn string_end(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::pretty;

    fn plain(json: &str) -> String {
        let mut out = String::new();
        pretty(&mut out, json, "  ");
        anstream::adapter::strip_str(&out).to_string()
    }

    #[test]
    fn objects_and_arrays_are_indented_and_nothing_is_lost() {
        let json = "{ \"a\\\"{\":[1,-2.50e9,{}], \"群\":[ ],\"b\" : null}";
        let expected =
            "{\n    \"a\\\"{\": [\n      1,\n      -2.50e9,\n      {}\n    ],\n    \"群\": [],\n    \"b\": null\n  }";
        assert_eq!(plain(json), expected);
    }

    #[test]
    fn deep_nesting_is_not_indented_without_end() {
        let deep = "[".repeat(20_000) + "1" + &"]".repeat(20_000);
        assert!(plain(&deep).len() < 20_000 * 2 * 37, "{}", plain(&deep).len());
    }

    #[test]
    fn json_that_is_cut_off_is_shown_to_its_end_without_what_a_terminal_obeys() {
        assert_eq!(plain("hello \u{1b}[2J\u{7}\"open"), "hello\u{fffd}[\n    2J\u{fffd}\"open");
        assert_eq!(plain("}}]"), "\n  }\n  }\n  ]");
        assert_eq!(plain(""), "");
    }
}
