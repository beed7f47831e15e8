//! A body with another message in it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::reply::Edits;

/// The fields at the top of a body, in their order; the values as they came.
struct Fields(Vec<(String, Box<RawValue>)>);

/// `body` with `MsgBody` and `CloudCustomData` replaced as `edits` say, and all else as it came.
pub(crate) fn rewritten(body: &[u8], edits: &Edits) -> Result<Vec<u8>, serde_json::Error> {
    let mut fields: Fields = serde_json::from_slice(body)?;
    if let Some(elements) = &edits.body {
        fields.set("MsgBody", to_raw_value(elements)?);
    }
    if let Some(data) = &edits.cloud_custom_data {
        fields.set("CloudCustomData", to_raw_value(data)?);
    }
    serde_json::to_vec(&fields)
}

impl Fields {
    fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    fields.push(entry);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::rewritten;
    use crate::MsgElement;
    use crate::reply::Edits;

    #[test]
    fn nothing_but_the_message_changes() {
        let body = br#"{"B": 1e1,"MsgBody":[{"MsgType":"TIMTextElem"}], "A":{"x" : [1.0]}}"#;
        let edits = Edits::body(vec![MsgElement::text("**")]).and_cloud_custom_data("seen");
        assert_eq!(
            String::from_utf8(rewritten(body, &edits).unwrap()).unwrap(),
            r#"{"B":1e1,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"**"}}],"A":{"x" : [1.0]},"CloudCustomData":"seen"}"#
        );
        assert!(rewritten(b"[]", &edits).is_err() && rewritten(b"{", &edits).is_err());
    }
}
