//! The admin listener: `/metrics`, `/healthz`, `/readyz`, `/api/...`.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Data, Json, Query, ServiceConfig, get, head, scope};
use chathook_journal::Health;
use chathook_protocol::Command;
use serde::{Deserialize, Serialize};
use strum::IntoEnumIterator;
use tokio::time::timeout;

use super::api;
use crate::drift::Finding;
use crate::gateway::{Readiness, Shared};
use crate::journal;

/// All paths of the listener.
pub(crate) fn routes<S: Send + Sync + 'static>(app: &mut ServiceConfig) {
    app.route("/metrics", get().to(metrics::<S>))
        .route("/healthz", get().to(healthz))
        .route("/healthz", head().to(healthz))
        .route("/readyz", get().to(readyz::<S>))
        .route("/readyz", head().to(readyz::<S>))
        .service(
            scope("/api")
                .route("/commands", get().to(async || Json(commands().collect::<Vec<_>>())))
                .route("/drift", get().to(drift::<S>))
                .configure(api::routes::<S>),
        );
}

async fn metrics<S: Send + Sync + 'static>(shared: Data<Shared<S>>) -> HttpResponse {
    let is_up = matches!(shared.journal.health(), Health::Ok(_));
    shared.metrics.journal_up(is_up);
    shared.metrics.ready(is_up && shared.readiness() == Readiness::Ready);
    count_journal(shared.clone().into_inner()).await;
    match shared.metrics.encode(shared.in_flight()) {
        Ok(text) => HttpResponse::Ok().insert_header((CONTENT_TYPE, prometheus::TEXT_FORMAT)).body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

/// Counts what the journal holds. Where that takes long, the figures of the last time stand until it is done.
async fn count_journal<S: Send + Sync + 'static>(shared: Arc<Shared<S>>) {
    let Ok(counting) = Arc::clone(&shared.counting).try_lock_owned() else { return };
    let counted = tokio::spawn(async move {
        if let Ok(stats) = shared.journal.stats().await {
            shared.metrics.journal(&stats, shared.journal_file.as_deref().and_then(journal::free));
        }
        drop(counting);
    });
    let _ = timeout(STATS_LIMIT, counted).await;
}

/// A scrape does not wait longer for what the journal holds.
const STATS_LIMIT: Duration = Duration::from_secs(2);

async fn healthz() -> &'static str {
    "alive\n"
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    detail: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    exclude: Option<Part>,
}

/// What readiness can be asked without.
#[derive(PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    /// Decisions need no journal: where no replica can keep, `?exclude=journal` leaves them all in rotation.
    Journal,
}

async fn readyz<S: 'static>(shared: Data<Shared<S>>, asked: Query<Asked>) -> HttpResponse {
    let needs_journal = asked.exclude != Some(Part::Journal);
    let (ready, detail) = match (shared.readiness(), shared.journal.health()) {
        (Readiness::Ready, Health::Ok(journal)) => (true, format!("takes callbacks; journal: {journal}")),
        (Readiness::Ready, Health::CannotKeep(why)) => (!needs_journal, format!("the journal cannot keep: {why}")),
        (Readiness::Starting, _) => (false, "starting".to_owned()),
        (Readiness::Draining, _) => (false, "shutting down".to_owned()),
    };
    let detail = match shared.refused_config() {
        Some(reason) => format!("{detail}; changed configuration refused: {reason}"),
        None => detail,
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status).json(Ready { ready, detail })
}

async fn drift<S: 'static>(shared: Data<Shared<S>>) -> Json<Vec<Finding>> {
    Json(shared.drift.findings())
}

/// A command, for people and programs.
#[derive(Serialize)]
pub(crate) struct CommandRow {
    pub(crate) command: &'static str,
    pub(crate) phase: &'static str,
    pub(crate) family: &'static str,
    /// The type that answers it.
    pub(crate) answer: &'static str,
    pub(crate) aliases: &'static [&'static str],
}

/// The whole table.
pub(crate) fn commands() -> impl Iterator<Item = CommandRow> {
    Command::iter().map(|command| CommandRow {
        command: command.as_str(),
        phase: command.phase().into(),
        family: command.family().into(),
        answer: command.answer_type(),
        aliases: command.aliases(),
    })
}
