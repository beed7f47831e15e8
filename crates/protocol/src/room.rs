//! Conference rooms (Room): the rooms, and who comes and goes.

mod after_create_room;
mod after_destroy_room;
mod after_member_enter;
mod after_member_leave;
mod after_update_room_info;
mod room_info;

pub use self::after_create_room::AfterCreateRoom;
pub use self::after_destroy_room::AfterDestroyRoom;
pub use self::after_member_enter::{AfterMemberEnter, EnterType};
pub use self::after_member_leave::{AfterMemberLeave, LeaveType};
pub use self::after_update_room_info::AfterUpdateRoomInfo;
pub use self::room_info::{RoomInfo, RoomStatus};
pub use crate::live::{RoomType, TakeSeatMode};
