//! Requests to services: HTTP/1.1, kept alive, with and without TLS.

pub(crate) mod headers;
mod url;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client as LegacyClient};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tower::BoxError;
use tower::timeout::Timeout;
use tower::util::BoxCloneSyncService;

pub(crate) use self::url::{NoUrl, Url};
use crate::config::Invalid;
use crate::tls;

/// Sends each request once: no redirects, no proxies, no decompression, no second try. Where a kept connection turns out
/// to be closed before anything was sent on it, another is taken; once a request is on its way it is never sent again.
pub(crate) type Client = LegacyClient<Connector, Full<Bytes>>;

type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// No connection is used that was idle for longer. What is sent at the moment that the other side closes it is lost, and
/// the servers that keep them shortest do so for two seconds.
const MAX_IDLE: Duration = Duration::from_millis(1500);

/// Nobody waits for a connection for longer, TLS included.
const MAX_CONNECT: Duration = Duration::from_secs(2);

/// How much of an answer is read at once; its head has to fit.
const READ_BUFFER: usize = 64 * 1024;

/// A client for the service at `url`, whose certificate the authorities in `ca` vouch for, else those whom the system
/// trusts. It waits for a connection no longer than `timeout`, and keeps at most `idle` of them for later. `table` is
/// where `ca` is in the configuration.
pub(crate) fn build(
    table: &str,
    url: &Url,
    ca: Option<&Path>,
    timeout: Option<Duration>,
    idle: usize,
) -> Result<Client, Invalid> {
    let tls = match url.is_https() {
        true => tls::client::config(table, ca),
        false => tls::client::none(table),
    }?;
    let limit = timeout.map_or(MAX_CONNECT, |timeout| timeout.min(MAX_CONNECT));
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    Ok(legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(MAX_IDLE)
        .pool_max_idle_per_host(idle)
        .http1_max_buf_size(READ_BUFFER)
        .build(BoxCloneSyncService::new(Timeout::new(https, limit))))
}

/// What stands at the bottom of `error`: it says what happened.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
