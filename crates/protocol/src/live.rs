//! Live rooms (Live): the rooms, their owners and members, battles between them, gifts, and recording.
//!
//! The callback address is set over REST or in the console of Live; form and signature are those of Chat. Live asks
//! to refuse a signed request that is older than one minute.

mod after_change_owner;
mod after_cloud_recording_changed;
mod after_create_battle;
mod after_create_room;
mod after_create_room_reaching_threshold;
mod after_del_metadata;
mod after_destroy_room;
mod after_end_battle;
mod after_member_state_changed;
mod after_modify_admin;
mod after_set_metadata;
mod after_start_battle;
mod after_update_room_info;
mod battle;
mod before_send_gift;
mod room_info;

pub use self::after_change_owner::AfterChangeOwner;
pub use self::after_cloud_recording_changed::AfterCloudRecordingChanged;
pub use self::after_create_battle::AfterCreateBattle;
pub use self::after_create_room::AfterCreateRoom;
pub use self::after_create_room_reaching_threshold::AfterCreateRoomReachingThreshold;
pub use self::after_del_metadata::AfterDelMetadata;
pub use self::after_destroy_room::{AfterDestroyRoom, DestroyCause, Statistic};
pub use self::after_end_battle::{AfterEndBattle, BattleEnd};
pub use self::after_member_state_changed::{AfterMemberStateChanged, MemberState, StateCause};
pub use self::after_modify_admin::{AdminChange, AfterModifyAdmin};
pub use self::after_set_metadata::AfterSetMetadata;
pub use self::after_start_battle::AfterStartBattle;
pub use self::after_update_room_info::AfterUpdateRoomInfo;
pub use self::battle::BattleRoom;
pub use self::before_send_gift::{BeforeSendGift, Gift};
pub use self::room_info::{Category, RoomInfo, RoomType, TakeSeatMode};
pub use crate::call::{RecordingEvent, RecordingEventType, RecordingGroup, RecordingInfo};

/// The decision on a gift; codes of one's own are 102100 to 102200.
pub type Permission = crate::reply::Permission<crate::reply::GiftCode>;
