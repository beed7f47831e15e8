//! Message elements: what `MsgBody` is made of.
//!
//! Docs: 1047/33527 (message format). An element that nobody knows, or that is not of the documented shape,
//! stays what it was: [`MsgContent::Unknown`] with its JSON. Every element that arrived is sent back byte for
//! byte unless it is replaced, so that a rewrite of one element loses nothing of the others.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::types::{GroupId, UnixSeconds, UserId};
use crate::{lenient, walk};

/// One element of a message.
#[derive(Debug, Clone)]
pub struct MsgElement {
    content: MsgContent,
    /// `MsgContent` as it came; `None` for an element that was made here, and for one that nobody knows.
    raw: Option<Box<RawValue>>,
    /// What of it no type reads, as JSON pointers into `MsgContent`.
    unread: Box<[String]>,
}

/// The content of an element by its type.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum MsgContent {
    /// `TIMTextElem`
    Text(Text),
    /// `TIMLocationElem`
    Location(Location),
    /// `TIMFaceElem`
    Face(Face),
    /// `TIMCustomElem`
    Custom(Box<Custom>),
    /// `TIMSoundElem`
    Sound(Box<Sound>),
    /// `TIMImageElem`
    Image(Box<Image>),
    /// `TIMFileElem`
    File(Box<File>),
    /// `TIMVideoFileElem`
    Video(Box<Video>),
    /// `TIMRelayElem`
    Relay(Box<Relay>),
    /// `TIMStreamElem`
    Stream(Box<Stream>),
    /// Any other type, and a known one whose content is not of its shape.
    Unknown(Unknown),
}

impl MsgElement {
    /// The type as it stands on the wire, such as `TIMTextElem`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.content.kind()
    }

    /// The typed content.
    #[must_use]
    pub fn content(&self) -> &MsgContent {
        &self.content
    }

    /// The text of a text element.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            MsgContent::Text(text) => Some(&text.text),
            _ => None,
        }
    }

    /// Whether it has a type, and content that is an object: Chat delivers nothing else.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let raw = match &self.content {
            MsgContent::Unknown(unknown) => unknown.content.as_ref(),
            _ => self.raw.as_ref(),
        };
        let is_typed = !matches!(self.content, MsgContent::Unknown(_));
        !self.kind().is_empty() && raw.map_or(is_typed, |raw| raw.get().starts_with('{'))
    }

    /// A text element.
    #[must_use]
    pub fn text(text: impl Into<Box<str>>) -> Self {
        MsgContent::Text(Text { text: text.into() }).into()
    }

    /// A custom element with `data` and nothing else.
    #[must_use]
    pub fn custom(data: impl Into<Box<str>>) -> Self {
        Custom { data: Some(data.into()), ..Custom::default() }.into()
    }

    /// What of this element no type reads, as JSON pointers into its `MsgContent`. The empty pointer is the
    /// whole content of a known type that did not have its documented shape. At most 100 are listed.
    pub fn unread(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let relayed = match &self.content {
            MsgContent::Relay(relay) => relay.messages.as_slice(),
            _ => &[],
        };
        let inner = relayed.iter().enumerate().flat_map(|(i, message)| {
            unread_of(&message.body).map(move |path| Cow::Owned(walk::cut(format!("/MsgList/{i}{path}"))))
        });
        let inner = inner.take(walk::MAX_UNREAD).collect::<Vec<_>>();
        self.unread.iter().map(|path| Cow::Borrowed(path.as_str())).chain(inner).take(walk::MAX_UNREAD)
    }
}

/// What no type reads in the elements of a `MsgBody`, as JSON pointers from the object that holds it.
pub(crate) fn unread_of(body: &[MsgElement]) -> impl Iterator<Item = String> {
    body.iter().enumerate().flat_map(|(i, element)| {
        element.unread().map(move |path| walk::cut(format!("/MsgBody/{i}/MsgContent{path}"))).collect::<Vec<_>>()
    })
}

impl From<MsgContent> for MsgElement {
    fn from(content: MsgContent) -> Self {
        Self { content, raw: None, unread: Box::default() }
    }
}

impl Serialize for MsgElement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut element = serializer.serialize_struct("MsgElement", 2)?;
        element.serialize_field("MsgType", self.kind())?;
        match (&self.raw, &self.content) {
            (Some(raw), _) => element.serialize_field("MsgContent", raw)?,
            (None, MsgContent::Unknown(Unknown { content: None, .. })) => element.skip_field("MsgContent")?,
            (None, content) => element.serialize_field("MsgContent", content)?,
        }
        element.end()
    }
}

impl<'de> Deserialize<'de> for MsgElement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The type may stand behind the content, and decides how it is read.
        #[derive(serde::Deserialize)]
        struct Wire<'a> {
            #[serde(borrow, default, rename = "MsgType", deserialize_with = "lenient::borrowed_text")]
            kind: Cow<'a, str>,
            #[serde(default, rename = "MsgContent", deserialize_with = "as_it_came")]
            content: Option<Box<RawValue>>,
        }
        fn as_it_came<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
            Deserialize::deserialize(deserializer).map(Some)
        }
        let Wire { kind, content: raw } = Wire::deserialize(deserializer)?;
        let unread = match MsgContent::read(&kind, raw.as_deref().unwrap_or(RawValue::NULL)) {
            Some(Ok((content, unread))) => return Ok(Self { content, raw, unread: unread.into() }),
            Some(Err(OtherShape)) => [String::new()].into(),
            None => Box::default(),
        };
        Ok(Self { content: MsgContent::Unknown(Unknown { kind: kind.into(), content: raw }), raw: None, unread })
    }
}

/// The content of a known type is not of its documented shape.
struct OtherShape;

/// Makes what follows from the list of element types.
macro_rules! elements {
    ($($variant:ident = $kind:literal,)+) => {
        impl MsgContent {
            /// The types that are known, as they stand on the wire.
            pub const KINDS: &'static [&'static str] = &[$($kind),+];

            /// The type as it stands on the wire.
            #[must_use]
            pub fn kind(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $kind,)+
                    Self::Unknown(unknown) => &unknown.kind,
                }
            }

            /// Reads the content of an element of type `kind`, and lists what it did not read; `None` for a type that
            /// is not in the list.
            fn read(kind: &str, raw: &RawValue) -> Option<Result<(Self, Vec<String>), OtherShape>> {
                if kind == "TIMRelayElem" && nesting(raw.get()) > MAX_NESTING {
                    return Some(Err(OtherShape));
                }
                match kind {
                    $($kind => {
                        let walked = walk::read::<$variant>(raw.get());
                        let content = walked.value.map_err(|_| OtherShape);
                        Some(content.map(|content| (Self::$variant(content.into()), walked.unread)))
                    })+
                    _ => None,
                }
            }
        }

        impl Serialize for MsgContent {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(content) => content.serialize(serializer),)+
                    Self::Unknown(unknown) => unknown.content.serialize(serializer),
                }
            }
        }

        $(impl From<$variant> for MsgElement {
            fn from(content: $variant) -> Self {
                MsgContent::$variant(content.into()).into()
            }
        })+
    };
}

elements! {
    Text     = "TIMTextElem",
    Location = "TIMLocationElem",
    Face     = "TIMFaceElem",
    Custom   = "TIMCustomElem",
    Sound    = "TIMSoundElem",
    Image    = "TIMImageElem",
    File     = "TIMFileElem",
    Video    = "TIMVideoFileElem",
    Relay    = "TIMRelayElem",
    Stream   = "TIMStreamElem",
}

/// How deeply the brackets of an element may be nested before it stays raw. A combined message inside a combined
/// message takes four; the depth is not documented, and every level is read by a call of its own.
const MAX_NESTING: usize = 64;

/// The depth of brackets of a JSON text, strings left out.
fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// `TIMTextElem`: text, which may have mentions, emoji short-cuts and line breaks; may be empty.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Text {
    /// The text. A public test client spells the key in lower case.
    #[serde(alias = "text", with = "lenient::text")]
    pub text: Box<str>,
}

/// `TIMLocationElem`: a place.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Location {
    /// Description of the place.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub desc: Option<Box<str>>,
    /// Degrees; whole degrees may arrive without a decimal point.
    #[serde(with = "lenient::number")]
    pub latitude: f64,
    /// Degrees.
    #[serde(with = "lenient::number")]
    pub longitude: f64,
}

/// `TIMFaceElem`: an emoji or a sticker of the application.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Face {
    /// Index chosen by the application.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub index: Option<i64>,
    /// Extra data of the application.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<str>>,
}

/// `TIMCustomElem`: data of the application; at most one in a message. Any of the keys may be missing.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Custom {
    /// The data: often JSON text, never to be relied on.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<str>>,
    /// A description, used as the text of a push.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub desc: Option<Box<str>>,
    /// Handed to the push payload under the key `Ext`.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub ext: Option<Box<str>>,
    /// File name of the push sound.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub sound: Option<Box<str>>,
}

/// `TIMSoundElem`: a voice message. SDKs before 4.x send no address, so it cannot be downloaded from the callback.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Sound {
    /// Where it can be downloaded.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub url: Option<Box<str>>,
    /// Identifier of the recording, the key of the clients' cache.
    #[serde(rename = "UUID", with = "lenient::text")]
    pub uuid: Box<str>,
    /// Bytes.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Duration in seconds.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub second: Option<u64>,
    /// Always 2, which means: by `url`. Absent with old SDKs.
    #[serde(default, rename = "Download_Flag", with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub download_flag: Option<u64>,
}

/// `TIMImageElem`: an image in several renditions, in no order that could be relied on.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Image {
    /// Identifier of the image.
    #[serde(rename = "UUID", with = "lenient::text")]
    pub uuid: Box<str>,
    /// 1 JPG, 2 GIF, 3 PNG, 4 BMP, 255 other.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub image_format: Option<u64>,
    /// The renditions. Messages sent over REST may have only one.
    #[serde(default, with = "lenient::list")]
    pub image_info_array: Vec<Rendition>,
}

/// One rendition of an [`Image`].
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Rendition {
    /// 1 original, 2 large, 3 thumbnail.
    #[serde(rename = "Type", default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub kind: Option<u64>,
    /// Bytes. The large rendition may have more than the original.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Pixels; 0 when unknown.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub width: Option<u64>,
    /// Pixels; 0 when unknown.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// Where it can be downloaded; in capitals here, `Url` in the voice and file elements.
    #[serde(rename = "URL", default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub url: Option<Box<str>>,
}

/// `TIMFileElem`: a file.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct File {
    /// Where it can be downloaded; absent with old SDKs.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub url: Option<Box<str>>,
    /// Identifier of the file.
    #[serde(rename = "UUID", with = "lenient::text")]
    pub uuid: Box<str>,
    /// Bytes.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
    /// The sender's name for it, perhaps a whole path. One field table spells it `fileName`.
    #[serde(default, alias = "fileName", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub file_name: Option<Box<str>>,
    /// Always 2, which means: by `url`. Absent with old SDKs.
    #[serde(default, rename = "Download_Flag", with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub download_flag: Option<u64>,
}

/// `TIMVideoFileElem`: a video and its preview.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Video {
    /// Where the video can be downloaded; absent with old SDKs.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub video_url: Option<Box<str>>,
    /// Identifier of the video.
    #[serde(rename = "VideoUUID", with = "lenient::text")]
    pub video_uuid: Box<str>,
    /// Bytes.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub video_size: Option<u64>,
    /// Duration in seconds; 0 when sent from a browser.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub video_second: Option<u64>,
    /// Such as `mp4`.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub video_format: Option<Box<str>>,
    /// Always 2, which means: by `video_url`. Absent with old SDKs. No underscore, unlike `Download_Flag`.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub video_download_flag: Option<u64>,
    /// Where the preview can be downloaded; absent with old SDKs.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub thumb_url: Option<Box<str>>,
    /// Identifier of the preview.
    #[serde(default, rename = "ThumbUUID", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub thumb_uuid: Option<Box<str>>,
    /// Bytes.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub thumb_size: Option<u64>,
    /// Pixels.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub thumb_width: Option<u64>,
    /// Pixels.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub thumb_height: Option<u64>,
    /// Such as `JPG`.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub thumb_format: Option<Box<str>>,
    /// Always 2, which means: by `thumb_url`. Absent with old SDKs.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub thumb_download_flag: Option<u64>,
}

/// `TIMRelayElem`: messages combined into one and forwarded.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Relay {
    /// Title.
    #[serde(default, with = "lenient::text")]
    pub title: Box<str>,
    /// How many messages were combined.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_num: Option<u64>,
    /// What clients show that do not know this type.
    #[serde(default, with = "lenient::text")]
    pub compatible_text: Box<str>,
    /// One line of digest a message.
    #[serde(default, with = "lenient::texts")]
    pub abstract_list: Vec<Box<str>>,
    /// The messages, when together they have at most 12 KB; else `json_msg_key` stands for them.
    #[serde(default, rename = "MsgList", with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<RelayedMsg>,
    /// The key under which a larger list is stored.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub json_msg_key: Option<Box<str>>,
}

/// One message of a [`Relay`].
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct RelayedMsg {
    /// Its sender.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Its receiver, if it was a one-to-one message.
    #[serde(default, rename = "To_Account", skip_serializing_if = "Option::is_none")]
    pub to: Option<UserId>,
    /// Its group, if it was a group message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    /// Sequence number, unsigned 32-bit.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_seq: Option<u64>,
    /// Random number, unsigned 32-bit.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_random: Option<u64>,
    /// When it was sent; named `MsgTime` everywhere else.
    #[serde(default, rename = "MsgTimeStamp", with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub msg_time: Option<UnixSeconds>,
    /// Its elements, which may again be combined messages.
    #[serde(default, rename = "MsgBody", with = "lenient::elements")]
    pub body: Vec<MsgElement>,
    /// Its custom data.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub cloud_custom_data: Option<Box<str>>,
}

/// `TIMStreamElem`: text that arrives in increments, as from a bot. The shape is that of a public bot plugin's
/// requests; no official table of the callback's form was found.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Stream {
    /// The increments of this message.
    #[serde(default, with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub chunks: Vec<Chunk>,
    /// What clients show that do not know this type.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub compatible_text: Option<Box<str>>,
    /// Identifier of the stream, on increments after the first.
    #[serde(default, rename = "StreamMsgID", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub stream_msg_id: Option<Box<str>>,
}

/// One increment of a [`Stream`].
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Chunk {
    /// `data` where it was seen.
    #[serde(default, with = "lenient::text")]
    pub event_type: Box<str>,
    /// Running number.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Text, Markdown.
    #[serde(default, with = "lenient::text")]
    pub markdown: Box<str>,
    /// Set on the last increment.
    #[serde(default, with = "lenient::boolean")]
    pub is_last: bool,
}

/// An element of a type that is not in this list, or not of its shape.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Unknown {
    /// `MsgType`.
    pub kind: Box<str>,
    /// `MsgContent`, as it came; `None` where there was none.
    pub content: Option<Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use super::{MsgContent, MsgElement};

    fn read(json: &str) -> MsgElement {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_element_goes_back_as_it_came_whatever_is_in_it() {
        for json in [
            r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":"hi", "New": [1, 2]}}"#,
            r#"{"MsgType":"TIMGroupTipElem","MsgContent":{"a":{}}}"#,
            r#"{"MsgType":"TIMLocationElem","MsgContent":{"Latitude":48.000,"Longitude":1e1}}"#,
            r#"{"MsgType":"TIMImageElem","MsgContent":"not an object"}"#,
            r#"{"MsgType":"TIMTextElem","MsgContent":null}"#,
            r#"{"MsgType":"TIMTextElem"}"#,
            r#"{"MsgType":""}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(json)).unwrap(), json);
        }
    }

    #[test]
    fn the_content_may_stand_before_the_type() {
        let element = read(r#"{"MsgContent":{"Text":"hi"},"MsgType":"TIMTextElem"}"#);
        assert_eq!(element.as_text(), Some("hi"));
    }

    #[test]
    fn an_element_is_whole_with_a_type_and_an_object() {
        for json in [r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":"hi"}}"#, r#"{"MsgType":"New","MsgContent":{}}"#]
        {
            assert!(read(json).is_whole(), "{json}");
        }
        assert!(MsgElement::text("hi").is_whole());
        for json in [
            "{}",
            r#"{"MsgType":"","MsgContent":{}}"#,
            r#"{"MsgContent":{"Text":"hi"}}"#,
            r#"{"MsgType":"TIMTextElem"}"#,
            r#"{"MsgType":"TIMTextElem","MsgContent":["hi"]}"#,
            r#"{"MsgType":"New","MsgContent":null}"#,
        ] {
            assert!(!read(json).is_whole(), "{json}");
        }
    }

    #[test]
    fn a_known_type_of_another_shape_stays_raw_and_shows_as_unread() {
        let element = read(r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":["a"]}}"#);
        assert!(matches!(element.content(), MsgContent::Unknown(unknown) if &*unknown.kind == "TIMTextElem"));
        assert_eq!(element.unread().collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn combined_messages_are_read_to_a_bounded_depth() {
        let mut json = r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":"core"}}"#.to_owned();
        for _ in 0..3 {
            json = format!(
                r#"{{"MsgType":"TIMRelayElem","MsgContent":{{"MsgList":[{{"From_Account":"u","MsgBody":[{json}],"X":1}}]}}}}"#
            );
        }
        let paths: Vec<_> = read(&json).unread().map(|path| path.into_owned()).collect();
        assert_eq!(paths.len(), 3);
        assert_eq!(paths[0], "/MsgList/0/X");
        assert_eq!(paths[1], "/MsgList/0/MsgBody/0/MsgContent/MsgList/0/X");
        for _ in 0..1_000 {
            json = format!(
                r#"{{"MsgType":"TIMRelayElem","MsgContent":{{"MsgList":[{{"From_Account":"u","MsgBody":[{json}]}}]}}}}"#
            );
        }
        let element = read(&json);
        assert!(matches!(element.content(), MsgContent::Unknown(_)));
        assert_eq!(serde_json::to_string(&element).unwrap(), json);
    }

    #[test]
    fn an_element_is_small_because_a_body_may_have_thousands() {
        assert!(size_of::<MsgElement>() <= 80, "{}", size_of::<MsgElement>());
        let element = read("{}");
        assert_eq!(element.kind(), "");
        assert!(element.raw.is_none() && element.unread.is_empty());
    }
}
