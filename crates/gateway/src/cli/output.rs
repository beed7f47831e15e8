//! What goes to the terminal, or to wherever the output is sent.

use std::borrow::Cow;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::stdout;

/// No more of a body is shown.
pub(super) const SHOWN: usize = 64 << 10;

/// Whether something could not be written to standard output.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// Writes to standard output, in colour where that is a terminal. Who closed it early has seen enough; any other failure
/// is said once, and makes the call fail.
pub(super) fn print(text: &str) {
    let mut out = stdout().lock();
    let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) else { return };
    if error.kind() != ErrorKind::BrokenPipe && !IS_LOST.swap(true, Ordering::Relaxed) {
        say(&format!("chathook: cannot write to standard output: {error}"));
    }
}

/// Whether something of the output is lost.
pub(super) fn is_lost() -> bool {
    IS_LOST.load(Ordering::Relaxed)
}

/// Writes to standard error.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// What strangers sent, without what a terminal would obey, and without what would turn the reading direction round.
pub(super) fn printable(text: &str) -> String {
    let is_obeyed = |it: char| {
        it.is_control()
            || matches!(it, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|it| if is_obeyed(it) { '\u{fffd}' } else { it }).collect()
}

/// The same of more lines than one, each but the first after `margin`.
pub(super) fn printable_lines(text: &str, margin: &str) -> String {
    let lines: Vec<String> = text.lines().map(printable).collect();
    lines.join(&format!("\n{margin}"))
}

/// The beginning of a body, and how many bytes come after it.
pub(super) fn beginning(body: &[u8]) -> (Cow<'_, str>, usize) {
    let is_whole = |end: usize| body.get(end).is_none_or(|byte| byte & 0xc0 != 0x80);
    // No character has more than four bytes.
    let end = (SHOWN.saturating_sub(3)..=SHOWN).rev().find(|end| is_whole(*end)).unwrap_or(SHOWN);
    let (shown, rest) = body.split_at_checked(end).unwrap_or((body, &[]));
    (String::from_utf8_lossy(shown), rest.len())
}

#[cfg(test)]
mod tests {
    use super::{SHOWN, beginning, printable, printable_lines};

    #[test]
    fn what_a_terminal_obeys_and_what_turns_the_direction_round_is_replaced() {
        for bad in ['\u{1b}', '\u{7}', '\r', '\u{9b}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{200f}', '\u{61c}'] {
            assert_eq!(printable(&format!("a{bad}b")), "a\u{fffd}b", "{bad:?}");
        }
        assert_eq!(printable("群 é 👍"), "群 é 👍");
        assert_eq!(printable_lines("a\u{1b}\nb\r\nc", "  "), "a\u{fffd}\n  b\n  c");
    }

    #[test]
    fn a_long_body_is_cut_between_characters() {
        assert_eq!(beginning("群".as_bytes()), ("群".into(), 0));
        let (shown, rest) = (beginning(&[b'a'; SHOWN]), beginning(&[b'a'; SHOWN + 1]));
        assert_eq!((shown.0.len(), shown.1, rest.0.len(), rest.1), (SHOWN, 0, SHOWN, 1));
        let long = "群".repeat(SHOWN);
        let (shown, rest) = beginning(long.as_bytes());
        assert!(!shown.contains('\u{fffd}') && shown.len() + rest == long.len(), "{}", shown.len());
    }
}
