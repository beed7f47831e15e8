//! Where the texts of a message are: to read them, and to change them and nothing else.
//!
//! They are changed in the JSON, because no type keeps all that an element may have.

use std::borrow::Cow;
use std::fmt;

use chathook_protocol::lenient;
use chathook_protocol::message::{MsgContent, MsgElement};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// The kinds of element that have texts.
const KINDS: [&str; 2] = ["TIMTextElem", "TIMRelayElem"];

/// Hands the texts of the elements to `seen`, until there is text that cannot be read: an element of a kind that has
/// texts may be of another shape, or nested too deeply. Gives whether there is none.
pub(super) fn visit(body: &[MsgElement], seen: &mut impl FnMut(&str)) -> bool {
    body.iter().all(|element| match element.content() {
        MsgContent::Text(text) => {
            seen(&text.text);
            true
        }
        MsgContent::Relay(relay) => {
            seen(&relay.title);
            seen(&relay.compatible_text);
            relay.abstract_list.iter().for_each(|text| seen(text));
            relay.messages.iter().all(|message| visit(&message.body, seen))
        }
        MsgContent::Unknown(unknown) => !KINDS.iter().any(|kind| kind.eq_ignore_ascii_case(&unknown.kind)),
        _ => true,
    })
}

/// Whether a field that no type reads, by its JSON pointer, may hold what is looked at: readers that do not care for case
/// take `TEXT` for `Text`.
pub(super) fn hides_text(unread: &str) -> bool {
    const KEYS: [&str; 8] =
        ["MsgBody", "MsgType", "MsgContent", "Text", "Title", "CompatibleText", "AbstractList", "MsgList"];
    let key = unread.rsplit('/').next().unwrap_or_default();
    let is_twin = |known: &&str| *known != key && known.eq_ignore_ascii_case(key);
    unread.ends_with('…') || KEYS.iter().any(is_twin)
}

/// What becomes of a text; `None` where it stays.
type Edit<'e> = dyn Fn(&str) -> Option<String> + 'e;

/// The elements with their texts edited; `None` where all stay.
pub(super) fn edit(body: &[MsgElement], edit: &Edit<'_>) -> Option<Vec<MsgElement>> {
    let edited: Vec<_> = body.iter().map(|element| edit_element(element, edit)).collect();
    if edited.iter().all(Option::is_none) {
        return None;
    }
    Some(edited.into_iter().zip(body).map(|(edited, element)| edited.unwrap_or_else(|| element.clone())).collect())
}

fn edit_element(msg_element: &MsgElement, edit: &Edit<'_>) -> Option<MsgElement> {
    // One of another shape has no text, and may be nested without bound.
    if !matches!(msg_element.content(), MsgContent::Text(_) | MsgContent::Relay(_)) {
        return None;
    }
    let edited = element(&to_raw_value(msg_element).ok()?, edit)?;
    // It is an element still: it was read, and no text makes it unreadable.
    serde_json::from_str(edited.get()).ok()
}

fn element(raw: &RawValue, edit: &Edit<'_>) -> Option<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    struct Type {
        #[serde(default, rename = "MsgType", with = "lenient::text")]
        kind: Box<str>,
    }
    let content = match &*serde_json::from_str::<Type>(raw.get()).ok()?.kind {
        "TIMTextElem" => text_content,
        "TIMRelayElem" => relay_content,
        _ => return None,
    };
    object(raw, |key, value| match key {
        "MsgContent" => content(value, edit),
        _ => None,
    })
}

fn text_content(raw: &RawValue, edit: &Edit<'_>) -> Option<Box<RawValue>> {
    object(raw, |key, value| match key {
        "Text" | "text" => text(value, edit),
        _ => None,
    })
}

fn relay_content(raw: &RawValue, edit: &Edit<'_>) -> Option<Box<RawValue>> {
    let message = |raw: &RawValue| {
        object(raw, |key, value| match key {
            "MsgBody" => items(value, |raw| element(raw, edit)),
            _ => None,
        })
    };
    object(raw, |key, value| match key {
        "Title" | "CompatibleText" => text(value, edit),
        "AbstractList" => items(value, |raw| text(raw, edit)),
        "MsgList" => items(value, message),
        _ => None,
    })
}

/// A text, in any form that is read as one.
fn text(raw: &RawValue, edit: &Edit<'_>) -> Option<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    #[serde(transparent)]
    struct Text(#[serde(with = "lenient::text")] Box<str>);
    let Text(text) = serde_json::from_str(raw.get()).ok()?;
    to_raw_value(&edit(&text)?).ok()
}

/// An array, or one item of it, as [`lenient::list`] reads it.
fn items(raw: &RawValue, edit: impl Fn(&RawValue) -> Option<Box<RawValue>>) -> Option<Box<RawValue>> {
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else { return edit(raw) };
    let mut items: Vec<_> = items.into_iter().map(Cow::Borrowed).collect();
    let edited = items.iter_mut().filter_map(|item| edit(item).map(|edited| *item = Cow::Owned(edited))).count();
    (edited > 0).then(|| to_raw_value(&items).ok()).flatten()
}

/// An object, its values as they came but for those that are edited.
fn object(raw: &RawValue, edit: impl Fn(&str, &RawValue) -> Option<Box<RawValue>>) -> Option<Box<RawValue>> {
    let Fields(mut fields) = serde_json::from_str(raw.get()).ok()?;
    let values = fields.iter_mut();
    let edited = values.filter_map(|(key, value)| edit(key, value).map(|edited| *value = Cow::Owned(edited))).count();
    (edited > 0).then(|| to_raw_value(&Fields(fields)).ok()).flatten()
}

/// The fields of an object in their order.
struct Fields<'a>(Vec<(String, Cow<'a, RawValue>)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    fields.push((key, Cow::Borrowed(value)));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}
