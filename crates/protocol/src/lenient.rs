//! Wire quirks: one module a quirk, named after what arrives, used as `#[serde(with = "lenient::number")]`.
//!
//! Each reads the documented form and every form that was seen instead of it, and writes the documented
//! form. With `#[serde(default, ...)]` they serve `Option` fields too; there `null` and `""` are absent,
//! but for [`text`], where `""` is a text.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, Visitor};

/// A scalar that can be made from an integer, from a decimal text, or from nothing where it is optional.
pub trait Number: Sized {
    /// The value for an integer, or `None` where it is out of range.
    fn from_i128(value: i128) -> Option<Self>;

    /// The value for a number with a fraction. By default only whole ones are taken: `12.0` is twelve.
    fn from_f64(value: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "checked: below 2^63 and without fraction")]
        (value.fract() == 0.0 && value.abs() < 9e18).then_some(value as i128).and_then(Self::from_i128)
    }

    /// The value for `null` and for the empty string.
    fn absent() -> Option<Self> {
        None
    }
}

macro_rules! integers {
    ($($int:ty)+) => {$(
        impl Number for $int {
            fn from_i128(value: i128) -> Option<Self> {
                Self::try_from(value).ok()
            }
        }
    )+};
}
integers!(u64 i64 u32);

impl Number for f64 {
    #[expect(clippy::cast_precision_loss, reason = "coordinates; nothing larger is read as f64")]
    fn from_i128(value: i128) -> Option<Self> {
        Some(value as Self)
    }
    fn from_f64(value: f64) -> Option<Self> {
        Some(value)
    }
}

impl<T: Number> Number for Option<T> {
    fn from_i128(value: i128) -> Option<Self> {
        T::from_i128(value).map(Some)
    }
    fn from_f64(value: f64) -> Option<Self> {
        T::from_f64(value).map(Some)
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// `12`, `"12"`, `12.0`: table and sample of the same page often disagree.
pub mod number {
    use super::{Deserializer, Number, NumberVisitor, PhantomData};
    pub use serde::Serialize;

    /// Reads any of the forms.
    ///
    /// # Errors
    /// When it is none of them, or out of range.
    pub fn deserialize<'de, D: Deserializer<'de>, T: Number>(deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(NumberVisitor(PhantomData))
    }

    /// Writes the number.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: serde::Serializer, T: Serialize>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }
}

struct NumberVisitor<T>(PhantomData<T>);

impl<T: Number> Visitor<'_> for NumberVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a string of digits")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        T::from_i128(value.into()).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        T::from_i128(value.into()).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(value), &self))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        T::from_f64(value).ok_or_else(|| E::invalid_value(de::Unexpected::Float(value), &self))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        T::from_i128(value.into()).ok_or_else(|| E::invalid_value(de::Unexpected::Bool(value), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        let text = text.trim();
        let value = if text.is_empty() {
            T::absent()
        } else if let Ok(integer) = text.parse::<i128>() {
            T::from_i128(integer)
        } else {
            text.parse::<f64>().ok().filter(|it| it.is_finite()).and_then(T::from_f64)
        };
        // The text itself is a user's; errors are logged.
        value.ok_or_else(|| E::custom("invalid value: a string that is not a number in range"))
    }

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        T::absent().ok_or_else(|| E::invalid_type(de::Unexpected::Unit, &self))
    }
}

/// A yes or no, wherever it is kept.
pub trait Flag: Sized {
    /// The value for a yes or a no.
    fn from_bool(value: bool) -> Self;
    /// The value for `null` and the empty string.
    fn absent() -> Self;
    /// The yes or no, if there is one.
    fn to_bool(&self) -> Option<bool>;
}

impl Flag for bool {
    fn from_bool(value: bool) -> Self {
        value
    }
    fn absent() -> Self {
        false
    }
    fn to_bool(&self) -> Option<bool> {
        Some(*self)
    }
}

impl Flag for Option<bool> {
    fn from_bool(value: bool) -> Self {
        Some(value)
    }
    fn absent() -> Self {
        None
    }
    fn to_bool(&self) -> Option<bool> {
        *self
    }
}

struct FlagVisitor<T>(PhantomData<T>);

impl<T: Flag> Visitor<'_> for FlagVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flag: 0, 1, true, false, or one of them as a string")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        Ok(T::from_bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        Ok(T::from_bool(value != 0))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        Ok(T::from_bool(value != 0))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        Ok(T::from_bool(value != 0.0))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        match text.trim() {
            "" => Ok(T::absent()),
            text if text.eq_ignore_ascii_case("true") => Ok(T::from_bool(true)),
            text if text.eq_ignore_ascii_case("false") => Ok(T::from_bool(false)),
            text => match text.parse::<i64>() {
                Ok(number) => Ok(T::from_bool(number != 0)),
                Err(_) => Err(E::custom("invalid value: a string that is not a flag")),
            },
        }
    }

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        Ok(T::absent())
    }
}

/// A flag that is documented as an integer: `0`, `1`, `"1"`, `true`, `"false"`. Written as `0` or `1`.
pub mod flag {
    use super::{Deserializer, Flag, FlagVisitor, PhantomData};

    /// Reads any of the forms.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn deserialize<'de, D: Deserializer<'de>, T: Flag>(deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(FlagVisitor(PhantomData))
    }

    /// Writes `0` or `1`.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: serde::Serializer, T: Flag>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(&value.to_bool().map(u8::from), serializer)
    }
}

/// A flag that is documented as a Boolean; same forms as [`flag`]. Written as `true` or `false`.
pub mod boolean {
    use super::Flag;
    pub use super::flag::deserialize;

    /// Writes `true` or `false`.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: serde::Serializer, T: Flag>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(&value.to_bool(), serializer)
    }
}

/// A list: `[a, b]`, a lone `a`, or `null`. Some tables say String where the sample has an array.
pub mod list {
    use super::{Deserialize, Deserializer, IntoDeserializer, PhantomData, Visitor, de, fmt};
    pub use serde::Serialize;

    /// Reads any of the forms.
    ///
    /// # Errors
    /// When an item cannot be read.
    pub fn deserialize<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: Deserialize<'de>,
    {
        at_most(usize::MAX, deserializer)
    }

    /// Reads any of the forms, and refuses more than `bound` items.
    pub(super) fn at_most<'de, D, T>(bound: usize, deserializer: D) -> Result<Vec<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: Deserialize<'de>,
    {
        deserializer.deserialize_any(ListVisitor { bound, items: PhantomData })
    }

    /// Writes an array.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: serde::Serializer, T: Serialize>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        items.serialize(serializer)
    }

    struct ListVisitor<T> {
        bound: usize,
        items: PhantomData<T>,
    }

    impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array, or one item of it")
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while list.len() < self.bound {
                let Some(item) = items.next_element()? else { return Ok(list) };
                list.push(item);
            }
            match items.next_element::<de::IgnoredAny>()? {
                None => Ok(list),
                Some(_) => Err(de::Error::custom(format_args!("more than {} items", self.bound))),
            }
        }

        fn visit_map<A: de::MapAccess<'de>>(self, fields: A) -> Result<Vec<T>, A::Error> {
            Ok(vec![T::deserialize(de::value::MapAccessDeserializer::new(fields))?])
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            if text.is_empty() {
                return Ok(Vec::new());
            }
            Ok(vec![T::deserialize(text.into_deserializer())?])
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Vec<T>, E> {
            Ok(vec![T::deserialize(number.into_deserializer())?])
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Vec<T>, E> {
            Ok(vec![T::deserialize(number.into_deserializer())?])
        }

        fn visit_unit<E: de::Error>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
    }
}

/// The elements of a message: a [`list`] of so many as no message has at most, because an element takes many times the
/// room of its shortest JSON.
pub mod elements {
    pub use super::list::serialize;
    use super::{Deserializer, list};
    use crate::message::MsgElement;

    /// How many there may be.
    pub const BOUND: usize = 10_000;

    /// Reads any of the forms.
    ///
    /// # Errors
    /// When an element cannot be read, or there are more than [`BOUND`].
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<MsgElement>, D::Error> {
        list::at_most(BOUND, deserializer)
    }
}

/// A text, wherever it is kept.
pub trait Text: Sized {
    /// The value for a text.
    fn from_text(text: Box<str>) -> Self;
    /// The value for `null`; the empty string is a text.
    fn absent() -> Self;
    /// The text, if there is one.
    fn as_text(&self) -> Option<&str>;
}

impl Text for Box<str> {
    fn from_text(text: Box<str>) -> Self {
        text
    }
    fn absent() -> Self {
        Self::default()
    }
    fn as_text(&self) -> Option<&str> {
        Some(self)
    }
}

impl Text for Option<Box<str>> {
    fn from_text(text: Box<str>) -> Self {
        Some(text)
    }
    fn absent() -> Self {
        None
    }
    fn as_text(&self) -> Option<&str> {
        self.as_deref()
    }
}

/// A text that may arrive as a number or a Boolean; `null` is the empty text, or none where it is optional.
pub mod text {
    use super::{Deserializer, PhantomData, Text, TextVisitor};

    /// Reads any of the forms.
    ///
    /// # Errors
    /// When it is an array or an object.
    pub fn deserialize<'de, D: Deserializer<'de>, T: Text>(deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(TextVisitor(PhantomData))
    }

    /// Writes the text.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: serde::Serializer, T: Text>(text: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(&text.as_text(), serializer)
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Text> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Ok(T::from_text(text.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        Ok(T::from_text(value.to_string().into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        Ok(T::from_text(value.to_string().into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        Ok(T::from_text(value.to_string().into()))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        Ok(T::from_text(if value { "true" } else { "false" }.into()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        Ok(T::absent())
    }
}

/// A [`list`] of [`text`]s.
pub mod texts {
    pub use super::list::serialize;
    use super::{Deserializer, list, text};

    /// Reads any of the forms.
    ///
    /// # Errors
    /// When an item cannot be read.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Box<str>>, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(transparent)]
        struct Item(#[serde(with = "text")] Box<str>);
        list::deserialize(deserializer).map(|items: Vec<Item>| items.into_iter().map(|Item(text)| text).collect())
    }
}

/// Reads a text in any of its forms, borrowed where it can be.
pub(crate) fn borrowed_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    struct Borrowed;
    impl<'de> Visitor<'de> for Borrowed {
        type Value = Cow<'de, str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
            Ok(Cow::Borrowed(text))
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
            Ok(Cow::Owned(text.to_owned()))
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Cow<'de, str>, E> {
            Ok(Cow::Owned(value.to_string()))
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<Cow<'de, str>, E> {
            Ok(Cow::Owned(value.to_string()))
        }
        fn visit_f64<E: de::Error>(self, value: f64) -> Result<Cow<'de, str>, E> {
            Ok(Cow::Owned(value.to_string()))
        }
        fn visit_bool<E: de::Error>(self, value: bool) -> Result<Cow<'de, str>, E> {
            Ok(Cow::Borrowed(if value { "true" } else { "false" }))
        }
        fn visit_unit<E: de::Error>(self) -> Result<Cow<'de, str>, E> {
            Ok(Cow::Borrowed(""))
        }
    }
    deserializer.deserialize_any(Borrowed)
}

/// Reads a word of an open set, whatever scalar it arrives as.
pub(crate) fn word<'de, D: Deserializer<'de>, T: for<'a> From<&'a str>>(deserializer: D) -> Result<T, D::Error> {
    struct Word<T>(PhantomData<T>);
    impl<T: for<'a> From<&'a str>> Visitor<'_> for Word<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a word")
        }
        fn visit_str<E: de::Error>(self, word: &str) -> Result<T, E> {
            Ok(T::from(word))
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
            Ok(T::from(&value.to_string()))
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
            Ok(T::from(&value.to_string()))
        }
        fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
            Ok(T::from(&value.to_string()))
        }
        fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
            Ok(T::from(if value { "true" } else { "false" }))
        }
        fn visit_unit<E: de::Error>(self) -> Result<T, E> {
            Ok(T::from(""))
        }
    }
    deserializer.deserialize_any(Word(PhantomData))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::types::{UnixMillis, UserId};

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[serde(default, with = "super::number")]
        number: Option<u64>,
        #[serde(default, with = "super::number")]
        time: Option<UnixMillis>,
        #[serde(default, with = "super::flag")]
        flag: Option<bool>,
        #[serde(default, with = "super::list")]
        list: Vec<UserId>,
        #[serde(default, with = "super::text")]
        text: Box<str>,
        #[serde(default, with = "super::text")]
        optional_text: Option<Box<str>>,
        #[serde(default, with = "super::texts")]
        texts: Vec<Box<str>>,
    }

    fn read(json: &str) -> Sample {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_number_is_read_from_a_string_and_absent_when_empty() {
        assert_eq!(read(r#"{"number":"3904177331"}"#).number, Some(3_904_177_331));
        assert_eq!(read(r#"{"number":12.0}"#).number, Some(12));
        assert_eq!(read(r#"{"number":""}"#).number, None);
        assert_eq!(read(r#"{"number":null}"#).number, None);
        assert_eq!(read(r#"{"time":"1690012399001"}"#).time, Some(UnixMillis(1_690_012_399_001)));
        assert_eq!(read(r#"{"time":""}"#).time, None);
        assert!(serde_json::from_str::<Sample>(r#"{"number":-1}"#).is_err());
        assert!(serde_json::from_str::<Sample>(r#"{"number":"twelve"}"#).is_err());
    }

    #[test]
    fn a_flag_has_many_spellings() {
        for yes in ["1", "\"1\"", "true", "\"true\"", "\"True\""] {
            assert_eq!(read(&format!(r#"{{"flag":{yes}}}"#)).flag, Some(true), "{yes}");
        }
        for no in ["0", "\"0\"", "false", "\"false\""] {
            assert_eq!(read(&format!(r#"{{"flag":{no}}}"#)).flag, Some(false), "{no}");
        }
        assert_eq!(read(r#"{"flag":""}"#).flag, None);
    }

    #[test]
    fn a_list_may_be_one_item_or_nothing() {
        assert_eq!(read(r#"{"list":["a",144115200000000011]}"#).list, ["a", "144115200000000011"]);
        assert_eq!(read(r#"{"list":"a"}"#).list, ["a"]);
        assert_eq!(read(r#"{"list":null}"#).list, [""; 0]);
    }

    #[test]
    fn a_text_may_be_a_number_and_an_empty_one_is_not_absent() {
        for (json, text) in [("7", "7"), ("-7", "-7"), ("1.5", "1.5"), ("true", "true"), ("\"a\"", "a"), ("\"\"", "")] {
            assert_eq!(&*read(&format!(r#"{{"text":{json}}}"#)).text, text);
            assert_eq!(read(&format!(r#"{{"optional_text":{json}}}"#)).optional_text.as_deref(), Some(text));
        }
        assert_eq!(&*read(r#"{"text":null}"#).text, "");
        assert_eq!(read(r#"{"optional_text":null}"#).optional_text, None);
        assert_eq!(read("{}").optional_text, None);
        assert!(serde_json::from_str::<Sample>(r#"{"text":["a"]}"#).is_err());
    }

    #[test]
    fn a_list_of_texts_may_have_numbers_or_be_one_of_them() {
        assert_eq!(read(r#"{"texts":["a",7,null]}"#).texts, ["a".into(), "7".into(), "".into()]);
        assert_eq!(read(r#"{"texts":7}"#).texts, ["7".into()]);
        assert_eq!(read(r#"{"texts":null}"#).texts, []);
    }
}
