//! TLS for the public side. Certificates are swapped in while running; whether clients need one is fixed at start.

pub(crate) mod client;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus::IntGauge;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use serde::Deserialize;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::Invalid;

/// `callbacks.tls`: PEM files, read again when they change.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The certificate and those between it and the root. Chat checks it: it has to come from a public authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of client certificates. With it, who has none is turned away before any request.
    pub client_ca: Option<PathBuf>,
}

impl Config {
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.cert, &self.key].into_iter().chain(&self.client_ca).map(PathBuf::as_path)
    }
}

/// The certificate and the authorities in use.
pub(crate) struct Tls {
    current: Arc<Current>,
    expiry: IntGauge,
}

struct Current {
    key: ArcSwap<CertifiedKey>,
    clients: Option<ArcSwap<Clients>>,
}

struct Clients(Arc<dyn ClientCertVerifier>);

/// What the files hold now, checked.
pub(crate) struct Material {
    key: CertifiedKey,
    clients: Option<Clients>,
    /// When the first certificate of the chain expires, in seconds since 1970.
    expiry: i64,
}

impl Material {
    pub(crate) fn read(config: &Config) -> Result<Self, Invalid> {
        let certificates = certificates("callbacks.tls.cert", &config.cert)?;
        let expiry = first_expiry(&config.cert, &certificates)?;
        let key = PrivateKeyDer::from_pem_file(&config.key).map_err(|error| {
            Invalid::new("callbacks.tls.key", format!("{}: no private key: {error}", config.key.display()))
        })?;
        let key = CertifiedKey::from_der(certificates, key, &ring::default_provider()).map_err(|error| {
            Invalid::new("callbacks.tls", format!("certificate and key cannot be used together: {error}"))
        })?;
        let clients = config.client_ca.as_deref().map(Clients::read).transpose()?;
        Ok(Self { key, clients, expiry })
    }
}

impl Clients {
    fn read(file: &Path) -> Result<Self, Invalid> {
        let invalid =
            |error: &dyn fmt::Display| Invalid::new("callbacks.tls.client_ca", format!("{}: {error}", file.display()));
        let mut roots = RootCertStore::empty();
        for certificate in certificates("callbacks.tls.client_ca", file)? {
            roots.add(certificate).map_err(|error| invalid(&error))?;
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
            .build()
            .map(Self)
            .map_err(|error| invalid(&error))
    }
}

/// The certificates in a PEM file: one at least. `key` is the configuration's name for the file.
pub(crate) fn certificates(key: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, Invalid> {
    let invalid = |problem: String| Invalid::new(key, format!("{}: {problem}", file.display()));
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| invalid(format!("no certificates: {error}")))?;
    match certificates.is_empty() {
        true => Err(invalid("holds no certificate".to_owned())),
        false => Ok(certificates),
    }
}

/// When the first of the certificates in `file` expires, in seconds since 1970.
fn first_expiry(file: &Path, certificates: &[CertificateDer<'_>]) -> Result<i64, Invalid> {
    let mut first = i64::MAX;
    for certificate in certificates {
        let (_, certificate) = X509Certificate::from_der(certificate).map_err(|error| {
            Invalid::new("callbacks.tls.cert", format!("{}: a certificate cannot be read: {error}", file.display()))
        })?;
        first = first.min(certificate.validity().not_after.timestamp());
    }
    Ok(first)
}

impl Tls {
    /// Tells `expiry` when the certificate in use expires.
    pub(crate) fn new(material: Material, expiry: IntGauge) -> Self {
        expiry.set(material.expiry);
        let clients = material.clients.map(ArcSwap::from_pointee);
        Self { current: Arc::new(Current { key: ArcSwap::from_pointee(material.key), clients }), expiry }
    }

    /// Uses `material` from the next handshake on.
    pub(crate) fn swap(&self, material: Material) {
        self.expiry.set(material.expiry);
        self.current.key.store(Arc::new(material.key));
        if let (Some(current), Some(clients)) = (&self.current.clients, material.clients) {
            current.store(Arc::new(clients));
        }
    }

    /// What the listener is started with.
    pub(crate) fn server_config(&self) -> Result<ServerConfig, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let builder = match self.current.clients {
            Some(_) => builder.with_client_cert_verifier(Arc::clone(&self.current) as _),
            None => builder.with_no_client_auth(),
        };
        Ok(builder.with_cert_resolver(Arc::clone(&self.current) as _))
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key.load_full())
    }
}

impl Current {
    fn clients(&self) -> Result<Arc<Clients>, rustls::Error> {
        let clients = self.clients.as_ref().map(ArcSwap::load_full);
        clients.ok_or_else(|| rustls::Error::General("no client authorities".to_owned()))
    }
}

/// Asks the authorities of the moment.
impl ClientCertVerifier for Current {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // They would have to outlive a swap; clients do without the hint.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.clients()?.0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.clients()?.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.clients()?.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
