use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chathook_gateway::{Config, Gateway, GatewayBuilder};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::wire::{Connection, Response, request};
use crate::{APP, TOKEN, signed};

/// No process takes longer to start or to stop.
const LIMIT: Duration = Duration::from_secs(30);

/// A gateway of this test, on ports of its own. Ends with the test.
pub struct TestGateway {
    /// Where callbacks are taken.
    pub callbacks: SocketAddr,
    /// Where metrics and health are.
    pub admin: SocketAddr,
    runs: Runs,
    log: Log,
    /// Makes us read no more of the log.
    deaf: Arc<Notify>,
    dir: TempDir,
}

enum Runs {
    Process(Child),
    Library(Option<(oneshot::Sender<()>, JoinHandle<std::io::Result<()>>)>),
}

/// What the program has written so far; a reader can wait for more.
type Log = Arc<watch::Sender<String>>;

/// How a process ended.
#[derive(Debug)]
pub struct Exit {
    /// Its exit code.
    pub code: Option<i32>,
    /// Everything it wrote to its log.
    pub log: String,
}

/// A configuration with [`APP`] and [`TOKEN`] on free ports; `more` is put before the applications.
#[must_use]
pub fn config(more: &str) -> String {
    format!(
        "[callbacks]\nlisten = \"127.0.0.1:0\"\n{more}\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nformat = \"json\"\nlevel = \"trace\"\n\
         [shutdown]\ndelay = \"0s\"\n\
         [[app]]\nsdk_app_id = {APP}\ntokens = [\"{TOKEN}\"]\n"
    )
}

/// The built program. Built by the first test that asks for it.
///
/// # Panics
/// When it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build(&["--bin", "chathook"]).join("chathook"))
}

/// A built example of the gateway.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    build(&["--example", name]).join("examples").join(name)
}

/// Builds a target of the gateway as the tests were built, and gives the folder of the profile.
fn build(target: &[&str]) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.parent().and_then(Path::parent).expect("tests lie in target/<profile>/deps");
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "chathook-gateway"]).args(target);
    // What cargo says to a test of its package would make build scripts run again, and all that depends on them.
    for (name, _) in std::env::vars_os() {
        let says = |prefix| name.to_str().is_some_and(|name| name.starts_with(prefix));
        if name == "CARGO" || says("CARGO_PKG_") || says("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(built.success(), "{target:?} does not build");
    profile.to_owned()
}

/// The variable that puts the journal into a folder, unless the configuration says where it is.
#[must_use]
pub fn journal_in(dir: &Path, toml: &str) -> Option<(String, String)> {
    let path = dir.join("journal.db").to_str().expect("a path of text").to_owned();
    (!toml.contains("[journal]")).then(|| ("CHATHOOK__JOURNAL__PATH".to_owned(), path))
}

impl TestGateway {
    /// Starts the program with the configuration `toml`.
    pub async fn start(toml: &str) -> Self {
        Self::start_with(toml, &[]).await
    }

    /// Starts the program with the configuration `toml` and variables of the environment.
    pub async fn start_with(toml: &str, variables: &[(&str, &str)]) -> Self {
        Self::program(binary(), toml, |command, file| {
            command.args(["serve", "--config"]).arg(file).envs(variables.iter().copied());
        })
        .await
    }

    /// Starts any program that serves; `call` gets the file that the configuration `toml` was written to.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn program(program: impl AsRef<Path>, toml: &str, call: impl FnOnce(&mut Command, &Path)) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let file = dir.path().join("chathook.toml");
        std::fs::write(&file, toml).expect("the folder can be written");
        let mut command = Command::new(program.as_ref());
        command.envs(journal_in(dir.path(), toml));
        call(&mut command, &file);
        let mut child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("the program starts");
        let log = Log::default();
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let started = async {
            while let Ok(Some(line)) = lines.next_line().await {
                append(&log, &line);
                let Ok(entry) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
                if entry["message"] == "taking callbacks" {
                    let address = |name: &str| entry[name].as_str().and_then(|text| text.parse().ok());
                    return address("callbacks").zip(address("admin"));
                }
            }
            None
        };
        let addresses = timeout(LIMIT, started).await.ok().flatten();
        let Some((callbacks, admin)) = addresses else { panic!("the program did not come up:\n{}", text(&log)) };
        let (rest, deaf) = (Arc::clone(&log), Arc::new(Notify::new()));
        let is_deaf = Arc::clone(&deaf);
        tokio::spawn(async move {
            let reading = async {
                while let Ok(Some(line)) = lines.next_line().await {
                    append(&rest, &line);
                }
            };
            tokio::select! {
                () = reading => {}
                // The pipe stays open.
                () = is_deaf.notified() => std::future::pending().await,
            }
        });
        Self { callbacks, admin, runs: Runs::Process(child), log, deaf, dir }
    }

    /// Starts a gateway with handlers in this process.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn with<S: Send + Sync + 'static>(
        toml: &str,
        state: S,
        handlers: impl FnOnce(GatewayBuilder<S>) -> GatewayBuilder<S>,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let journal = journal_in(dir.path(), toml);
        let config = Config::parse(toml, Path::new("test.toml"), journal).expect("a good configuration");
        let gateway = handlers(Gateway::with_state(config, state)).build().await.expect("a gateway");
        let (callbacks, admin) = (gateway.callbacks_address(), gateway.admin_address());
        let (stop, stopped) = oneshot::channel();
        let runs = Runs::Library(Some((stop, tokio::spawn(gateway.run_until(Some(stopped))))));
        let gateway = Self { callbacks, admin, runs, log: Log::default(), deaf: Arc::default(), dir };
        while gateway.get("/readyz").await.status != 200 {
            tokio::task::yield_now().await;
        }
        gateway
    }

    /// Where its files are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process.
    ///
    /// # Panics
    /// When it is not a process, or has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        match &self.runs {
            Runs::Process(child) => child.id().expect("the process runs"),
            Runs::Library(_) => panic!("not a process"),
        }
    }

    /// Opens a connection to the public side.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn connect(&self) -> Connection {
        Connection::open(self.callbacks).await.expect("the gateway listens")
    }

    /// Sends a signed callback on a connection of its own.
    pub async fn post(&self, command: &str, body: impl AsRef<[u8]>) -> Response {
        self.post_query(&signed(command), body).await
    }

    /// Sends a callback with this query on a connection of its own.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn post_query(&self, query: &str, body: impl AsRef<[u8]>) -> Response {
        let mut connection = self.connect().await;
        connection.write(&request(&format!("/?{query}"), body.as_ref())).await.expect("the gateway reads");
        connection.response().await.expect("the gateway answers")
    }

    /// Asks the admin listener.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Response {
        let mut connection = Connection::open(self.admin).await.expect("the admin listener listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n");
        connection.write(request.as_bytes()).await.expect("the admin listener reads");
        connection.response().await.expect("the admin listener answers")
    }

    /// The value of a metric, by its name and labels as they stand in the text, such as
    /// `chathook_verify_failures_total{reason="sign"}`; 0 when it is not there.
    ///
    /// # Panics
    /// When it is not a number.
    pub async fn metric(&self, series: &str) -> f64 {
        let metrics = self.get("/metrics").await.body;
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a metric is a number"))
    }

    /// Waits until the log has a line with `part`.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn logged(&self, part: &str) {
        let mut log = self.log.subscribe();
        let found = timeout(LIMIT, log.wait_for(|text| text.contains(part))).await.is_ok();
        assert!(found, "the log has no {part:?}:\n{}", text(&self.log));
    }

    /// Reads nothing of its log any more, which stays open: the pipe fills, and then nobody can write into it.
    pub fn stop_reading_log(&self) {
        self.deaf.notify_one();
    }

    /// Sends a signal to the process.
    ///
    /// # Panics
    /// When `kill` does not run.
    pub fn signal(&self, name: &str) {
        let kill = std::process::Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// Waits until the process has ended.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended(mut self) -> Exit {
        let Runs::Process(child) = &mut self.runs else { panic!("not a process") };
        let status = timeout(LIMIT, child.wait()).await.expect("the process ends").expect("the process is ours");
        Exit { code: status.code(), log: text(&self.log) }
    }

    /// Stops a gateway of this process in order.
    ///
    /// # Panics
    /// When it is a process, or does not end.
    pub async fn ended_in_order(mut self) {
        let Runs::Library(running) = &mut self.runs else { panic!("a process") };
        let (stop, running) = running.take().expect("it runs");
        drop(stop);
        timeout(LIMIT, running).await.expect("it ends").expect("it does not panic").expect("it ends well");
    }

    /// Stops it in order, and gives its log.
    pub async fn stop(self) -> Exit {
        self.signal("TERM");
        self.ended().await
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        if let Runs::Library(running) = &mut self.runs {
            drop(running.take());
        }
    }
}

fn append(log: &Log, line: &str) {
    log.send_modify(|text| {
        text.push_str(line);
        text.push('\n');
    });
}

fn text(log: &Log) -> String {
    log.borrow().clone()
}
