//! The parameters of the URL.

use std::borrow::Cow;
use std::str;

use cel::common::types::{CelInt, CelString};
use cel::common::value::Val;
use chathook_protocol::{CommandName, Platform};
use percent_encoding::percent_decode_str;

use super::fields::Field;

/// The parameters under the names of the documentation; on the wire their case varies.
pub(crate) const DOCUMENTED: [&str; 6] =
    ["SdkAppid", "CallbackCommand", "contenttype", "ClientIP", "OptPlatform", "RequestID"];

/// The parameters that have done their work when the callback is verified.
pub(crate) const HIDDEN: [&str; 2] = ["Sign", "RequestTime"];

/// Finds the parameters.
pub(super) fn find(query: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::with_capacity(8);
    for parameter in str::from_utf8(query).ok()?.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = decoded(name);
        let same = |known: &&&str| known.eq_ignore_ascii_case(&name);
        if name.is_empty() || HIDDEN.iter().any(|hidden| same(&hidden)) {
            continue;
        }
        let name = DOCUMENTED.iter().find(same).map_or_else(|| name.into_owned().into(), |name| CelString::from(*name));
        fields.push(Field::new(name, value.as_bytes(), query));
    }
    // Of a parameter that is there twice the first counts.
    fields.reverse();
    Some(fields)
}

/// Reads the value of a parameter: a text in its one spelling, or the number of the application.
pub(super) fn read(name: &str, value: &[u8]) -> Option<Box<dyn Val>> {
    let text = decoded(str::from_utf8(value).ok()?);
    let text = match name {
        "SdkAppid" => match text.parse::<i64>() {
            Ok(number) => return Some(Box::new(CelInt::from(number))),
            Err(_) => text.into_owned(),
        },
        "OptPlatform" => Platform::from(&*text).as_str().to_owned(),
        "CallbackCommand" => CommandName::from(&*text).as_str().to_owned(),
        _ => text.into_owned(),
    };
    Some(Box::new(CelString::from(text)))
}

/// A name or a value without its percent-encoding.
fn decoded(text: &str) -> Cow<'_, str> {
    match text.contains(['%', '+']) {
        true => percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned().into(),
        false => text.into(),
    }
}
