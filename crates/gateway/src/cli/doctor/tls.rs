//! TLS: whether Chat, which checks the certificate, can trust the server, and for how long.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use chathook_simulator::Target;
use rustls::ProtocolVersion;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};

use super::LIMIT;
use super::address::millis;
use super::certificate::{self, Trust};
use super::finding::{Finding, Findings};
use super::handshake::{Shown, shake_hands};
use crate::cli::Failed;
use crate::cli::backend::NoTls;

const CHECK: &str = "tls";

/// Shakes hands at every address, and looks at the certificates.
pub(super) async fn check(
    target: &Target,
    addresses: &[SocketAddr],
    ca: Option<&Path>,
    findings: &mut Findings,
) -> Result<(), Failed> {
    let trust = Trust::new(ca).map_err(Failed::Usage)?;
    let Ok(name) = ServerName::try_from(target.host().to_owned()) else {
        findings.note(Finding::wrong(CHECK, format!("no certificate can be for the host {}", target.host())));
        return Ok(());
    };
    let mut seen = HashSet::new();
    for address in addresses {
        match shake_hands(*address, &name, &[&TLS13, &TLS12]).await {
            Err(error) => findings.note(no_handshake(*address, &error)),
            Ok(shown) => {
                findings.note(version(*address, &name, &shown).await);
                if shown.asks_for_certificate {
                    findings.note(asks_for_certificate(*address));
                }
                if seen.insert(shown.certificates.clone()) {
                    certificate::check(&shown.certificates, &name, &trust, findings);
                }
            }
        }
    }
    Ok(())
}

/// Docs: 1047/34354. Mutual TLS has been taken off line.
fn asks_for_certificate(address: SocketAddr) -> Finding {
    Finding::warning(CHECK, format!("{address} asks its clients for a certificate")).advise(
        "Chat has none: it no longer offers mutual TLS. Where the server insists, nothing of Chat's gets in; \
         rely on Sign instead.",
    )
}

/// The version that was agreed upon, and whether an older client would be served too.
async fn version(address: SocketAddr, name: &ServerName<'static>, shown: &Shown) -> Finding {
    let took = millis(shown.took);
    match shown.version {
        Some(ProtocolVersion::TLSv1_3) => match shake_hands(address, name, &[&TLS12]).await {
            Ok(_) => Finding::ok(CHECK, format!("{address} speaks TLS 1.3 in {took}, and TLS 1.2")),
            // Who insists on a certificate ends the older handshake for the want of it.
            Err(_) if shown.asks_for_certificate => Finding::ok(CHECK, format!("{address} speaks TLS 1.3 in {took}")),
            Err(_) => Finding::warning(CHECK, format!("{address} speaks TLS 1.3 in {took}, and no TLS 1.2"))
                .advise("Which versions Chat speaks is not documented: allow TLS 1.2 too."),
        },
        _ => Finding::ok(CHECK, format!("{address} speaks TLS 1.2 in {took}")),
    }
}

fn no_handshake(address: SocketAddr, error: &io::Error) -> Finding {
    if let Some(reason) = NoTls::of(error) {
        return Finding::wrong(CHECK, format!("{address}: {reason}")).advise(reason.advice());
    }
    let reason = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    let (problem, advice) = match (reason, error.kind()) {
        (_, io::ErrorKind::TimedOut) => (
            format!("no TLS within {LIMIT:?}"),
            "Something takes the connection and says nothing: look at the proxy or firewall in between.",
        ),
        (Some(rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_)), _) => (
            error.to_string(),
            "The server needs a certificate for this host, and has to speak TLS 1.2 or 1.3 with usual ciphers.",
        ),
        _ => (error.to_string(), "See in the server's log why it ends the handshake."),
    };
    Finding::wrong(CHECK, format!("{address}: {problem}")).advise(advice)
}
