//! Prints from a thread of its own: whoever reads slowly, or has stopped reading, holds up no answer.

use std::io;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::cli::output::print;

/// So many callbacks may be waiting to be printed; further ones wait for their answers.
const WAITING: usize = 64;

enum Job {
    Print(String),
    /// Everything before it is printed.
    Tell(oneshot::Sender<()>),
}

pub(super) struct Printer(mpsc::Sender<Job>);

impl Printer {
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, mut next) = mpsc::channel(WAITING);
        thread::Builder::new().name("print".to_owned()).spawn(move || {
            while let Some(job) = next.blocking_recv() {
                match job {
                    Job::Print(text) => print(&text),
                    Job::Tell(printed) => drop(printed.send(())),
                }
            }
        })?;
        Ok(Self(jobs))
    }

    pub(super) async fn print(&self, text: String) {
        // The thread ends when nobody is left to send.
        let _ = self.0.send(Job::Print(text)).await;
    }

    /// Waits until everything is printed.
    pub(super) async fn finish(&self) {
        let (tell, printed) = oneshot::channel();
        if self.0.send(Job::Tell(tell)).await.is_ok() {
            let _ = printed.await;
        }
    }
}
