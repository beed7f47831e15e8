//! `Call.CallbackAfterMemberChanged`: told after a member answered a call, refused it, joined, left and so on.
//!
//! Docs: 647/69215 (command list of 2025-04).
//!
//! Quirks
//! - Table and sample of the page spell several words of `ActionType` differently: both are read as one.
//! - The sample of the page is not valid JSON: a comma is missing.

use serde::{Deserialize, Serialize};

use super::CallUser;
use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{CallId, UnixMillis, UserId, open_enum};

/// `Call.CallbackAfterMemberChanged`: what members of a call did.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterMemberChanged {
    /// The call.
    pub call_id: CallId,
    /// Who takes part now.
    #[serde(default, rename = "UserList", with = "lenient::list")]
    pub users: Vec<CallUser>,
    /// Who did something, and what.
    #[serde(rename = "ChangedUserList", with = "lenient::list")]
    pub changed: Vec<ChangedUser>,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

/// What one member did.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct ChangedUser {
    /// The member.
    #[serde(rename = "User_Account")]
    pub user: UserId,
    /// What they did.
    #[serde(default, rename = "ActionType", skip_serializing_if = "Option::is_none")]
    pub action: Option<CallAction>,
}

open_enum! {
    /// What a member of a call did, or what was done to them. Both spellings are read, the sample's is written.
    pub enum CallAction {
        /// Took the call.
        Answer = "Answer" | "Accept",
        /// Refused it.
        Reject = "Reject",
        /// Let it ring.
        NotAnswer = "NotAnswer",
        /// Left it.
        HangUp = "Hangup" | "Hang Up",
        /// Came into it.
        Join = "Join",
        /// Went offline.
        Offline = "Offline",
        /// Was asked into it.
        Invite = "Invite" | "Invited",
        /// Is no longer asked; the table misspells it.
        CancelInvite = "Cancel_Invite" | "Canncel_Invite",
    }
}

impl Payload for AfterMemberChanged {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::call(&self.call_id)
    }
}

#[cfg(test)]
mod tests {
    use super::CallAction;

    #[test]
    fn an_action_has_one_meaning_in_both_spellings() {
        for (sample, table) in
            [("Answer", "Accept"), ("Hangup", "Hang Up"), ("Invite", "Invited"), ("Cancel_Invite", "Canncel_Invite")]
        {
            assert_eq!(CallAction::from(sample), CallAction::from(table));
            assert_eq!(CallAction::from(table).as_str(), sample);
        }
    }
}
