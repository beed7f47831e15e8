use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::types::{RoomId, UserId};

/// A live room in a battle.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct BattleRoom {
    /// The room.
    pub room_id: RoomId,
    /// Who owns it. A bare integer in one of the samples.
    #[serde(default, rename = "Owner_Account", skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// How many points it has; only when the battle is over.
    #[serde(default, with = "lenient::number", skip_serializing_if = "Option::is_none")]
    pub score: Option<i64>,
}
