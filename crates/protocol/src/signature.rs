//! `Sign` and `RequestTime`: the only proof that a request is Chat's.
//!
//! `Sign` is SHA-256 of the token and the decimal `RequestTime`, one after the other, in hexadecimal. It covers
//! neither the body nor any other parameter: who sees one URL can forge bodies until `RequestTime` is too old.
//! Docs: 1047/34354 (algorithm), 269/32431 (one minute).

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::query::Query;

/// Why a request is not taken for Chat's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// `Sign` or `RequestTime` is missing or malformed, or `Sign` was made with another token.
    #[error("Sign is missing or does not match")]
    Sign,
    /// `RequestTime` is too far from now, in either direction.
    #[error("RequestTime is too far from the present")]
    Age,
}

/// Signs `request_time` (Unix seconds) with `token`: what Chat puts into `Sign`.
#[must_use]
pub fn sign(token: &str, request_time: u64) -> String {
    digest(token, request_time).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = fmt::Write::write_fmt(&mut hex, format_args!("{byte:02x}"));
        hex
    })
}

fn digest(token: &str, request_time: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(token);
    hash.update(itoa::Buffer::new().format(request_time));
    hash.finalize().into()
}

/// Checks `Sign` against each of `tokens`, and that `RequestTime` is not further than `max_age` from `now`.
///
/// Takes the same time whichever token matches, and however much of `Sign` does.
///
/// # Errors
/// [`SignatureError::Sign`] comes before [`SignatureError::Age`]: a wrong `Sign` says nothing about the time.
pub fn verify<'a>(
    query: &Query,
    tokens: impl IntoIterator<Item = &'a str>,
    now: Duration,
    max_age: Duration,
) -> Result<(), SignatureError> {
    let (Some(sign), Some(request_time)) = (query.sign, query.request_time) else {
        return Err(SignatureError::Sign);
    };
    let genuine = tokens
        .into_iter()
        .map(|token| digest(token, request_time).ct_eq(&sign.0))
        .fold(subtle::Choice::from(0), |any, one| any | one);
    if !bool::from(genuine) {
        return Err(SignatureError::Sign);
    }
    if now.abs_diff(Duration::from_secs(request_time)) > max_age {
        return Err(SignatureError::Age);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{SignatureError, sign, verify};
    use crate::Query;

    #[test]
    fn the_documented_and_the_computed_values_come_out() {
        for (token, time, expected) in [
            ("xxxxyyyy", 1_669_872_112, "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061"),
            ("k3y-Example_01", 1_718_000_000, "35225e0f7b7b5236aae337b57ddb7df4c1137f07b73ced5fafee248b0a6138e8"),
            ("a", 0, "4e1195df020de59e0d65a33a4279f1183e7ae4e5d980e309f8b55adff2e61c3e"),
            ("tökén", 1_700_000_000, "23fb118be25f9e56f895ae5736e3f53ea07983011a2d95ced9a8f389b2d3662f"),
        ] {
            assert_eq!(sign(token, time), expected);
        }
    }

    fn check(query: &str, now: u64) -> Result<(), SignatureError> {
        let (now, minute) = (Duration::from_secs(now), Duration::from_mins(1));
        verify(&Query::parse(query), ["old", "k3y-Example_01"], now, minute)
    }

    #[test]
    fn any_token_will_do_and_the_time_may_be_off_both_ways() {
        let signed = format!("RequestTime=1718000000&Sign={}", sign("k3y-Example_01", 1_718_000_000));
        let rotated = format!("RequestTime=1718000000&Sign={}", sign("old", 1_718_000_000));
        for now in [1_717_999_940, 1_718_000_000, 1_718_000_060] {
            assert_eq!(check(&signed, now), Ok(()));
            assert_eq!(check(&rotated, now), Ok(()));
        }
        for now in [1_717_999_939, 1_718_000_061, 0, u64::MAX] {
            assert_eq!(check(&signed, now), Err(SignatureError::Age));
        }
    }

    #[test]
    fn a_wrong_or_missing_sign_is_refused_whatever_the_time() {
        let right = sign("k3y-Example_01", 1_718_000_000);
        let other_time = format!("RequestTime=1718000001&Sign={right}");
        let short = format!("RequestTime=1718000000&Sign={}", &right[..63]);
        for query in ["", "RequestTime=1718000000", &format!("Sign={right}"), &other_time, &short] {
            assert_eq!(check(query, 1_718_000_000), Err(SignatureError::Sign), "{query}");
            assert_eq!(check(query, 0), Err(SignatureError::Sign), "{query}");
        }
    }
}
