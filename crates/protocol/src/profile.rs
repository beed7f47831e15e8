//! User profiles.

mod portrait_set;

pub use self::portrait_set::{PortraitSet, ProfileItem, ProfileTag};
