//! `Profile.CallbackPortraitSet`: told after a profile was changed.
//!
//! Docs: 1047/48733 (edition 2022-23). Needs the subscription to profile changes as well as its own switch.
//!
//! Quirks
//! - A `Value` is an unsigned 32-bit number or a string, depending on its tag; a custom field may be either.
//! - Public receivers do without `Operator_Account` and `EventTime`.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{NumberOrText, UnixMillis, UserId, open_enum};

/// `Profile.CallbackPortraitSet`: the fields of a profile that were changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct PortraitSet {
    /// Who changed it: the user, or an administrator.
    #[serde(default, rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub operator: Option<UserId>,
    /// Whose profile it is.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// The fields that were changed, without those that failed.
    #[serde(rename = "ProfileItem", with = "lenient::list")]
    pub items: Vec<ProfileItem>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// One field of a profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct ProfileItem {
    /// Which field.
    pub tag: ProfileTag,
    /// Its new value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<NumberOrText>,
}

open_enum! {
    /// A field of a profile. Those of the application begin with `Tag_Profile_Custom_`: see [`ProfileTag::custom`].
    pub enum ProfileTag {
        /// The nickname, a text.
        Nick = "Tag_Profile_IM_Nick",
        /// `Gender_Type_Unknown`, `Gender_Type_Female` or `Gender_Type_Male`.
        Gender = "Tag_Profile_IM_Gender",
        /// The birthday, a number.
        BirthDay = "Tag_Profile_IM_BirthDay",
        /// The place, a text.
        Location = "Tag_Profile_IM_Location",
        /// The words under the name, a text.
        SelfSignature = "Tag_Profile_IM_SelfSignature",
        /// Who may add the user: `AllowType_Type_NeedConfirm`, `AllowType_Type_AllowAny` or `AllowType_Type_DenyAny`.
        AllowType = "Tag_Profile_IM_AllowType",
        /// The language, a number.
        Language = "Tag_Profile_IM_Language",
        /// The address of the picture.
        Image = "Tag_Profile_IM_Image",
        /// How messages reach the user, a number.
        MsgSettings = "Tag_Profile_IM_MsgSettings",
        /// Whether an administrator keeps the user from adding friends: `AdminForbid_Type_None` or
        /// `AdminForbid_Type_SendOut`.
        AdminForbidType = "Tag_Profile_IM_AdminForbidType",
        /// The level, a number.
        Level = "Tag_Profile_IM_Level",
        /// The role, a number.
        Role = "Tag_Profile_IM_Role",
    }
}

impl ProfileTag {
    /// The name of a field of the application, without its prefix.
    #[must_use]
    pub fn custom(&self) -> Option<&str> {
        self.as_str().strip_prefix("Tag_Profile_Custom_")
    }
}

impl Payload for PortraitSet {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::user(&self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::ProfileTag;

    #[test]
    fn a_custom_field_has_a_name_of_its_own() {
        assert_eq!(ProfileTag::from("Tag_Profile_Custom_Team").custom(), Some("Team"));
        assert_eq!(ProfileTag::Nick.custom(), None);
    }
}
