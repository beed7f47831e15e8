//! Where callbacks are sent: the URL that stands in the console.

use std::net::{IpAddr, SocketAddr};

use http::Uri;
use http::uri::Scheme;

use crate::error::SendError;

/// The URL of a callback server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    is_https: bool,
    host: String,
    port: u16,
    /// What stands in the `Host` header: the port only where it is not the scheme's own.
    authority: String,
    path: String,
    /// Where it was found to be, once it is to stay there.
    addresses: Option<Vec<SocketAddr>>,
}

/// Why a URL is none that callbacks can be sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not a URL at all.
    #[error("`{0}` is not a URL; it has to look like https://chat.example.com/callback")]
    NoUrl(String),
    /// Neither http nor https.
    #[error("`{0}` does not begin with http:// or https://")]
    Scheme(String),
    /// No host, or no usable port.
    #[error("`{0}` has no host, or no port between 1 and 65535")]
    Host(String),
    /// A user name or a password.
    #[error("the URL has a user name or a password, which Chat does not send")]
    UserInfo,
    /// A query or a fragment of its own.
    #[error("`{0}` has a query or a fragment; Chat adds the query, and the console refuses one of your own")]
    Query(String),
}

impl Target {
    /// Reads a URL as the console takes it: `http` or `https`, a host, perhaps a port and a path.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let uri: Uri = url.parse().map_err(|_| TargetError::NoUrl(url.to_owned()))?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(TargetError::NoUrl(url.to_owned()));
        };
        let is_https = match scheme {
            scheme if *scheme == Scheme::HTTP => false,
            scheme if *scheme == Scheme::HTTPS => true,
            _ => return Err(TargetError::Scheme(url.to_owned())),
        };
        if authority.as_str().contains('@') {
            return Err(TargetError::UserInfo);
        }
        if url.contains(['?', '#']) {
            return Err(TargetError::Query(url.to_owned()));
        }
        let default = if is_https { 443 } else { 80 };
        let has_port = authority.as_str() != authority.host();
        let port = if has_port { authority.port_u16().filter(|port| *port != 0) } else { Some(default) };
        let (Some(port), false) = (port, authority.host().is_empty()) else {
            return Err(TargetError::Host(url.to_owned()));
        };
        let authority = if port == default { authority.host() } else { authority.as_str() };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        Ok(Self { is_https, host, port, authority: authority.to_owned(), path: uri.path().to_owned(), addresses: None })
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host's name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own where the URL has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `Host` header.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The path, `/` where the URL has none.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Looks the host up, once and for all: whoever asks for its addresses from now on gets these.
    ///
    /// # Errors
    /// When there are none.
    pub async fn pinned(self) -> Result<Self, SendError> {
        let addresses = self.resolve().await?;
        Ok(Self { addresses: Some(addresses), ..self })
    }

    /// Looks up the addresses of the host, as often as it is called, unless it is [`pinned`](Self::pinned).
    ///
    /// # Errors
    /// When there are none.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, SendError> {
        if let Some(addresses) = &self.addresses {
            return Ok(addresses.clone());
        }
        let failed = |source| SendError::Resolve { host: self.host.clone(), source };
        let addresses: Vec<_> =
            tokio::net::lookup_host((self.host.as_str(), self.port)).await.map_err(failed)?.collect();
        match addresses.is_empty() {
            true => Err(failed(std::io::Error::new(std::io::ErrorKind::NotFound, "it has no address"))),
            false => Ok(addresses),
        }
    }

    /// Whether every address of the host is this machine's loopback: only then is load sent without being asked twice.
    ///
    /// # Errors
    /// When the host has no address.
    pub async fn is_loopback(&self) -> Result<bool, SendError> {
        Ok(self.resolve().await?.iter().all(|address| is_loopback(address.ip())))
    }
}

/// Whether nobody but this machine has the address. An IPv4 address may come wrapped into IPv6.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", if self.is_https { "https" } else { "http" }, self.authority, self.path)
    }
}

impl std::str::FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Self, TargetError> {
        Self::parse(url)
    }
}

#[cfg(test)]
mod tests {
    use super::{Target, TargetError};

    #[test]
    fn a_url_has_the_parts_of_the_request_line_and_of_the_host_header() {
        for (url, https, host, port, authority, path) in [
            ("http://a", false, "a", 80, "a", "/"),
            ("http://a:80/x", false, "a", 80, "a", "/x"),
            ("https://chat.example.com/callback/", true, "chat.example.com", 443, "chat.example.com", "/callback/"),
            ("https://[::1]:8443/hook", true, "::1", 8443, "[::1]:8443", "/hook"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.is_https(), target.host(), target.port()), (https, host, port), "{url}");
            assert_eq!((target.authority(), target.path()), (authority, path), "{url}");
        }
    }

    #[test]
    fn what_the_console_would_not_take_is_refused() {
        let no_url = |url: &str| TargetError::NoUrl(url.to_owned());
        assert_eq!(Target::parse("localhost"), Err(no_url("localhost")));
        assert_eq!(Target::parse("/callback"), Err(no_url("/callback")));
        assert!(matches!(Target::parse("ftp://a/"), Err(TargetError::Scheme(_))));
        assert!(matches!(Target::parse("http://a:0/"), Err(TargetError::Host(_))));
        assert!(matches!(Target::parse("http://u:p@a/"), Err(TargetError::UserInfo)));
        assert!(matches!(Target::parse("http://a/?x=1"), Err(TargetError::Query(_))));
    }

    #[tokio::test]
    async fn what_was_looked_up_once_stays_where_it_was() {
        let target = Target::parse("http://localhost:81/").unwrap().pinned().await.unwrap();
        // Nobody knows the name by now.
        let moved = Target { host: "moved.invalid".to_owned(), ..target.clone() };
        assert_eq!(moved.resolve().await.unwrap(), target.resolve().await.unwrap());
    }

    #[tokio::test]
    async fn only_hosts_with_nothing_but_loopback_addresses_are_loopback() {
        for (url, expected) in [
            ("http://127.0.0.1:8080/", true),
            ("http://127.9.9.9/", true),
            ("https://[::1]/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://localhost:1/", true),
            ("http://0.0.0.0/", false),
            ("http://203.0.113.7/", false),
            ("http://[2001:db8::1]/", false),
        ] {
            assert_eq!(Target::parse(url).unwrap().is_loopback().await.unwrap(), expected, "{url}");
        }
    }
}
