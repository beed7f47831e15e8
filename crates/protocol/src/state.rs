//! Online state.

mod state_change;

pub use self::state_change::{Action, Info, KickedDevice, Reason, StateChange};
