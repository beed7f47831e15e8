//! The time of a callback runs from the first byte of its request, whatever else the connection was used for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chathook_protocol::group;
use chathook_router::Ctx;
use chathook_tests::{Connection, TestGateway, config, request, signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};
use tokio::time::sleep;

const BEFORE: &str = "Group.CallbackBeforeSendMsg";
const MESSAGE: &str = r#"{"GroupId":"g","From_Account":"u","MsgBody":[]}"#;
const FALLBACK: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}"#;

const DEADLINE: Duration = Duration::from_millis(500);
/// How late an answer may be on a busy machine.
const LATE: Duration = Duration::from_millis(200);
/// How long a part of a request is held back: more than an answer may be late, less than it may take.
const HELD: Duration = Duration::from_millis(300);
/// How long a connection is idle: its time would be over.
const IDLE: Duration = Duration::from_millis(600);

/// A gateway that nobody decides for: every answer is the fallback, at the deadline.
async fn gateway(more: &str) -> TestGateway {
    let toml = config(more) + "[decide]\non_failure = \"reject\"\n" + &format!("deadline = \"{DEADLINE:?}\"\n");
    TestGateway::with(&toml, (), |gateway| {
        gateway.before(|_cx: Ctx, _msg: group::BeforeSendMsg| async {
            std::future::pending::<()>().await;
            Ok(group::SendDecision::allow())
        })
    })
    .await
}

fn message() -> Vec<u8> {
    request(&format!("/?{}", signed(BEFORE)), MESSAGE.as_bytes())
}

/// The answer to the request that began at `began` comes at its deadline.
async fn answered(connection: &mut Connection, began: Instant) {
    assert_eq!(connection.response().await.unwrap().body, FALLBACK);
    in_time(began.elapsed());
}

fn in_time(taken: Duration) {
    assert!((DEADLINE..DEADLINE + LATE).contains(&taken), "answered after {taken:?}");
}

#[tokio::test]
async fn the_deadline_counts_from_the_first_byte_of_the_request() {
    let gateway = gateway("").await;
    let mut connection = gateway.connect().await;
    let message = message();
    for _ in 0..2 {
        // What was before the request does not count, neither on a new connection nor on a kept one.
        sleep(IDLE).await;
        let began = Instant::now();
        connection.write(&message[..1]).await.unwrap();
        sleep(HELD / 2).await;
        connection.write(&message[1..20]).await.unwrap();
        sleep(HELD / 2).await;
        connection.write(&message[20..]).await.unwrap();
        answered(&mut connection, began).await;
    }
}

#[tokio::test]
async fn a_body_that_follows_its_head_is_not_the_beginning_of_the_next_request() {
    let gateway = gateway("").await;
    let mut connection = gateway.connect().await;
    let message = message();
    let (head, body) = message.split_at(message.len() - MESSAGE.len());
    let began = Instant::now();
    connection.write(head).await.unwrap();
    while gateway.metric("chathook_requests_in_flight").await < 1.0 {
        tokio::task::yield_now().await;
    }
    connection.write(body).await.unwrap();
    answered(&mut connection, began).await;

    sleep(IDLE).await;
    let (line, headers) = head.split_at(head.windows(2).position(|window| window == b"\r\n").unwrap() + 2);
    let began = Instant::now();
    connection.write(&[line, b"Expect: 100-continue\r\n", headers].concat()).await.unwrap();
    assert_eq!(connection.response().await.unwrap().status, 100);
    connection.write(body).await.unwrap();
    answered(&mut connection, began).await;

    sleep(IDLE).await;
    let began = Instant::now();
    connection.write(&message).await.unwrap();
    answered(&mut connection, began).await;
}

#[tokio::test]
async fn pipelined_requests_count_from_when_they_were_read() {
    let gateway = gateway("").await;
    let (mut together, mut behind) = (gateway.connect().await, gateway.connect().await);
    let first = Instant::now();
    together.write(&message().repeat(2)).await.unwrap();
    behind.write(&message()).await.unwrap();
    sleep(HELD).await;
    let second = Instant::now();
    behind.write(&message()).await.unwrap();
    answered(&mut together, first).await;
    answered(&mut together, first).await;
    answered(&mut behind, first).await;
    answered(&mut behind, second).await;
}

#[tokio::test]
async fn the_first_byte_of_a_tls_record_counts_and_the_handshake_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(dir.path().join("tls.crt"), server.cert.pem()).unwrap();
    std::fs::write(dir.path().join("tls.key"), server.signing_key.serialize_pem()).unwrap();
    let path = dir.path().display();
    let gateway = gateway(&format!("tls = {{ cert = \"{path}/tls.crt\", key = \"{path}/tls.key\" }}")).await;
    let mut trusts = RootCertStore::empty();
    trusts.add(server.cert.der().clone()).unwrap();
    let mut clients = tokio::task::JoinSet::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(trusts.clone())
            .with_no_client_auth();
        let (address, client) = (gateway.callbacks, Arc::new(client));
        clients.spawn_blocking(move || {
            for handshake in [HandshakeKind::Full, HandshakeKind::Resumed] {
                over_tls(address, Arc::clone(&client), handshake);
            }
        });
    }
    clients.join_all().await;
}

/// Sends two requests, each a record that comes in pieces.
fn over_tls(address: SocketAddr, client: Arc<ClientConfig>, handshake: HandshakeKind) {
    let mut session = ClientConnection::new(client, ServerName::from(address.ip())).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    session.complete_io(&mut socket).unwrap();
    assert_eq!(session.handshake_kind(), Some(handshake));
    for _ in 0..2 {
        std::thread::sleep(IDLE);
        let mut record = Vec::new();
        session.writer().write_all(&message()).unwrap();
        session.write_tls(&mut record).unwrap();
        let began = Instant::now();
        socket.write_all(&record[..1]).unwrap();
        std::thread::sleep(HELD);
        socket.write_all(&record[1..]).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(FALLBACK.as_bytes()) {
            session.complete_io(&mut socket).unwrap();
            let _ = session.reader().read_to_end(&mut answer);
        }
        in_time(began.elapsed());
    }
}
