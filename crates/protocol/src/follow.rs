//! Following.

mod after_follow_add;
mod after_follow_delete;

pub use self::after_follow_add::{AfterFollowAdd, Followed};
pub use self::after_follow_delete::AfterFollowDelete;
