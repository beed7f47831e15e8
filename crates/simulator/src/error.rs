//! Why there was no answer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A callback was not answered. Nothing of its body is in the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The host has no address.
    #[error("{host} does not resolve: {source}")]
    Resolve {
        /// The host.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Nobody takes connections there.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The address that was tried last.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// This machine has no more for connections to give.
    #[error("cannot connect to {address}: {source}; this machine's limit, and not the server's: {}", .limit.advice())]
    OwnLimit {
        /// The address that was tried last.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
        /// What there is no more of.
        limit: OwnLimit,
    },
    /// TLS did not come about: a certificate that is not trusted, has expired, or is another host's.
    #[error("TLS with {host} fails: {source}")]
    Tls {
        /// The host.
        host: String,
        /// What TLS says.
        source: io::Error,
    },
    /// TLS cannot be set up on this side.
    #[error("TLS cannot be set up: {0}")]
    TlsSetup(String),
    /// The time was over; connecting and waiting for a free connection are part of it.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection ended before the answer was whole.
    #[error("the connection ended before the answer was whole: {0}")]
    Closed(io::Error),
    /// What came is not HTTP/1.1.
    #[error("the answer is not HTTP/1.1: {0}")]
    NotHttp(&'static str),
    /// More than [`MAX_ANSWER`](crate::connection::MAX_ANSWER).
    #[error("the answer is larger than {} bytes", crate::connection::MAX_ANSWER)]
    TooLarge,
}

/// What a machine runs out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnLimit {
    /// Files that may be open: each connection is one.
    Files,
    /// Local ports.
    Ports,
}

impl OwnLimit {
    /// Whether it is this that the system says.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        // EMFILE and ENFILE have these numbers everywhere.
        match error.raw_os_error() {
            Some(23 | 24) => Some(Self::Files),
            _ if error.kind() == io::ErrorKind::AddrNotAvailable => Some(Self::Ports),
            _ => None,
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Files => "raise `ulimit -n`, or take fewer connections",
            Self::Ports => "no local port is left, take fewer connections",
        }
    }
}
