//! Groups and communities: their life, their members, their messages and their topics.

use crate::types::open_enum;

mod after_change_group_owner;
mod after_create_group;
mod after_group_attr_changed;
mod after_group_destroyed;
mod after_group_full;
mod after_group_info_changed;
mod before_create_group;
mod on_daily_group_quota_alarm;

mod after_member_exit;
mod after_member_field_changed;
mod after_new_member_join;
mod before_apply_join_group;
mod before_invite_join_group;
mod on_member_state_change;

mod after_group_msg_extension;
mod after_modify_msg;
mod after_read_receipt;
mod after_recall_msg;
mod after_send_msg;
mod before_send_msg;
mod send_msg_exception;

mod after_create_topic;
mod after_topic_destroyed;
mod after_topic_info_changed;
mod before_create_topic;

pub use self::after_change_group_owner::AfterChangeGroupOwner;
pub use self::after_create_group::AfterCreateGroup;
pub use self::after_group_attr_changed::{AfterGroupAttrChanged, Attribute, OptionType};
pub use self::after_group_destroyed::AfterGroupDestroyed;
pub use self::after_group_full::AfterGroupFull;
pub use self::after_group_info_changed::{AfterGroupInfoChanged, ShutUpAll};
pub use self::before_create_group::{BeforeCreateGroup, CreatedGroups};
pub use self::on_daily_group_quota_alarm::OnDailyGroupQuotaAlarm;

pub use self::after_member_exit::{AfterMemberExit, ExitType};
pub use self::after_member_field_changed::{AfterMemberFieldChanged, Role};
pub use self::after_new_member_join::{AfterNewMemberJoin, JoinType};
pub use self::before_apply_join_group::BeforeApplyJoinGroup;
pub use self::before_invite_join_group::BeforeInviteJoinGroup;
pub use self::on_member_state_change::{EventCause, EventType, OnMemberStateChange};

pub use self::after_group_msg_extension::AfterGroupMsgExtension;
pub use self::after_modify_msg::AfterModifyMsg;
pub use self::after_read_receipt::{AfterReadReceipt, Receipt};
pub use self::after_recall_msg::{AfterRecallMsg, RecalledMsg};
pub use self::after_send_msg::{AfterSendMsg, Mention};
pub use self::before_send_msg::BeforeSendMsg;
pub use self::send_msg_exception::SendMsgException;

pub use self::after_create_topic::AfterCreateTopic;
pub use self::after_topic_destroyed::AfterTopicDestroyed;
pub use self::after_topic_info_changed::AfterTopicInfoChanged;
pub use self::before_create_topic::BeforeCreateTopic;

pub use crate::types::{Extension, OperateType};

/// The decision on a group message; codes of one's own are 10100 to 10200.
pub type SendDecision = crate::reply::SendDecision<crate::reply::GroupCode>;

/// A yes or no to a group, a topic or a request to join; codes of one's own are 10100 to 10200.
pub type Permission = crate::reply::Permission<crate::reply::GroupCode>;

/// The decision on users who are invited, made by [`BeforeInviteJoinGroup::admit`]; codes as of [`Permission`].
pub type JoinDecision = crate::reply::JoinDecision<crate::reply::Invited>;

open_enum! {
    /// How invitations to a group are handled: `InviteJoinOption` of the REST API.
    pub enum InviteOption {
        /// Invited users join at once.
        FreeAccess = "FreeAccess",
        /// An administrator has to agree.
        NeedPermission = "NeedPermission",
        /// Nobody can be invited.
        DisableInvite = "DisableInvite",
    }
}
