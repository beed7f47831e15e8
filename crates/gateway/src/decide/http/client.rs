//! Connections to a service: HTTP/1.1, kept alive, with and without TLS.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client as LegacyClient};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tower::BoxError;
use tower::timeout::Timeout;
use tower::util::BoxCloneSyncService;

use super::Config;
use super::target::Target;
use crate::config::Invalid;
use crate::tls::certificates;

/// Sends each request once: no redirects, no proxies, no decompression, no second try. Where a kept connection turns out
/// to be closed before anything was sent on it, another is taken; once a request is on its way it is never sent again.
pub(super) type Client = LegacyClient<Connector, Full<Bytes>>;

type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// No connection is used that was idle for longer. What is sent at the moment that the other side closes it is lost, and
/// the servers that keep them shortest do so for two seconds.
const MAX_IDLE: Duration = Duration::from_millis(1500);

/// Nobody waits for a connection for longer, TLS included.
const MAX_CONNECT: Duration = Duration::from_secs(2);

/// How much of an answer is read at once; its head has to fit.
const READ_BUFFER: usize = 64 * 1024;

pub(super) fn build(config: &Config, target: &Target) -> Result<Client, Invalid> {
    let limit = config.timeout.map_or(MAX_CONNECT, |timeout| timeout.min(MAX_CONNECT));
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let tls = tls(config.ca.as_deref(), target)?;
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    Ok(legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(MAX_IDLE)
        .pool_max_idle_per_host(config.concurrency)
        .http1_max_buf_size(READ_BUFFER)
        .build(BoxCloneSyncService::new(Timeout::new(https, limit))))
}

/// Whom to trust: those in the file, else those whom the system trusts.
fn tls(ca: Option<&Path>, target: &Target) -> Result<ClientConfig, Invalid> {
    let invalid = |error: rustls::Error| Invalid::new("http.url", format!("TLS cannot be set up: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(invalid)?;
    let builder = match ca {
        Some(file) => builder.with_root_certificates(authorities(file)?),
        // Nothing to look up where there is no TLS.
        None if !target.is_https() => builder.with_root_certificates(RootCertStore::empty()),
        None => builder.with_platform_verifier().map_err(invalid)?,
    };
    Ok(builder.with_no_client_auth())
}

fn authorities(file: &Path) -> Result<RootCertStore, Invalid> {
    let mut authorities = RootCertStore::empty();
    for certificate in certificates("http.ca", file)? {
        let added = authorities.add(certificate);
        added.map_err(|error| Invalid::new("http.ca", format!("{}: {error}", file.display())))?;
    }
    Ok(authorities)
}
