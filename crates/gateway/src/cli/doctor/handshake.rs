//! A TLS handshake with anybody, to see what is shown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::LIMIT;

/// What a server has shown.
pub(super) struct Shown {
    /// Its certificate, and those that it sends along.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) version: Option<ProtocolVersion>,
    /// Whether it wants a certificate of its clients.
    pub(super) asks_for_certificate: bool,
    /// The handshake alone.
    pub(super) took: Duration,
}

/// Speaks TLS with `address`, whoever that is.
pub(super) async fn shake_hands(
    address: SocketAddr,
    name: &ServerName<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<Shown> {
    let provider = Arc::new(ring::default_provider());
    let asked = Arc::new(Asked(AtomicBool::new(false)));
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_client_cert_resolver(Arc::clone(&asked) as _);
    let shake = async {
        let stream = TcpStream::connect(address).await?;
        let began = Instant::now();
        let stream = TlsConnector::from(Arc::new(config)).connect(name.clone(), stream).await?;
        let (_, session) = stream.get_ref();
        Ok(Shown {
            certificates: session.peer_certificates().unwrap_or_default().to_vec(),
            version: session.protocol_version(),
            asks_for_certificate: asked.0.load(Ordering::Relaxed),
            took: began.elapsed(),
        })
    };
    timeout(LIMIT, shake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Believes everybody to be who they say. What is trusted is looked at afterwards.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Shows no certificate, as Chat does, and remembers that one was asked for.
#[derive(Debug)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        // Else nobody would be asked.
        true
    }
}
