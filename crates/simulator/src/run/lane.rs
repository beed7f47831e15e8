//! One connection of a run, and whatever is sent on it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chathook_protocol::{Command, Phase, signature};

use super::Shared;
use super::agenda::{Job, Next};
use super::tally::{Observed, Tally};
use crate::connection::Connection;
use crate::error::SendError;
use crate::request::{Parameters, Says, unix_now, write_headers, write_query};
use crate::shapes::uuid;
use crate::verdict::{Failure, Verdict};

/// Takes what is due, one thing after the other.
pub(super) struct Lane {
    shared: Arc<Shared>,
    tally: Arc<Mutex<Tally>>,
    /// Which target this one prefers.
    number: usize,
    connection: Option<Connection>,
    /// Which target that one leads to.
    target: usize,
    is_connecting: bool,
    body: Vec<u8>,
    bytes: Vec<u8>,
    request_id: Vec<u8>,
    /// `RequestTime` and its `Sign`.
    signature: Option<(u64, String)>,
}

/// After nobody took a connection, for so long no other is tried on this lane.
const BREATHER: Duration = Duration::from_millis(10);

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, tally: Arc<Mutex<Tally>>, number: usize) -> Self {
        Self {
            shared,
            tally,
            number,
            connection: None,
            target: 0,
            is_connecting: false,
            body: Vec::with_capacity(1024),
            bytes: Vec::with_capacity(2048),
            request_id: Vec::new(),
            signature: None,
        }
    }

    /// Connects, and plays what is due until there is nothing any more.
    pub(super) async fn run(mut self) {
        let limit = Instant::now() + self.shared.console.timeout;
        // Who cannot connect now tries again when something is due.
        let _ = tokio::time::timeout_at(limit.into(), self.connect()).await;
        self.shared.opened();
        while let Some(job) = self.next().await {
            let again = self.play(job).await;
            self.shared.agenda().done(again);
        }
        self.shared.ready.notify_waiters();
    }

    /// The next job, as soon as there is one.
    async fn next(&self) -> Option<Job> {
        // Counted before the look, so that what comes after the look is told.
        self.shared.waiting.fetch_add(1, Ordering::SeqCst);
        loop {
            let ready = self.shared.ready.notified();
            let (next, has_more) = {
                let mut agenda = self.shared.agenda();
                (agenda.take(Instant::now()), agenda.has_more())
            };
            match next {
                Next::Job(job) => {
                    self.shared.waiting.fetch_sub(1, Ordering::SeqCst);
                    // Two that were told at once may have been told only once.
                    if has_more && self.shared.waiting.load(Ordering::SeqCst) > 0 {
                        self.shared.ready.notify_one();
                    }
                    return Some(job);
                }
                Next::Over => break,
                Next::Wait => ready.await,
            }
        }
        self.shared.waiting.fetch_sub(1, Ordering::SeqCst);
        None
    }

    /// Sends a callback, and those of its flow that follow from the answer. Gives what is to be sent again later.
    async fn play(&mut self, mut job: Job) -> Option<Job> {
        loop {
            let (verdict, answered) = self.send(&job).await;
            if std::mem::take(&mut job.is_first) && job.counts && !matches!(verdict, Verdict::Failed(Failure::Unsent)) {
                self.tally().flows += 1;
            }
            if self.shared.is_stopped() {
                return None;
            }
            let console = &self.shared.console;
            let is_after = job.command.phase() == Phase::After;
            if is_after && matches!(verdict, Verdict::Failed(Failure::TimedOut)) && job.retries < console.retries {
                self.tally().retries += 1;
                return Some(Job { due: answered + console.retry_after, retries: job.retries + 1, ..job });
            }
            // What never left this machine has no consequences.
            if matches!(verdict, Verdict::Failed(Failure::Unsent))
                || !verdict.happens(Some(job.command), console.on_timeout)
            {
                return None;
            }
            match verdict {
                Verdict::Rewritten(rewrite) => job.so_far.rewrite = rewrite,
                Verdict::Partial { refused } => job.so_far.refused = refused,
                _ => {}
            }
            job.command = job.facts.after(job.command)?;
            job.due = answered;
        }
    }

    /// Sends one callback and counts what came of it. Gives the instant of the answer.
    async fn send(&mut self, job: &Job) -> (Verdict, Instant) {
        let limit = job.due + self.shared.console.timeout;
        let mut sent = Instant::now();
        let result = if sent >= limit {
            None
        } else {
            let exchange = tokio::time::timeout_at(limit.into(), self.exchange(job, &mut sent)).await;
            Some(exchange.unwrap_or_else(|_| Err(self.too_late())))
        };
        let answered = Instant::now();
        let verdict = match &result {
            None => Verdict::Failed(Failure::Unsent),
            Some(Err(error)) => Verdict::Failed(error.into()),
            Some(Ok(status)) => {
                let answer = self.connection.as_ref().map(Connection::body).unwrap_or_default();
                Verdict::of(Some(job.command), &self.body, *status, answer)
            }
        };
        if matches!(result, Some(Err(_))) {
            // Whatever comes on it now would be taken for the answer to something else.
            self.connection = None;
        }
        self.tally().observe(&Observed {
            command: job.command,
            latency: answered.saturating_duration_since(job.due),
            service: result.is_some().then(|| answered.saturating_duration_since(sent)),
            verdict: &verdict,
            counts: job.counts,
        });
        if matches!(result, Some(Err(SendError::Connect { .. } | SendError::OwnLimit { .. } | SendError::Tls { .. }))) {
            tokio::time::sleep(BREATHER).await;
        }
        (verdict, answered)
    }

    /// Sends it on the kept connection, or on a new one. `sent` is when it went out.
    async fn exchange(&mut self, job: &Job, sent: &mut Instant) -> Result<u16, SendError> {
        let is_kept = self.connection.as_ref().is_some_and(Connection::is_open);
        if !is_kept {
            self.connect().await?;
        }
        match self.exchange_once(job, sent).await {
            Err(error) if self.connection.as_ref().is_some_and(|kept| kept.is_stale(&error)) => {}
            result => return result,
        }
        self.tally().resent += 1;
        self.connect().await?;
        self.exchange_once(job, sent).await
    }

    async fn exchange_once(&mut self, job: &Job, sent: &mut Instant) -> Result<u16, SendError> {
        self.write(job);
        *sent = Instant::now();
        match self.connection.as_mut() {
            Some(connection) => connection.exchange(&self.bytes).await,
            None => Err(SendError::Closed(std::io::ErrorKind::NotConnected.into())),
        }
    }

    /// Connects to the target whose turn it is, or else to any other.
    async fn connect(&mut self) -> Result<(), SendError> {
        self.connection = None;
        self.is_connecting = true;
        let addresses = &self.shared.addresses;
        let mut last = None;
        for i in 0..addresses.len() {
            let Some((index, address)) = addresses.get((self.number + i) % addresses.len()) else { continue };
            let Some((target, tls)) = self.shared.targets.get(*index) else { continue };
            match Connection::open(target, *address, tls).await {
                Ok(connection) => {
                    self.connection = Some(connection);
                    self.target = *index;
                    self.is_connecting = false;
                    self.tally().opened += 1;
                    self.shared.reached();
                    return Ok(());
                }
                Err(error) => last = Some(error),
            }
        }
        let error = last.unwrap_or_else(|| SendError::Closed(std::io::ErrorKind::NotConnected.into()));
        self.is_connecting = false;
        // It says nothing about the target.
        if !matches!(error, SendError::OwnLimit { .. }) {
            self.shared.not_reached(&error);
        }
        Err(error)
    }

    /// The time was over. A target that takes no connection in all of it is as good as gone.
    fn too_late(&mut self) -> SendError {
        let error = SendError::TimedOut(self.shared.console.timeout);
        if std::mem::take(&mut self.is_connecting) {
            self.shared.not_reached(&error);
        }
        error
    }

    /// Writes the request to the target that the connection leads to, head and body.
    fn write(&mut self, job: &Job) {
        let shared = &self.shared;
        self.body.clear();
        shared.stock.write(job.command, &job.facts, &job.so_far, &mut self.body);
        let says = Says::of(job.command);
        let platform = match job.facts.platform() {
            "iOS" if job.command == Command::StateChange => "IOS",
            platform => platform,
        };
        self.request_id.clear();
        if shared.request_id || says.request_id {
            uuid(&mut self.request_id, job.facts.dice ^ (job.command as u64) << 48 ^ job.facts.time);
        }
        if let Some(token) = &shared.app.token {
            let now = unix_now();
            if self.signature.as_ref().is_none_or(|(time, _)| *time != now) {
                self.signature = Some((now, signature::sign(token, now)));
            }
        }
        self.bytes.clear();
        let Some((target, _)) = shared.targets.get(self.target) else { return };
        self.bytes.extend_from_slice(b"POST ");
        self.bytes.extend_from_slice(target.path().as_bytes());
        self.bytes.push(b'?');
        write_query(
            &mut self.bytes,
            &Parameters {
                sdk_app_id: shared.app.sdk_app_id,
                command: job.command.as_str(),
                client_ip: says.client_ip.then(|| job.facts.client_ip()),
                platform: says.platform.then_some(platform),
                request_id: std::str::from_utf8(&self.request_id).ok().filter(|id| !id.is_empty()),
                signature: self.signature.as_ref().map(|(time, sign)| (*time, sign.as_str())),
            },
        );
        self.bytes.extend_from_slice(b" HTTP/1.1\r\n");
        write_headers(&mut self.bytes, target, self.body.len());
        self.bytes.extend_from_slice(&self.body);
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
