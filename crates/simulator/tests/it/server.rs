//! A callback server of a test: it answers as the test says.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub(crate) const OK: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// The request line and the headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn query(&self) -> &str {
        let line = self.head.lines().next().unwrap();
        line.split(' ').nth(1).unwrap().split_once('?').map_or("", |(_, query)| query)
    }

    pub(crate) fn command(&self) -> &str {
        let parameter = self.query().split('&').find_map(|parameter| parameter.strip_prefix("CallbackCommand="));
        parameter.unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What the server does with a request.
pub(crate) enum Reply {
    /// Status 200 with this body.
    Json(String),
    /// These bytes.
    Raw(String),
    /// Status 200 after a while.
    Late(Duration),
    /// These bytes, and closes the connection.
    ThenClose(String),
    /// Closes the connection without a word.
    Close,
    /// Keeps the connection, and says nothing.
    Never,
}

impl Reply {
    pub(crate) fn ok() -> Self {
        Self::Json(OK.to_owned())
    }
}

pub(crate) fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Ends with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
    listening: AbortHandle,
    serving: Arc<Mutex<Vec<AbortHandle>>>,
}

type Answers = dyn Fn(&Received) -> Reply + Send + Sync;

impl Server {
    pub(crate) async fn start(answers: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::bind("127.0.0.1:0".parse().unwrap(), Arc::new(answers), None).await
    }

    pub(crate) async fn start_tls(tls: tokio_rustls::TlsAcceptor) -> Self {
        Self::bind("127.0.0.1:0".parse().unwrap(), Arc::new(|_: &Received| Reply::ok()), Some(tls)).await
    }

    async fn bind(address: SocketAddr, answers: Arc<Answers>, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Received>>> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let serving: Arc<Mutex<Vec<AbortHandle>>> = Arc::default();
        let listening = tokio::spawn({
            let (seen, connections, serving) = (Arc::clone(&seen), Arc::clone(&connections), Arc::clone(&serving));
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    connections.fetch_add(1, Ordering::SeqCst);
                    let (seen, answers, tls) = (Arc::clone(&seen), Arc::clone(&answers), tls.clone());
                    let task = tokio::spawn(async move {
                        match tls {
                            None => serve(stream, &seen, &*answers).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    serve(stream, &seen, &*answers).await;
                                }
                            }
                        }
                    });
                    serving.lock().unwrap().push(task.abort_handle());
                }
            }
        });
        Self { address, seen, connections, listening: listening.abort_handle(), serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/callback", self.address)
    }

    /// All requests so far, in the order in which they came.
    pub(crate) fn seen(&self) -> Vec<Received> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.serving.lock().unwrap().iter().filter(|task| !task.is_finished()).count()
    }

    /// Dies: closes all connections and takes no more.
    pub(crate) fn die(&self) {
        self.listening.abort();
        self.serving.lock().unwrap().iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.die();
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: &Mutex<Vec<Received>>, answers: &Answers) {
    let mut read = Vec::new();
    while let Some(received) = request(&mut stream, &mut read).await {
        seen.lock().unwrap().push(received.clone());
        let (bytes, closes) = match answers(&received) {
            Reply::Json(body) => (response("200 OK", &body), false),
            Reply::Raw(bytes) => (bytes, false),
            Reply::Late(late) => {
                tokio::time::sleep(late).await;
                (response("200 OK", OK), false)
            }
            Reply::ThenClose(bytes) => (bytes, true),
            Reply::Close => return,
            Reply::Never => std::future::pending().await,
        };
        if stream.write_all(bytes.as_bytes()).await.is_err() || stream.flush().await.is_err() || closes {
            return;
        }
    }
}

/// One request; none at the end of the connection.
async fn request(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> Option<Received> {
    loop {
        if let Some(head) = read.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) {
            let text = String::from_utf8(read[..head].to_vec()).unwrap();
            let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            let end = head + length.parse::<usize>().unwrap();
            if read.len() >= end {
                let body = read[head..end].to_vec();
                read.drain(..end);
                return Some(Received { head: text, body });
            }
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}
