//! Connections that know when a request began. When actix-web hands a request over, its whole head was read, and that
//! may have taken its time.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_web::HttpRequest;
use actix_web::http::Version;
use actix_web::rt::net::{ActixStream, Ready, TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// When the first byte of `request` was read. To be asked once a request, before its body is read.
pub(super) fn arrived(request: &HttpRequest) -> Instant {
    match request.conn_data::<Rc<Arrivals>>() {
        Some(arrivals) if request.version() < Version::HTTP_2 => arrivals.next(),
        // Requests of HTTP/2 come interleaved.
        _ => Instant::now(),
    }
}

/// When the requests of a connection began.
///
/// In HTTP/1 all of a request is read before it is answered: what is read first after an answer is the beginning of the
/// next request. A request that did not wait for the answer to the one before it began with the first read since that
/// one was handed over, or else together with it.
pub(super) struct Arrivals {
    /// The first read since then, if there was one.
    unclaimed: Cell<Option<Instant>>,
    /// When the request before began.
    last: Cell<Instant>,
}

impl Arrivals {
    fn read(&self) {
        if self.unclaimed.get().is_none() {
            self.unclaimed.set(Some(Instant::now()));
        }
    }

    fn written(&self) {
        self.unclaimed.set(None);
    }

    fn next(&self) -> Instant {
        if let Some(began) = self.unclaimed.take() {
            self.last.set(began);
        }
        self.last.get()
    }
}

/// A connection that keeps its [`Arrivals`]. It lies below TLS, which gives away nothing of a record until it is whole.
pub(super) struct Connection {
    stream: TcpStream,
    arrivals: Rc<Arrivals>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        let arrivals = Arrivals { unclaimed: Cell::new(None), last: Cell::new(Instant::now()) };
        Self { stream, arrivals: Rc::new(arrivals) }
    }

    /// What was read until now was no request, but the handshake of TLS.
    pub(super) fn handshake_ends(&self) {
        self.arrivals.unclaimed.set(None);
        self.arrivals.last.set(Instant::now());
    }

    pub(super) fn arrivals(&self) -> Rc<Arrivals> {
        Rc::clone(&self.arrivals)
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.arrivals.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.arrivals.written();
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.arrivals.written();
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What the TLS acceptor asks for.
impl ActixStream for Connection {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(&self.stream, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(&self.stream, cx)
    }
}
