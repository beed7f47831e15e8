//! Lines that many deliveries write at once: what queues up while one batch is written is the next.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::{Delivered, Undelivered};

/// Where lines go.
pub(super) trait Sink: Send + 'static {
    /// Writes `lines`, each with its line break, and returns when they are as safe as they get here. After an error it
    /// may be called again with the same lines.
    fn write(&mut self, lines: &[Vec<u8>]) -> io::Result<()>;
}

/// No batch has more lines.
const MAX_BATCH: usize = 1024;

/// Why a batch was not written, for each of its lines.
type Written = Result<(), Arc<io::Error>>;

/// A thread that writes lines. Ends when this is dropped, once it has written what is queued.
pub(super) struct Lines {
    queue: mpsc::Sender<(Vec<u8>, oneshot::Sender<Written>)>,
}

impl Lines {
    /// Starts a thread of this name.
    pub(super) fn to(name: &str, mut sink: impl Sink) -> io::Result<Self> {
        let (queue, mut queued) = mpsc::channel(MAX_BATCH);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let (mut batch, mut lines, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
            while let Some(first) = queued.blocking_recv() {
                batch.push(first);
                while batch.len() < MAX_BATCH
                    && let Ok(next) = queued.try_recv()
                {
                    batch.push(next);
                }
                // Those whose delivery was given up are not written.
                for (line, done) in batch.drain(..).filter(|(_, done): &(_, oneshot::Sender<_>)| !done.is_closed()) {
                    lines.push(line);
                    waiting.push(done);
                }
                if lines.is_empty() {
                    continue;
                }
                let written: Written = sink.write(&lines).map_err(Arc::new);
                lines.clear();
                for done in waiting.drain(..) {
                    let _ = done.send(written.clone());
                }
            }
        })?;
        Ok(Self { queue })
    }

    /// Writes one line.
    pub(super) async fn write(&self, line: Vec<u8>) -> Result<Delivered, Undelivered> {
        let (done, written) = oneshot::channel();
        let gone = || Undelivered::retry("its writer has ended");
        self.queue.send((line, done)).await.map_err(|_| gone())?;
        match written.await.map_err(|_| gone())? {
            Ok(()) => Ok(Delivered { detail: "written".to_owned() }),
            Err(error) => Err(Undelivered::retry(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use futures_util::future::join_all;

    use super::{Lines, Sink};

    /// Tells what it gets, and does with it as it is told.
    struct Told(Sender<Vec<Vec<u8>>>, Receiver<io::Result<()>>);

    impl Sink for Told {
        fn write(&mut self, lines: &[Vec<u8>]) -> io::Result<()> {
            self.0.send(lines.to_vec()).unwrap();
            self.1.recv().unwrap()
        }
    }

    #[tokio::test]
    async fn what_queues_up_is_written_at_once_and_each_learns_what_became_of_it() {
        let (got, gets) = channel();
        let (tell, told) = channel();
        let lines = Lines::to("lines", Told(got, told)).unwrap();
        let first = lines.write(b"1\n".to_vec());
        let second = async {
            // The writer has the first, and waits.
            let batch = tokio::task::spawn_blocking(move || (gets.recv().unwrap(), gets)).await.unwrap();
            assert_eq!(batch.0, [b"1\n"]);
            let rest = join_all((2..=9).map(|i| lines.write(format!("{i}\n").into_bytes())));
            let script = async {
                tokio::task::yield_now().await;
                tell.send(Ok(())).unwrap();
                tell.send(Err(io::Error::other("full"))).unwrap();
            };
            let (written, ()) = tokio::join!(rest, script);
            assert!(written.iter().all(|it| it.as_ref().unwrap_err().cause == "full"));
            assert_eq!(batch.1.recv().unwrap().concat(), b"2\n3\n4\n5\n6\n7\n8\n9\n");
        };
        let (first, ()) = tokio::join!(first, second);
        assert_eq!(first.unwrap().detail, "written");
    }
}
