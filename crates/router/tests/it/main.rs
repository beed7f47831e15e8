//! The promises of the router.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod chain;
mod dispatch;
mod registration;

use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chathook_protocol::{Command, Event, Query};
use chathook_router::{Decided, DispatchError, Fallbacks, NoDecider, Question, Router};
use tokio::time::Instant;

/// What is left of Chat's two seconds.
const DEADLINE: Duration = Duration::from_millis(1500);

/// The answer that lets things happen.
const OK: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#;

/// The smallest bodies that are read.
const GROUP_MSG: &str =
    r#"{"GroupId":"@TGS#a","From_Account":"u_1","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hi"}}]}"#;
const BLACK_LIST: &str = r#"{"PairList":[{"From_Account":"u_1","To_Account":"u_2"}]}"#;
const FRIENDS: &str =
    r#"{"Requester_Account":"u_1","From_Account":"u_1","FriendItem":[{"To_Account":"u_2"},{"To_Account":"u_3"}]}"#;

/// No deciders beside the handlers.
const NOBODY: &[Arc<NoDecider>] = &[];

/// A callback as it comes in, under the name that the query gives.
fn event(command: &str, body: &'static str) -> Event {
    let query = format!("SdkAppid=1400000001&CallbackCommand={command}&ClientIP=203.0.113.20&OptPlatform=iOS");
    Event::read(Query::parse(&query), Bytes::from_static(body.as_bytes()))
}

/// The same as a question.
fn question(command: Command, body: &'static str, deadline: Instant) -> Question {
    Question::new(command, event(command.as_str(), body), deadline, SystemTime::UNIX_EPOCH)
}

/// What `router` decides, and how long that took.
async fn decide<S: Send + Sync + 'static>(
    router: &Router<S>,
    command: Command,
    body: &'static str,
    fallbacks: &Fallbacks,
) -> (Decided, Duration) {
    let started = Instant::now();
    let decided = router.decide(question(command, body, started + DEADLINE), NOBODY, fallbacks).await;
    (decided, started.elapsed())
}

/// What the handler of an after-callback came to; `None` where there is none.
async fn observe<S: Send + Sync + 'static>(
    router: &Router<S>,
    command: &str,
    body: &'static str,
) -> Option<Result<(), DispatchError>> {
    Some(router.observe(event(command, body), Instant::now() + DEADLINE)?.await)
}

/// Counts what happened.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn up(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Counts when it is dropped.
    fn on_drop(&self) -> impl Drop + Send + Sync + 'static {
        struct OnDrop(Count);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                self.0.up();
            }
        }
        OnDrop(self.clone())
    }
}

/// Never gets there.
async fn forever<T>() -> T {
    future::pending().await
}

#[test]
fn every_file_beside_this_one_is_a_module_of_it() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let module = format!("mod {name};");
        assert!(name == "main" || include_str!("main.rs").lines().any(|line| line == module), "{module} is missing");
    }
}
