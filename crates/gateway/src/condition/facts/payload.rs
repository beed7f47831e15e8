//! The JSON body.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::Field;

/// Finds the fields of an object.
pub(super) fn find(body: &[u8]) -> Option<Vec<Field>> {
    let Object(fields) = serde_json::from_slice(body).ok()?;
    let field =
        |(Name(name), value): (Name<'_>, &RawValue)| Field::new(name.into_owned().into(), value.get().as_bytes(), body);
    Some(fields.into_iter().map(field).collect())
}

/// How many values a field may have: macros run over each of them. No message has more than 10,000 elements.
const MAX_VALUES: usize = 65_536;

/// Reads the value of a field.
pub(super) fn read(_name: &str, json: &[u8]) -> Option<Box<dyn Val>> {
    // There is a comma after each value but the last, and perhaps some in texts.
    if json.iter().filter(|byte| **byte == b',').count() >= MAX_VALUES {
        return None;
    }
    serde_json::from_slice(json).ok().map(|Json(value)| value)
}

/// An object, with its values unread.
struct Object<'de>(Vec<(Name<'de>, &'de RawValue)>);

/// A name, borrowed from the body unless it has escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some(field) = object.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Any JSON as a value of CEL.
struct Json(Box<dyn Val>);

impl Json {
    fn from<T: Val + 'static>(value: T) -> Self {
        Self(Box::new(value))
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E: Error>(self) -> Result<Json, E> {
                Ok(Json::from(CelNull))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
                Ok(Json::from(CelBool::from(value)))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
                Ok(Json::from(CelInt::from(value)))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
                Ok(i64::try_from(value)
                    .map_or_else(|_| Json::from(CelUInt::from(value)), |int| Json::from(CelInt::from(int))))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
                Ok(Json::from(CelDouble::from(value)))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
                Ok(Json::from(CelString::from(value.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(Json(item)) = array.next_element()? {
                    items.push(item);
                }
                Ok(Json::from(CelList::from(items)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
                let mut fields = HashMap::new();
                while let Some((name, Json(value))) = object.next_entry::<String, Json>()? {
                    fields.insert(CelMapKey::from(name), value);
                }
                Ok(Json::from(CelMap::from(fields)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
