//! `State.StateChange`: told when a connection of a user came up or ended, or a custom status was set.
//!
//! Docs: 269/2570 (edition 2025-10), 1047/34357 (2025-07). A killed process shows at once, a lost network after up to
//! 400 seconds, or 60 in a browser. Needs the user-status feature as well as its own switch.
//!
//! Quirks
//! - A state is the user's, not the device's: with several devices a `Disconnect` does not mean *offline*.
//! - Logins and disconnects do not pair up. A reconnect is another `Login`, and one that comes before the loss was
//!   noticed suppresses the `Disconnect`. Let no older `event_time` overwrite a newer one.
//! - Pushing a device off is one callback with `KickedDevice`; SDKs before native 5.6.1200 and Web 2.14.0 cause a
//!   `Login` and a `Logout` instead, in either order.
//! - `OptPlatform` of the URL spells `IOS` here, and `iOS` everywhere else.
//! - The table has `CustomStatus` without saying in which object; both places are read.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::{Identity, OrderingKey};
use crate::lenient;
use crate::types::{Platform, UnixMillis, UserId, open_enum};

/// `State.StateChange`: a connection or the custom status of a user has changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct StateChange {
    /// What has changed.
    pub info: Info,
    /// The user's other devices that a login pushed off; only with [`Reason::Register`].
    #[serde(default, rename = "KickedDevice", with = "lenient::list", skip_serializing_if = "Vec::is_empty")]
    pub kicked_devices: Vec<KickedDevice>,
    /// The custom status where it stands beside `info`; [`StateChange::custom_status`] looks in both places.
    #[serde(default, rename = "CustomStatus", with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub custom_status_beside_info: Option<Box<str>>,
    /// When it happened. The oldest editions have none.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// What has changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Info {
    /// What happened to the connection, or to the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Whose state it is.
    #[serde(rename = "To_Account")]
    pub to: UserId,
    /// How it came about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The custom status where it stands in here.
    #[serde(default, with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub custom_status: Option<Box<str>>,
}

/// A device that a login pushed off.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct KickedDevice {
    /// What it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

open_enum! {
    /// What happened to a connection or to a status.
    pub enum Action {
        /// A connection was established, or came back.
        Login = "Login",
        /// A connection was ended on purpose.
        Logout = "Logout",
        /// A connection was lost.
        Disconnect = "Disconnect",
        /// The user set or cleared the custom status. Since 2024-08.
        CustomStatusChange = "CustomStatusChange",
    }

    /// How a change came about; each belongs to one [`Action`].
    pub enum Reason {
        /// `Login`: the connection stands. It has nothing to do with signing up.
        Register = "Register",
        /// `Logout`: the user logged out, or was pushed off as older SDKs report it.
        Unregister = "Unregister",
        /// `Disconnect`: the TCP connection ended, as when the process is killed.
        LinkClose = "LinkClose",
        /// `Disconnect`: no heartbeat for 400 seconds.
        TimeOut = "TimeOut",
        /// `CustomStatusChange`: the only one there is.
        SetCustomStatus = "SetCustomStatus",
    }
}

impl StateChange {
    /// The new custom status, when that is what has changed; presumably empty when it was cleared.
    #[must_use]
    pub fn custom_status(&self) -> Option<&str> {
        self.info.custom_status.as_deref().or(self.custom_status_beside_info.as_deref())
    }
}

impl Payload for StateChange {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::user(&self.info.to)
    }

    fn identity(&self) -> Option<Identity> {
        let Info { action, to, reason, .. } = &self.info;
        let reason = reason.as_ref().map_or("", Reason::as_str);
        Some(Identity::of(&[to, &self.event_time?, action.as_ref()?, &reason]))
    }
}
