//! A connection that all deliveries of a target share.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::timeout;

use super::Undelivered;

/// Makes a connection when somebody needs it, and another once it was given up. While it is being made, all wait for the
/// same attempt, and share its failure.
pub(super) struct Link<T: Clone> {
    /// An attempt may take this time: one that hangs would keep all others from connecting.
    limit: Duration,
    state: Mutex<State<T>>,
}

struct State<T: Clone> {
    /// How many connections there were.
    count: u64,
    current: Option<Making<T>>,
}

type Making<T> = Shared<BoxFuture<'static, Result<T, Undelivered>>>;

/// The connection of the moment.
pub(super) struct Linked<T> {
    pub(super) it: T,
    number: u64,
}

impl<T: Clone + Send + Sync + 'static> Link<T> {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, state: Mutex::new(State { count: 0, current: None }) }
    }

    /// The connection, if `works` says that it can be used; else a new one, from `connect`.
    pub(super) async fn get(
        &self,
        works: impl Fn(&T) -> bool,
        connect: impl FnOnce() -> BoxFuture<'static, Result<T, Undelivered>>,
    ) -> Result<Linked<T>, Undelivered> {
        let (number, making) = self.making(works, connect);
        match making.await {
            Ok(it) => Ok(Linked { it, number }),
            Err(failure) => {
                self.give_up(number);
                Err(failure)
            }
        }
    }

    fn making(
        &self,
        works: impl Fn(&T) -> bool,
        connect: impl FnOnce() -> BoxFuture<'static, Result<T, Undelivered>>,
    ) -> (u64, Making<T>) {
        let mut state = self.state();
        let is_usable = |making: &Making<T>| making.peek().is_none_or(|made| made.as_ref().is_ok_and(&works));
        if let Some(making) = state.current.clone().filter(is_usable) {
            return (state.count, making);
        }
        let (limit, connecting) = (self.limit, connect());
        let making =
            async move { timeout(limit, connecting).await.unwrap_or_else(|_| Err(Undelivered::no_answer(limit))) };
        let making = making.boxed().shared();
        state.count += 1;
        state.current = Some(making.clone());
        (state.count, making)
    }

    /// Does not use this connection again.
    pub(super) fn discard(&self, linked: &Linked<T>) {
        self.give_up(linked.number);
    }

    fn give_up(&self, number: u64) {
        let mut state = self.state();
        if state.count == number {
            state.current = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::super::Undelivered;
    use super::Link;

    #[tokio::test]
    async fn those_who_wait_share_one_attempt_and_its_failure() {
        let (link, attempts, go) =
            (Link::<u32>::new(Duration::from_secs(9)), Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let connect = || {
            let (attempts, go) = (Arc::clone(&attempts), Arc::clone(&go));
            async move {
                let attempt = attempts.fetch_add(1, Ordering::Relaxed);
                go.notified().await;
                if attempt == 0 { Err(Undelivered::retry("down")) } else { Ok(attempt) }
            }
            .boxed()
        };
        let all = || async {
            // All of them wait when it is decided.
            tokio::join!(join_all((0..5).map(|_| link.get(|_| true, connect))), async { go.notify_one() }).0
        };
        let failed = all().await;
        assert!(failed.iter().all(|it| it.as_ref().is_err_and(|failure| failure.cause == "down")));
        let made = all().await;
        assert!(made.iter().all(|it| it.as_ref().is_ok_and(|linked| linked.it == 1)));

        let first = made[0].as_ref().ok().unwrap();
        link.discard(first);
        go.notify_one();
        assert_eq!(link.get(|_| true, connect).await.ok().unwrap().it, 2);
        link.discard(first);
        assert_eq!(link.get(|_| true, connect).await.ok().unwrap().it, 2, "another is in use by now");
        go.notify_one();
        assert_eq!(link.get(|it| *it > 2, connect).await.ok().unwrap().it, 3, "that one does not work");
    }

    #[tokio::test]
    async fn an_attempt_that_hangs_makes_room_for_another() {
        let link = Link::<u32>::new(Duration::from_millis(20));
        let hung = link.get(|_| true, || std::future::pending().boxed()).await;
        assert_eq!(hung.err().unwrap().cause, "no answer within 20ms");
        assert_eq!(link.get(|_| true, || std::future::ready(Ok(7)).boxed()).await.ok().unwrap().it, 7);
    }
}
