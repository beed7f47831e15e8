//! `Sns.CallbackFriendAdd`: told after users came into friend lists.
//!
//! Docs: 269/1657 (edition 2023-07), 1047/34359 (2024-08). Importing friends over REST does not cause it.
//!
//! Quirks
//! - A two-way relation may be two pairs, one in each direction; whether it always is, is not documented.
//! - The documented sample is forced by an administrator and names none: neither follows from the other.
//! - `ClientCmd` has two spellings for each word.
//! - The flag is called `ForceFlag` here, and `ForceAddFlags` in `Sns.CallbackPrevFriendAdd`.
//! - A public receiver tests with nothing but the two accounts of each pair.
//! - `EventTime` is in no edition that was seen.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{UnixMillis, UserId, open_enum};

/// `Sns.CallbackFriendAdd`: users that came into friend lists.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct FriendAdd {
    /// The new entries, without those that failed.
    #[serde(rename = "PairList", with = "lenient::list")]
    pub pairs: Vec<AddedPair>,
    /// What led to it: a request, or the answer to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cmd: Option<ClientCmd>,
    /// The administrator who did it over REST; empty when a user did.
    #[serde(default, rename = "Admin_Account", skip_serializing_if = "Option::is_none")]
    pub admin: Option<UserId>,
    /// Whether an administrator forced it.
    #[serde(default, rename = "ForceFlag", with = "lenient::flag")]
    pub forced: bool,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// One new entry of a friend list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AddedPair {
    /// Whose friend list it is.
    #[serde(rename = "From_Account")]
    pub from: UserId,
    /// Who came into it.
    #[serde(rename = "To_Account")]
    pub to: UserId,
    /// Who made the friend request.
    #[serde(default, rename = "Initiator_Account", skip_serializing_if = "Option::is_none")]
    pub initiator: Option<UserId>,
}

open_enum! {
    /// What leads to a friendship.
    pub enum ClientCmd {
        /// A friend request that needed no answer.
        FriendAdd = "friend_add" | "FriendAdd",
        /// The answer to a friend request.
        FriendResponse = "friend_response" | "FriendResponse",
    }
}

impl Payload for FriendAdd {
    fn ordering_key(&self) -> OrderingKey {
        self.pairs.first().map_or(OrderingKey::NONE, |pair| OrderingKey::user(&pair.from))
    }
}

#[cfg(test)]
mod tests {
    use super::ClientCmd;

    #[test]
    fn a_command_word_has_two_spellings() {
        for word in ["friend_add", "FriendAdd"] {
            assert_eq!(ClientCmd::from(word), ClientCmd::FriendAdd);
        }
        for word in ["friend_response", "FriendResponse"] {
            assert_eq!(ClientCmd::from(word), ClientCmd::FriendResponse);
        }
    }
}
