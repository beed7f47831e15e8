//! Real servers as child processes: each on a free port of the loopback with data of its own, ended with the test.

mod kafka;
mod nats;
mod prometheus;
mod rabbitmq;
mod redis;

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

pub use self::kafka::Leaderless;

/// No server takes longer to start: RabbitMQ needs seconds, and more of them beside other tests.
const LIMIT: Duration = Duration::from_secs(90);

/// A server of this test, with one of the constructors [`nats`](Self::nats), [`redis`](Self::redis),
/// [`rabbitmq`](Self::rabbitmq), [`kafka`](Self::kafka) and [`prometheus`](Self::prometheus).
pub struct Server {
    call: Box<Call>,
    /// What it is asked, and how its answer begins, once it is ready.
    greeting: (&'static [u8], &'static [u8]),
    port: u16,
    child: Option<Child>,
    /// Another process that it needs.
    helper: Option<Child>,
    dir: TempDir,
}

/// How it is called on a port, with a folder of its own.
type Call = dyn Fn(u16, &Path) -> Command + Send + Sync;

impl Server {
    /// Starts a server, and waits until it greets.
    async fn start(
        greeting: (&'static [u8], &'static [u8]),
        call: impl Fn(u16, &Path) -> Command + Send + Sync + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the server");
        let mut server = Self { call: Box::new(call), greeting, port: 0, child: None, helper: None, dir };
        // Between choosing a port and listening on it, it may be taken by another.
        for _ in 0..3 {
            server.port = free_port();
            if server.run().await {
                return server;
            }
        }
        panic!("the server does not start:\n{}", server.log());
    }

    /// Starts the process, and waits until it greets. `false`: it has ended.
    async fn run(&mut self) -> bool {
        let log = || {
            let log = File::options().create(true).append(true).open(self.dir.path().join("log"));
            Stdio::from(log.expect("the folder can be written"))
        };
        let mut command = (self.call)(self.port, self.dir.path());
        command.stdin(Stdio::null()).stdout(log()).stderr(log()).kill_on_drop(true);
        let mut child = command.spawn().expect("the server can be called");
        let started = Instant::now();
        while !self.greets().await {
            if child.try_wait().expect("the process is ours").is_some() {
                return false;
            }
            assert!(started.elapsed() < LIMIT, "the server does not come up:\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
        self.child = Some(child);
        true
    }

    async fn greets(&self) -> bool {
        let (hello, expected) = self.greeting;
        let ask = async {
            let mut stream = TcpStream::connect(self.address()).await?;
            stream.write_all(hello).await?;
            let mut answer = vec![0; expected.len()];
            stream.read_exact(&mut answer).await.map(|_| answer)
        };
        matches!(timeout(Duration::from_secs(1), ask).await, Ok(Ok(answer)) if answer == expected)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Its folder, with its data and its log.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        child.kill().await.expect("the process is ours");
    }

    /// Starts it again, on the same port with the same data.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_again(&mut self) {
        self.kill().await;
        assert!(self.run().await, "the server does not start again:\n{}", self.log());
    }

    /// Stops its process, which keeps its connections and answers nothing; or lets it go on.
    ///
    /// # Panics
    /// When `kill` does not run.
    pub fn freeze(&self, is_frozen: bool) {
        let Some(id) = self.child.as_ref().and_then(Child::id) else { return };
        let signal = if is_frozen { "-STOP" } else { "-CONT" };
        let kill = std::process::Command::new("kill").args([signal, &id.to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A program: in `places`, which are relative to the workspace or absolute, else in the PATH.
fn find(program: &str, places: &[&str], install: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join(program));
    let found = places.iter().map(|place| workspace.join(place)).chain(in_path).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("no {program}: ./tests/run installs it, as does `{install}`"))
}
