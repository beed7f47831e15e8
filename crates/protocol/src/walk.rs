//! Reads a body once, and sees three things on the way: the fields that no type reads, the place where
//! reading failed, and the `CallbackCommand` of the body.
//!
//! A deserializer around the JSON one. Where it stands is a chain of stack frames, so that nothing is
//! allocated for a body without surprises.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::fmt::{self, Write as _};

use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::command::CommandName;

/// How many unread fields are listed. A body may have hundreds of thousands; people look at the first few.
pub(crate) const MAX_UNREAD: usize = 100;

/// How long a JSON pointer is at most, in bytes: keys are the sender's, and one may be as long as the body.
const MAX_POINTER: usize = 256;

/// What a walk saw.
#[derive(Default)]
pub(crate) struct Seen {
    unread: RefCell<Vec<String>>,
    failed_at: OnceCell<String>,
    command: OnceCell<Option<CommandName>>,
}

/// The outcome of [`read`]: the value or the error, and what was seen until then.
pub(crate) struct Walked<T> {
    pub(crate) value: Result<T, (String, serde_json::Error)>,
    /// JSON pointers of the fields that no type reads, [`cut`]; the first [`MAX_UNREAD`] of them.
    pub(crate) unread: Vec<String>,
    /// `CallbackCommand` at the top of the body.
    pub(crate) command: Option<CommandName>,
}

/// Reads `json` into a `T`.
pub(crate) fn read<'de, T: Deserialize<'de>>(json: &'de str) -> Walked<T> {
    let seen = Seen::default();
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = T::deserialize(Walk { inner: &mut deserializer, at: At::Root, seen: &seen })
        .and_then(|value| deserializer.end().map(|()| value));
    let Seen { unread, failed_at, command } = seen;
    Walked {
        value: value.map_err(|source| (failed_at.into_inner().unwrap_or_default(), source)),
        unread: unread.into_inner(),
        command: command.into_inner().flatten(),
    }
}

/// Where the walk stands.
#[derive(Clone, Copy)]
enum At<'a> {
    Root,
    Key(&'a At<'a>, &'a str),
    Index(&'a At<'a>, usize),
}

impl<'a> At<'a> {
    fn parent(self) -> At<'a> {
        match self {
            At::Root => At::Root,
            At::Key(parent, _) | At::Index(parent, _) => *parent,
        }
    }

    /// The place as a JSON pointer, [`cut`] before it gets long.
    fn pointer(self) -> String {
        /// Takes no more than shows that there is too much.
        struct Bounded(String);
        impl fmt::Write for Bounded {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.push_str(text);
                if self.0.len() > MAX_POINTER { Err(fmt::Error) } else { Ok(()) }
            }
        }
        let mut pointer = Bounded(String::new());
        // An error only says that it is long enough.
        let _ = write!(pointer, "{self}");
        cut(pointer.0)
    }
}

/// The pointer, or as much of it as anybody reads.
pub(crate) fn cut(mut pointer: String) -> String {
    if pointer.len() > MAX_POINTER {
        pointer.truncate(pointer.floor_char_boundary(MAX_POINTER - '…'.len_utf8()));
        pointer.push('…');
    }
    pointer
}

impl fmt::Display for At<'_> {
    /// A JSON pointer (RFC 6901), a character at a time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Index(parent, index) => write!(f, "{parent}/{index}"),
            At::Key(parent, key) => {
                write!(f, "{parent}/")?;
                key.chars().try_for_each(|c| match c {
                    '~' => f.write_str("~0"),
                    '/' => f.write_str("~1"),
                    c => f.write_char(c),
                })
            }
        }
    }
}

struct Walk<'a, D> {
    inner: D,
    at: At<'a>,
    seen: &'a Seen,
}

impl Seen {
    /// Remembers the innermost place of a failure; the frames around it see the same error later.
    fn failed<T, E>(&self, at: At<'_>, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            self.failed_at.get_or_init(|| at.pointer());
        }
        result
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Walk<'_, D> {
    type Error = D::Error;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_any(Walk { inner: visitor, at: self.at, seen: self.seen })
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_option(Walk { inner: visitor, at: self.at, seen: self.seen })
    }

    /// Only `RawValue` asks for this, and what it reads is read.
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let Self { inner, at, seen } = self;
        if seen.unread.borrow().len() < MAX_UNREAD {
            seen.unread.borrow_mut().push(at.pointer());
        }
        // A key that no type knows is the sender's own text, and the place of a failure is logged.
        seen.failed(at.parent(), inner.deserialize_ignored_any(visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct enum identifier
    }
}

/// Passes scalars on, and wraps what contains other values.
impl<'de, V: Visitor<'de>> Visitor<'de> for Walk<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    #[inline]
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<V::Value, E> {
        self.inner.visit_bool(value)
    }

    #[inline]
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<V::Value, E> {
        self.inner.visit_i64(value)
    }

    #[inline]
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<V::Value, E> {
        self.inner.visit_u64(value)
    }

    #[inline]
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<V::Value, E> {
        self.inner.visit_f64(value)
    }

    #[inline]
    fn visit_str<E: de::Error>(self, value: &str) -> Result<V::Value, E> {
        self.inner.visit_str(value)
    }

    #[inline]
    fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<V::Value, E> {
        self.inner.visit_borrowed_str(value)
    }

    #[inline]
    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    #[inline]
    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Walk { inner: deserializer, at: self.at, seen: self.seen })
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        if matches!(self.at, At::Root) {
            // A struct would take its fields in their order.
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        self.inner.visit_seq(Items { inner: items, at: self.at, seen: self.seen, index: 0 })
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Fields { inner: fields, at: self.at, seen: self.seen, key: Cow::Borrowed("") })
    }
}

/// Hands the place of a value to whatever reads it.
impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Walk<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let result = self.inner.deserialize(Walk { inner: deserializer, at: self.at, seen: self.seen });
        self.seen.failed(self.at, result)
    }
}

struct Items<'a, A> {
    inner: A,
    at: At<'a>,
    seen: &'a Seen,
    index: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Items<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let at = At::Index(&self.at, self.index);
        self.index += 1;
        self.inner.next_element_seed(Walk { inner: seed, at, seen: self.seen })
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

struct Fields<'a, 'de, A> {
    inner: A,
    at: At<'a>,
    seen: &'a Seen,
    key: Cow<'de, str>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<'_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        loop {
            let Some(Text(key)) = self.inner.next_key::<Text<'de>>()? else { return Ok(None) };
            if matches!(self.at, At::Root) && key == "CallbackCommand" {
                let command = self.inner.next_value::<Command>()?.0;
                if self.seen.command.set(command).is_err() {
                    return Err(de::Error::duplicate_field("CallbackCommand"));
                }
                continue;
            }
            self.key = key;
            return match self.key {
                Cow::Borrowed(key) => seed.deserialize(BorrowedStrDeserializer::new(key)),
                Cow::Owned(ref key) => seed.deserialize(StrDeserializer::new(key)),
            }
            .map(Some);
        }
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let at = At::Key(&self.at, &self.key);
        self.inner.next_value_seed(Walk { inner: seed, at, seen: self.seen })
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

/// A key, borrowed from the body unless it has escapes.
struct Text<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Key;
        impl<'de> Visitor<'de> for Key {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E: de::Error>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(key)))
            }
            fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(Key)
    }
}

/// The body's command; anything but a string is as good as none.
struct Command(Option<CommandName>);

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&serde_json::value::RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|Text(name)| CommandName::from(&*name))))
    }
}

/// The `CallbackCommand` of a body whose payload nobody can read, or knows.
///
/// Bytes that are not UTF-8 hide nothing: a forgery may have one to keep its command from being compared.
pub(crate) fn command_of(body: &[u8]) -> Option<CommandName> {
    read::<Anything>(&String::from_utf8_lossy(body)).command
}

/// A map that is walked through and forgotten: `IgnoredAny` would not look at the keys.
struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Anything;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Anything, A::Error> {
                while fields.next_entry::<de::IgnoredAny, &serde_json::value::RawValue>()?.is_some() {}
                Ok(Anything)
            }
        }
        deserializer.deserialize_any(Keys)
    }
}
