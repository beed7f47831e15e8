//! Clients that send a request byte by byte, or stop in the middle of it, or take no answer: they are let go, and delay
//! nobody.

use std::time::{Duration, Instant};

use chathook_tests::{Connection, OK, TestGateway, unsigned};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{AFTER, BEFORE, Chat, FALLBACK, MESSAGE, alone, at_length, callback, exchange, gateway, has_open_at_most};

/// Who has been let go by then was let go in time: the limit is 5 seconds, and the machine is busy.
const LET_GO: Duration = Duration::from_secs(12);
/// How far apart the bytes are.
const APART: Duration = Duration::from_millis(200);

/// Sends `bytes` one at a time until the other side closes; gives what it has said.
async fn drips(mut connection: Connection, bytes: &[u8]) -> String {
    let began = Instant::now();
    for byte in bytes {
        if connection.write(&[*byte]).await.is_err() {
            break;
        }
        assert!(began.elapsed() < LET_GO, "still listened to after {:?}", began.elapsed());
        if let Ok(said) = timeout(APART, connection.closed()).await {
            return said.map(|said| String::from_utf8_lossy(&said).into_owned()).unwrap_or_default();
        }
    }
    let said = connection.closed().await.unwrap();
    assert!(began.elapsed() < LET_GO, "let go after {:?}", began.elapsed());
    String::from_utf8_lossy(&said).into_owned()
}

/// An endless header.
fn head() -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: g\r\nX-Slow: ".as_slice(), &[b'a'; 10_000]].concat()
}

/// How a slow client behaves.
#[derive(Debug, Clone, Copy)]
enum Slow {
    /// Drips the first head of a connection.
    First,
    /// Drips a later one.
    Later,
    /// Stops in the middle of a later one.
    Silent,
}

async fn slow(gateway: &TestGateway, how: Slow) -> impl Future<Output = String> + use<> {
    let mut connection = gateway.connect().await;
    if !matches!(how, Slow::First) {
        let (answer, _) = exchange(&mut connection, &callback(BEFORE, MESSAGE)).await.unwrap();
        assert_eq!(answer.body, OK);
    }
    async move {
        match how {
            Slow::First | Slow::Later => drips(connection, &head()).await,
            Slow::Silent => {
                connection.write(&head()[..20]).await.unwrap();
                drips(connection, &[]).await
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_drips_a_head_is_let_go_whichever_head_it_is() {
    let _alone = alone().await;
    let (gateway, open) = gateway("").await;
    let chat = Chat::calls(gateway.callbacks);
    let mut clients = JoinSet::new();
    let number = at_length(100, 1000);
    for _ in 0..number {
        for how in [Slow::First, Slow::Later, Slow::Silent] {
            let slow = slow(&gateway, how).await;
            clients.spawn(async move { (how, slow.await) });
        }
    }
    while let Some(ended) = clients.join_next().await {
        let (how, said) = ended.unwrap();
        // The first is told; the others had an answer before.
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{how:?}: {said}");
    }
    println!("{} slow heads, and {}", 3 * number, chat.ends().await);
    has_open_at_most(gateway.pid(), open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_drips_a_body_gets_the_fallback_or_408_and_is_let_go() {
    let _alone = alone().await;
    let (gateway, open) = gateway("").await;
    let chat = Chat::calls(gateway.callbacks);
    let mut clients = JoinSet::new();
    let number = at_length(100, 1000);
    for _ in 0..number {
        for (query, expected) in [
            (chathook_tests::signed(BEFORE), format!("HTTP/1.1 200 OK|{FALLBACK}")),
            (chathook_tests::signed(AFTER), "HTTP/1.1 408 Request Timeout|body incomplete".to_owned()),
            (unsigned(BEFORE), "HTTP/1.1 403 Forbidden|refused".to_owned()),
        ] {
            for length in ["Content-Length: 10000", "Transfer-Encoding: chunked"] {
                let mut connection = gateway.connect().await;
                let head = format!("POST /?{query} HTTP/1.1\r\nHost: g\r\n{length}\r\n\r\n");
                connection.write(head.as_bytes()).await.unwrap();
                let expected = expected.clone();
                clients.spawn(async move {
                    let body = if length.starts_with('C') { b"{".repeat(10_000) } else { b"1\r\n{\r\n".repeat(2_000) };
                    let said = drips(connection, &body).await;
                    let (status, words) = expected.split_once('|').unwrap();
                    assert!(said.starts_with(status) && said.contains(words), "{expected}: {said}");
                });
            }
        }
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    println!("{} slow bodies, and {}", 6 * number, chat.ends().await);
    has_open_at_most(gateway.pid(), open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_answer_is_let_go() {
    let _alone = alone().await;
    let (gateway, open) = gateway("").await;
    let chat = Chat::calls(gateway.callbacks);
    let mut clients = JoinSet::new();
    for _ in 0..at_length(4, 20) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(gateway.callbacks).await.unwrap();
        clients.spawn(async move {
            // Refused, and yet answered on a connection that is kept.
            let questions = b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n".repeat(100);
            // The kernels of both sides take answers for a while: a time for that, and then the limit.
            let began = Instant::now();
            let refused = async { while stream.write_all(&questions).await.is_ok() {} };
            timeout(5 * LET_GO, refused).await.expect("who takes no answer is let go");
            assert!(began.elapsed() > Duration::from_secs(1), "refused at once: {:?}", began.elapsed());
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    println!("{}", chat.ends().await);
    has_open_at_most(gateway.pid(), open).await;
}
