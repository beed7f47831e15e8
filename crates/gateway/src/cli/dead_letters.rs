use serde::Serialize;
use serde_json::Value;

use super::admin::{self, Admin, Page, pretty, rows, text};
use super::{Failed, events, print};

pub(super) type Args = admin::Args<Call, List>;

#[derive(clap::Args, Serialize)]
pub(super) struct Filter {
    /// Only of this target.
    #[arg(long, global = true)]
    target: Option<String>,
    /// Only of this class: target, gateway or undecodable.
    #[arg(long, global = true)]
    class: Option<String>,
    /// Only of these commands, separated by commas.
    #[arg(long, global = true)]
    command: Option<String>,
    /// Only those in whose body this account stands.
    #[arg(long, global = true)]
    user: Option<String>,
    /// Only of this conversation.
    #[arg(long, global = true)]
    key: Option<String>,
    /// Only of events received at this time or later: 2026-01-31T12:00:00Z, or 15m for so long ago.
    #[arg(long, global = true)]
    since: Option<String>,
    /// Only of events received before this time.
    #[arg(long, global = true)]
    until: Option<String>,
}

#[derive(clap::Args, Serialize)]
pub(super) struct List {
    #[command(flatten)]
    #[serde(flatten)]
    filter: Filter,
    #[command(flatten)]
    #[serde(flatten)]
    page: Page,
}

#[derive(clap::Args)]
pub(super) struct Which {
    /// Positions in the journal; with `--target`, which says whose dead letters they are.
    positions: Vec<u64>,
    /// All that the filters let through.
    #[arg(long, conflicts_with = "positions", required_unless_present = "positions")]
    all: bool,
}

#[derive(clap::Subcommand)]
pub(super) enum Call {
    /// Shows one with its event, and every attempt to deliver it.
    Show {
        /// The event's position in the journal.
        position: u64,
    },
    /// Delivers dead letters again.
    Replay(Which),
    /// Gives dead letters up.
    Discard(Which),
}

pub(super) async fn run(Args { admin, call, filter }: &Args) -> Result<(), Failed> {
    match call {
        None => list(admin, filter).await,
        Some(Call::Show { position }) => events::show(admin, *position).await,
        Some(Call::Replay(which)) => mend(admin, &filter.filter, which, "replay", "will be delivered again").await,
        Some(Call::Discard(which)) => mend(admin, &filter.filter, which, "discard", "given up").await,
    }
}

async fn list(admin: &Admin, list: &List) -> Result<(), Failed> {
    let dead = admin.get(&["dead-letters"], list).await?;
    if admin.json {
        return pretty(&dead);
    }
    print(&format!(
        "{:>10}  {:<16}  {:<12}  {:>8}  {:<24}  {:<40}  CAUSE",
        "POSITION", "TARGET", "CLASS", "ATTEMPTS", "DIED", "COMMAND"
    ));
    for letter in rows(&dead) {
        let [position, target, class, attempts, died, command, cause] =
            ["position", "target", "class", "attempts", "died", "command", "cause"].map(|field| text(letter, field));
        print(&format!("{position:>10}  {target:<16}  {class:<12}  {attempts:>8}  {died:<24}  {command:<40}  {cause}"));
    }
    list.page.end(&dead);
    Ok(())
}

/// Replays or discards those that are meant.
async fn mend(admin: &Admin, filter: &Filter, which: &Which, action: &str, done: &str) -> Result<(), Failed> {
    #[derive(Serialize)]
    struct Query<'a> {
        #[serde(flatten)]
        filter: &'a Filter,
        all: bool,
        position: Option<String>,
    }
    let positions = which.positions.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let position = (!which.all).then_some(positions);
    if position.is_some() && filter.target.is_none() {
        return Err(Failed::Usage("say whose dead letters: --target NAME".to_owned()));
    }
    let report = admin.post(&["dead-letters", action], &Query { filter, all: which.all, position }).await?;
    match admin.json {
        true => pretty(&report)?,
        false => {
            let count = text(&report, "done");
            let noun = if count == "1" { "dead letter" } else { "dead letters" };
            print(&format!("{count} {noun} {done}"));
        }
    }
    if report.get("failed").and_then(Value::as_u64) == Some(0) {
        return Ok(());
    }
    let problems = report.get("problems").into_iter().flat_map(rows).filter_map(Value::as_str);
    let problems = problems.collect::<Vec<_>>().join("; ");
    Err(Failed::Outcome(format!("{} could not be: {problems}", text(&report, "failed"))))
}
