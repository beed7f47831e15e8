//! Servers in processes of their own, and what is asked of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use chathook_gateway::Config;
use chathook_protocol::signature;
use tempfile::TempDir;

pub(crate) const APP: u64 = 1_400_000_001;
pub(crate) const TOKEN: &str = "k3y-Example_01";

/// Which server this process is to be; none for the benchmark itself.
pub(crate) fn role() -> Option<String> {
    std::env::var("CHATHOOK_BENCH_SERVER").ok()
}

/// A configuration on free ports, with `more` behind it. The journal is in the folder of the server.
pub(crate) fn config(more: &str) -> Config {
    let toml = format!(
        "[callbacks]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"error\"\n\
         [[app]]\nsdk_app_id = {APP}\ntokens = [\"{TOKEN}\"]\nmax_age = \"1h\"\n{more}"
    );
    Config::parse(&toml, "bench.toml".as_ref(), std::env::vars()).unwrap()
}

/// Tells the benchmark where this server listens.
pub(crate) fn listens(callbacks: SocketAddr, admin: SocketAddr) {
    println!("{callbacks} {admin}");
}

/// A server in a process of its own, ended with this value.
pub(crate) struct Server {
    name: String,
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    folder: TempDir,
}

impl Server {
    pub(crate) fn start(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (child, address, admin) = spawn(name, folder.path());
        Self { name: name.to_owned(), child, address, admin, folder }
    }

    /// Ends it as `kill -9` does, and starts it again in the same folder.
    pub(crate) fn restart(&mut self) {
        self.end();
        (self.child, self.address, self.admin) = spawn(&self.name, self.folder.path());
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// CPU time of the process in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks / 100.0
    }

    /// Resident memory in MiB.
    pub(crate) fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// What the admin listener answers.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut connection = TcpStream::connect(self.admin).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The sum of all series of a metric that begin so.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let metrics = self.get("/metrics");
        let values = metrics.lines().filter(|line| line.starts_with(series));
        values.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(name: &str, folder: &Path) -> (Child, SocketAddr, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env("CHATHOOK_BENCH_SERVER", name)
        .env("CHATHOOK__JOURNAL__PATH", folder.join("journal.db"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut addresses = line.split_whitespace().map(|address| address.parse().unwrap());
    (child, addresses.next().unwrap(), addresses.next().unwrap())
}

/// A signed callback as bytes, its body filled up to 1 KiB where `TEXT` stands.
pub(crate) fn request(command: &str, body: &str) -> Vec<u8> {
    let text = "see you at nine at the old bridge ".repeat(40);
    let body = body.replace("TEXT", &text[..1024 + "TEXT".len() - body.len()]);
    assert_eq!(body.len(), 1024);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    format!(
        "POST /?SdkAppid={APP}&CallbackCommand={command}&contenttype=json&ClientIP=203.0.113.7&OptPlatform=iOS\
         &Sign={}&RequestTime={time} HTTP/1.1\r\nHost: chathook\r\nContent-Length: {}\r\n\r\n{body}",
        signature::sign(TOKEN, time),
        body.len()
    )
    .into_bytes()
}

/// The numbers among the arguments: cargo itself passes `--bench`.
pub(crate) fn numbers<const N: usize>(defaults: [u64; N]) -> [u64; N] {
    let given: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    std::array::from_fn(|i| given.get(i).copied().unwrap_or(defaults[i]))
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
