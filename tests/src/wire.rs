//! HTTP by hand: what is sent is what the test says, byte for byte.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No answer takes longer; a test that waits this long has failed.
const LIMIT: Duration = Duration::from_secs(20);

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Response {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// A connection that stays open for as many requests as the gateway lets it.
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// The text of a POST with a body.
#[must_use]
pub fn request(path_and_query: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST {path_and_query} HTTP/1.1\r\nHost: gateway\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    request.extend_from_slice(body);
    request
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: TcpStream::connect(address).await?, read: Vec::new() })
    }

    /// Writes bytes, as they are.
    ///
    /// # Errors
    /// When the other side has closed.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads one response.
    ///
    /// # Errors
    /// When the connection ends before it is whole, or nothing comes for long.
    pub async fn response(&mut self) -> io::Result<Response> {
        loop {
            if let Some((response, length)) = parse(&self.read) {
                self.read.drain(..length);
                return Ok(response);
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Waits until the other side closes; gives what came until then.
    ///
    /// # Errors
    /// When it does not.
    pub async fn closed(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill().await {
                Ok(0) => return Ok(std::mem::take(&mut self.read)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(std::mem::take(&mut self.read));
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        timeout(LIMIT, self.stream.read_buf(&mut self.read))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// A response and its length, once it is whole. The gateway always says how long its bodies are.
fn parse(bytes: &[u8]) -> Option<(Response, usize)> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_end]).ok()?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize =
        headers.iter().find(|(name, _)| name == "content-length").map_or(Some(0), |(_, value)| value.parse().ok())?;
    let body = bytes.get(head_end..head_end + length)?;
    let response = Response { status, headers, body: String::from_utf8_lossy(body).into_owned() };
    Some((response, head_end + length))
}
