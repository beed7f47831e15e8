//! When to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How much time there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Load balancers may first turn away.
    Orderly,
    /// Somebody waits at a terminal.
    Prompt,
}

/// Tells when to stop. Asked again while stopping, it tells when to stop at once.
pub trait Stop: Send {
    /// Waits for the next reason to stop.
    fn first(&mut self) -> impl Future<Output = Urgency> + Send;
}

/// SIGTERM is orderly, SIGINT prompt.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
}

impl Stop for Signals {
    async fn first(&mut self) -> Urgency {
        tokio::select! {
            _ = self.terminate.recv() => Urgency::Orderly,
            _ = self.interrupt.recv() => Urgency::Prompt,
        }
    }
}

/// A sender that is dropped or sends stops promptly; its silence afterwards leaves the rest to the grace period.
impl Stop for Option<tokio::sync::oneshot::Receiver<()>> {
    async fn first(&mut self) -> Urgency {
        match self.take() {
            Some(stop) => {
                let _ = stop.await;
                Urgency::Prompt
            }
            None => std::future::pending().await,
        }
    }
}
