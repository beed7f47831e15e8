//! The connection to the servers.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::watch;

use super::OpenError;
use crate::config::{JetStreamConfig, NatsAuth};

/// The oldest server that answers batched reads.
const OLDEST_SERVER: (i64, i64, i64) = (2, 11, 0);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects. The watch counts how often the connection was made.
pub(super) async fn connect(config: &JetStreamConfig) -> Result<(Client, watch::Receiver<u64>), OpenError> {
    let urls = config.urls.join(",");
    let invalid = |reason: String| OpenError::Connect { urls: urls.clone(), reason };
    let addresses = config
        .urls
        .iter()
        .map(|url| url.parse::<async_nats::ServerAddr>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| invalid(format!("not an address: {error}")))?;
    let (connections, connected) = watch::channel(0);
    let connections = Arc::new(connections);
    let mut options = ConnectOptions::new()
        .name("chathook")
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(Duration::from_secs(5)))
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(|attempt| {
            Duration::from_millis(u64::try_from(attempt).unwrap_or(u64::MAX).saturating_mul(50).min(1000))
        })
        .event_callback(move |event| {
            let connections = Arc::clone(&connections);
            async move {
                match event {
                    Event::Connected => {
                        connections.send_modify(|count| *count += 1);
                        tracing::info!("connected to NATS");
                    }
                    Event::Disconnected => tracing::warn!("the connection to NATS was lost"),
                    Event::LameDuckMode => tracing::info!("the NATS server is about to stop"),
                    Event::ServerError(error) => tracing::warn!(%error, "the NATS server refused something"),
                    Event::ClientError(error) => tracing::warn!(%error, "the NATS client failed"),
                    Event::SlowConsumer(_) => tracing::warn!("messages from NATS were dropped: read too slowly"),
                    Event::Draining | Event::Closed => {}
                }
            }
        });
    options = match &config.auth {
        None => options,
        Some(NatsAuth::Token(token)) => options.token(token.clone()),
        Some(NatsAuth::Password { user, password }) => options.user_and_password(user.clone(), password.clone()),
        Some(NatsAuth::Credentials(path)) => options
            .credentials_file(path)
            .await
            .map_err(|error| OpenError::File { path: path.clone(), reason: error.to_string() })?,
    };
    if let Some(ca) = &config.ca {
        readable(ca)?;
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let Some((certificate, key)) = &config.client_certificate {
        readable(certificate)?;
        readable(key)?;
        options = options.add_client_certificate(certificate.clone(), key.clone()).require_tls(true);
    }
    let client = options.connect(addresses).await.map_err(|error| invalid(said(&error)))?;
    let (major, minor, patch) = OLDEST_SERVER;
    if !client.is_server_compatible(major, minor, patch) {
        return Err(OpenError::OldServer { version: client.server_info().version, oldest: "2.11" });
    }
    Ok((client, connected))
}

fn readable(path: &std::path::Path) -> Result<(), OpenError> {
    std::fs::File::open(path)
        .map(drop)
        .map_err(|error| OpenError::File { path: path.to_owned(), reason: error.to_string() })
}

/// An error with its causes, which the client keeps out of its own text.
pub(super) fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
