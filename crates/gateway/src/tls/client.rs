//! TLS towards services: whom to trust.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::config::Invalid;

/// Trusts the authorities in the file `ca`, else those whom the system trusts. `table` is where `ca` is in the
/// configuration.
pub(crate) fn config(table: &str, ca: Option<&Path>) -> Result<ClientConfig, Invalid> {
    let builder = builder(table)?;
    let builder = match ca {
        Some(file) => builder.with_root_certificates(authorities(table, file)?),
        None => builder.with_platform_verifier().map_err(|error| unusable(table, &error))?,
    };
    Ok(builder.with_no_client_auth())
}

/// Trusts nobody: for connections without TLS, where there is nothing to look up.
pub(crate) fn none(table: &str) -> Result<ClientConfig, Invalid> {
    Ok(builder(table)?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn builder(table: &str) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Invalid> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(table, &error))
}

fn unusable(table: &str, error: &rustls::Error) -> Invalid {
    Invalid::new(table, format!("TLS cannot be set up: {error}"))
}

fn authorities(table: &str, file: &Path) -> Result<RootCertStore, Invalid> {
    let invalid = |problem: String| Invalid::new(format!("{table}.ca"), format!("{}: {problem}", file.display()));
    let unread = |error| invalid(format!("no certificates: {error}"));
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(unread)? {
        let certificate = certificate.map_err(unread)?;
        authorities.add(certificate).map_err(|error| invalid(error.to_string()))?;
    }
    match authorities.is_empty() {
        true => Err(invalid("holds no certificate".to_owned())),
        false => Ok(authorities),
    }
}
