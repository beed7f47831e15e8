//! Single callbacks: connections that are kept, and what goes wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chathook_protocol::Command;
use chathook_simulator::{App, Client, Connection, Request, SendError, Settings, Target, Tls, VerdictKind};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::server::{OK, Reply, Server, response};

fn client(url: &str, settings: &Settings) -> Client {
    Client::new(url.parse().unwrap(), App::signed(1_400_000_001, "token"), settings).unwrap()
}

fn before() -> Request {
    Request::sample(Command::GroupBeforeSendMsg)
}

#[tokio::test]
async fn connections_are_kept() {
    let server = Server::start(|_| Reply::ok()).await;
    let client = client(&server.url(), &Settings::default());
    for _ in 0..5 {
        let exchange = client.send(&before()).await;
        assert_eq!(exchange.verdict(&before()).kind(), VerdictKind::Allowed);
        assert_eq!(exchange.result.unwrap().status, 200);
    }
    assert_eq!((server.connections(), server.seen().len()), (1, 5));
}

#[tokio::test]
async fn no_more_connections_are_opened_than_allowed() {
    let server = Server::start(|_| Reply::Late(Duration::from_millis(20))).await;
    let settings = Settings { connections: 3, ..Settings::default() };
    let client = Arc::new(client(&server.url(), &settings));
    let sending: Vec<_> = (0..12)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.send(&before()).await.result.map(drop) })
        })
        .collect();
    for sent in sending {
        sent.await.unwrap().unwrap();
    }
    assert_eq!((server.connections(), server.seen().len()), (3, 12));
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_costs_no_callback() {
    // It says so, or does not say so; both times the next callback goes over a new one.
    let closing = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{OK}", OK.len());
    for answer in [closing, response("200 OK", OK)] {
        let server = Server::start(move |_| Reply::ThenClose(answer.clone())).await;
        let client = client(&server.url(), &Settings::default());
        for _ in 0..10 {
            client.send(&before()).await.result.unwrap();
        }
        assert_eq!((server.connections(), server.seen().len()), (10, 10));
    }
}

#[tokio::test]
async fn bodies_in_chunks_without_length_and_after_an_interim_answer_are_read() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nServer: x\r\n\r\n\
                   8;a=b\r\n{\"Action\r\n2A\r\nStatus\":\"OK\",\"ErrorInfo\":\"\",\"ErrorCode\":0}\r\n0\r\nT: 1\r\n\r\n";
    let interim = format!("HTTP/1.1 100 Continue\r\n\r\n{}", response("200 OK", OK));
    let server = Server::start({
        let (chunked, interim) = (chunked.to_owned(), interim);
        move |received| match received.json()["From_Account"].as_str().unwrap() {
            "chunked" => Reply::Raw(chunked.clone()),
            "interim" => Reply::Raw(interim.clone()),
            _ => Reply::ThenClose(format!("HTTP/1.0 200 OK\r\n\r\n{OK}")),
        }
    })
    .await;
    let client = client(&server.url(), &Settings::default());
    for (from, connections) in [("chunked", 1), ("interim", 1), ("no length", 1), ("chunked", 2)] {
        let request = Request::new("Unknown.Command", format!(r#"{{"From_Account":"{from}"}}"#));
        let response = client.send(&request).await.result.unwrap();
        assert_eq!(response.body, OK, "{from}");
        assert_eq!(server.connections(), connections, "{from}");
    }
}

#[tokio::test]
async fn headers_are_found_in_any_spelling() {
    let answer = format!("HTTP/1.1 403 Forbidden\r\nDATE: today\r\nContent-Length: {}\r\n\r\n{OK}", OK.len());
    let server = Server::start(move |_| Reply::Raw(answer.clone())).await;
    let response = client(&server.url(), &Settings::default()).send(&before()).await.result.unwrap();
    assert_eq!((response.status, response.header("date"), response.header("x")), (403, Some("today"), None));
}

#[tokio::test]
async fn after_two_seconds_it_is_given_up() {
    let server = Server::start(|_| Reply::Never).await;
    let settings = Settings { timeout: Duration::from_millis(80), ..Settings::default() };
    let exchange = client(&server.url(), &settings).send(&before()).await;
    assert!(matches!(exchange.result, Err(SendError::TimedOut(limit)) if limit == settings.timeout));
    assert!(exchange.took >= settings.timeout);
    assert_eq!(Settings::default().timeout, Duration::from_secs(2));
}

#[tokio::test]
async fn time_counts_from_the_instant_that_a_callback_was_due() {
    let server = Server::start(|_| Reply::ok()).await;
    let client = client(&server.url(), &Settings::default());
    let due = Instant::now().checked_sub(Duration::from_millis(700)).unwrap();
    let exchange = client.send_due(&before(), due).await;
    assert!(exchange.result.is_ok() && exchange.took >= Duration::from_millis(700));
    let long_ago = Instant::now().checked_sub(Duration::from_secs(3)).unwrap();
    assert!(matches!(client.send_due(&before(), long_ago).await.result, Err(SendError::TimedOut(_))));
}

#[tokio::test]
async fn what_goes_wrong_is_said_by_its_kind() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gone = client(&format!("http://{free}/"), &Settings::default()).send(&before()).await;
    assert!(matches!(gone.result, Err(SendError::Connect { address, .. }) if address == free));

    let nowhere = client("http://no-such-host.invalid/", &Settings::default()).send(&before()).await;
    assert!(matches!(nowhere.result, Err(SendError::Resolve { .. } | SendError::TimedOut(_))));

    let closing = Server::start(|_| Reply::Close).await;
    let closed = client(&closing.url(), &Settings::default()).send(&before()).await;
    assert!(matches!(closed.result, Err(SendError::Closed(_))));

    let cut = Server::start(|_| Reply::ThenClose("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{".to_owned())).await;
    let closed = client(&cut.url(), &Settings::default()).send(&before()).await;
    assert!(matches!(closed.result, Err(SendError::Closed(_))));

    let other = Server::start(|_| Reply::ThenClose("220 mail.example.com ESMTP\r\n\r\n".to_owned())).await;
    let no_http = client(&other.url(), &Settings::default()).send(&before()).await;
    assert!(matches!(no_http.result, Err(SendError::NotHttp(_))));

    let huge = Server::start(|_| Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_owned())).await;
    let too_large = client(&huge.url(), &Settings::default()).send(&before()).await;
    assert!(matches!(too_large.result, Err(SendError::TooLarge)));
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_given_authority_vouches_for() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let server = Server::start_tls(Arc::new(config).into()).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, cert.pem()).unwrap();

    let url = format!("https://localhost:{}/", server.address.port());
    let trusting = Settings { ca: Some(ca.clone()), ..Settings::default() };
    let trusted = client(&url, &trusting);
    for _ in 0..3 {
        assert_eq!(trusted.send(&before()).await.result.unwrap().body, OK);
    }
    assert_eq!(server.connections(), 1);

    let target: Target = url.parse().unwrap();
    let connection = Connection::open(&target, server.address, &Tls::new(&target, Some(&ca)).unwrap()).await.unwrap();
    assert_eq!(connection.certificates(), [cert.der().to_vec()]);

    // Another host's name, and nobody who vouches.
    let other = client(&format!("https://{}/", server.address), &trusting).send(&before()).await;
    assert!(matches!(other.result, Err(SendError::Tls { .. })), "{other:?}");
    let untrusted = client(&url, &Settings::default()).send(&before()).await;
    assert!(matches!(untrusted.result, Err(SendError::Tls { .. })), "{untrusted:?}");
    let unread = Settings { ca: Some(folder.path().join("none.pem")), ..Settings::default() };
    assert!(matches!(Client::new(target, App::unsigned(1), &unread), Err(SendError::TlsSetup(_))));
}
