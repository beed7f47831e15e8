//! The two listeners: the public one for callbacks, the other for people and Prometheus.

pub(crate) mod admin;
pub(crate) mod answer;
mod api;
pub(crate) mod body;
pub(crate) mod callback;
mod connection;
pub(crate) mod server;

use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use crate::config::{Invalid, duration, networks, size};
use crate::tls;

/// `[callbacks]`: the public side.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Address and port. Port 0 takes a free one. Default: `0.0.0.0:8080`.
    pub listen: String,
    /// The path of the URL in the console. Default: `/`.
    pub path: String,
    /// The largest body that is read. Default: `1MiB`.
    #[serde(deserialize_with = "size")]
    pub max_body: usize,
    /// Threads that answer; 0 is one a core. Default: 0.
    pub workers: usize,
    /// How many before-callbacks may wait for a decision at once; for those beyond, the fallback goes out.
    /// Default: 4096.
    pub before_lane: usize,
    /// How many after-callbacks may be at work at once; those beyond are turned away with 503. Default: 1024.
    pub after_lane: usize,
    /// Certificate and key; without, the listener speaks plain HTTP.
    pub tls: Option<tls::Config>,
    /// The networks and addresses that callbacks may come from; without, any.
    #[serde(deserialize_with = "networks")]
    pub allow_from: Option<Vec<IpNet>>,
    /// The proxies whose `X-Forwarded-For` is believed, for `allow_from`.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:8080".to_owned(),
            path: "/".to_owned(),
            max_body: 1024 * 1024,
            workers: 0,
            before_lane: 4096,
            after_lane: 1024,
            tls: None,
            allow_from: None,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if !self.path.starts_with('/') || self.path.contains(['?', '#', ' ']) {
            return Err(Invalid::new("callbacks.path", "must begin with `/` and have no query"));
        }
        for (key, value) in [
            ("callbacks.max_body", self.max_body),
            ("callbacks.before_lane", self.before_lane),
            ("callbacks.after_lane", self.after_lane),
        ] {
            if value == 0 {
                return Err(Invalid::new(key, "must be more than zero"));
            }
        }
        if self.workers > 512 {
            return Err(Invalid::new("callbacks.workers", "must be at most 512"));
        }
        check_address("callbacks.listen", &self.listen)
    }
}

/// Checks that `address` is a host and a port; whether the host exists turns out when it is listened on.
fn check_address(key: &str, address: &str) -> Result<(), Invalid> {
    let is_address = address.parse::<std::net::SocketAddr>().is_ok()
        || address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains([':', '/', ' ']) && port.parse::<u16>().is_ok()
        });
    match is_address {
        true => Ok(()),
        false => Err(Invalid::new(key, format!("{address:?} is not an address with a port, such as \"0.0.0.0:8080\""))),
    }
}

/// `[admin]`: metrics, health and the API. Not for the internet.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AdminConfig {
    /// Address and port. Port 0 takes a free one. Default: `127.0.0.1:9090`.
    pub listen: String,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9090".to_owned() }
    }
}

impl AdminConfig {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        check_address("admin.listen", &self.listen)
    }
}

/// `[shutdown]`: what happens on SIGTERM. SIGINT skips the delay, and a second signal the rest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ShutdownConfig {
    /// How long callbacks are still taken while `/readyz` says no, so that load balancers turn away first.
    /// Default: `5s`.
    #[serde(deserialize_with = "duration")]
    pub delay: Duration,
    /// How long what is at work may take to finish after that. Default: `10s`.
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { delay: Duration::from_secs(5), grace: Duration::from_secs(10) }
    }
}
