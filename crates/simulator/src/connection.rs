//! One connection to a callback server: HTTP/1.1, kept alive, one request at a time.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{OwnLimit, SendError};
use crate::target::Target;

/// How much of an answer is read; more is [`SendError::TooLarge`].
pub const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// How many headers an answer may have.
const MAX_HEADERS: usize = 64;

/// How a connection is made private, if at all.
#[derive(Clone)]
pub struct Tls(Option<(TlsConnector, ServerName<'static>)>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.0.as_ref().map(|(_, name)| name)).finish()
    }
}

impl Tls {
    /// What `target` needs: nothing for `http`; for `https` trust in the authorities of the file `ca`, else in those of
    /// the system.
    ///
    /// # Errors
    /// When the file has no certificates, or the system none to trust.
    pub fn new(target: &Target, ca: Option<&Path>) -> Result<Self, SendError> {
        if !target.is_https() {
            return Ok(Self(None));
        }
        let unusable = |error: rustls::Error| SendError::TlsSetup(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match ca {
            Some(file) => builder.with_root_certificates(authorities(file)?),
            None => builder.with_platform_verifier().map_err(unusable)?,
        };
        let name = ServerName::try_from(target.host().to_owned())
            .map_err(|_| SendError::TlsSetup(format!("{} is no name for a certificate", target.host())))?;
        let config = builder.with_no_client_auth();
        Ok(Self(Some((TlsConnector::from(Arc::new(config)), name))))
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, SendError> {
    let unread = |problem: String| SendError::TlsSetup(format!("{}: {problem}", file.display()));
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unread(error.to_string()))? {
        let certificate = certificate.map_err(|error| unread(error.to_string()))?;
        authorities.add(certificate).map_err(|error| unread(error.to_string()))?;
    }
    match authorities.is_empty() {
        true => Err(unread("holds no certificate".to_owned())),
        false => Ok(authorities),
    }
}

/// A connection. After an exchange that failed, or was not awaited to its end, it is of no use.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    address: SocketAddr,
    /// The answer that is being read, or was read last.
    read: Vec<u8>,
    answer: Answer,
    /// How many answers came.
    answered: u64,
    is_open: bool,
}

/// What was read last.
#[derive(Debug, Default)]
struct Answer {
    status: u16,
    /// Where the body begins in what was read.
    head: usize,
    /// A body that came in chunks, put together; else it ends where what was read ends.
    joined: Option<Vec<u8>>,
}

impl Connection {
    /// Connects to one address of `target`, TLS included.
    ///
    /// # Errors
    /// When nobody takes the connection, or TLS does not come about.
    pub async fn open(target: &Target, address: SocketAddr, tls: &Tls) -> Result<Self, SendError> {
        let failed = |source| match OwnLimit::of(&source) {
            Some(limit) => SendError::OwnLimit { address, source, limit },
            None => SendError::Connect { address, source },
        };
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let stream = match &tls.0 {
            None => Stream::Plain(stream),
            Some((connector, name)) => {
                let failed = |source| SendError::Tls { host: target.host().to_owned(), source };
                Stream::Tls(Box::new(connector.connect(name.clone(), stream).await.map_err(failed)?))
            }
        };
        Ok(Self {
            stream,
            address,
            read: Vec::with_capacity(1024),
            answer: Answer::default(),
            answered: 0,
            is_open: true,
        })
    }

    /// Looks `target` up and connects to the first of its addresses that takes it.
    ///
    /// # Errors
    /// When there is none; the error is that of the last address.
    pub async fn open_any(target: &Target, tls: &Tls) -> Result<Self, SendError> {
        let mut last = None;
        for address in target.resolve().await? {
            match Self::open(target, address, tls).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| SendError::Resolve {
            host: target.host().to_owned(),
            source: io::ErrorKind::NotFound.into(),
        }))
    }

    /// Writes `request`, head and body, and reads the answer. Gives its status.
    ///
    /// # Errors
    /// When the connection ends before the answer does, or what comes is no answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<u16, SendError> {
        self.is_open = false;
        self.read.clear();
        // Who has refused already may have closed its side before all was written: the answer counts.
        let written = self.stream.write_all(request).await;
        let written = match written {
            Ok(()) => self.stream.flush().await,
            failed => failed,
        };
        let keeps = match self.read_answer().await {
            Err(SendError::Closed(read)) => return Err(SendError::Closed(written.err().unwrap_or(read))),
            keeps => keeps?,
        };
        self.answered += 1;
        self.is_open = keeps && written.is_ok();
        Ok(self.answer.status)
    }

    /// The address at the other end.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificates that the other side has shown, its own first, as DER. None without TLS.
    #[must_use]
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        match &self.stream {
            Stream::Plain(_) => Vec::new(),
            Stream::Tls(stream) => stream
                .get_ref()
                .1
                .peer_certificates()
                .unwrap_or_default()
                .iter()
                .map(|certificate| certificate.to_vec())
                .collect(),
        }
    }

    /// The body of the last answer.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        match &self.answer.joined {
            Some(body) => body,
            None => self.read.get(self.answer.head..).unwrap_or_default(),
        }
    }

    /// The headers of the last answer.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, String)> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let _ = head.parse(&self.read);
        head.headers
            .iter()
            .filter(|header| !header.name.is_empty())
            .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
            .collect()
    }

    /// Whether another request can be sent: the last answer was whole, and the other side has not closed since.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open && self.stream.is_open()
    }

    /// Whether `error` only says that the other side closed a connection that it had kept, before it saw the request.
    #[must_use]
    pub fn is_stale(&self, error: &SendError) -> bool {
        matches!(error, SendError::Closed(_)) && self.answered > 0 && self.read.is_empty()
    }

    /// Reads one answer; says whether the connection stays open.
    async fn read_answer(&mut self) -> Result<bool, SendError> {
        loop {
            if let Some(head) = Head::parse(&self.read)? {
                self.answer = Answer { status: head.status, head: head.length, joined: None };
                match head.body {
                    Body::Informational => {
                        self.read.drain(..head.length);
                        continue;
                    }
                    Body::Length(length) => {
                        let end = head.length.checked_add(length).filter(|end| *end <= MAX_ANSWER);
                        let end = end.ok_or(SendError::TooLarge)?;
                        self.fill(end).await?;
                        // What nobody asked for belongs to no request of ours.
                        let nothing_more = self.read.len() == end;
                        self.read.truncate(end);
                        return Ok(head.keeps && nothing_more);
                    }
                    Body::Chunked => {
                        let (joined, nothing_more) = self.chunks(head.length).await?;
                        self.answer.joined = Some(joined);
                        return Ok(head.keeps && nothing_more);
                    }
                    Body::UntilClosed => {
                        while self.more().await? > 0 {}
                        return Ok(false);
                    }
                }
            }
            if self.more().await? == 0 {
                return Err(ended());
            }
        }
    }

    /// Reads until there are `length` bytes.
    async fn fill(&mut self, length: usize) -> Result<(), SendError> {
        while self.read.len() < length {
            if self.more().await? == 0 {
                return Err(ended());
            }
        }
        Ok(())
    }

    /// Reads what there is; 0 at the end.
    async fn more(&mut self) -> Result<usize, SendError> {
        if self.read.len() > MAX_ANSWER {
            return Err(SendError::TooLarge);
        }
        self.stream.read_buf(&mut self.read).await.map_err(SendError::Closed)
    }

    /// A body in chunks, put together, and whether nothing came behind it.
    async fn chunks(&mut self, mut at: usize) -> Result<(Vec<u8>, bool), SendError> {
        let mut joined = Vec::new();
        loop {
            let (line, length) = loop {
                match httparse::parse_chunk_size(self.read.get(at..).unwrap_or_default()) {
                    Ok(httparse::Status::Complete(found)) => break found,
                    Ok(httparse::Status::Partial) if self.more().await? > 0 => {}
                    Ok(httparse::Status::Partial) => return Err(ended()),
                    Err(_) => return Err(SendError::NotHttp("the length of a chunk")),
                }
            };
            let length = usize::try_from(length).ok().filter(|length| *length <= MAX_ANSWER);
            let length = length.ok_or(SendError::TooLarge)?;
            at += line;
            if length == 0 {
                return Ok((joined, self.trailers(at).await?));
            }
            self.fill(at + length + 2).await?;
            joined.extend_from_slice(self.read.get(at..at + length).unwrap_or_default());
            at += length + 2;
        }
    }

    /// Skips the lines behind the last chunk up to the empty one.
    async fn trailers(&mut self, mut at: usize) -> Result<bool, SendError> {
        loop {
            match self.read.get(at..).unwrap_or_default().windows(2).position(|pair| pair == b"\r\n") {
                Some(0) => return Ok(self.read.len() == at + 2),
                Some(line) => at += line + 2,
                None if self.more().await? > 0 => {}
                None => return Err(ended()),
            }
        }
    }
}

fn ended() -> SendError {
    SendError::Closed(io::ErrorKind::UnexpectedEof.into())
}

/// What the head of an answer says.
struct Head {
    status: u16,
    length: usize,
    body: Body,
    keeps: bool,
}

enum Body {
    /// None, and the answer is still to come: a status from 100 to 199.
    Informational,
    Length(usize),
    Chunked,
    UntilClosed,
}

impl Head {
    /// Reads a head once it is whole.
    fn parse(read: &[u8]) -> Result<Option<Self>, SendError> {
        if read.is_empty() {
            return Ok(None);
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let length = match head.parse(read) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(SendError::NotHttp("the head of the answer")),
        };
        let status = head.code.unwrap_or_default();
        let (mut body, mut keeps) = (None, head.version == Some(1));
        for header in head.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") && !matches!(body, Some(Body::Chunked)) {
                let length = std::str::from_utf8(header.value).ok().and_then(|length| length.trim().parse().ok());
                body = Some(Body::Length(length.ok_or(SendError::NotHttp("Content-Length"))?));
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                match header.value.eq_ignore_ascii_case(b"chunked") {
                    true => body = Some(Body::Chunked),
                    false => return Err(SendError::NotHttp("an unknown Transfer-Encoding")),
                }
            } else if header.name.eq_ignore_ascii_case("connection") {
                let mut words = header.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                keeps &= !words.any(|word| word.eq_ignore_ascii_case(b"close"));
            }
        }
        let body = match status {
            100..=199 => Body::Informational,
            204 | 304 => Body::Length(0),
            _ => body.unwrap_or(Body::UntilClosed),
        };
        Ok(Some(Self { status, length, body, keeps }))
    }
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether nothing has come since the last answer: neither an end nor anything else.
    fn is_open(&self) -> bool {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        };
        match self {
            // Reading a byte would break the TLS of it.
            Self::Tls(_) => true,
            Self::Plain(_) => {
                let read = stream.try_read(&mut [0]);
                matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
