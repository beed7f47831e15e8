//! Seats of live and conference rooms (Mic).

mod after_seat_info_changed;

pub use self::after_seat_info_changed::{AfterSeatInfoChanged, Seat};
