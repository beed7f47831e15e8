//! Queries: read as any reader of forms reads them, and read again from what was read.

use std::borrow::Cow;
use std::net::IpAddr;

use chathook_protocol::{CommandName, Platform, Query, signature};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::wire;

/// The queries of the wire corpus, signed ones too.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let sign = signature::sign("k3y-Example_01", 1_718_000_000);
    let mut seeds = Vec::new();
    for (_, query) in wire::files(".query") {
        seeds.push(query.trim_ascii_end().to_vec());
        seeds.push([query.trim_ascii_end(), format!("&Sign={sign}&RequestTime=1718000000").as_bytes()].concat());
    }
    seeds.sort();
    seeds.dedup();
    seeds
}

/// A query string.
pub fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let query = Query::parse(&text);
    assert_eq!(query.as_str(), text, "kept as it came");
    is_what_it_says(&query, &text);

    let again = Query::parse(&printed(&query));
    assert_eq!(Fields::of(&again), Fields { is_signed: false, ..Fields::of(&query) }, "printed and read again");

    let signed = query.signed_again("k3y", 1_718_000_000);
    let resigned = Query::parse(&signed);
    let expected = Fields { request_time: Some(1_718_000_000), is_signed: true, ..Fields::of(&query) };
    assert_eq!(Fields::of(&resigned), expected, "signed again: {signed}");
    assert_eq!(resigned.signed_again("k3y", 1_718_000_000), signed, "signed a third time");
}

/// What is read of a query, all but the `Sign` itself, which is not given away.
#[derive(Debug, PartialEq)]
struct Fields {
    sdk_app_id: Option<u64>,
    command: Option<CommandName>,
    client_ip: Option<IpAddr>,
    platform: Option<String>,
    request_id: Option<String>,
    request_time: Option<u64>,
    is_signed: bool,
}

impl Fields {
    fn of(query: &Query) -> Self {
        Self {
            sdk_app_id: query.sdk_app_id,
            command: query.command.clone(),
            client_ip: query.client_ip,
            platform: query.platform.as_ref().map(|platform| platform.as_str().to_owned()),
            request_id: query.request_id.as_deref().map(str::to_owned),
            request_time: query.request_time,
            is_signed: query.sign.is_some(),
        }
    }
}

/// The query in our own words, without a `Sign`.
fn printed(query: &Query) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let fields = [
        ("SdkAppid", query.sdk_app_id.map(|app| app.to_string())),
        ("CallbackCommand", query.command.as_ref().map(|command| encoded(command.as_str()))),
        ("ClientIP", query.client_ip.map(|ip| encoded(&ip.to_string()))),
        ("OptPlatform", query.platform.as_ref().map(|platform| encoded(platform.as_str()))),
        ("RequestID", query.request_id.as_deref().map(encoded)),
        ("RequestTime", query.request_time.map(|time| time.to_string())),
    ];
    let written = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    written.collect::<Vec<_>>().join("&")
}

/// Compares with what a reader of forms finds, which knows nothing of Chat: of each name the first counts.
fn is_what_it_says(query: &Query, text: &str) {
    let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(text.as_bytes()).collect();
    let first = |wire: &str| pairs.iter().find(|(name, _)| name.eq_ignore_ascii_case(wire)).map(|(_, value)| &**value);
    let decimal = |text: &str| text.parse::<u64>().ok().filter(|number| number.to_string() == text);
    let expected = Fields {
        sdk_app_id: first("SdkAppid").and_then(decimal),
        command: first("CallbackCommand").filter(|name| !name.is_empty()).map(CommandName::from),
        client_ip: first("ClientIP").and_then(|ip| ip.parse().ok()),
        platform: first("OptPlatform").map(|platform| Platform::from(platform).as_str().to_owned()),
        request_id: first("RequestID").filter(|id| !id.is_empty()).map(str::to_owned),
        request_time: first("RequestTime").and_then(decimal),
        is_signed: first("Sign").is_some_and(|sign| sign.len() == 64 && sign.bytes().all(|b| b.is_ascii_hexdigit())),
    };
    assert_eq!(Fields::of(query), expected, "{text}");
}
