//! `ContentCallback.ResultNotify`: told what content moderation made of a text, an image, a recording or a video.
//!
//! Docs: 269/95616, 1047/78240 (edition 2026-03), 1047/77840 (2026-05, with a shorter sample). By default only
//! violations are sent; the console can have every result sent.
//!
//! Quirks
//! - No `CallbackCommand` in the body: the URL alone says what this is. No `ClientIP` and no `OptPlatform` there.
//! - `contenttype` is `json` or `JSON`, depending on the edition.
//! - The application stands in the body as `SdkAppId`, in no table, and in the URL as `SdkAppid`.
//! - `TextContent` is a String in one table, and an array in its sample.
//! - `MsgID` is a string also where it holds the sequence number of a group message.
//! - There are published samples of texts in one-to-one messages only.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, MsgKey, UserId, open_code, open_enum};

/// `ContentCallback.ResultNotify`: the result of moderating one piece of content.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct ResultNotify {
    /// Where the content was to appear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<Scene>,
    /// The application. In samples only.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub sdk_app_id: Option<u64>,
    /// Whose content it is.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who was to receive it; only for messages.
    #[serde(default, rename = "ContactItem", skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// What kind of content it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<ContentType>,
    /// The texts: one, or several of a custom message. Only for [`ContentType::Text`].
    #[serde(default, with = "lenient::texts", skip_serializing_if = "Vec::is_empty")]
    pub text_content: Vec<Box<str>>,
    /// Where the file can be downloaded; for every other [`ContentType`].
    #[serde(default, rename = "FileURL", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub file_url: Option<Box<str>>,
    /// The message: its `MsgKey`, or in a group its `MsgSeq` as text. A group message without one was never delivered.
    #[serde(default, rename = "MsgID", skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<MsgKey>,
    /// What was done with the content.
    #[serde(default, rename = "CtxcbResult", with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub result: Option<CtxcbResult>,
    /// The moderation service's identifier of this request.
    #[serde(default, rename = "CtxcbRequestId", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Box<str>>,
    /// The words of a list that were found in a text.
    #[serde(default, rename = "CtxcbKeywords", with = "lenient::texts", skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<Box<str>>,
    /// What the moderation service suggested.
    #[serde(default, rename = "CtxcbSuggestion", skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<Suggestion>,
    /// What the content is suspected to be.
    #[serde(default, rename = "CtxcbLabel", skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// The same more closely, such as `InsinuationPorn`.
    #[serde(default, rename = "CtxcbSubLabel", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub sub_label: Option<Box<str>>,
    /// The sub-label in words. In samples only.
    #[serde(default, rename = "CtxcbSubLabelDesc", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub sub_label_desc: Option<Box<str>>,
    /// The list that the words are from. In samples only.
    #[serde(default, rename = "CtxcbLibName", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub lib_name: Option<Box<str>>,
    /// The custom data of the message; empty or absent for everything that is no message.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub cloud_custom_data: Option<Box<str>>,
}

/// Who was to receive a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Contact {
    /// A user or a group.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub contact_type: Option<ContactType>,
    /// The user, for [`ContactType::C2c`].
    #[serde(default, rename = "To_Account", skip_serializing_if = "Option::is_none")]
    pub to: Option<UserId>,
    /// The group, for [`ContactType::Group`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_group_id: Option<GroupId>,
}

open_code! {
    /// What kind of receiver a message has.
    pub enum ContactType {
        /// A user.
        C2c = 1,
        /// A group.
        Group = 2,
    }

    /// What was done with moderated content.
    pub enum CtxcbResult {
        /// It was let through.
        Passed = 0,
        /// It was intercepted.
        Intercepted = 1,
    }
}

open_enum! {
    /// Where moderated content was to appear.
    pub enum Scene {
        /// A one-to-one message.
        C2c = "C2C",
        /// A custom one-to-one message.
        C2cCustom = "C2CCustom",
        /// A group message.
        Group = "Group",
        /// A custom group message.
        GroupCustom = "GroupCustom",
        /// The profile of a group.
        GroupInfo = "GroupInfo",
        /// The profile of a member of a group.
        GroupMemberInfo = "GroupMemberInfo",
        /// Data of a relation between users.
        RelationChain = "RelationChain",
        /// The profile of a user.
        UserInfo = "UserInfo",
    }

    /// What kind of content was moderated.
    pub enum ContentType {
        /// Text.
        Text = "Text",
        /// An image.
        Image = "Image",
        /// A recording.
        Audio = "Audio",
        /// A video.
        Video = "Video",
    }

    /// What the moderation service suggests.
    pub enum Suggestion {
        /// Block it.
        Block = "Block",
        /// Have a human look at it.
        Review = "Review",
        /// Let it through.
        Normal = "Normal",
    }

    /// What moderated content is suspected to be. Docs: 1047/77831.
    pub enum Label {
        /// Nothing in particular.
        Normal = "Normal",
        /// Illegal.
        Illegal = "Illegal",
        /// Insulting.
        Abuse = "Abuse",
        /// Political.
        Polity = "Polity",
        /// Advertising.
        Ad = "Ad",
        /// Pornographic.
        Porn = "Porn",
        /// Suggestive.
        Sexy = "Sexy",
        /// Terrorist.
        Terror = "Terror",
        /// Several at once.
        Composite = "Composite",
    }
}

impl Payload for ResultNotify {
    fn ordering_key(&self) -> OrderingKey {
        match &self.contact {
            Some(Contact { to_group_id: Some(group), .. }) => OrderingKey::group(group),
            Some(Contact { to: Some(to), .. }) => OrderingKey::pair(&self.from, to),
            _ => OrderingKey::user(&self.from),
        }
    }
}
