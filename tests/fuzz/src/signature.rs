//! Signatures: the right one is taken for as long as it is fresh, and no other ever.

use std::fmt::Write as _;
use std::time::Duration;

use chathook_protocol::signature::{SignatureError, sign, verify};
use chathook_protocol::{Query, signature};
use sha2::{Digest, Sha256};

use crate::wire;

const TOKENS: [&str; 2] = ["old", "k3y-Example_01"];
const TIME: u64 = 1_718_000_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Queries of the wire corpus behind the length of a token, a time and a distance from it.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, (_, query)) in wire::files("sample.query").into_iter().enumerate() {
        let token = TOKENS[number % 2];
        let sign = signature::sign(token, TIME);
        let mut seed = TIME.to_be_bytes().to_vec();
        seed.extend((number as i16 * 2 - 90).to_be_bytes());
        seed.push(u8::try_from(token.len()).unwrap_or_default());
        seed.extend(token.as_bytes());
        seed.extend(format!("Sign={sign}&RequestTime={TIME}&").as_bytes());
        seed.extend(query.trim_ascii_end());
        seeds.push(seed);
    }
    seeds
}

/// Eight bytes of time, two of distance between our clock and it, one of the token's length, the token, and a query.
pub fn check(input: &[u8]) {
    let Some((time, rest)) = input.split_first_chunk::<8>() else { return };
    let Some((distance, rest)) = rest.split_first_chunk::<2>() else { return };
    let Some((length, rest)) = rest.split_first() else { return };
    let (token, query) = rest.split_at(usize::from(*length).min(rest.len()));
    let (time, distance) = (u64::from_be_bytes(*time), i16::from_be_bytes(*distance));
    let (token, query) = (String::from_utf8_lossy(token), String::from_utf8_lossy(query));
    the_right_one_is_taken(&token, time, distance);
    no_other_is_taken(&query);
}

/// What Chat would write into `Sign`, by the documentation.
fn expected(token: &str, time: u64) -> String {
    Sha256::digest(format!("{token}{time}")).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn the_right_one_is_taken(token: &str, time: u64, distance: i16) {
    let right = sign(token, time);
    assert_eq!(right, expected(token, time));
    let now = Duration::from_secs(time.saturating_add_signed(distance.into()));
    let is_fresh = now.as_secs().abs_diff(time) <= MINUTE.as_secs();
    let outcome = if is_fresh { Ok(()) } else { Err(SignatureError::Age) };
    for spelt in [right.clone(), right.to_uppercase()] {
        let query = Query::parse(&format!("Sign={spelt}&RequestTime={time}"));
        assert_eq!(verify(&query, ["another", token], now, MINUTE), outcome);
        // Another time, another token, or no token at all.
        let later = Query::parse(&format!("Sign={spelt}&RequestTime={}", time ^ 1));
        assert_eq!(verify(&later, [token], now, Duration::MAX), Err(SignatureError::Sign));
        let longer = format!("{token}x");
        assert_eq!(verify(&query, [longer.as_str()], now, Duration::MAX), Err(SignatureError::Sign));
        assert_eq!(verify(&query, [], now, Duration::MAX), Err(SignatureError::Sign));
    }
    // One digit is another.
    let place = usize::from(distance.unsigned_abs()) % right.len();
    let digit = if right.as_bytes()[place] == b'0' { "1" } else { "0" };
    let mut wrong = right;
    wrong.replace_range(place..=place, digit);
    let query = Query::parse(&format!("Sign={wrong}&RequestTime={time}"));
    assert_eq!(verify(&query, [token], now, Duration::MAX), Err(SignatureError::Sign), "{wrong}");
}

/// A query is taken if its first `Sign` is the one that a token makes of its first `RequestTime`, and else not.
fn no_other_is_taken(text: &str) {
    let first = |wire: &str| {
        let mut pairs = form_urlencoded::parse(text.as_bytes());
        pairs.find(|(name, _)| name.eq_ignore_ascii_case(wire)).map(|(_, value)| value.into_owned())
    };
    let time = first("RequestTime").and_then(|text| text.parse::<u64>().ok().filter(|time| time.to_string() == text));
    let is_right = first("Sign")
        .zip(time)
        .is_some_and(|(sign, time)| TOKENS.iter().any(|token| expected(token, time).eq_ignore_ascii_case(&sign)));
    let outcome = verify(&Query::parse(text), TOKENS, Duration::from_secs(TIME), MINUTE);
    let is_fresh = time.is_some_and(|time| time.abs_diff(TIME) <= MINUTE.as_secs());
    let expected = match (is_right, is_fresh) {
        (true, true) => Ok(()),
        (true, false) => Err(SignatureError::Age),
        (false, _) => Err(SignatureError::Sign),
    };
    assert_eq!(outcome, expected, "{text}");
}
