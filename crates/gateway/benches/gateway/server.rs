//! Servers in processes of their own.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{self, Child, Stdio};
use std::thread::{available_parallelism, sleep};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use chathook_gateway::{Config, Gateway, GatewayBuilder};
use chathook_protocol::{Answer, Command, MsgElement, c2c, group};
use chathook_router::Ctx;
use tempfile::TempDir;

pub(crate) const APP: u64 = 1_400_000_001;
pub(crate) const TOKEN: &str = "k3y-Example_01";

/// What this process is to be, and with which configuration. The benchmark itself has neither.
const ROLE: &str = "CHATHOOK_BENCH_SERVER";
const CONFIG: &str = "CHATHOOK_BENCH_CONFIG";

/// Which server this process is to be; none for the benchmark itself.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Is that server until it is ended.
pub(crate) fn serve(role: &str) {
    match role {
        "bare" => bare(available_parallelism().unwrap().get()),
        "service" => bare(1),
        "stalling service" => stalling(),
        "gateway" => gateway(|builder| builder),
        "gateway with handlers" => gateway(with_handlers),
        role => panic!("there is no server `{role}`"),
    }
}

/// Reads the body, returns a constant: what HTTP itself costs, a decider that allows at once, and a target that takes
/// everything.
#[actix_web::main]
async fn bare(workers: usize) {
    let server = HttpServer::new(|| App::new().route("/", web::post().to(async |_body: web::Bytes| ok())));
    let server = server.workers(workers).bind("127.0.0.1:0").unwrap();
    listens(server.addrs()[0], server.addrs()[0]);
    server.run().await.unwrap();
}

/// The same, but that it keeps what is about one-to-one messages for three seconds.
#[actix_web::main]
async fn stalling() {
    let server = HttpServer::new(|| App::new().route("/", web::post().to(stall)));
    let server = server.workers(1).bind("127.0.0.1:0").unwrap();
    listens(server.addrs()[0], server.addrs()[0]);
    server.run().await.unwrap();
}

async fn stall(request: HttpRequest, _body: web::Bytes) -> HttpResponse {
    if request.query_string().contains(Command::C2cBeforeSendMsg.as_str()) {
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    ok()
}

fn ok() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(Answer::OK.body().clone())
}

#[tokio::main]
async fn gateway(with: fn(GatewayBuilder<()>) -> GatewayBuilder<()>) {
    let toml = std::env::var(CONFIG).unwrap();
    let config = Config::parse(&toml, "bench.toml".as_ref(), std::env::vars()).unwrap();
    let gateway = with(Gateway::builder(config)).build().await.unwrap();
    listens(gateway.callbacks_address(), gateway.admin_address());
    gateway.run().await.unwrap();
}

/// Handlers that look at the text.
fn with_handlers(builder: GatewayBuilder<()>) -> GatewayBuilder<()> {
    builder
        .before(|_cx: Ctx, message: c2c::BeforeSendMsg| async move {
            Ok(if is_spam(&message.body) { c2c::SendDecision::refuse() } else { c2c::SendDecision::allow() })
        })
        .before(|_cx: Ctx, message: group::BeforeSendMsg| async move {
            Ok(if is_spam(&message.body) { group::SendDecision::refuse() } else { group::SendDecision::allow() })
        })
}

fn is_spam(message: &[MsgElement]) -> bool {
    message.iter().filter_map(MsgElement::as_text).any(|text| text.contains("casino"))
}

/// Tells the benchmark where this server listens.
fn listens(callbacks: SocketAddr, admin: SocketAddr) {
    println!("{callbacks} {admin}");
}

/// A server in a process of its own, ended with this value.
pub(crate) struct Server {
    role: String,
    config: String,
    child: Child,
    /// Where it takes callbacks.
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    folder: TempDir,
}

impl Server {
    /// A server without a configuration.
    pub(crate) fn start(role: &str) -> Self {
        Self::configured(role, String::new())
    }

    /// A gateway for the application [`APP`] that checks signatures, with `more` in its configuration.
    pub(crate) fn gateway(role: &str, more: &str) -> Self {
        Self::configured(role, toml(&format!("tokens = [\"{TOKEN}\"]"), more))
    }

    /// A gateway that does not.
    pub(crate) fn unsigned_gateway(role: &str) -> Self {
        Self::configured(role, toml("unsigned = true", ""))
    }

    fn configured(role: &str, config: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (child, address, admin) = spawn(role, &config, folder.path());
        Self { role: role.to_owned(), config, child, address, admin, folder }
    }

    /// Ends it as `kill -9` does, and starts it again in the same folder.
    pub(crate) fn restart(&mut self) {
        self.end();
        (self.child, self.address, self.admin) = spawn(&self.role, &self.config, self.folder.path());
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it takes callbacks.
    pub(crate) fn await_ready(&self) {
        while !self.get("/readyz").starts_with("HTTP/1.1 200 ") {}
    }

    /// Waits until it has nothing to do any more, and the next measurement the machine for itself.
    pub(crate) fn await_rest(&self) {
        for _ in 0..100 {
            let before = self.cpu();
            sleep(Duration::from_millis(50));
            if self.cpu() == before {
                return;
            }
        }
        panic!("{} has something to do that nobody asked for", self.role);
    }

    /// CPU time in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        cpu(self.child.id())
    }

    /// Resident memory in MiB.
    pub(crate) fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// The sum of all series of a metric that have this label.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let metrics = self.get("/metrics");
        let series = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// What the admin listener answers.
    fn get(&self, path: &str) -> String {
        let mut connection = TcpStream::connect(self.admin).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// CPU time of a process in seconds; `self` is a process too.
pub(crate) fn cpu(process: impl Display) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// A configuration on free ports.
fn toml(app: &str, more: &str) -> String {
    format!(
        "[callbacks]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"error\"\n\
         [[app]]\nsdk_app_id = {APP}\n{app}\n{more}"
    )
}

/// The journal is in `folder`.
fn spawn(role: &str, config: &str, folder: &Path) -> (Child, SocketAddr, SocketAddr) {
    let mut child = process::Command::new(std::env::current_exe().unwrap())
        .env(ROLE, role)
        .env(CONFIG, config)
        .env("CHATHOOK__JOURNAL__PATH", folder.join("journal.db"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut addresses = line.split_whitespace().map(|address| address.parse().unwrap());
    (child, addresses.next().expect("the server has not started"), addresses.next().unwrap())
}
