//! The parameters of the URL. Docs: 1047/34354.

use std::borrow::Cow;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use crate::command::CommandName;
use crate::types::Platform;

/// What Chat says in the URL. Names are read without regard to case, unknown parameters are ignored, and of a
/// parameter that is there twice the first counts.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Query {
    /// `SdkAppid`: the application; `None` where it is missing or not a number.
    pub sdk_app_id: Option<u64>,
    /// `CallbackCommand`.
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

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl Query {
    /// Reads a query string, without the question mark. Never fails: what cannot be read is missing.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        let mut read = Self::default();
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            read.take(&decoded(name), &decoded(value));
        }
        read
    }

    fn take(&mut self, name: &str, value: &str) {
        fn first<T>(slot: &mut Option<T>, value: impl FnOnce() -> Option<T>) {
            if slot.is_none() {
                *slot = value();
            }
        }
        let is = |wire: &str| name.eq_ignore_ascii_case(wire);
        if is("SdkAppid") {
            first(&mut self.sdk_app_id, || value.parse().ok());
        } else if is("CallbackCommand") {
            first(&mut self.command, || Some(CommandName::from(value)));
        } else if is("ClientIP") {
            first(&mut self.client_ip, || value.parse().ok());
        } else if is("OptPlatform") {
            first(&mut self.platform, || Some(Platform::from(value)));
        } else if is("Sign") {
            first(&mut self.sign, || Sign::parse(value));
        } else if is("RequestTime") {
            first(&mut self.request_time, || plain_decimal(value));
        } else if is("RequestID") {
            first(&mut self.request_id, || (!value.is_empty()).then(|| value.into()));
        }
    }
}

/// A name or a value without its percent-encoding, which hardly any has.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let text = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&text).decode_utf8_lossy().into_owned())
}

/// A decimal that has only one spelling: the signature is made from its text.
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
}
