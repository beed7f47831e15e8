//! What the subcommands share that play the Chat backend.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use chathook_simulator::{App, Target};
use clap::builder::NonEmptyStringValueParser;
use rustls::{CertificateError, Error};

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

/// Why there is no TLS, where more can be said than TLS itself says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTls {
    /// It is not spoken there.
    NotSpoken,
    /// The server's own certificate is one of an authority.
    Authority,
}

impl NoTls {
    /// What is known of a handshake that failed.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        Self::of_tls(error.get_ref()?.downcast_ref()?)
    }

    pub(super) fn of_tls(error: &Error) -> Option<Self> {
        match error {
            Error::InvalidMessage(_) => Some(Self::NotSpoken),
            // What it wraps has a type of its own, which rustls does not give away.
            Error::InvalidCertificate(CertificateError::Other(other))
                if format!("{other:?}").contains("CaUsedAsEndEntity") =>
            {
                Some(Self::Authority)
            }
            _ => None,
        }
    }

    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::NotSpoken => {
                "Is this the port for http? Enter the one that speaks TLS, or give the server a certificate."
            }
            Self::Authority => {
                "A certificate with CA:TRUE can sign others, and cannot be the server's own, not even with --ca. For \
                 tests make one with: openssl req -x509 -newkey rsa:2048 -nodes -days 90 -keyout tls.key -out tls.crt \
                 -subj /CN=chathook -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:HOST (or \
                 IP:ADDRESS), and give it to --ca too."
            }
        }
    }
}

impl fmt::Display for NoTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self {
            Self::NotSpoken => "what answers there does not speak TLS",
            Self::Authority => "the server's own certificate is one of an authority (CA:TRUE)",
        };
        f.write_str(reason)
    }
}
