//! Records of one partition: those that queue up while one batch is on its way are the next.

use std::mem;
use std::time::Duration;

use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient};
use rskafka::record::Record;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::super::{Delivered, Next, Undelivered};
use crate::http_client::root_cause;

/// Brokers take batches of 1 MiB, unless they are told otherwise.
const MAX_BATCH: usize = 512 * 1024;

/// No more wait in line.
const MAX_QUEUED: usize = 1024;

type Produced = Result<Delivered, Undelivered>;

/// What one partition gets. Ends when it is dropped.
pub(super) struct Producer {
    queue: mpsc::Sender<(Record, oneshot::Sender<Produced>)>,
}

impl Producer {
    /// One batch may take this time.
    pub(super) fn new(partition: PartitionClient, limit: Duration) -> Self {
        let (queue, queued) = mpsc::channel(MAX_QUEUED);
        tokio::spawn(Batches { partition, limit }.run(queued));
        Self { queue }
    }

    pub(super) async fn produce(&self, record: Record) -> Produced {
        let (done, produced) = oneshot::channel();
        let gone = || Undelivered::retry("the connection was given up");
        self.queue.send((record, done)).await.map_err(|_| gone())?;
        produced.await.map_err(|_| gone())?
    }
}

struct Batches {
    partition: PartitionClient,
    limit: Duration,
}

impl Batches {
    async fn run(self, mut queued: mpsc::Receiver<(Record, oneshot::Sender<Produced>)>) {
        let (mut records, mut waiting, mut size) = (Vec::new(), Vec::new(), 0);
        let mut next = queued.recv().await;
        while let Some((record, done)) = next.take() {
            // Those whose delivery was given up are not sent.
            if !done.is_closed() {
                let length = record.approximate_size();
                if size + length > MAX_BATCH && !records.is_empty() {
                    self.send(mem::take(&mut records), mem::take(&mut waiting)).await;
                    size = 0;
                }
                size += length;
                records.push(record);
                waiting.push(done);
            }
            next = queued.try_recv().ok();
            if next.is_none() {
                self.send(mem::take(&mut records), mem::take(&mut waiting)).await;
                size = 0;
                next = queued.recv().await;
            }
        }
    }

    /// Sends a batch. Where one of its records may be to blame for a failure, each is sent by itself.
    async fn send(&self, records: Vec<Record>, waiting: Vec<oneshot::Sender<Produced>>) {
        let singly = if records.len() > 1 { records.clone() } else { Vec::new() };
        match self.produce(records).await {
            Err(failure) if failure.next == Next::Dead && !singly.is_empty() => {
                for (record, done) in singly.into_iter().zip(waiting) {
                    let produced = self.produce(vec![record]).await;
                    let _ = done.send(produced.map(|offsets| self.delivered(offsets.first().copied())));
                }
            }
            Err(failure) => waiting.into_iter().for_each(|done| drop(done.send(Err(failure.clone())))),
            Ok(offsets) => {
                let mut offsets = offsets.into_iter();
                waiting.into_iter().for_each(|done| drop(done.send(Ok(self.delivered(offsets.next())))));
            }
        }
    }

    async fn produce(&self, records: Vec<Record>) -> Result<Vec<i64>, Undelivered> {
        match timeout(self.limit, self.partition.produce(records, Compression::NoCompression)).await {
            Ok(produced) => produced.map_err(|error| failed(&error)),
            Err(_) => Err(Undelivered::no_answer(self.limit)),
        }
    }

    fn delivered(&self, offset: Option<i64>) -> Delivered {
        let partition = self.partition.partition();
        Delivered {
            detail: match offset {
                Some(offset) => format!("partition {partition} offset {offset}"),
                None => format!("partition {partition}"),
            },
        }
    }
}

/// What a broker said, or why there is none.
pub(super) fn failed(error: &Error) -> Undelivered {
    use ProtocolError::{CorruptMessage, InvalidRecord, InvalidTimestamp, MessageTooLarge, RecordListTooLarge};
    match error {
        Error::ServerError { protocol_error, .. } => match protocol_error {
            MessageTooLarge | RecordListTooLarge => Undelivered::refused("it is larger than the topic takes"),
            CorruptMessage | InvalidRecord | InvalidTimestamp => {
                Undelivered::refused(format!("it answered {protocol_error:?}"))
            }
            _ => Undelivered::retry(format!("it answered {protocol_error:?}")),
        },
        error => Undelivered::retry(format!("no answer: {}", root_cause(error))),
    }
}
