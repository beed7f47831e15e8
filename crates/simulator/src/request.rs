//! One callback to send: its query as Chat writes it, and its body.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use chathook_protocol::{Command, CommandName, Platform, Query, signature};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use strum::{EnumCount, IntoEnumIterator};

use crate::app::App;
use crate::samples;
use crate::target::Target;

/// What stands in a query as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// One callback. What is `None` does not stand in the query.
#[derive(Debug, Clone)]
pub struct Request {
    /// `CallbackCommand`.
    pub command: CommandName,
    /// The body, byte for byte.
    pub body: Bytes,
    /// `ClientIP`: who caused the event.
    pub client_ip: Option<IpAddr>,
    /// `OptPlatform`. State changes spell `iOS` in capitals.
    pub platform: Option<Platform>,
    /// `RequestID`: the same over retries.
    pub request_id: Option<String>,
    /// `RequestTime` in Unix seconds, in place of the present.
    pub request_time: Option<u64>,
    /// `Sign`, in place of the right one.
    pub sign: Option<String>,
}

impl Request {
    /// A callback of `command`, with the parameters that Chat has for it.
    #[must_use]
    pub fn new(command: impl Into<CommandName>, body: impl Into<Bytes>) -> Self {
        let command = command.into();
        let says = command.known().map_or(Says::BOTH, Says::of);
        Self {
            command,
            body: body.into(),
            client_ip: says.client_ip.then_some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))),
            platform: says.platform.then_some(Platform::Ios),
            request_id: None,
            request_time: None,
            sign: None,
        }
    }

    /// The sample of `command` with the parameters of its own query.
    #[must_use]
    pub fn sample(command: Command) -> Self {
        let query = Query::parse(&samples::query(command).unwrap_or_default());
        Self {
            client_ip: query.client_ip,
            platform: query.platform.clone(),
            request_id: query.request_id.as_deref().map(str::to_owned),
            ..Self::new(command, samples::body(command).unwrap_or_default())
        }
    }

    /// The query, without the question mark, signed with the token of `app` where it has one.
    #[must_use]
    pub fn query(&self, app: &App) -> String {
        let mut query = Vec::with_capacity(256);
        let time = self.request_time.unwrap_or_else(unix_now);
        let sign = self.sign.clone().or_else(|| Some(signature::sign(app.token.as_deref()?, time)));
        let command = match &self.command {
            CommandName::Known(command) => command.as_str().into(),
            CommandName::Unknown(name) => utf8_percent_encode(name, ENCODED).to_string(),
        };
        let request_id = self.request_id.as_ref().map(|id| utf8_percent_encode(id, ENCODED).to_string());
        write_query(
            &mut query,
            &Parameters {
                sdk_app_id: app.sdk_app_id,
                command: &command,
                client_ip: self.client_ip,
                platform: self.platform.as_ref().map(|platform| spelling(self.command.known(), platform)),
                request_id: request_id.as_deref(),
                signature: sign.as_deref().map(|sign| (time, sign)),
            },
        );
        String::from_utf8(query).unwrap_or_default()
    }
}

impl Request {
    /// The whole request for `target`, as it goes over the wire.
    #[must_use]
    pub fn to_bytes(&self, target: &Target, app: &App) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512 + self.body.len());
        bytes.extend_from_slice(format!("POST {}?{} HTTP/1.1\r\n", target.path(), self.query(app)).as_bytes());
        write_headers(&mut bytes, target, self.body.len());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// The headers, `Host` and `Content-Length` alone, and the empty line.
pub(crate) fn write_headers(out: &mut Vec<u8>, target: &Target, length: usize) {
    out.extend_from_slice(b"Host: ");
    out.extend_from_slice(target.authority().as_bytes());
    out.extend_from_slice(b"\r\nContent-Length: ");
    write_number(out, length as u64);
    out.extend_from_slice(b"\r\n\r\n");
}

/// What a query says, each value as it stands there.
pub(crate) struct Parameters<'a> {
    pub(crate) sdk_app_id: u64,
    pub(crate) command: &'a str,
    pub(crate) client_ip: Option<IpAddr>,
    pub(crate) platform: Option<&'a str>,
    pub(crate) request_id: Option<&'a str>,
    /// `RequestTime` and `Sign`.
    pub(crate) signature: Option<(u64, &'a str)>,
}

/// Writes a query in the order in which Chat writes it.
pub(crate) fn write_query(out: &mut Vec<u8>, parameters: &Parameters<'_>) {
    out.extend_from_slice(b"SdkAppid=");
    write_number(out, parameters.sdk_app_id);
    out.extend_from_slice(b"&CallbackCommand=");
    out.extend_from_slice(parameters.command.as_bytes());
    let platform = |out: &mut Vec<u8>| {
        if let Some(platform) = parameters.platform {
            out.extend_from_slice(b"&OptPlatform=");
            out.extend_from_slice(platform.as_bytes());
        }
    };
    // The alarm alone is documented with another order.
    let is_alarm = parameters.command == Command::AlertRequestOverLimit.as_str();
    if is_alarm {
        platform(out);
    }
    out.extend_from_slice(b"&contenttype=json");
    if let Some(address) = parameters.client_ip {
        out.extend_from_slice(b"&ClientIP=");
        let _ = write!(out, "{address}");
    }
    if !is_alarm {
        platform(out);
    }
    if let Some(id) = parameters.request_id {
        out.extend_from_slice(b"&RequestID=");
        out.extend_from_slice(id.as_bytes());
    }
    if let Some((time, sign)) = parameters.signature {
        out.extend_from_slice(b"&RequestTime=");
        write_number(out, time);
        out.extend_from_slice(b"&Sign=");
        out.extend_from_slice(sign.as_bytes());
    }
}

pub(crate) fn write_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// `OptPlatform` as Chat spells it for `command`.
pub(crate) fn spelling(command: Option<Command>, platform: &Platform) -> &str {
    match platform {
        Platform::Ios if command == Some(Command::StateChange) => "IOS",
        platform => platform.as_str(),
    }
}

/// Which parameters the query of a command has beside those that all have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Says {
    pub(crate) client_ip: bool,
    pub(crate) platform: bool,
    pub(crate) request_id: bool,
}

impl Says {
    const BOTH: Self = Self { client_ip: true, platform: true, request_id: false };

    pub(crate) fn of(command: Command) -> Self {
        static SAYS: LazyLock<[Says; Command::COUNT]> = LazyLock::new(|| {
            let mut says = [Says::BOTH; Command::COUNT];
            for (says, command) in says.iter_mut().zip(Command::iter()) {
                let query = Query::parse(&samples::query(command).unwrap_or_default());
                *says = Says {
                    client_ip: query.client_ip.is_some(),
                    platform: query.platform.is_some(),
                    request_id: query.request_id.is_some(),
                };
            }
            says
        });
        SAYS.get(command as usize).copied().unwrap_or(Self::BOTH)
    }
}

/// Unix seconds.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
