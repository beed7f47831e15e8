//! Targets, what is sent to them, and what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::{Connection, OK, Request, TestDecider, TestGateway, request, signed};

/// The command of a [`message`].
pub const MESSAGE: &str = "Group.CallbackAfterSendMsg";
/// The command of a [`change`].
pub const CHANGE: &str = "State.StateChange";

/// Nothing that a test of deliveries waits for takes longer: servers start, elect a leader and catch up.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// The n-th message of a group.
#[must_use]
pub fn message(group: &str, n: u64) -> String {
    format!(
        r#"{{"CallbackCommand":"{MESSAGE}","GroupId":"{group}","From_Account":"u_501","MsgSeq":{n},"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"n {n}"}}}}]}}"#
    )
}

/// A change of state of a user.
#[must_use]
pub fn change(user: &str, n: u64) -> String {
    format!(
        r#"{{"CallbackCommand":"{CHANGE}","EventTime":{n},"Info":{{"Action":"Login","To_Account":"{user}","Reason":"Register"}}}}"#
    )
}

/// A `[[target]]` called `name` that is tried again soon and often; `to` are the lines that say where events go.
#[must_use]
pub fn target(name: &str, to: &str) -> String {
    format!("[[target]]\nname = {name:?}\nretry = {{ first = \"10ms\", max = \"100ms\", attempts = 10000 }}\n{to}\n")
}

/// The same for the service at `url`; `more` are further lines, such as `http.format = "cloudevents"`.
#[must_use]
pub fn http_target(name: &str, url: &str, more: &str) -> String {
    target(name, &format!("http.url = {url:?}\n{more}"))
}

/// Waits until it is so.
///
/// # Panics
/// When it does not become so.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let becomes = async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(LIMIT, becomes).await.is_ok(), "waited for {what}");
}

impl TestGateway {
    /// Sends a callback, which is acknowledged.
    ///
    /// # Panics
    /// When it is not.
    pub async fn keeps(&self, command: &str, body: &str) {
        let response = self.post(command, body).await;
        assert_eq!((response.status, response.body.as_str()), (200, OK), "{body}");
    }

    /// Waits until so many deliveries to a target have ended so: `delivered`, `retried` or `dead`.
    pub async fn deliveries(&self, target: &str, outcome: &str, count: usize) {
        let series = format!(r#"chathook_deliveries_total{{outcome="{outcome}",target="{target}"}}"#);
        self.metric_becomes(&series, count as f64).await;
    }

    /// Waits until a target has so many dead letters.
    pub async fn dead_letters(&self, target: &str, count: usize) {
        self.metric_becomes(&format!(r#"chathook_dead_letters{{target="{target}"}}"#), count as f64).await;
    }

    /// Waits until a target did not take an event.
    pub async fn retries(&self, target: &str) {
        let series = format!(r#"chathook_deliveries_total{{outcome="retried",target="{target}"}}"#);
        eventually("an attempt that fails", async || self.metric(&series).await >= 1.0).await;
    }

    /// Waits until nothing is left for a target.
    pub async fn is_drained(&self, target: &str) {
        let series = format!(r#"chathook_delivery_backlog{{target="{target}"}}"#);
        eventually("the end of the backlog", async || self.metric(&series).await == 0.0).await;
    }

    /// Asks the API for JSON.
    ///
    /// # Panics
    /// When there is none.
    pub async fn api(&self, path: &str) -> Value {
        let response = self.get(&format!("/api/{path}")).await;
        serde_json::from_str(&response.body).expect("JSON")
    }

    /// The messages that are dead letters of a target.
    ///
    /// # Panics
    /// When the API does not list them.
    pub async fn dead_messages(&self, target: &str) -> Vec<Name> {
        let letters = self.api(&format!("dead-letters?limit=1000&target={target}")).await;
        let mut names = Vec::new();
        for letter in letters.as_array().expect("a list") {
            names.push(Name::of(&self.api(&format!("events/{}", letter["position"])).await["body"]));
        }
        names
    }
}

impl TestDecider {
    /// The messages that have come.
    #[must_use]
    pub fn messages(&self) -> Vec<Name> {
        Name::all(&self.requests())
    }
}

/// What tells a [`message`] from the others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Its group, which is its conversation.
    pub group: String,
    /// Its number there.
    pub n: u64,
}

impl Name {
    /// The names of the messages in these requests.
    #[must_use]
    pub fn all(requests: &[Request]) -> Vec<Self> {
        requests.iter().map(|request| Self::of(&request.json())).collect()
    }

    /// Reads the body of a [`message`].
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn of(body: &Value) -> Self {
        let group = body["GroupId"].as_str().expect("the body is a message").to_owned();
        Self { group, n: body["MsgSeq"].as_u64().expect("the body is a message") }
    }
}

/// Sends messages, and counts what becomes of them.
#[derive(Default)]
pub struct Tally {
    acknowledged: watch::Sender<BTreeSet<Name>>,
}

impl Tally {
    /// Sends messages of a group on one connection, one after the other, until there are no more or the connection ends.
    /// Gives how many were acknowledged.
    pub async fn send(&self, gateway: &TestGateway, group: &str, numbers: impl IntoIterator<Item = u64>) -> usize {
        let mut count = 0;
        let Ok(mut connection) = Connection::open(gateway.callbacks).await else { return count };
        for n in numbers {
            let request = request(&format!("/?{}", signed(MESSAGE)), message(group, n).as_bytes());
            if connection.write(&request).await.is_err() {
                break;
            }
            match connection.response().await {
                Ok(response) if response.status == 200 => {
                    self.acknowledged.send_modify(|all| {
                        all.insert(Name { group: group.to_owned(), n });
                    });
                    count += 1;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        count
    }

    /// The same for several groups at once, called `<prefix>0`, `<prefix>1` and so on.
    pub async fn send_groups(
        &self,
        gateway: &TestGateway,
        (prefix, groups): (&str, usize),
        numbers: impl IntoIterator<Item = u64> + Clone,
    ) -> usize {
        let groups: Vec<String> = (0..groups).map(|group| format!("{prefix}{group}")).collect();
        join_all(groups.iter().map(|group| self.send(gateway, group, numbers.clone()))).await.into_iter().sum()
    }

    /// How many were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.borrow().len()
    }

    /// Waits until so many were acknowledged.
    ///
    /// # Panics
    /// When they are not.
    pub async fn has_acknowledged(&self, count: usize) {
        let mut acknowledged = self.acknowledged.subscribe();
        let reached = timeout(LIMIT, acknowledged.wait_for(|all| all.len() >= count)).await.is_ok();
        assert!(reached, "{} of {count} are acknowledged", self.acknowledged());
    }

    /// Compares what was acknowledged with what came to a target, in the order in which it came, and with its dead
    /// letters.
    ///
    /// # Panics
    /// When something is lost, or a message came for the first time after a later one of its group.
    #[track_caller]
    #[expect(clippy::print_stdout, reason = "the figures are part of what a test says")]
    pub fn nothing_is_lost(
        &self,
        delivered: impl IntoIterator<Item = Name>,
        dead: impl IntoIterator<Item = Name>,
    ) -> Figures {
        let (mut came, mut newest) = (BTreeSet::new(), BTreeMap::new());
        let (mut figures, mut disorder) = (Figures::default(), Vec::new());
        for name in delivered {
            let is_late = newest.get(&name.group).is_some_and(|newest| name.n < *newest);
            if came.insert(name.clone()) {
                figures.delivered += 1;
                if is_late {
                    disorder.push(name);
                    continue;
                }
            } else {
                figures.duplicates += 1;
                figures.late += usize::from(is_late);
            }
            if !is_late {
                newest.insert(name.group, name.n);
            }
        }
        let dead: BTreeSet<Name> = dead.into_iter().collect();
        let acknowledged = self.acknowledged.borrow();
        let lost: Vec<&Name> =
            acknowledged.iter().filter(|name| !came.contains(name) && !dead.contains(name)).collect();
        figures = Figures { acknowledged: acknowledged.len(), dead: dead.len(), lost: lost.len(), ..figures };
        println!("{figures}");
        assert!(lost.is_empty(), "{figures}: {lost:?}");
        assert!(disorder.is_empty(), "{figures}; out of order: {disorder:?}");
        figures
    }
}

/// What became of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Acknowledged to Chat.
    pub acknowledged: usize,
    /// Came to the target, however often. What was kept while the answer to Chat got lost is among them.
    pub delivered: usize,
    /// How often one came that had come before.
    pub duplicates: usize,
    /// Of these, those that came after a later one of their group.
    pub late: usize,
    /// Dead letters.
    pub dead: usize,
    /// Acknowledged, and neither.
    pub lost: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, delivered, duplicates, late, dead, lost } = self;
        write!(
            f,
            "{acknowledged} acknowledged, {delivered} delivered, {duplicates} duplicates ({late} late), {dead} dead, \
             {lost} lost"
        )
    }
}
