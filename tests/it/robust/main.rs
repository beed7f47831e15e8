//! The built gateway under clients that do their worst, and under more work than it can do. A test program of its own,
//! for it leaves no time to any other; `CHATHOOK_LONG=1` tries longer, and more of everything.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod slow;
mod connections;
mod restart;
mod overload;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chathook_tests::{Connection, OK, Response, TestGateway, config, request, signed};
use tokio::sync::{Mutex, MutexGuard, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

const BEFORE: &str = "Group.CallbackBeforeSendMsg";
const AFTER: &str = "Group.CallbackAfterSendMsg";
const MESSAGE: &str = r#"{"GroupId":"g","From_Account":"u","MsgBody":[]}"#;
const FALLBACK: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}"#;

/// What Chat waits.
const CHAT_WAITS: Duration = Duration::from_secs(2);

/// One of these tests at a time: each takes what the machine has.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// `short`, or `long` where there is time.
fn at_length<T>(short: T, long: T) -> T {
    if std::env::var_os("CHATHOOK_LONG").is_some_and(|value| value == "1") { long } else { short }
}

/// A configuration that logs what matters only, and whose fallback cannot be mistaken for a decision.
fn quiet(more: &str) -> String {
    config(more).replace("level = \"trace\"", "level = \"info\"") + "[decide]\non_failure = \"reject\"\n"
}

/// A group message that was sent: the n-th, for each is another event.
fn sent(number: usize) -> String {
    format!(r#"{{"GroupId":"g","From_Account":"u","MsgBody":[],"MsgSeq":{number},"MsgTime":1718000000}}"#)
}

/// The bytes of a callback, signed now.
fn callback(command: &str, body: &str) -> Vec<u8> {
    request(&format!("/?{}", signed(command)), body.as_bytes())
}

/// Sends a callback, and gives the answer and how long it took.
async fn exchange(connection: &mut Connection, callback: &[u8]) -> std::io::Result<(Response, Duration)> {
    let began = Instant::now();
    connection.write(callback).await?;
    let response = connection.response().await?;
    Ok((response, began.elapsed()))
}

/// What the process has in memory, in MiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// How many files and sockets the process has open.
fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Waits until the process has no more than `most` files open: those who were let go are gone.
async fn has_open_at_most(pid: u32, most: usize) {
    let ends = Instant::now() + Duration::from_secs(20);
    while open_files(pid) > most {
        assert!(Instant::now() < ends, "{} files are open, not {most}", open_files(pid));
        sleep(Duration::from_millis(20)).await;
    }
}

/// Chat, beside those who do their worst: a before- and an after-callback every 20 ms, each answered in time.
struct Chat {
    stop: oneshot::Sender<()>,
    calls: JoinHandle<(usize, Duration)>,
}

impl Chat {
    fn calls(address: SocketAddr) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let calls = tokio::spawn(async move {
            let (mut connection, mut number, mut slowest) =
                (Connection::open(address).await.unwrap(), 0, Duration::ZERO);
            while stopped.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
                for (command, body) in [(BEFORE, MESSAGE.to_owned()), (AFTER, sent(1_000_000 + number))] {
                    let (answer, taken) = exchange(&mut connection, &callback(command, &body)).await.unwrap();
                    assert_eq!((answer.status, answer.body.as_str()), (200, OK), "{command}");
                    assert!(taken < CHAT_WAITS, "{command} was answered after {taken:?}");
                    slowest = slowest.max(taken);
                    number += 1;
                }
                sleep(Duration::from_millis(20)).await;
            }
            (number, slowest)
        });
        Self { stop, calls }
    }

    /// Has seen enough; says how many were answered, and how long the slowest took.
    async fn ends(self) -> String {
        let _ = self.stop.send(());
        let (number, slowest) = self.calls.await.unwrap();
        assert!(number > 0);
        format!("{number} callbacks beside them, answered within {slowest:?}")
    }
}

/// A gateway, and how many files it has open when nobody is connected.
async fn gateway(more: &str) -> (TestGateway, usize) {
    let gateway = TestGateway::start(&quiet(more)).await;
    // All its threads have been at work once.
    for _ in 0..8 {
        assert_eq!(gateway.post(BEFORE, MESSAGE).await.body, OK);
    }
    let open = open_files(gateway.pid());
    (gateway, open)
}
