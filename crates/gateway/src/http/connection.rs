//! Connections that know when a request began, and let go of clients that stall. When actix-web hands a request over, its
//! whole head was read, and that may have taken its time.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::Version;
use actix_web::rt::net::{ActixStream, Ready, TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long the head of a request may take, and an answer to be taken. actix-web sees to the first head of a connection
/// only.
const STALL: Duration = Duration::from_secs(5);

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
    /// Requests come interleaved, as in HTTP/2.
    are_interleaved: Cell<bool>,
    /// How many requests were handed over since anything was written.
    handed_over: Cell<usize>,
}

impl Arrivals {
    fn read(&self) {
        if self.unclaimed.get().is_none() && !self.are_interleaved.get() {
            self.unclaimed.set(Some(Instant::now()));
        }
    }

    /// Gives how many requests were handed over before.
    fn written(&self) -> usize {
        self.unclaimed.set(None);
        self.handed_over.take()
    }

    fn next(&self) -> Instant {
        self.handed_over.set(self.handed_over.get() + 1);
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
    /// Since when the other side takes nothing.
    blocked: Option<Instant>,
    /// Rings for the oldest wait that there was when it was set: once in [`STALL`] at most, however many requests come.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        let arrivals = Arrivals {
            unclaimed: Cell::new(None),
            last: Cell::new(Instant::now()),
            are_interleaved: Cell::new(false),
            handed_over: Cell::new(0),
        };
        Self { stream, arrivals: Rc::new(arrivals), blocked: None, alarm: None }
    }

    /// What was read until now was no request, but the handshake of TLS.
    pub(super) fn handshake_ends(&self, are_interleaved: bool) {
        self.arrivals.unclaimed.set(None);
        self.arrivals.last.set(Instant::now());
        self.arrivals.are_interleaved.set(are_interleaved);
    }

    /// Fails once the rest of a request, or the taking of an answer, has been waited for too long. What belongs to a
    /// request that is at work does not count: it is answered sooner.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(since) = self.blocked.or(self.arrivals.unclaimed.get()) else { return Poll::Pending };
        let ends = since + STALL;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(ends)));
        ready!(alarm.as_mut().poll(cx));
        if Instant::now() < ends {
            alarm.as_mut().reset(ends);
            ready!(alarm.as_mut().poll(cx));
        }
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// Writes, as `write` does, what must not be put off for ever.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.arrivals.written() > 1 {
            // Pipelined. actix-web reads sixteen requests ahead, and would not look for more where those were all
            // answered at once, though they are in its buffer.
            cx.waker().wake_by_ref();
        }
        let written = write(Pin::new(&mut self.stream), cx);
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        self.blocked.get_or_insert_with(Instant::now);
        self.poll_stalled(cx).map(Err)
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
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => return self.poll_stalled(cx).map(Err),
            Poll::Ready(read) => read?,
        }
        if buf.filled().len() > before {
            self.arrivals.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
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
