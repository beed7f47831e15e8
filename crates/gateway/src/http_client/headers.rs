//! Headers that are configured.

use std::collections::BTreeMap;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use crate::config::{Invalid, Secret};

/// What is always set by chathook.
const OURS: [&str; 6] = ["connection", "content-length", "content-type", "host", "transfer-encoding", "upgrade"];

/// Checks the names of `headers`, which are in `table` of the configuration; those that begin with one of `reserved` are
/// set by chathook, too.
pub(crate) fn check(table: &str, headers: &BTreeMap<String, Secret>, reserved: &[&str]) -> Result<(), Invalid> {
    for name in headers.keys() {
        let header = self::name(table, name)?;
        let header = header.as_str();
        if OURS.contains(&header) || reserved.iter().any(|prefix| header.starts_with(prefix)) {
            return Err(Invalid::new(key(table, name), "is set by chathook"));
        }
    }
    Ok(())
}

/// Reads their values, which are printed nowhere.
pub(crate) fn read(table: &str, headers: &BTreeMap<String, Secret>) -> Result<HeaderMap, Invalid> {
    let read = |(name, value): (&String, &Secret)| {
        let invalid = |problem: &str| Invalid::new(key(table, name), problem);
        let text = value.read().map_err(|problem| invalid(&problem))?;
        let mut value =
            HeaderValue::from_str(text.expose_secret()).map_err(|_| invalid("has a value that headers cannot have"))?;
        value.set_sensitive(true);
        Ok((self::name(table, name)?, value))
    };
    headers.iter().map(read).collect()
}

fn name(table: &str, name: &str) -> Result<HeaderName, Invalid> {
    HeaderName::try_from(name).map_err(|_| Invalid::new(key(table, name), "is not the name of a header"))
}

fn key(table: &str, name: &str) -> String {
    format!("{table}.headers.{name}")
}
