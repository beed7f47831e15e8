//! Bots.

mod on_c2c_message;
mod on_group_message;
mod on_c2c_signal_message;
mod signal_response;

pub use self::on_c2c_message::OnC2cMessage;
pub use self::on_c2c_signal_message::OnC2cSignalMessage;
pub use self::on_group_message::OnGroupMessage;
pub use self::signal_response::SignalResponse;
