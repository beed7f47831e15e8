//! `Group.CallbackAfterGroupFull`: told when a group has as many members as it may have.
//!
//! Docs: 1047/34376 (edition 2022-23). Sent by the join that fills the group, and by each one that then fails: it
//! repeats.
//!
//! Quirks
//! - Neither the type of the group nor anybody's account is in it.
//! - `EventTime` is a number in the table and a string in samples; older editions have none.

use serde::{Deserialize, Serialize};

use crate::callback::Payload;
use crate::identity::OrderingKey;
use crate::lenient;
use crate::types::{GroupId, UnixMillis};

/// `Group.CallbackAfterGroupFull`: a group that takes no more members.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct AfterGroupFull {
    /// The group.
    pub group_id: GroupId,
    /// When the callback was caused.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub event_time: Option<UnixMillis>,
}

impl Payload for AfterGroupFull {
    fn ordering_key(&self) -> OrderingKey {
        OrderingKey::group(&self.group_id)
    }
}
