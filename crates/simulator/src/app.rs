//! In whose name callbacks are sent.

use std::fmt;

/// An application of Chat.
#[derive(Clone)]
pub struct App {
    /// `SdkAppid`.
    pub sdk_app_id: u64,
    /// What callbacks are signed with; without, they are not signed.
    pub token: Option<String>,
}

impl App {
    /// An application that signs with `token`.
    #[must_use]
    pub fn signed(sdk_app_id: u64, token: impl Into<String>) -> Self {
        Self { sdk_app_id, token: Some(token.into()) }
    }

    /// An application that does not sign.
    #[must_use]
    pub fn unsigned(sdk_app_id: u64) -> Self {
        Self { sdk_app_id, token: None }
    }
}

/// The token is never printed.
impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "***");
        f.debug_struct("App").field("sdk_app_id", &self.sdk_app_id).field("token", &token).finish()
    }
}
