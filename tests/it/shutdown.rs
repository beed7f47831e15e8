//! SIGTERM: says so, answers what has arrived, ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chathook_tests::{OK, TestGateway, config, eventually, journal_in, request, signed};

const BEFORE: &str = "Group.CallbackBeforeSendMsg";
const MESSAGE: &str = r#"{"GroupId":"g","From_Account":"u","MsgBody":[]}"#;

#[tokio::test]
async fn what_has_arrived_is_answered_and_told_to_close() {
    let toml = config("").replace("delay = \"0s\"", "delay = \"1s\"");
    let gateway = Arc::new(TestGateway::start(&toml).await);
    let mut idle = gateway.connect().await;
    idle.write(&request(&format!("/?{}", signed(BEFORE)), MESSAGE.as_bytes())).await.unwrap();
    assert_eq!(idle.response().await.unwrap().header("connection"), None);
    // A body of which a part is there when the signal comes.
    let mut slow = gateway.connect().await;
    let whole = request(&format!("/?{}", signed(BEFORE)), MESSAGE.as_bytes());
    let (head, tail) = whole.split_at(whole.len() - 5);
    slow.write(head).await.unwrap();

    gateway.signal("TERM");
    gateway.logged("shutting down").await;
    let ready = gateway.get("/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (503, r#"{"ready":false,"detail":"shutting down"}"#));
    assert_eq!(gateway.get("/healthz").await.status, 200, "it lives");

    let new = gateway.post(BEFORE, MESSAGE).await;
    assert_eq!((new.body.as_str(), new.header("connection")), (OK, Some("close")), "a new connection is still taken");
    idle.write(&request(&format!("/?{}", signed(BEFORE)), MESSAGE.as_bytes())).await.unwrap();
    let kept = idle.response().await.unwrap();
    assert_eq!((kept.body.as_str(), kept.header("connection")), (OK, Some("close")), "a kept connection is told");
    assert!(idle.closed().await.unwrap().is_empty());
    slow.write(tail).await.unwrap();
    let late = slow.response().await.unwrap();
    assert_eq!((late.body.as_str(), late.header("connection")), (OK, Some("close")), "a started request is answered");

    let Ok(gateway) = Arc::try_unwrap(gateway) else { panic!("nobody else has it") };
    assert_eq!(gateway.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_request_at_work_is_waited_for_after_the_delay() {
    let gateway = TestGateway::start(&config("")).await;
    let mut slow = gateway.connect().await;
    let whole = request(&format!("/?{}", signed(BEFORE)), MESSAGE.as_bytes());
    let (head, tail) = whole.split_at(whole.len() - 5);
    slow.write(head).await.unwrap();
    let at_work = async {
        while gateway.metric("chathook_requests_in_flight").await < 1.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), at_work).await.expect("the request is at work");
    gateway.signal("TERM");
    gateway.logged("shutting down").await;
    slow.write(tail).await.unwrap();
    assert_eq!(slow.response().await.unwrap().body, OK);
    assert_eq!(gateway.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_decision_is_waited_for_while_a_handler_finishes_and_nobody_new_is_left_hanging() {
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (seen, open) = (begun.clone(), Arc::clone(&gate));
    let dir = tempfile::tempdir().unwrap();
    let config =
        chathook_gateway::Config::parse(&config(""), "test.toml".as_ref(), journal_in(dir.path(), "")).unwrap();
    let gateway = chathook_gateway::Gateway::builder(config)
        .before(move |_cx: chathook_router::Ctx, _msg: chathook_protocol::group::BeforeSendMsg| {
            let (seen, open) = (seen.clone(), Arc::clone(&open));
            async move {
                seen.send(())?;
                open.acquire().await?.forget();
                Ok(chathook_protocol::group::SendDecision::allow())
            }
        })
        .build()
        .await
        .unwrap();
    let address = gateway.callbacks_address();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(gateway.run_until(Some(stopped)));
    let mut connection = chathook_tests::Connection::open(address).await.unwrap();
    connection.write(&request(&format!("/?{}", signed(BEFORE)), MESSAGE.as_bytes())).await.unwrap();
    begins.recv().await.unwrap();
    drop(stop);
    // Who comes now is told at once, and not left without an answer.
    listens_no_more(address).await;
    gate.add_permits(1);
    let answer = connection.response().await.unwrap();
    assert_eq!((answer.body.as_str(), answer.header("connection")), (OK, Some("close")));
    running.await.unwrap().unwrap();
}

/// Waits until new connections are refused: it is stopping.
async fn listens_no_more(address: SocketAddr) {
    let stops = async || chathook_tests::Connection::open(address).await.is_err();
    eventually("an end of listening", stops).await;
}

#[tokio::test]
async fn idle_connections_do_not_hold_it_up() {
    let gateway = TestGateway::start(&config("")).await;
    let mut connections = Vec::new();
    for _ in 0..10 {
        let mut connection = gateway.connect().await;
        connection.write(&request(&format!("/?{}", signed(BEFORE)), MESSAGE.as_bytes())).await.unwrap();
        connection.response().await.unwrap();
        connections.push(connection);
    }
    let started = Instant::now();
    assert_eq!(gateway.stop().await.code, Some(0));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    for mut connection in connections {
        connection.closed().await.unwrap();
    }
}

#[tokio::test]
async fn an_interrupt_skips_the_delay() {
    let toml = config("").replace("delay = \"0s\"", "delay = \"1h\"");
    let gateway = TestGateway::start(&toml).await;
    gateway.signal("INT");
    assert_eq!(gateway.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let toml = config("").replace("delay = \"0s\"", "delay = \"1h\"");
    let gateway = TestGateway::start(&toml).await;
    gateway.signal("TERM");
    gateway.logged("shutting down").await;
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.code, Some(0));
}

#[tokio::test]
async fn handlers_of_acknowledged_callbacks_may_finish() {
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let finish = Arc::new(tokio::sync::Semaphore::new(0));
    let toml = config("");
    let dir = tempfile::tempdir().unwrap();
    let config = chathook_gateway::Config::parse(&toml, "test.toml".as_ref(), journal_in(dir.path(), &toml)).unwrap();
    let gate = Arc::clone(&finish);
    let finished = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = Arc::clone(&finished);
    let gateway = chathook_gateway::Gateway::builder(config)
        .after(move |_cx: chathook_router::Ctx, _change: chathook_protocol::state::StateChange| {
            let (started, gate, seen) = (started.clone(), Arc::clone(&gate), Arc::clone(&seen));
            async move {
                started.send(())?;
                gate.acquire().await?.forget();
                seen.store(true, std::sync::atomic::Ordering::SeqCst);
                Ok(())
            }
        })
        .build()
        .await
        .unwrap();
    let address = gateway.callbacks_address();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(gateway.run_until(Some(stopped)));
    let mut connection = chathook_tests::Connection::open(address).await.unwrap();
    let change = r#"{"Info":{"Action":"Login","To_Account":"u","Reason":"Register"}}"#;
    connection.write(&request(&format!("/?{}", signed("State.StateChange")), change.as_bytes())).await.unwrap();
    assert_eq!(connection.response().await.unwrap().body, OK);
    starts.recv().await.unwrap();
    drop(stop);
    listens_no_more(address).await;
    assert!(!running.is_finished(), "it waits for the handler");
    finish.add_permits(1);
    running.await.unwrap().unwrap();
    assert!(finished.load(std::sync::atomic::Ordering::SeqCst));
}
