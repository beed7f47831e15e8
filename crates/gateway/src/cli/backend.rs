//! What the subcommands share that play the Chat backend.

use std::path::PathBuf;
use std::time::Duration;

use chathook_simulator::{App, Target};
use clap::builder::NonEmptyStringValueParser;

use super::Failed;

/// In whose name callbacks are sent, and whom to trust.
#[derive(clap::Args)]
pub(super) struct Backend {
    /// The application.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_400_000_001)]
    app: u64,
    /// The token to sign with; without, nothing is signed.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    token: Option<String>,
    /// Whom to trust in place of the authorities of the system: a file of PEM certificates.
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
}

impl Backend {
    pub(super) fn app(&self) -> App {
        App { sdk_app_id: self.app, token: self.token.clone() }
    }
}

/// Whether more than this machine may be asked.
#[derive(clap::Args)]
pub(super) struct Consent {
    /// Sends to a host that is not this machine. Say it of hosts of your own only.
    #[arg(long)]
    i_own_this_host: bool,
}

/// Nobody waits longer for a name to be looked up.
const LOOK_UP: Duration = Duration::from_secs(5);

impl Consent {
    /// Refuses a target with an address that is not this machine's loopback.
    pub(super) async fn check(&self, target: &Target) -> Result<(), Failed> {
        if self.i_own_this_host {
            return Ok(());
        }
        let is_loopback = tokio::time::timeout(LOOK_UP, target.is_loopback()).await;
        let is_loopback =
            is_loopback.map_err(|_| Failed::Outcome(format!("{}: no answer to the look-up", target.host())))?;
        match is_loopback {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failed::Usage(format!(
                "{} is not this machine; if it is yours, and is to get this, say --i-own-this-host",
                target.host()
            ))),
            Err(error) => Err(Failed::Outcome(error.to_string())),
        }
    }
}
