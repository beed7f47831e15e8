use serde::Serialize;
use serde_json::Value;

use super::admin::{self, Admin, Page, pretty, rows, text};
use super::{Failed, print};

pub(super) type Args = admin::Args<Call, Filter>;

#[derive(clap::Args, Serialize)]
pub(super) struct Filter {
    /// Only these commands, separated by commas.
    #[arg(long)]
    command: Option<String>,
    /// Only events in whose body this account stands.
    #[arg(long)]
    user: Option<String>,
    /// Only this conversation, as `ordering_key` shows it: group/@TGS#1 or pair/u_1/u_2.
    #[arg(long)]
    key: Option<String>,
    /// Only events received at this time or later: 2026-01-31T12:00:00Z, or 15m for so long ago.
    #[arg(long)]
    since: Option<String>,
    /// Only events received before this time.
    #[arg(long)]
    until: Option<String>,
    /// Only events that are so far: pending, retrying, delivered or dead.
    #[arg(long)]
    state: Option<String>,
    /// Of which target the state is meant; any, when it is not there.
    #[arg(long)]
    target: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    page: Page,
}

#[derive(clap::Subcommand)]
pub(super) enum Call {
    /// Shows one event, with every attempt to deliver it.
    Show {
        /// Its position in the journal.
        position: u64,
    },
    /// Delivers an event to a target again, or for the first time.
    Replay {
        /// Its position in the journal.
        position: u64,
        #[command(flatten)]
        to: To,
    },
}

#[derive(clap::Args, Serialize)]
pub(super) struct To {
    /// The target.
    #[arg(long = "to", value_name = "TARGET")]
    target: String,
}

pub(super) async fn run(Args { admin, call, filter }: &Args) -> Result<(), Failed> {
    match call {
        None => list(admin, filter).await,
        Some(Call::Show { position }) => show(admin, *position).await,
        Some(Call::Replay { position, to }) => {
            let replayed = admin.post(&["events", &position.to_string(), "replay"], to).await?;
            if admin.json {
                return pretty(&replayed);
            }
            print(&format!("event {position} will be delivered to {}", to.target));
            Ok(())
        }
    }
}

async fn list(admin: &Admin, filter: &Filter) -> Result<(), Failed> {
    let events = admin.get(&["events"], filter).await?;
    if admin.json {
        return pretty(&events);
    }
    print(&format!("{:>10}  {:<24}  {:<40}  {:<32}  TARGETS", "POSITION", "RECEIVED", "COMMAND", "CONVERSATION"));
    for event in rows(&events) {
        let targets = event.get("targets").and_then(Value::as_object).into_iter().flatten();
        let targets = targets.map(|(target, state)| format!("{target}: {}", state.as_str().unwrap_or("-")));
        let [position, received, command, key] =
            ["position", "received", "command", "ordering_key"].map(|field| text(event, field));
        let targets = targets.collect::<Vec<_>>().join(", ");
        print(&format!("{position:>10}  {received:<24}  {command:<40}  {key:<32}  {targets}"));
    }
    filter.page.end(&events);
    Ok(())
}

/// What is shown of an event, as far as it is there.
const FIELDS: [&str; 11] = [
    "position",
    "id",
    "sdk_app_id",
    "command",
    "ordering_key",
    "received",
    "decoded",
    "query",
    "body",
    "body_text",
    "answer",
];

/// One event with every attempt.
pub(super) async fn show(admin: &Admin, position: u64) -> Result<(), Failed> {
    let event = admin.get(&["events", &position.to_string()], &()).await?;
    if admin.json {
        return pretty(&event);
    }
    for field in FIELDS {
        if event.get(field).is_some_and(|value| !value.is_null()) {
            print(&format!("{field:<13} {}", text(&event, field)));
        }
    }
    for target in event.get("targets").into_iter().flat_map(rows) {
        let class = target.get("class").map(|_| format!(" ({})", text(target, "class"))).unwrap_or_default();
        print(&format!("{:<13} {}: {}{class}", "target", text(target, "target"), text(target, "state")));
        for attempt in target.get("attempts").into_iter().flat_map(rows) {
            let [at, took, led_to, detail] =
                ["at", "milliseconds", "led_to", "detail"].map(|field| text(attempt, field));
            print(&format!("{:<13}   {at}  {took} ms  {led_to}: {detail}", ""));
        }
        if target.get("due").is_some() {
            print(&format!("{:<13}   again at {}", "", text(target, "due")));
        }
    }
    Ok(())
}
