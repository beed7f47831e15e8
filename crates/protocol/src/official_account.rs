//! Official accounts (channels): their life, their subscribers and their messages.

mod after_add_subscriber;
mod after_create_official_account;
mod after_delete_subscriber;
mod after_msg_with_draw;
mod after_official_account_destroyed;
mod after_official_account_full;
mod after_official_account_info_changed;
mod after_send_msg;
mod before_add_subscriber;
mod before_create_official_account;
mod before_send_msg;
mod subscriber;

pub use self::after_add_subscriber::AfterAddSubscriber;
pub use self::after_create_official_account::AfterCreateOfficialAccount;
pub use self::after_delete_subscriber::AfterDeleteSubscriber;
pub use self::after_msg_with_draw::{AfterMsgWithDraw, WithdrawnMsg};
pub use self::after_official_account_destroyed::AfterOfficialAccountDestroyed;
pub use self::after_official_account_full::AfterOfficialAccountFull;
pub use self::after_official_account_info_changed::AfterOfficialAccountInfoChanged;
pub use self::after_send_msg::AfterSendMsg;
pub use self::before_add_subscriber::BeforeAddSubscriber;
pub use self::before_create_official_account::BeforeCreateOfficialAccount;
pub use self::before_send_msg::BeforeSendMsg;
pub use self::subscriber::SubscriberItem;

/// The decision on a message to all subscribers; codes of one's own are 120001 to 130000.
pub type SendDecision = crate::reply::SendDecision<crate::reply::MessageCode>;
/// The decision on a new official account; codes of one's own are 120001 to 130000.
pub type Permission = crate::reply::Permission<crate::reply::MessageCode>;
/// The decision on new subscribers: all, none, or all but some. There are no codes of one's own.
pub type JoinDecision = crate::reply::JoinDecision<crate::reply::Subscriber>;
