//! Friends and block lists.

mod prev_friend_add;
mod prev_friend_response;
mod friend_add;
mod friend_delete;
mod black_list_add;
mod black_list_delete;

use serde::{Deserialize, Serialize};

pub use self::black_list_add::BlackListAdd;
pub use self::black_list_delete::BlackListDelete;
pub use self::friend_add::{AddedPair, ClientCmd, FriendAdd};
pub use self::friend_delete::FriendDelete;
pub use self::prev_friend_add::{FriendItem, PrevFriendAdd};
pub use self::prev_friend_response::{PrevFriendResponse, ResponseAction, ResponseFriendItem};
pub use crate::reply::{FriendDecision, Verdict};
use crate::types::UserId;

/// One entry of a user's friend list or block list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pair {
    /// Whose list it is.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who stands in it.
    #[serde(rename = "To_Account")]
    pub to: UserId,
}
