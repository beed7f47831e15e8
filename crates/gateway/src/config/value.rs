//! Values with units.

use std::net::IpAddr;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;
use serde::de::{Deserialize, Deserializer, Error};

/// Reads `"1500ms"`, `"60s"`, `"10m"`.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|_| D::Error::custom(format!("{text:?} is not a duration, such as \"1500ms\" or \"60s\"")))
}

/// Reads `"1MiB"`.
pub(crate) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse::<ByteSize>()
        .ok()
        .and_then(|size| usize::try_from(size.as_u64()).ok())
        .ok_or_else(|| D::Error::custom(format!("{text:?} is not a size, such as \"1MiB\"")))
}

/// Reads `"1MiB"` where it may be missing.
pub(crate) fn some_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    size(deserializer).map(Some)
}

/// Reads `["203.0.113.0/24", "2001:db8::1"]`: networks, and single addresses.
pub(crate) fn networks<'de, D: Deserializer<'de>, N: From<Vec<IpNet>>>(deserializer: D) -> Result<N, D::Error> {
    let network = |text: &String| {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| D::Error::custom(format!("{text:?} is neither a network nor an address")))
    };
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(network).collect::<Result<Vec<_>, _>>().map(N::from)
}

/// Line and column of a place in a text, from one.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
