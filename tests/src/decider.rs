//! A server that decides, or fails to, as a test says: raw bytes over TCP, as `wire` is for the other side.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::{Response, TestGateway, request, signed};

/// Nothing that a test waits for takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// A `[[decider]]` of the configuration that asks `url`; `more` are further lines, such as `http.breaker = false`.
#[must_use]
pub fn http_decider(name: &str, commands: &[&str], url: &str, more: &str) -> String {
    format!("[[decider]]\nname = {name:?}\ncommands = {commands:?}\nhttp.url = {url:?}\n{more}\n")
}

/// What a decider does with one request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Answers, and says how long the body is.
    Answer {
        /// The status.
        status: u16,
        /// Further header lines.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Answers 200 with these chunks.
    Chunked(Vec<Vec<u8>>),
    /// Answers 200, one byte of the body after the other, so far apart.
    Trickled(Vec<u8>, Duration),
    /// Does that once the gate is open.
    Once(Gate, Box<Self>),
    /// Never answers.
    Hang,
    /// Sends the head of an answer, and nothing more.
    Head,
    /// Sends the head of an answer and half of its body, and nothing more.
    Half(Vec<u8>),
    /// Sends the head of an answer and half of its body, and closes.
    Broken(Vec<u8>),
    /// Answers 200 with so many bytes, for as long as the other side takes them.
    Flood {
        /// How many.
        bytes: usize,
        /// Whether the head says so; else they come in chunks.
        is_declared: bool,
    },
    /// Resets the connection.
    Reset,
    /// Closes the connection.
    Close,
    /// Writes these bytes in place of an answer, and nothing more.
    Raw(Vec<u8>),
}

impl Behaviour {
    /// Answers 200 with a body of JSON.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::answer(200, &[("Content-Type", "application/json")], body)
    }

    /// Answers with a status and a body.
    pub fn answer(status: u16, headers: &[(&'static str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self::Answer { status, headers, body: body.into() }
    }

    /// Does it once `gate` is open.
    #[must_use]
    pub fn once(self, gate: &Gate) -> Self {
        Self::Once(gate.clone(), Box::new(self))
    }
}

/// What an answer waits for. Stays open.
#[derive(Clone, Default)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// Lets through whoever waits, and whoever comes.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn opened(&self) {
        // Fails only once the sender is gone, which we hold.
        let _ = self.0.subscribe().wait_for(|is_open| *is_open).await;
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({})", *self.0.borrow())
    }
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// The request line and the header lines.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The first line, such as `POST /callback?x=y HTTP/1.1`.
    #[must_use]
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// Path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// The query, without the question mark.
    #[must_use]
    pub fn query(&self) -> &str {
        self.target().split_once('?').map_or("", |(_, query)| query)
    }

    /// The value of a header; the name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// What a decider has seen so far.
#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    opened: usize,
    open: usize,
}

/// What to do with the n-th request, from 0.
type Script = Box<dyn Fn(&Request, usize) -> Behaviour + Send + Sync>;

/// What all connections of a decider share.
struct Shared {
    seen: watch::Sender<Seen>,
    turns_away: watch::Sender<bool>,
    down: watch::Sender<bool>,
    script: Script,
}

impl Shared {
    async fn is_down(&self) {
        // Fails only once the sender is gone, which we hold.
        let _ = self.down.subscribe().wait_for(|is_down| *is_down).await;
    }
}

/// A server on a port of its own that does with the n-th request what its script says. Ends with the test.
pub struct TestDecider {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// A decider that is down: its address is its own, and refuses connections.
pub struct Down(TcpSocket);

impl Down {
    /// Takes an address.
    ///
    /// # Panics
    /// When there is none on the loopback.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "takes an address, and may fail")]
    pub fn new() -> Self {
        Self::at(([127, 0, 0, 1], 0).into())
    }

    fn at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Connections of the one that was there may linger.
        socket.set_reuseaddr(true).expect("a socket");
        socket.bind(address).expect("a free port");
        Self(socket)
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", address(self.0.local_addr()))
    }

    /// Comes up.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(self, script: impl Fn(&Request, usize) -> Behaviour + Send + Sync + 'static) -> TestDecider {
        TestDecider::serve(self.0.listen(1024).expect("the address is ours"), script)
    }
}

impl TestDecider {
    /// Starts one. The script gets each request with its number, from 0.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(script: impl Fn(&Request, usize) -> Behaviour + Send + Sync + 'static) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.expect("a free port"), script)
    }

    /// One that answers every request with the same JSON.
    pub async fn answering(body: impl Into<Vec<u8>>) -> Self {
        let answer = Behaviour::json(body);
        Self::start(move |_, _| answer.clone()).await
    }

    fn serve(listener: TcpListener, script: impl Fn(&Request, usize) -> Behaviour + Send + Sync + 'static) -> Self {
        let address = address(listener.local_addr());
        let shared = Arc::new(Shared {
            seen: watch::Sender::default(),
            turns_away: watch::Sender::default(),
            down: watch::Sender::default(),
            script: Box::new(script),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// Goes down: its connections end, and it refuses new ones. Gives the requests that have come.
    ///
    /// # Panics
    /// When a connection does not end.
    pub async fn go_down(self) -> (Down, Vec<Request>) {
        self.shared.down.send_replace(true);
        self.wait("the end of connections", |seen| seen.open == 0).await;
        let requests = self.requests();
        self.accepting.await.expect("it does not panic");
        (Down::at(self.address), requests)
    }

    /// From now on, whether connections are closed as soon as they are there.
    pub fn turn_away(&self, turns_away: bool) {
        self.shared.turns_away.send_replace(turns_away);
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many requests have come.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.seen.borrow().requests.len()
    }

    /// The requests that have come.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.seen.borrow().requests.clone()
    }

    /// The n-th request, from 0, once it is there.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn request(&self, n: usize) -> Request {
        self.wait("a request", |seen| seen.requests.len() > n).await;
        self.shared.seen.borrow().requests[n].clone()
    }

    /// How many connections have been opened.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.shared.seen.borrow().opened
    }

    /// Waits until so many connections have been opened.
    ///
    /// # Panics
    /// When they are not.
    pub async fn has_opened(&self, connections: usize) {
        self.wait("a connection", |seen| seen.opened >= connections).await;
    }

    /// Waits until at most so many connections are open.
    ///
    /// # Panics
    /// When more stay open.
    pub async fn has_at_most(&self, connections: usize) {
        self.wait("the end of connections", |seen| seen.open <= connections).await;
    }

    async fn wait(&self, what: &str, until: impl FnMut(&Seen) -> bool) {
        let mut seen = self.shared.seen.subscribe();
        let came = timeout(LIMIT, seen.wait_for(until)).await.is_ok();
        let seen = self.shared.seen.borrow();
        assert!(came, "waited for {what}: {} requests, {} of {} open", seen.requests.len(), seen.open, seen.opened);
    }
}

fn address(address: io::Result<SocketAddr>) -> SocketAddr {
    address.expect("a bound socket has an address")
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.is_down() => return,
        };
        let Ok((stream, _)) = accepted else { return };
        let (mut number, turns_away) = (0, *shared.turns_away.borrow());
        shared.seen.send_modify(|seen| {
            number = seen.opened;
            seen.opened += 1;
            seen.open += usize::from(!turns_away);
        });
        if turns_away {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                // However it ends, it has ended.
                _ = (Connection { stream, read: Vec::new(), number }).serve(&shared) => {}
                () = shared.is_down() => {}
            }
            shared.seen.send_modify(|seen| seen.open -= 1);
        });
    }
}

/// A connection to a decider.
struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
    number: usize,
}

impl Connection {
    async fn serve(mut self, shared: &Shared) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        while let Some(request) = self.request().await? {
            let mut number = 0;
            shared.seen.send_modify(|seen| {
                number = seen.requests.len();
                seen.requests.push(request.clone());
            });
            self.behave((shared.script)(&request, number)).await?;
        }
        Ok(())
    }

    /// The next request; `None` when there is none.
    async fn request(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some((request, length)) = self.parse() {
                self.read.drain(..length);
                return Ok(Some(request));
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// A request and its length, once it is whole. One without a length has no body.
    fn parse(&self) -> Option<(Request, usize)> {
        let end = self.read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.read[..end]).into_owned();
        let mut request = Request { connection: self.number, head, body: Vec::new() };
        let length: usize = request.header("content-length").map_or(Some(0), |length| length.parse().ok())?;
        request.body = self.read.get(end..end + length)?.to_vec();
        Some((request, end + length))
    }

    /// Ends with an error where the connection does.
    async fn behave(&mut self, mut behaviour: Behaviour) -> io::Result<()> {
        while let Behaviour::Once(gate, then) = behaviour {
            tokio::select! {
                () = gate.opened() => behaviour = *then,
                ended = left(&mut self.stream) => return ended,
            }
        }
        match behaviour {
            Behaviour::Answer { status, headers, body } => {
                let mut answer = format!("HTTP/1.1 {status} Whatever\r\n").into_bytes();
                for (name, value) in headers {
                    answer.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
                if status != 204 {
                    answer.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
                }
                answer.extend_from_slice(b"\r\n");
                answer.extend_from_slice(&body);
                self.stream.write_all(&answer).await
            }
            Behaviour::Chunked(chunks) => {
                self.stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
                for chunk in chunks {
                    self.chunk(&chunk).await?;
                }
                self.stream.write_all(b"0\r\n\r\n").await
            }
            Behaviour::Trickled(body, apart) => {
                self.stream.write_all(head(body.len()).as_bytes()).await?;
                for byte in body {
                    tokio::select! {
                        () = tokio::time::sleep(apart) => self.stream.write_all(&[byte]).await?,
                        ended = left(&mut self.stream) => return ended,
                    }
                }
                Ok(())
            }
            Behaviour::Once(..) | Behaviour::Hang => left(&mut self.stream).await,
            Behaviour::Head => {
                self.stream.write_all(head(50).as_bytes()).await?;
                left(&mut self.stream).await
            }
            Behaviour::Half(body) => {
                self.half(&body).await?;
                left(&mut self.stream).await
            }
            Behaviour::Broken(body) => {
                self.half(&body).await?;
                self.close().await
            }
            Behaviour::Flood { bytes, is_declared } => self.flood(bytes, is_declared).await,
            Behaviour::Reset => {
                self.stream.set_zero_linger()?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Behaviour::Close => self.close().await,
            Behaviour::Raw(bytes) => {
                self.stream.write_all(&bytes).await?;
                left(&mut self.stream).await
            }
        }
    }

    async fn half(&mut self, body: &[u8]) -> io::Result<()> {
        let whole = [head(body.len()).as_bytes(), body].concat();
        self.stream.write_all(&whole[..whole.len() - body.len() / 2]).await
    }

    async fn flood(&mut self, bytes: usize, is_declared: bool) -> io::Result<()> {
        static PIECE: [u8; 64 * 1024] = [b' '; 64 * 1024];
        let head = match is_declared {
            true => head(bytes),
            false => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        };
        self.stream.write_all(head.as_bytes()).await?;
        for _ in 0..bytes / PIECE.len() {
            match is_declared {
                true => self.stream.write_all(&PIECE).await?,
                false => self.chunk(&PIECE).await?,
            }
        }
        left(&mut self.stream).await
    }

    async fn chunk(&mut self, chunk: &[u8]) -> io::Result<()> {
        let chunk = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
        self.stream.write_all(&chunk).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n")
}

/// Waits until the other side is gone.
async fn left(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Err(io::ErrorKind::UnexpectedEof.into())
}

impl TestGateway {
    /// Sends a signed callback on a connection of its own, and tells how long the answer took, seen from Chat's side.
    pub async fn timed(&self, command: &str, body: impl AsRef<[u8]>) -> (Response, Duration) {
        self.timed_query(&signed(command), body).await
    }

    /// The same with this query.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn timed_query(&self, query: &str, body: impl AsRef<[u8]>) -> (Response, Duration) {
        let mut connection = self.connect().await;
        let request = request(&format!("/?{query}"), body.as_ref());
        let started = Instant::now();
        connection.write(&request).await.expect("the gateway reads");
        let response = connection.response().await.expect("the gateway answers");
        (response, started.elapsed())
    }

    /// The sum of all series of a metric that begin so, such as `chathook_decider_errors_total{decider="a",`.
    ///
    /// # Panics
    /// When one is not a number.
    pub async fn sum(&self, series: &str) -> f64 {
        let metrics = self.get("/metrics").await.body;
        let values = metrics.lines().filter(|line| line.starts_with(series)).filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<f64>().expect("a metric is a number")).sum()
    }

    /// Waits until a metric has this value; see [`metric`](Self::metric).
    ///
    /// # Panics
    /// When it does not get there.
    pub async fn metric_becomes(&self, series: &str, value: f64) {
        let reached = async {
            while self.metric(series).await != value {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let came = timeout(LIMIT, reached).await.is_ok();
        assert!(came, "{series} is {}, not {value}", self.metric(series).await);
    }
}
