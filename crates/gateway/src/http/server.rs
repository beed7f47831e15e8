//! The public listener: what `actix_web::HttpServer` sets up, over connections of our own, which it has no place for.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_tls::accept::TlsError;
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::dev::{AppConfig, ServiceRequest, ServiceResponse};
use actix_web::{App, Error};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;

use super::Config;
use super::connection::{Arrivals, Connection};

/// How long a connection may be idle.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long the head of the first request of a connection may take.
const REQUEST_HEAD: Duration = Duration::from_secs(5);
/// How long a connection that is being closed may take.
const DISCONNECT: Duration = Duration::from_secs(1);
/// How many connections may wait for being accepted.
const BACKLOG: u32 = 1024;

/// A server on all addresses that `listen` stands for, and the first of them. Has to be called on a tokio runtime.
///
/// # Errors
/// When none of the addresses can be listened on.
pub(crate) fn bind<F, Fut>(
    config: &Config,
    grace: Duration,
    tls: Option<ServerConfig>,
    answer: F,
) -> io::Result<(Server, SocketAddr)>
where
    F: Fn(ServiceRequest) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<ServiceResponse, Error>> + 'static,
{
    let mut server = Server::build().shutdown_timeout(grace.as_secs().max(1)).disable_signals();
    if config.workers > 0 {
        server = server.workers(config.workers);
    }
    let acceptor = tls.map(|mut tls| {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Acceptor::new(tls)
    });
    let listeners = listeners(&config.listen)?;
    let address = listeners.first().ok_or(io::ErrorKind::AddrNotAvailable)?.local_addr()?;
    for listener in listeners {
        let (answer, stopping) = (answer.clone(), server.graceful_shutdown_signal());
        server = match acceptor.clone() {
            None => server.listen("callbacks", listener, move || {
                let http = http(answer.clone(), stopping.clone(), Connection::arrivals);
                fn_service(async |stream| Ok(plain(Connection::new(stream)))).and_then(http)
            }),
            Some(acceptor) => server.listen("callbacks", listener, move || {
                let http =
                    http(answer.clone(), stopping.clone(), |io: &TlsStream<Connection>| io.get_ref().0.arrivals());
                fn_service(async |stream| Ok(Connection::new(stream)))
                    .and_then(acceptor.clone())
                    .map_err(TlsError::into_service_error)
                    .map(encrypted)
                    .and_then(http.map_err(TlsError::Service))
            }),
        }?;
    }
    Ok((server.run(), address))
}

/// A listener on each address that `listen` stands for and that can be listened on.
fn listeners(listen: &str) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let mut refused = None;
    for address in listen.to_socket_addrs()? {
        match listener(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// A connection as [`HttpService`] takes it.
type Accepted<T> = (T, Protocol, Option<SocketAddr>);

fn plain(connection: Connection) -> Accepted<Connection> {
    let peer = connection.peer();
    (connection, Protocol::Http1, peer)
}

fn encrypted(stream: TlsStream<Connection>) -> Accepted<TlsStream<Connection>> {
    let (connection, session) = stream.get_ref();
    let protocol = match session.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    connection.handshake_ends(protocol == Protocol::Http2);
    let peer = connection.peer();
    (stream, protocol, peer)
}

/// Speaks HTTP. One service for all there is: nothing to route, and nothing to extract.
fn http<T, F, Fut>(
    answer: F,
    stopping: GracefulShutdownSignal,
    arrivals: impl Fn(&T) -> Rc<Arrivals> + 'static,
) -> impl ServiceFactory<Accepted<T>, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    F: Fn(ServiceRequest) -> Fut + Clone + 'static,
    Fut: Future<Output = Result<ServiceResponse, Error>> + 'static,
{
    let app = App::new().default_service(fn_service(answer));
    HttpService::build()
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(REQUEST_HEAD)
        .client_disconnect_timeout(DISCONNECT)
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .on_connect_ext(move |io, data| {
            data.insert(arrivals(io));
        })
        .finish(map_config(app, |()| AppConfig::default()))
}
