//! What targets could not take: listed, delivered again, given up.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter::repeat_with;
use std::sync::Arc;

use actix_web::web::{Data, Json, Query, ServiceConfig, get, post};
use actix_web::{Error, HttpRequest};
use chathook_journal::{DeadFilter, DeadLetter, Journal, JournalError, Position, State};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{MOST, Problem, deliver_again, list, moment, parse, quoted, timestamp, who, wrong};
use crate::gateway::Shared;

pub(super) fn routes<S: Send + Sync + 'static>(api: &mut ServiceConfig) {
    api.route("/dead-letters", get().to(listed::<S>))
        .route("/dead-letters/replay", post().to(replay::<S>))
        .route("/dead-letters/discard", post().to(discard::<S>));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    target: Option<String>,
    class: Option<String>,
    /// Commands, separated by commas.
    command: Option<String>,
    user: Option<String>,
    key: Option<String>,
    since: Option<String>,
    until: Option<String>,
    before: Option<u64>,
    limit: Option<usize>,
}

/// A dead letter in a list.
#[derive(Serialize)]
struct DeadLetterRow {
    position: u64,
    target: String,
    class: &'static str,
    cause: String,
    attempts: u32,
    died: String,
    id: String,
    command: String,
    ordering_key: Option<String>,
    received: String,
}

impl From<DeadLetter> for DeadLetterRow {
    fn from(dead: DeadLetter) -> Self {
        Self {
            position: dead.position.0,
            target: dead.target,
            class: dead.class.into(),
            cause: dead.cause,
            attempts: dead.attempts,
            died: timestamp(dead.died),
            id: dead.id,
            command: dead.command,
            ordering_key: dead.key,
            received: timestamp(dead.received),
        }
    }
}

async fn listed<S: Send + Sync + 'static>(
    shared: Data<Shared<S>>,
    query: Result<Query<ListQuery>, Error>,
) -> Result<Json<Vec<DeadLetterRow>>, Problem> {
    let filter = wrong(query)?.into_inner().filter()?;
    let letters = page(&shared.journal, filter).await?;
    Ok(Json(letters.into_iter().map(DeadLetterRow::from).collect()))
}

/// A page, which ends with all dead letters of its last event: the next one begins before that.
async fn page(journal: &Journal, filter: DeadFilter) -> Result<Vec<DeadLetter>, JournalError> {
    let mut page = journal.dead_letters(&filter).await?;
    if let Some(last) = page.last().map(|letter| letter.position).filter(|_| page.len() >= filter.limit) {
        page.retain(|letter| letter.position != last);
        let of_last = DeadFilter { before: Some(Position(last.0.saturating_add(1))), limit: MOST, ..filter };
        let of_last = journal.dead_letters(&of_last).await?;
        page.extend(of_last.into_iter().filter(|letter| letter.position == last));
    }
    Ok(page)
}

impl ListQuery {
    fn filter(self) -> Result<DeadFilter, Problem> {
        Ok(DeadFilter {
            target: self.target,
            class: self.class.map(|class| parse("class", &class)).transpose()?,
            since: self.since.map(|since| moment("since", &since)).transpose()?,
            until: self.until.map(|until| moment("until", &until)).transpose()?,
            commands: list(self.command.as_deref()),
            key: self.key,
            contains: self.user.map(|user| quoted(&user)).transpose()?,
            before: self.before.map(Position),
            limit: self.limit.unwrap_or(100).min(MOST),
        })
    }
}

/// Which dead letters are meant: some of one target, or all that the filters let through.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MeantQuery {
    /// Positions, separated by commas.
    position: Option<String>,
    #[serde(default)]
    all: bool,
    target: Option<String>,
    class: Option<String>,
    /// Commands, separated by commas.
    command: Option<String>,
    user: Option<String>,
    key: Option<String>,
    since: Option<String>,
    until: Option<String>,
    by: Option<String>,
}

async fn replay<S: Send + Sync + 'static>(
    shared: Data<Shared<S>>,
    request: HttpRequest,
    query: Result<Query<MeantQuery>, Error>,
) -> Result<Json<Report>, Problem> {
    let query = wrong(query)?.into_inner();
    let by = who(query.by.clone(), &request);
    let replay = async |letter: &Letter| {
        deliver_again(&shared, Position(letter.position), &letter.target, &letter.command, &by).await
    };
    each(&shared.journal, query, replay).await
}

async fn discard<S: Send + Sync + 'static>(
    shared: Data<Shared<S>>,
    request: HttpRequest,
    query: Result<Query<MeantQuery>, Error>,
) -> Result<Json<Report>, Problem> {
    let query = wrong(query)?.into_inner();
    let by = who(query.by.clone(), &request);
    let discard = async |Letter { position, target, .. }: &Letter| match shared
        .journal
        .discard(Position(*position), target, &by)
        .await?
    {
        true => Ok(()),
        false => Err(Problem::NoDeadLetter(*position, target.to_string())),
    };
    each(&shared.journal, query, discard).await
}

/// What became of the dead letters that were meant.
#[derive(Default, Serialize)]
struct Report {
    /// With how many it was done.
    done: u64,
    /// With how many it was not.
    failed: u64,
    /// Why not, of some of them.
    problems: Vec<String>,
}

/// No report has more problems.
const MOST_PROBLEMS: usize = 20;

impl Report {
    fn note(&mut self, result: Result<(), Problem>) {
        match result {
            Ok(()) => self.done += 1,
            Err(problem) => {
                self.failed += 1;
                if self.problems.len() < MOST_PROBLEMS {
                    self.problems.push(problem.to_string());
                }
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.done += other.done;
        self.failed += other.failed;
        let room = MOST_PROBLEMS.saturating_sub(self.problems.len());
        self.problems.extend(other.problems.into_iter().take(room));
    }
}

/// Does it to each dead letter that is meant: to many at once, and in order within a conversation.
async fn each(
    journal: &Journal,
    query: MeantQuery,
    act: impl AsyncFn(&Letter) -> Result<(), Problem>,
) -> Result<Json<Report>, Problem> {
    let MeantQuery { position, all, target, class, command, user, key, since, until, by: _ } = query;
    let mut report = Report::default();
    let letters = match (position, all, target) {
        (None, true, target) => {
            let meant = ListQuery { target, class, command, user, key, since, until, before: None, limit: None };
            Letters::all(journal, meant.filter()?, PAGE).await?
        }
        (Some(positions), false, Some(target)) => {
            let mut letters = Letters::new();
            for position in list(Some(&positions)) {
                let added = letters.add(journal, parse("position", &position)?, &target).await;
                if added.is_err() {
                    report.note(added);
                }
            }
            letters
        }
        (Some(_), false, None) => return Err(Problem::Wrong("target: whose dead letters?".to_owned())),
        _ => return Err(Problem::Wrong("give either `position` or `all=true`".to_owned())),
    };
    let act = &act;
    let lanes = letters.lanes.into_iter().map(|mut lane| async move {
        lane.sort_unstable_by_key(|letter| letter.position);
        let mut report = Report::default();
        for letter in &lane {
            report.note(act(letter).await);
        }
        report
    });
    join_all(lanes).await.into_iter().for_each(|lane| report.add(lane));
    Ok(Json(report))
}

/// Dead letters: those of a conversation in one lane.
struct Letters {
    lanes: Vec<Vec<Letter>>,
    names: HashSet<Arc<str>>,
}

/// A dead letter with no more than is needed to do something about it: there may be a great many.
struct Letter {
    position: u64,
    target: Arc<str>,
    command: Arc<str>,
}

/// Something is done about so many at once.
const LANES: usize = 64;

/// The journal is asked for so many at once.
const PAGE: usize = 10_000;

impl Letters {
    fn new() -> Self {
        Self { lanes: repeat_with(Vec::new).take(LANES).collect(), names: HashSet::new() }
    }

    /// All that a filter lets through, read in pages of this length, which is more than there are targets.
    async fn all(journal: &Journal, filter: DeadFilter, page_length: usize) -> Result<Self, Problem> {
        let mut letters = Self::new();
        let mut filter = DeadFilter { limit: page_length, ..filter };
        loop {
            let page = journal.dead_letters(&filter).await?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(letters) };
            let (is_end, last) = (page.len() < page_length, last.position);
            // A page may end between two targets of one event, which is left for the next page then.
            let left = (!is_end && first.position != last).then_some(last);
            for letter in page.iter().filter(|letter| Some(letter.position) != left) {
                letters.push(letter.position, &letter.target, &letter.command, letter.key.as_deref());
            }
            if is_end {
                return Ok(letters);
            }
            filter.before = Some(left.map_or(last, |left| Position(left.0.saturating_add(1))));
        }
    }

    /// The one of a target at a position.
    async fn add(&mut self, journal: &Journal, position: u64, target: &str) -> Result<(), Problem> {
        let position = Position(position);
        let event = journal.event(position).await?.ok_or(Problem::NoEvent(position.0))?;
        if !event.targets.iter().any(|history| history.target == target && history.state == Some(State::Dead)) {
            return Err(Problem::NoDeadLetter(position.0, target.to_owned()));
        }
        self.push(position, target, &event.record.command, event.record.key.as_deref());
        Ok(())
    }

    fn push(&mut self, position: Position, target: &str, command: &str, key: Option<&str>) {
        let mut hasher = DefaultHasher::new();
        match key {
            Some(key) => key.hash(&mut hasher),
            None => position.0.hash(&mut hasher),
        }
        let letter = Letter { position: position.0, target: self.name(target), command: self.name(command) };
        let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or_default();
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.push(letter);
        }
    }

    /// A name, which is kept once.
    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let name = Arc::<str>::from(name);
        self.names.insert(Arc::clone(&name));
        name
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use bytes::Bytes;
    use chathook_journal::{
        Attempt, Config, DeadClass, DeadFilter, EngineConfig, Journal, Outcome, Record, SqliteConfig,
    };

    use super::Letters;

    /// The n-th event of a conversation.
    fn record(key: &str, n: usize) -> Record {
        Record {
            id: format!("{key}/{n}"),
            app: None,
            command: "State.StateChange".to_owned(),
            key: Some(key.to_owned()),
            received: SystemTime::now(),
            query: String::new(),
            body: Bytes::new(),
            answer: None,
            by_content: false,
            decoded: true,
        }
    }

    #[tokio::test]
    async fn each_dead_letter_is_found_once_wherever_pages_end_and_a_conversation_is_in_one_lane() {
        let dir = tempfile::tempdir().unwrap();
        let engine = EngineConfig::Sqlite(SqliteConfig { path: dir.path().join("journal.db"), max_size: None });
        let (dedup_window, retention) = (Duration::from_secs(60), Duration::from_secs(3600));
        let journal = Journal::open(&Config { engine, dedup_window, retention }, &["a", "b"]).await.unwrap();
        for n in 0..5 {
            journal.append(record("one", n)).await.unwrap();
            journal.append(record("other", n)).await.unwrap();
        }
        for target in ["a", "b"] {
            let mut subscription = journal.subscribe(target).unwrap();
            for _ in 0..10 {
                let delivery = subscription.next(1).await.unwrap().pop().unwrap();
                let outcome = Outcome::Dead { class: DeadClass::Target, cause: "no".to_owned() };
                delivery.settle(Attempt { at: SystemTime::now(), took: Duration::ZERO, outcome }).await.unwrap();
            }
        }
        for page_length in [2, 3, 7, 19, 20, 21] {
            let letters = Letters::all(&journal, DeadFilter::default(), page_length).await.unwrap();
            let lanes = letters.lanes.iter().filter(|lane| !lane.is_empty());
            assert_eq!(lanes.count(), 2, "{page_length}");
            let mut found: Vec<_> = letters.lanes.iter().flatten().map(|it| (it.position, it.target.clone())).collect();
            found.sort();
            found.dedup();
            assert_eq!((found.len(), letters.lanes.iter().flatten().count()), (20, 20), "{page_length}");
        }
        let of_a = DeadFilter { target: Some("a".to_owned()), ..DeadFilter::default() };
        assert_eq!(Letters::all(&journal, of_a, 2).await.unwrap().lanes.iter().flatten().count(), 10);
    }
}
