//! Customer service (Desk): sessions, agents, and the bot that hands over to them.
//!
//! Desk has callback addresses and switches of its own in its own console; the form is that of Chat.

mod assignment;
mod before_im_contact_user;
mod interface_invocation;
mod invoked;
mod member_event_notify;
mod on_assign_agent;
mod on_assign_human;
mod session_event_notify;

pub use self::assignment::Assignment;
pub use self::before_im_contact_user::BeforeImContactUser;
pub use self::interface_invocation::InterfaceInvocation;
pub use self::invoked::Invoked;
pub use self::member_event_notify::{AgentStatus, ClientInfo, ClientType, MemberEvent, MemberEventNotify};
pub use self::on_assign_agent::OnAssignAgent;
pub use self::on_assign_human::OnAssignHuman;
pub use self::session_event_notify::{SessionEvent, SessionEventNotify};
use crate::types::open_enum;

/// The decision on an agent's wish to contact a user. There are no codes of one's own.
pub type Permission = crate::reply::Permission<crate::reply::NoCode>;

open_enum! {
    /// The way by which a user reaches customer service.
    pub enum ChannelType {
        /// The SDK, in the application.
        Sdk = "SDK",
        /// A page in a browser.
        Web = "Web(H5)",
    }
}
