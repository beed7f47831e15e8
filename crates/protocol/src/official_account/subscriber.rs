use serde::{Deserialize, Serialize};

use crate::types::UserId;

/// One entry of `SubscribeAccountList`. The list is called *subscribe*, its entries *subscriber*.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubscriberItem {
    /// The user.
    #[serde(rename = "Subscriber_Account")]
    pub user: UserId,
}
