//! The stretch of network between a client and a server, which loses or changes what a test says.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::delivery::LIMIT;

/// Leads to one server. Ends with the test.
pub struct Network {
    /// Where clients connect to.
    pub address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Whether what clients send is lost.
    loses: bool,
    /// How many bytes were lost.
    lost: usize,
    /// How often all connections were cut.
    cuts: usize,
}

impl Network {
    /// Leads to `server`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(watch::Sender::<State>::default());
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, state, accepting }
    }

    /// Loses what clients send from now on; once something is lost, cuts all connections, and works again.
    ///
    /// # Panics
    /// When nobody sends anything.
    pub async fn loses_something_and_is_cut(&self) {
        let before = self.state.borrow().lost;
        self.state.send_modify(|state| state.loses = true);
        let lost = timeout(LIMIT, async { self.state.subscribe().wait_for(|state| state.lost > before).await.is_ok() });
        assert!(lost.await.is_ok(), "something is sent");
        self.state.send_modify(|state| *state = State { loses: false, cuts: state.cuts + 1, ..*state });
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries the bytes of one connection, until it ends or is cut.
async fn carry(client: TcpStream, server: SocketAddr, state: Arc<watch::Sender<State>>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cuts = state.subscribe();
    let before = cuts.borrow_and_update().cuts;
    tokio::select! {
        () = pass(from_client, to_server, &state, true) => {}
        () = pass(from_server, to_client, &state, false) => {}
        () = async { drop(cuts.wait_for(|state| state.cuts > before).await) } => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &watch::Sender<State>, is_client: bool) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let is_lost = is_client
            && state.send_if_modified(|state| {
                state.lost += if state.loses { length } else { 0 };
                state.loses
            });
        if !is_lost && to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
