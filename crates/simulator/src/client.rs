//! Sends single callbacks, on connections that are kept.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::app::App;
use crate::connection::{Connection, Tls};
use crate::error::SendError;
use crate::request::Request;
use crate::target::Target;
use crate::verdict::{Failure, Verdict};

/// What Chat waits for an answer.
pub const CHAT_WAITS: Duration = Duration::from_secs(2);

/// How a [`Client`] sends.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connections at most; further callbacks wait for one of them. At least one.
    pub connections: usize,
    /// When a callback is given up: Chat's two seconds.
    pub timeout: Duration,
    /// Whom to trust in place of the authorities of the system: a file of PEM certificates.
    pub ca: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { connections: 1, timeout: CHAT_WAITS, ca: None }
    }
}

/// Plays the Chat backend towards one URL. Callbacks may be sent at the same time.
#[derive(Debug)]
pub struct Client {
    target: Target,
    app: App,
    timeout: Duration,
    tls: Tls,
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

/// What came of one callback.
#[derive(Debug)]
pub struct Exchange {
    /// The answer, or why there is none.
    pub result: Result<Response, SendError>,
    /// From the instant that it was due until the answer was whole, or given up.
    pub took: Duration,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, in their order, with names as they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// The first header of that name, in any spelling.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl Exchange {
    /// What Chat does with the answer to `request`.
    #[must_use]
    pub fn verdict(&self, request: &Request) -> Verdict {
        match &self.result {
            Ok(response) => Verdict::of(request.command.known(), &request.body, response.status, &response.body),
            Err(error) => Verdict::Failed(Failure::from(error)),
        }
    }
}

impl Client {
    /// A client of `target` in the name of `app`. Connects when the first callback is sent.
    ///
    /// # Errors
    /// When TLS cannot be set up: the file of authorities cannot be read.
    pub fn new(target: Target, app: App, settings: &Settings) -> Result<Self, SendError> {
        let tls = Tls::new(&target, settings.ca.as_deref())?;
        let permits = Semaphore::new(settings.connections.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Self { target, app, timeout: settings.timeout, tls, permits, idle: Mutex::default() })
    }

    /// Sends `request` now.
    pub async fn send(&self, request: &Request) -> Exchange {
        self.send_due(request, Instant::now()).await
    }

    /// Sends `request`, whose time was or is `due`: the two seconds and the time that it took count from there.
    pub async fn send_due(&self, request: &Request, due: Instant) -> Exchange {
        tokio::time::sleep_until(due.into()).await;
        let sending = self.exchange(request);
        let result = tokio::time::timeout_at((due + self.timeout).into(), sending).await;
        let result = result.unwrap_or(Err(SendError::TimedOut(self.timeout)));
        Exchange { result, took: due.elapsed() }
    }

    async fn exchange(&self, request: &Request) -> Result<Response, SendError> {
        let _permit = self.permits.acquire().await.map_err(|_| SendError::TimedOut(self.timeout))?;
        let bytes = request.to_bytes(&self.target, &self.app);
        // One that the other side closes at this very moment was idle: nothing was done yet, and another is taken.
        while let Some(mut kept) = self.kept() {
            match kept.exchange(&bytes).await {
                Err(error) if kept.is_stale(&error) => {}
                result => return self.answer(kept, result),
            }
        }
        let mut connection = Connection::open_any(&self.target, &self.tls).await?;
        let result = connection.exchange(&bytes).await;
        self.answer(connection, result)
    }

    /// A connection that is open and idle.
    fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    /// The answer that the connection has read; keeps the connection for the next callback.
    fn answer(&self, connection: Connection, status: Result<u16, SendError>) -> Result<Response, SendError> {
        let response = Response {
            status: status?,
            headers: connection.headers(),
            body: Bytes::copy_from_slice(connection.body()),
        };
        if connection.is_open() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        Ok(response)
    }
}
