//! The parameters of the URL. Docs: 1047/34354.

use std::fmt::Write;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use crate::command::CommandName;
use crate::signature;
use crate::types::Platform;

/// What Chat says in the URL. Names are read without regard to case, unknown parameters are ignored, and of a
/// parameter that is there twice the first counts, whether it can be read or not.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Query {
    /// `SdkAppid`: the application; `None` where it is missing or not a plain decimal.
    pub sdk_app_id: Option<u64>,
    /// `CallbackCommand`; `None` where it is missing or empty.
    pub command: Option<CommandName>,
    /// `ClientIP`: the address of the client behind the event. Several commands have none.
    pub client_ip: Option<IpAddr>,
    /// `OptPlatform`: the platform behind the event. Several commands have none.
    pub platform: Option<Platform>,
    /// `RequestID`: identifies the callback over retries. Not documented for Chat, and yet there.
    pub request_id: Option<Box<str>>,
    /// `Sign`.
    pub sign: Option<Sign>,
    /// `RequestTime`: Unix seconds; `None` where it is missing or not a plain decimal.
    pub request_time: Option<u64>,
    text: Text,
}

/// The query as it came. It has the `Sign`, so it is never printed.
#[derive(Clone, Default)]
struct Text(Box<str>);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A `Sign`: 32 bytes, written as 64 hexadecimal digits. Never printed.
#[derive(Clone, Copy)]
pub struct Sign(pub(crate) [u8; 32]);

impl std::fmt::Debug for Sign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sign(***)")
    }
}

impl Sign {
    fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut sign = [0; 32];
        for (byte, pair) in sign.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex(pair[0])? << 4 | hex(pair[1])?;
        }
        Some(Self(sign))
    }
}

/// The value of a hexadecimal digit, without a branch a digit: 64 of them come with every callback.
fn hex(digit: u8) -> Option<u8> {
    const VALUES: [u8; 256] = {
        let mut values = [u8::MAX; 256];
        let mut value = 0;
        while value < 16 {
            values[b"0123456789abcdef"[value as usize] as usize] = value;
            values[b"0123456789ABCDEF"[value as usize] as usize] = value;
            value += 1;
        }
        values
    };
    Some(VALUES[usize::from(digit)]).filter(|value| *value != u8::MAX)
}

impl Query {
    /// Reads a query string, without the question mark. Never fails: what cannot be read is missing.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        let (mut read, mut seen) = (Self { text: Text(query.into()), ..Self::default() }, 0);
        // By bytes: `split` sets up a search that costs more than such short parameters do.
        let (bytes, mut start) = (query.as_bytes(), 0);
        while start < bytes.len() {
            let (mut end, mut equals, mut is_encoded) = (start, None, false);
            while end < bytes.len() && bytes[end] != b'&' {
                match bytes[end] {
                    b'=' if equals.is_none() => equals = Some(end),
                    b'%' | b'+' => is_encoded = true,
                    _ => {}
                }
                end += 1;
            }
            let name_end = equals.unwrap_or(end);
            let (name, value) = (&query[start..name_end], &query[(name_end + 1).min(end)..end]);
            match is_encoded {
                true => read.take(&mut seen, &decoded(name), &decoded(value)),
                false => read.take(&mut seen, name, value),
            }
            start = end + 1;
        }
        read
    }

    /// The query as it came, `Sign` included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text.0
    }

    /// The query as it came, with the `Sign` that `token` makes of `time`, in Unix seconds, and nobody else's.
    #[must_use]
    pub fn signed_again(&self, token: &str, time: u64) -> String {
        let is_signature = |parameter: &&str| {
            let name = decoded(parameter.split('=').next().unwrap_or_default());
            name.eq_ignore_ascii_case("Sign") || name.eq_ignore_ascii_case("RequestTime")
        };
        let mut query = String::with_capacity(self.as_str().len() + 100);
        for parameter in self.as_str().split('&').filter(|parameter| !is_signature(parameter)) {
            query.push_str(parameter);
            query.push('&');
        }
        let _ = write!(query, "Sign={}&RequestTime={time}", signature::sign(token, time));
        query
    }

    /// Takes a parameter for the first time that it is `seen`, which has a bit for each.
    fn take(&mut self, seen: &mut u8, name: &str, value: &str) {
        let mut is = |wire: &str, bit: u8| {
            let is = name.eq_ignore_ascii_case(wire) && *seen & bit == 0;
            *seen |= if is { bit } else { 0 };
            is
        };
        if is("SdkAppid", 1) {
            self.sdk_app_id = plain_decimal(value);
        } else if is("CallbackCommand", 2) {
            self.command = (!value.is_empty()).then(|| value.into());
        } else if is("ClientIP", 4) {
            self.client_ip = value.parse().ok();
        } else if is("OptPlatform", 8) {
            self.platform = Some(value.into());
        } else if is("Sign", 16) {
            self.sign = Sign::parse(value);
        } else if is("RequestTime", 32) {
            self.request_time = plain_decimal(value);
        } else if is("RequestID", 64) {
            self.request_id = (!value.is_empty()).then(|| value.into());
        }
    }
}

/// A name or a value without its percent-encoding.
fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// A decimal that has only one spelling: what is signed or compared is its text.
fn plain_decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (itoa::Buffer::new().format(number) == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::Query;
    use crate::types::Platform;
    use crate::{Command, CommandName};

    #[test]
    fn names_are_read_without_regard_to_case_and_order() {
        let query = Query::parse(
            "contenttype=json&requestid=0c0b&OPTPLATFORM=IOS&sdkAppId=1400000001&x=y\
             &callbackcommand=State.StateChange&clientip=2001%3Adb8%3A%3A1&REQUESTTIME=1718000000&sign=AB",
        );
        assert_eq!(query.sdk_app_id, Some(1_400_000_001));
        assert_eq!(query.command, Some(CommandName::Known(Command::StateChange)));
        assert_eq!(query.platform, Some(Platform::Ios));
        assert_eq!(query.client_ip.map(|ip| ip.to_string()).as_deref(), Some("2001:db8::1"));
        assert_eq!(query.request_id.as_deref(), Some("0c0b"));
        assert_eq!(query.request_time, Some(1_718_000_000));
        assert!(query.sign.is_none(), "two digits are no Sign");
    }

    #[test]
    fn what_cannot_be_read_is_missing() {
        let query = Query::parse("SdkAppid=14x&RequestTime=+1&ClientIP=nowhere&RequestID=");
        assert!(query.sdk_app_id.is_none() && query.request_time.is_none());
        assert!(query.client_ip.is_none() && query.request_id.is_none() && query.command.is_none());
        assert!(Query::parse("RequestTime=007").request_time.is_none(), "a second spelling of 7");
        assert!(Query::parse("%zz&&==&%").sdk_app_id.is_none());
    }

    #[test]
    fn the_first_of_a_name_counts_even_where_it_cannot_be_read() {
        let sign = "ab".repeat(32);
        let query = Query::parse(&format!(
            "SdkAppid=x&sdkappid=1400000001&ClientIP=&ClientIP=203.0.113.7&RequestTime=0x1&RequestTime=1&RequestID=\
             &RequestID=a&Sign=ab&Sign={sign}&CallbackCommand=&CallbackCommand=State.StateChange",
        ));
        assert!(query.sdk_app_id.is_none() && query.client_ip.is_none() && query.request_time.is_none());
        assert!(query.request_id.is_none() && query.sign.is_none() && query.command.is_none());
        let query =
            Query::parse("SdkAppid=1&SdkAppid=2&OptPlatform=Web&OptPlatform=iOS&CallbackCommand=a&CallbackCommand=b");
        assert_eq!(query.sdk_app_id, Some(1));
        assert_eq!(query.platform, Some(Platform::Web));
        assert_eq!(query.command.as_ref().map(CommandName::as_str), Some("a"));
    }

    #[test]
    fn signed_again_nothing_else_changes() {
        let query = Query::parse("SdkAppid=14&sign=ab&x=%20+y&REQUESTTIME=1&%53ign=cd&&ClientIP=");
        let sign = crate::signature::sign("k3y", 1_718_000_000);
        let again = query.signed_again("k3y", 1_718_000_000);
        assert_eq!(again, format!("SdkAppid=14&x=%20+y&&ClientIP=&Sign={sign}&RequestTime=1718000000"));
        assert_eq!(query.as_str(), "SdkAppid=14&sign=ab&x=%20+y&REQUESTTIME=1&%53ign=cd&&ClientIP=");
        assert!(!format!("{query:?}").contains("ab"));
    }

    #[test]
    fn an_application_has_one_spelling() {
        for spelling in ["+1400000001", "%2B1400000001", "01400000001", "-1", " 1", "1.0", "18446744073709551616", ""] {
            assert_eq!(Query::parse(&format!("SdkAppid={spelling}")).sdk_app_id, None, "{spelling}");
        }
        assert_eq!(Query::parse("SdkAppid=0").sdk_app_id, Some(0));
    }
}
