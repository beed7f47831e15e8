//! Very many connections: idle ones, short ones, ones with many requests at once, ones that break.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chathook_tests::{Connection, OK, REFUSED, request};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::{
    AFTER, BEFORE, CHAT_WAITS, Chat, FALLBACK, MESSAGE, alone, at_length, callback, exchange, gateway,
    has_open_at_most, open_files, resident, sent,
};

/// What the gateway may have in memory, in MiB.
const ROOM: u64 = 200;

/// A sequence of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }
}

/// Allows this process, and those that it starts, `files` open files.
fn allow_open(files: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        let raised = Rlimit { current: limit.maximum.map(|most| most.min(files.max(20_000))), ..limit };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    assert!(most >= files, "the limit of open files is {most}; this test needs {files}: `ulimit -Hn {files}`");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_take_less_than_200_mib() {
    const IDLE: usize = 10_000;
    let _alone = alone().await;
    allow_open(IDLE as u64 + 500);
    let (gateway, _) = gateway("").await;
    let before = resident(gateway.pid());
    let began = Instant::now();
    let mut opening = JoinSet::new();
    for _ in 0..50 {
        let address = gateway.callbacks;
        opening.spawn(async move {
            let mut opened = Vec::new();
            for _ in 0..IDLE / 50 {
                let mut connection = Connection::open(address).await.unwrap();
                let (answer, taken) = exchange(&mut connection, &callback(BEFORE, MESSAGE)).await.unwrap();
                assert_eq!(answer.body, OK);
                assert!(taken < CHAT_WAITS, "answered after {taken:?}");
                opened.push(connection);
            }
            opened
        });
    }
    let mut idle: Vec<_> = opening.join_all().await.into_iter().flatten().collect();
    assert_eq!(idle.len(), IDLE);
    assert!(open_files(gateway.pid()) >= IDLE, "all of them are open: {}", open_files(gateway.pid()));
    let opened = began.elapsed();
    let memory = resident(gateway.pid());
    println!("{IDLE} connections in {opened:?}: {memory} MiB, and {before} MiB without them");
    assert!(memory < ROOM, "{memory} MiB");

    let chat = Chat::calls(gateway.callbacks);
    sleep(Duration::from_secs(1)).await;
    println!("{}", chat.ends().await);
    // None was forgotten.
    for connection in idle.iter_mut().step_by(100) {
        let (answer, taken) = exchange(connection, &callback(BEFORE, MESSAGE)).await.unwrap();
        assert_eq!(answer.body, OK);
        assert!(taken < CHAT_WAITS, "answered after {taken:?}");
    }
    drop(idle);
    assert_eq!(gateway.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn short_connections_come_and_go_and_leave_nothing_behind() {
    let _alone = alone().await;
    let (gateway, open) = gateway("").await;
    let number = at_length(5_000, 20_000);
    let (chat, places) = (Chat::calls(gateway.callbacks), Arc::new(Semaphore::new(64)));
    let (before, began) = (resident(gateway.pid()), Instant::now());
    let mut clients = JoinSet::new();
    for i in 0..number {
        let (place, address) = (Arc::clone(&places).acquire_owned().await.unwrap(), gateway.callbacks);
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // One in four says nothing at all, and one in four resets after the answer.
            if i % 4 > 0 {
                stream.write_all(&callback(AFTER, &sent(i))).await.unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(OK.as_bytes()) {
                    assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed without an answer");
                }
            }
            if i % 4 == 1 {
                stream.set_zero_linger().unwrap();
            }
            drop(place);
        });
        while let Some(ended) = clients.try_join_next() {
            ended.unwrap();
        }
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    println!("{number} connections in {:?}, and {}", began.elapsed(), chat.ends().await);
    has_open_at_most(gateway.pid(), open).await;
    let memory = resident(gateway.pid());
    println!("{memory} MiB, and {before} MiB before");
    assert!(memory < ROOM, "{memory} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_requests_come_at_once_all_are_answered() {
    let _alone = alone().await;
    let (gateway, _) = gateway("").await;
    for number in [15, 16, 17, 18, 33, 100] {
        let mut connection = gateway.connect().await;
        connection.write(&request("/?SdkAppid=1", b"").repeat(number)).await.unwrap();
        for i in 0..number {
            let answer = connection.response().await.unwrap_or_else(|error| panic!("{i} of {number}: {error}"));
            assert_eq!((answer.status, answer.body.as_str()), (403, REFUSED));
        }
    }
}

/// Requests that are answered in different ways, with their answers.
fn mixed(client: u64, numbers: &mut Numbers) -> Vec<(Vec<u8>, u16, &'static str)> {
    let large = format!(r#"{{"New":"{}"}}"#, "x".repeat(2000));
    let requests = (0..50).map(|i| {
        let number = usize::try_from(client).unwrap() * 1000 + i;
        match numbers.below(6) {
            0 => (callback(BEFORE, MESSAGE), 200, OK),
            1 => (callback(BEFORE, "{"), 200, FALLBACK),
            2 => (callback(AFTER, &sent(number)), 200, OK),
            3 => (callback(BEFORE, &large), 200, FALLBACK),
            4 => (callback(AFTER, &large), 413, "body too large"),
            _ => (request("/?SdkAppid=1", b""), 403, REFUSED),
        }
    });
    requests.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_in_any_pieces_are_answered_in_their_order() {
    let _alone = alone().await;
    let (gateway, open) = gateway("max_body = \"1KiB\"").await;
    // Not too many at a time: what waits behind others until its deadline gets the fallback, or is not kept.
    let (mut clients, places) = (JoinSet::new(), Arc::new(Semaphore::new(4)));
    for client in 0..at_length(50, 1000_u64) {
        let (place, address) = (Arc::clone(&places).acquire_owned().await.unwrap(), gateway.callbacks);
        clients.spawn(async move {
            let mut numbers = Numbers(client);
            let requests = mixed(client, &mut numbers);
            let mut rest = requests.as_slice();
            // Where a later request has arrived in part, the gateway may say that it closes: then the rest goes over
            // another connection.
            while !rest.is_empty() {
                let mut connection = Connection::open(address).await.unwrap();
                let bytes: Vec<u8> = rest.iter().flat_map(|(bytes, ..)| bytes).copied().collect();
                let mut unsent = bytes.as_slice();
                while !unsent.is_empty() {
                    let (piece, behind) = unsent.split_at((1 + numbers.below(3000)).min(unsent.len()));
                    if connection.write(piece).await.is_err() {
                        break;
                    }
                    unsent = behind;
                }
                let mut closes = false;
                while let [(_, status, body), behind @ ..] = rest {
                    match connection.response().await {
                        Ok(answer) => {
                            let place = requests.len() - rest.len();
                            assert_eq!(answer.status, *status, "client {client}, request {place}: {}", answer.body);
                            assert!(answer.body.contains(body), "client {client}, request {place}: {}", answer.body);
                            closes |= answer.header("connection") == Some("close");
                            rest = behind;
                        }
                        Err(error) => {
                            assert!(closes, "client {client}: closed without a word: {error}");
                            break;
                        }
                    }
                }
            }
            drop(place);
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    has_open_at_most(gateway.pid(), open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_anywhere_hurt_nobody() {
    let _alone = alone().await;
    let (gateway, open) = gateway("").await;
    let (chat, places) = (Chat::calls(gateway.callbacks), Arc::new(Semaphore::new(64)));
    let (number, began) = (at_length(3_000, 30_000), Instant::now());
    let (mut clients, mut numbers) = (JoinSet::new(), Numbers(7));
    for i in 0..number {
        let (place, address) = (Arc::clone(&places).acquire_owned().await.unwrap(), gateway.callbacks);
        let whole = match i % 3 {
            0 => callback(BEFORE, MESSAGE),
            1 => callback(AFTER, &sent(i)),
            _ => [callback(AFTER, &sent(i)), callback(BEFORE, MESSAGE)].concat(),
        };
        // Anywhere in the head, in the body, or while it is answered.
        let (sent, waits) = (numbers.below(whole.len() + whole.len() / 4).min(whole.len()), numbers.below(3));
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&whole[..sent]).await.unwrap();
            if waits == 1 {
                tokio::task::yield_now().await;
            } else if waits == 2 && sent == whole.len() {
                let _ = stream.read(&mut [0; 30]).await;
            }
            stream.set_zero_linger().unwrap();
            drop((stream, place));
        });
    }
    clients.join_all().await;
    println!("{number} broken connections in {:?}, and {}", began.elapsed(), chat.ends().await);
    has_open_at_most(gateway.pid(), open).await;
    assert_eq!(gateway.metric("chathook_requests_in_flight").await, 0.0);
    let memory = resident(gateway.pid());
    assert!(memory < ROOM, "{memory} MiB");
    assert_eq!(gateway.stop().await.code, Some(0));
}
