//! A connection that all deliveries of a target share.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Delivered, Undelivered};

/// Makes a connection when somebody needs it, and another once it was given up. While it is being made, all wait for the
/// same attempt, and share its failure.
pub(super) struct Link<T: Clone> {
    /// An attempt to deliver may take this time, and so may one to connect: one that hangs would keep all others from
    /// connecting.
    limit: Duration,
    connect: Box<dyn Fn() -> BoxFuture<'static, Result<T, Undelivered>> + Send + Sync>,
    /// Whether a connection can still be used.
    works: fn(&T) -> bool,
    /// Whether a connection may be silent for longer.
    may_be_silent: fn(&T) -> bool,
    state: Mutex<State<T>>,
}

struct State<T: Clone> {
    /// How many connections there were.
    count: u64,
    current: Option<Making<T>>,
}

type Making<T> = Shared<BoxFuture<'static, Result<T, Undelivered>>>;

/// How an attempt on a connection ended.
pub(super) enum Sent {
    /// There was an answer, good or bad: the connection works.
    Answered(Result<Delivered, Undelivered>),
    /// It may be the fault of the connection, which is not used again.
    Broken(Undelivered),
}

impl<T: Clone + Send + Sync + 'static> Link<T> {
    /// A link that connects by `connect`, for as long as `works`.
    pub(super) fn new<F>(
        limit: Duration,
        works: fn(&T) -> bool,
        connect: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<T, Undelivered>> + Send + 'static,
    {
        let connect = Box::new(move || connect().boxed());
        let state = Mutex::new(State { count: 0, current: None });
        Self { limit, connect, works, may_be_silent: |_| false, state }
    }

    /// An attempt goes on after its time while this holds, for what was sent would arrive after the next one.
    pub(super) fn with_silence(self, may_be_silent: fn(&T) -> bool) -> Self {
        Self { may_be_silent, ..self }
    }

    /// One attempt to deliver, connecting included.
    pub(super) async fn attempt<F>(&self, send: impl FnOnce(T) -> F) -> Result<Delivered, Undelivered>
    where
        F: Future<Output = Sent>,
    {
        self.attempt_until(Instant::now() + self.limit, send).await
    }

    /// The same, where a part of the time is spent.
    pub(super) async fn attempt_until<F>(
        &self,
        mut deadline: Instant,
        send: impl FnOnce(T) -> F,
    ) -> Result<Delivered, Undelivered>
    where
        F: Future<Output = Sent>,
    {
        let no_answer = || Undelivered::no_answer(self.limit);
        let (number, connection) = self.connection_until(deadline).await?;
        let mut sending = pin!(send(connection.clone()));
        let sent = loop {
            match timeout_at(deadline, &mut sending).await {
                Ok(sent) => break sent,
                Err(_) if (self.may_be_silent)(&connection) => deadline = Instant::now() + self.limit,
                Err(_) => break Sent::Broken(no_answer()),
            }
        };
        match sent {
            Sent::Answered(answer) => answer,
            Sent::Broken(failure) => {
                self.give_up(number);
                Err(failure)
            }
        }
    }

    /// What is connected to, without an attempt to deliver on it.
    pub(super) async fn get_until(&self, deadline: Instant) -> Result<T, Undelivered> {
        self.connection_until(deadline).await.map(|(_, connection)| connection)
    }

    async fn connection_until(&self, deadline: Instant) -> Result<(u64, T), Undelivered> {
        let connection = timeout_at(deadline, self.connection()).await;
        connection.unwrap_or_else(|_| Err(Undelivered::no_answer(self.limit)))
    }

    /// The connection of the moment with its number; a new one where there is none that works.
    async fn connection(&self) -> Result<(u64, T), Undelivered> {
        let (number, making) = self.making();
        match making.await {
            Ok(connection) => Ok((number, connection)),
            Err(failure) => {
                self.give_up(number);
                Err(failure)
            }
        }
    }

    fn making(&self) -> (u64, Making<T>) {
        let mut state = self.state();
        let is_usable = |making: &Making<T>| making.peek().is_none_or(|made| made.as_ref().is_ok_and(self.works));
        if let Some(making) = state.current.clone().filter(is_usable) {
            return (state.count, making);
        }
        let (limit, connecting) = (self.limit, (self.connect)());
        let making =
            async move { timeout(limit, connecting).await.unwrap_or_else(|_| Err(Undelivered::no_answer(limit))) };
        let making = making.boxed().shared();
        state.count += 1;
        state.current = Some(making.clone());
        (state.count, making)
    }

    /// Does not use this connection again.
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
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::super::{Delivered, Undelivered};
    use super::{Link, Sent};

    const LIMIT: Duration = Duration::from_secs(9);

    /// Delivers on the connection, and tells which it was.
    async fn which(link: &Link<u32>) -> Result<String, String> {
        let told = link.attempt(|number| async move { Sent::Answered(Ok(Delivered { detail: number.to_string() })) });
        told.await.map(|delivered| delivered.detail).map_err(|failure| failure.cause)
    }

    #[tokio::test]
    async fn those_who_wait_share_one_attempt_and_its_failure() {
        let (attempts, go) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let may_go = Arc::clone(&go);
        let link = Link::new(
            LIMIT,
            |number| *number != 2,
            move || {
                let (attempts, go) = (Arc::clone(&attempts), Arc::clone(&may_go));
                async move {
                    let attempt = attempts.fetch_add(1, Ordering::Relaxed);
                    go.notified().await;
                    if attempt == 0 { Err(Undelivered::retry("down")) } else { Ok(attempt) }
                }
            },
        );
        let all = || async {
            // All of them wait when it is decided.
            tokio::join!(join_all((0..5).map(|_| which(&link))), async { go.notify_one() }).0
        };
        assert_eq!(all().await, vec![Err("down".to_owned()); 5]);
        assert_eq!(all().await, vec![Ok("1".to_owned()); 5]);

        let broken = || link.attempt(|_| async { Sent::Broken(Undelivered::retry("cut off")) });
        let refused = || link.attempt(|_| async { Sent::Answered(Err(Undelivered::refused("too large"))) });
        assert_eq!(refused().await.unwrap_err().cause, "too large");
        assert_eq!(which(&link).await.unwrap(), "1", "it has answered");
        assert_eq!(broken().await.unwrap_err().cause, "cut off");
        go.notify_one();
        assert_eq!(which(&link).await.unwrap(), "2");
        go.notify_one();
        assert_eq!(which(&link).await.unwrap(), "3", "the second does not work");
    }

    #[tokio::test]
    async fn who_finds_a_connection_broken_leaves_the_next_one_alone() {
        let attempts = AtomicU32::new(0);
        let link = Link::new(LIMIT, |_| true, move || std::future::ready(Ok(attempts.fetch_add(1, Ordering::Relaxed))));
        let both_have_it = Notify::new();
        let late = link.attempt(|_| async {
            both_have_it.notified().await;
            Sent::Broken(Undelivered::retry("late"))
        });
        let soon = async {
            let broken = link.attempt(|_| async { Sent::Broken(Undelivered::retry("soon")) });
            assert!(broken.await.is_err());
            assert_eq!(which(&link).await.unwrap(), "1");
            both_have_it.notify_one();
        };
        let (late, ()) = tokio::join!(late, soon);
        assert_eq!(late.unwrap_err().cause, "late");
        assert_eq!(which(&link).await.unwrap(), "1", "it was about the first");
    }

    #[tokio::test]
    async fn an_attempt_that_hangs_makes_room_for_another() {
        let hangs = Arc::new(AtomicU32::new(0));
        let link = Link::new(
            Duration::from_millis(20),
            |_| true,
            move || {
                let attempt = hangs.fetch_add(1, Ordering::Relaxed);
                async move { if attempt == 0 { std::future::pending().await } else { Ok(attempt) } }
            },
        );
        assert_eq!(which(&link).await.unwrap_err(), "no answer within 20ms");
        assert_eq!(which(&link).await.unwrap(), "1");
        let silent = link.attempt(|_| std::future::pending()).await;
        assert_eq!(silent.unwrap_err().cause, "no answer within 20ms");
        assert_eq!(which(&link).await.unwrap(), "2", "silence may be the fault of the connection");
    }

    #[tokio::test]
    async fn who_may_be_silent_is_waited_for() {
        let is_blocked = Arc::new(AtomicBool::new(true));
        let connection = Arc::clone(&is_blocked);
        let link =
            Link::new(Duration::from_millis(20), |_| true, move || std::future::ready(Ok(Arc::clone(&connection))))
                .with_silence(|is_blocked| is_blocked.load(Ordering::Relaxed));
        let answer = || Sent::Answered(Ok(Delivered { detail: "late".to_owned() }));
        let late = link.attempt(|_| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            answer()
        });
        assert_eq!(late.await.unwrap().detail, "late");
        is_blocked.store(false, Ordering::Relaxed);
        let silent = link.attempt(|_| std::future::pending()).await;
        assert_eq!(silent.unwrap_err().cause, "no answer within 20ms");
    }
}
