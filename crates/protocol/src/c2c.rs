//! One-to-one messages.

mod before_send_msg;
mod after_send_msg;
mod after_msg_report;
mod after_msg_with_draw;
mod after_c2c_msg_extension;
mod after_msg_read_receipt;
mod after_modify_msg;
mod after_msg_read_all;

pub use self::after_c2c_msg_extension::AfterC2cMsgExtension;
pub use self::after_modify_msg::AfterModifyMsg;
pub use self::after_msg_read_all::{AfterMsgReadAll, GroupRead};
pub use self::after_msg_read_receipt::{AfterMsgReadReceipt, ReadMsg};
pub use self::after_msg_report::AfterMsgReport;
pub use self::after_msg_with_draw::AfterMsgWithDraw;
pub use self::after_send_msg::AfterSendMsg;
pub use self::before_send_msg::BeforeSendMsg;
pub use crate::types::{Extension, OperateType};

/// The decision on a one-to-one message; codes of one's own are 120001 to 130000.
pub type SendDecision = crate::reply::SendDecision<crate::reply::MessageCode>;
