//! The push service. Its callbacks are batches of up to 100 events, with times in seconds.

mod all_member_push;
mod offline_push;

pub use self::all_member_push::{AllMemberPush, AllMemberPushEvent, PushKind};
pub use self::offline_push::{MsgKind, OfflinePush, OfflinePushEvent};
use crate::types::open_code;

open_code! {
    /// Whose channel a push takes, or who made a device. Without a number for HarmonyOS so far.
    pub enum PushPlatform {
        /// None in particular.
        Unnamed = 0,
        /// Apple (APNs).
        Apple = 1,
        /// Xiaomi.
        Xiaomi = 2,
        /// Huawei.
        Huawei = 3,
        /// Google (FCM).
        Google = 4,
        /// Meizu.
        Meizu = 5,
        /// OPPO.
        Oppo = 6,
        /// vivo.
        Vivo = 7,
        /// Honor.
        Honor = 8,
    }

    /// How far a push has come.
    pub enum PushStage {
        /// It was sent.
        Sent = 1,
        /// It has reached the device.
        Reached = 2,
        /// It was clicked.
        Clicked = 3,
    }
}
