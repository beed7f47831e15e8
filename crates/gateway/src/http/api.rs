//! `/api` of the admin listener: what the journal holds, and what to do about it.

mod dead_letters;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use actix_web::http::StatusCode;
use actix_web::web::{Data, Json, Path, Query, ServiceConfig, get, post};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use chathook_journal::{
    AttemptMade, AuditEntry, Filter, JournalError, Kept, Position, State, Summary, TargetHistory, TargetStats,
};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::deliver::timestamp;
use crate::gateway::Shared;

/// The paths.
pub(super) fn routes<S: Send + Sync + 'static>(api: &mut ServiceConfig) {
    api.route("/events", get().to(events::<S>))
        .route("/events/{position}", get().to(event::<S>))
        .route("/events/{position}/replay", post().to(replay::<S>))
        .configure(dead_letters::routes::<S>)
        .route("/targets", get().to(targets::<S>))
        .route("/audit", get().to(audit::<S>));
}

/// Why a request got nothing.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Wrong(String),
    #[error("there is no event {0}; it may have been removed because of its age")]
    NoEvent(u64),
    #[error("target `{1}` has no dead letter {0}")]
    NoDeadLetter(u64, String),
    #[error("target `{1}` does not get event {0} (`{2}`): see its `commands` and `when`")]
    NotWanted(u64, String, String),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Wrong(_) => StatusCode::BAD_REQUEST,
            Self::NoEvent(_) | Self::NoDeadLetter(..) | Self::Journal(JournalError::NoSuchTarget(_)) => {
                StatusCode::NOT_FOUND
            }
            Self::NotWanted(..) => StatusCode::CONFLICT,
            Self::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code()).json(BTreeMap::from([("error", self.to_string())]))
    }
}

/// At most so many rows a page.
const MOST: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// Commands, separated by commas.
    command: Option<String>,
    user: Option<String>,
    key: Option<String>,
    since: Option<String>,
    until: Option<String>,
    state: Option<String>,
    target: Option<String>,
    before: Option<u64>,
    limit: Option<usize>,
}

/// What is shown of an event wherever it is shown.
#[derive(Serialize)]
struct EventHead {
    position: u64,
    id: String,
    sdk_app_id: Option<u64>,
    command: String,
    ordering_key: Option<String>,
    received: String,
    decoded: bool,
}

/// An event in a list.
#[derive(Serialize)]
struct EventRow {
    #[serde(flatten)]
    head: EventHead,
    size: u64,
    targets: BTreeMap<String, &'static str>,
}

impl From<Summary> for EventRow {
    fn from(event: Summary) -> Self {
        Self {
            head: EventHead {
                position: event.position.0,
                id: event.id,
                sdk_app_id: event.app,
                command: event.command,
                ordering_key: event.key,
                received: timestamp(event.received),
                decoded: event.decoded,
            },
            size: event.size,
            targets: event.targets.into_iter().map(|(target, state)| (target, state.into())).collect(),
        }
    }
}

async fn events<S: Send + Sync + 'static>(
    shared: Data<Shared<S>>,
    query: Result<Query<EventsQuery>, actix_web::Error>,
) -> Result<Json<Vec<EventRow>>, Problem> {
    let query = wrong(query)?.into_inner();
    let state = query.state.map(|state| parse::<State>("state", &state)).transpose()?;
    if state.is_none() && query.target.is_some() {
        return Err(Problem::Wrong("target: goes together with `state`".to_owned()));
    }
    let filter = Filter {
        since: query.since.map(|since| moment("since", &since)).transpose()?,
        until: query.until.map(|until| moment("until", &until)).transpose()?,
        commands: list(query.command.as_deref()),
        key: query.key,
        contains: query.user.map(|user| quoted(&user)).transpose()?,
        state: state.map(|state| (query.target, state)),
        before: query.before.map(Position),
        limit: query.limit.unwrap_or(100).min(MOST),
    };
    Ok(Json(shared.journal.events(&filter).await?.into_iter().map(EventRow::from).collect()))
}

/// An event with all that happened to it.
#[derive(Serialize)]
struct EventDetail {
    #[serde(flatten)]
    head: EventHead,
    /// The parameters of the URL, but for the signature.
    query: BTreeMap<String, String>,
    /// The body, where it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    /// Else as text, as far as it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_text: Option<String>,
    /// What a before-callback was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Box<RawValue>>,
    targets: Vec<Deliveries>,
}

/// What happened to an event at one target.
#[derive(Serialize)]
struct Deliveries {
    target: String,
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    attempts: Vec<AttemptRow>,
}

/// One try.
#[derive(Serialize)]
struct AttemptRow {
    at: String,
    milliseconds: f64,
    led_to: &'static str,
    detail: String,
}

impl From<AttemptMade> for AttemptRow {
    fn from(attempt: AttemptMade) -> Self {
        Self {
            at: timestamp(attempt.at),
            milliseconds: attempt.took.as_secs_f64() * 1e3,
            led_to: attempt.led_to.into(),
            detail: attempt.detail,
        }
    }
}

impl From<TargetHistory> for Deliveries {
    fn from(history: TargetHistory) -> Self {
        Self {
            target: history.target,
            state: history.state.map(Into::into),
            due: history.due.map(timestamp),
            class: history.class.map(Into::into),
            attempts: history.attempts.into_iter().map(AttemptRow::from).collect(),
        }
    }
}

impl From<Kept> for EventDetail {
    fn from(Kept { position, record, targets }: Kept) -> Self {
        let body = json(&record.body);
        Self {
            head: EventHead {
                position: position.0,
                id: record.id,
                sdk_app_id: record.app,
                command: record.command,
                ordering_key: record.key,
                received: timestamp(record.received),
                decoded: record.decoded,
            },
            query: parameters(&record.query),
            body_text: body.is_none().then(|| String::from_utf8_lossy(&record.body).into_owned()),
            body,
            answer: record.answer.as_deref().and_then(json),
            targets: targets.into_iter().map(Deliveries::from).collect(),
        }
    }
}

fn json(bytes: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(bytes).ok()
}

/// The parameters of a query. Whoever has `Sign` and `RequestTime` could send it once more.
fn parameters(query: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    let parameters = parameters.filter(|(name, _)| !name.eq_ignore_ascii_case("Sign"));
    parameters.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

async fn event<S: Send + Sync + 'static>(
    shared: Data<Shared<S>>,
    position: Path<String>,
) -> Result<Json<EventDetail>, Problem> {
    let position = parse("position", &position)?;
    let event = shared.journal.event(Position(position)).await?;
    event.map(|event| Json(event.into())).ok_or(Problem::NoEvent(position))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayQuery {
    target: String,
    by: Option<String>,
}

async fn replay<S: Send + Sync + 'static>(
    shared: Data<Shared<S>>,
    request: HttpRequest,
    position: Path<String>,
    query: Result<Query<ReplayQuery>, actix_web::Error>,
) -> Result<HttpResponse, Problem> {
    let ReplayQuery { target, by } = wrong(query)?.into_inner();
    let position = parse("position", &position)?;
    let event = shared.journal.event(Position(position)).await?.ok_or(Problem::NoEvent(position))?;
    deliver_again(&shared, Position(position), &target, &event.record.command, &who(by, &request)).await?;
    Ok(HttpResponse::Accepted().json(BTreeMap::from([("replayed", position)])))
}

/// Has an event delivered to a target that wants it.
async fn deliver_again<S: Send + Sync + 'static>(
    shared: &Shared<S>,
    position: Position,
    target: &str,
    command: &str,
    by: &str,
) -> Result<(), Problem> {
    if !shared.targets.wants(target, position, command).await? {
        return Err(Problem::NotWanted(position.0, target.to_owned(), command.to_owned()));
    }
    match shared.journal.replay(position, target, by).await? {
        true => Ok(()),
        false => Err(Problem::NoEvent(position.0)),
    }
}

/// Who asks: the name that they give, else the address that they come from.
fn who(by: Option<String>, request: &HttpRequest) -> String {
    by.unwrap_or_else(|| request.peer_addr().map_or_else(|| "unknown".to_owned(), |peer| peer.ip().to_string()))
}

/// A target.
#[derive(Serialize)]
struct TargetRow {
    target: String,
    kind: &'static str,
    backlog: u64,
    retrying: u64,
    dead_letters: u64,
    oldest: Option<String>,
}

async fn targets<S: Send + Sync + 'static>(shared: Data<Shared<S>>) -> Result<Json<Vec<TargetRow>>, Problem> {
    let stats = shared.journal.stats().await?;
    let kinds: BTreeMap<_, _> = shared.targets.list().into_iter().collect();
    let row = |target: TargetStats| TargetRow {
        kind: kinds.get(&target.target).copied().unwrap_or("unknown"),
        target: target.target,
        backlog: target.backlog,
        retrying: target.retrying,
        dead_letters: target.dead_letters,
        oldest: target.oldest.map(timestamp),
    };
    Ok(Json(stats.targets.into_iter().map(row).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    before: Option<u64>,
    limit: Option<usize>,
}

/// What an operator did.
#[derive(Serialize)]
struct AuditRow {
    number: u64,
    at: String,
    by: String,
    action: &'static str,
    position: u64,
    target: String,
}

async fn audit<S: Send + Sync + 'static>(
    shared: Data<Shared<S>>,
    query: Result<Query<AuditQuery>, actix_web::Error>,
) -> Result<Json<Vec<AuditRow>>, Problem> {
    let AuditQuery { before, limit } = wrong(query)?.into_inner();
    let limit = limit.unwrap_or(100).min(MOST);
    let row = |AuditEntry { number, at, by, action, position, target }| AuditRow {
        number,
        at: timestamp(at),
        by,
        action: action.into(),
        position: position.0,
        target,
    };
    Ok(Json(shared.journal.audit(before, limit).await?.into_iter().map(row).collect()))
}

fn wrong<T>(query: Result<Query<T>, actix_web::Error>) -> Result<Query<T>, Problem> {
    query.map_err(|error| Problem::Wrong(error.to_string()))
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| Problem::Wrong(format!("{name}: {text:?}: {error}")))
}

/// Words that are separated by commas.
fn list(text: Option<&str>) -> Vec<String> {
    let words = text.unwrap_or_default().split(',').map(str::trim);
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// An account as it stands in a body.
fn quoted(user: &str) -> Result<String, Problem> {
    serde_json::to_string(user).map_err(|error| Problem::Wrong(format!("user: {error}")))
}

/// A time (`2026-01-31T12:00:00Z`), or so long ago (`15m`).
fn moment(name: &str, text: &str) -> Result<SystemTime, Problem> {
    let ago = |ago: Duration| SystemTime::now().checked_sub(ago);
    humantime::parse_rfc3339_weak(text).ok().or_else(|| humantime::parse_duration(text).ok().and_then(ago)).ok_or_else(
        || {
            Problem::Wrong(format!(
                "{name}: {text:?} is neither a time such as 2026-01-31T12:00:00Z nor a duration such as 15m"
            ))
        },
    )
}
