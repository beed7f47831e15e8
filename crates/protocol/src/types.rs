//! The small types that many payloads share: identifiers, times and open sets of words.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::lenient;

/// Declares identifiers: strings that can be compared and printed but not mixed up with each other.
macro_rules! string_id {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The identifier as it stands on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<T: Into<Box<str>>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(text.into())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                *self.0 == *other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                *self.0 == **other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // Several samples of the sister products show account identifiers as bare integers.
                lenient::text::deserialize(deserializer).map(Self)
            }
        }
    )+};
}

string_id! {
    /// A user of the application (UserID, on the wire `..._Account`).
    UserId;
    /// A group. Made by the service it looks like `@TGS#...`; an application may choose its own.
    GroupId;
    /// A topic of a community, of the shape `<community>@TOPIC#_...`.
    TopicId;
    /// An official account (channel). Usually begins with `@TOA#_`; not to be relied on.
    OfficialAccountId;
    /// The service's identifier of a message, needed to recall or to edit it over REST. Opaque.
    MsgKey;
    /// The identifier of a message that the clients know. Opaque.
    MsgId;
    /// A room of the Live, Mic or Room products.
    RoomId;
    /// A call of the Call product.
    CallId;
    /// A customer-service session of the Desk product.
    SessionId;
}

/// Declares a moment: a number on the wire, in one unit, that does not mix with other units.
macro_rules! moment {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl lenient::Number for $name {
            fn from_i128(value: i128) -> Option<Self> {
                i64::try_from(value).ok().map(Self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                lenient::number::deserialize(deserializer)
            }
        }
    )+};
}

moment! {
    /// Seconds since the Unix epoch, as in `MsgTime`, `LastReadTime` and the whole push family.
    UnixSeconds;
    /// Milliseconds since the Unix epoch, as in `EventTime` of most callbacks.
    UnixMillis;
}

/// Declares an open set of words: the known ones are variants, any other is kept in `Unknown`.
macro_rules! open_enum {
    ($($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $wire:literal $(| $also:literal)*,)+ })+) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Hash, strum::EnumString)]
        $(#[$meta])*
        #[non_exhaustive]
        $vis enum $name {
            $($(#[$vdoc])* #[strum(serialize = $wire $(, serialize = $also)*)] $variant,)+
            /// A word that this version does not know, as it came.
            #[strum(default)]
            Unknown(String),
        }

        impl $name {
            /// The words that are known.
            pub const WORDS: &'static [&'static str] = &[$($wire, $($also,)*)+];

            /// The word as it stands on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $wire,)+
                    Self::Unknown(word) => word,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::lenient::word(deserializer)
            }
        }
    )+};
}
pub(crate) use open_enum;

/// Declares an open set of numeric codes: the known ones are variants, any other is kept in `Unknown`.
macro_rules! open_code {
    ($($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $wire:literal,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        $vis enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A code that this version does not know, as it came.
            Unknown(i64),
        }

        impl $name {
            /// The code as it stands on the wire.
            #[must_use]
            pub const fn code(self) -> i64 {
                match self {
                    $(Self::$variant => $wire,)+
                    Self::Unknown(code) => code,
                }
            }
        }

        impl crate::lenient::Number for $name {
            fn from_i128(value: i128) -> Option<Self> {
                match i64::try_from(value).ok()? {
                    $($wire => Some(Self::$variant),)+
                    code => Some(Self::Unknown(code)),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_i64(self.code())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::lenient::number::deserialize(deserializer)
            }
        }
    )+};
}
pub(crate) use open_code;

open_enum! {
    /// The platform behind an event: `OptPlatform` of the query, `Platform` of a pushed-off device.
    ///
    /// Compared without regard to case, because `State.StateChange` spells `IOS` and all others `iOS`.
    /// Docs: 1047/34354.
    #[strum(ascii_case_insensitive)]
    pub enum Platform {
        /// A server of the application, over the REST API.
        Restapi = "RESTAPI",
        /// A browser.
        Web = "Web",
        /// An Android device.
        Android = "Android",
        /// An iPhone.
        Ios = "iOS",
        /// An iPad.
        Ipad = "iPad",
        /// A Windows machine.
        Windows = "Windows",
        /// A Mac; one edition of the page prints `macOS`.
        Mac = "Mac" | "macOS",
        /// A Linux machine; documented for pushed-off devices only.
        Linux = "Linux",
        /// The word `Unknown`, which is one of the documented values.
        Unnamed = "Unknown",
    }

    /// The type of a group. Newer SDKs call `Private` *Work* and `ChatRoom` *Meeting*. Docs: 1047/33529.
    pub enum GroupType {
        /// Friends only; `Work` in newer SDKs.
        Private = "Private" | "Work",
        /// Anyone may apply.
        Public = "Public",
        /// Free to join; `Meeting` in newer SDKs.
        ChatRoom = "ChatRoom" | "Meeting",
        /// A live room without limit of members.
        AvChatRoom = "AVChatRoom",
        /// A community, which may have topics.
        Community = "Community",
        /// A room of LiveKit, in the live editions of the message callbacks.
        Live = "Live",
    }
}

/// One member of a group, as most member lists spell it: `{"Member_Account": "..."}`.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Member {
    /// The member.
    #[serde(rename = "Member_Account")]
    pub user: UserId,
}

/// A custom field of a group, a topic or a room: `{"Key": "...", "Value": "..."}`.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct KeyValue {
    /// The name of the field.
    #[serde(with = "lenient::text")]
    pub key: Box<str>,
    /// Its value. Samples show strings; numbers are read as their text.
    #[serde(default, with = "lenient::text")]
    pub value: Box<str>,
}

open_code! {
    /// What was done to the extensions of a message.
    pub enum OperateType {
        /// Pairs were set.
        Set = 1,
        /// Pairs were deleted.
        Delete = 2,
        /// All pairs were removed.
        Clear = 3,
    }
}

/// One pair that hangs on a message: `{"Key": "...", "Value": "...", "Seq": 1}`.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Extension {
    /// Its key.
    #[serde(default, with = "lenient::text")]
    pub key: Box<str>,
    /// Its value; empty when the pair was deleted.
    #[serde(default, with = "lenient::text")]
    pub value: Box<str>,
    /// The version of this pair.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

/// A number or a text, where the wire has either.
#[derive(Debug, Clone, PartialEq)]
pub enum NumberOrText {
    /// A number.
    Number(i64),
    /// A text.
    Text(Box<str>),
}

impl Serialize for NumberOrText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for NumberOrText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = NumberOrText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a string")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                Ok(i64::try_from(value)
                    .map_or_else(|_| NumberOrText::Text(value.to_string().into()), NumberOrText::Number))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                Ok(NumberOrText::Number(value))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
                Ok(NumberOrText::Text(value.to_string().into()))
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                Ok(NumberOrText::Number(value.into()))
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
                Ok(NumberOrText::Text(value.into()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::{GroupType, Platform};

    #[test]
    fn platform_is_read_without_regard_to_case_and_unknown_words_survive() {
        assert_eq!(Platform::from("IOS"), Platform::Ios);
        assert_eq!(Platform::from("iOs"), Platform::Ios);
        assert_eq!(Platform::from("macOS"), Platform::Mac);
        assert_eq!(Platform::from("unknown"), Platform::Unnamed);
        assert_eq!(Platform::Unnamed.as_str(), "Unknown");
        assert_eq!(Platform::from("HarmonyOS"), Platform::Unknown("HarmonyOS".to_owned()));
        assert_eq!(Platform::from("HarmonyOS").to_string(), "HarmonyOS");
    }

    #[test]
    fn group_types_have_two_names_and_one_meaning() {
        assert_eq!(GroupType::from("Work"), GroupType::Private);
        assert_eq!(GroupType::from("Meeting"), GroupType::ChatRoom);
        assert_eq!(GroupType::ChatRoom.to_string(), "ChatRoom");
    }
}
