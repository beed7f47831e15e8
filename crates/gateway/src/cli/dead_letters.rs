use std::collections::BTreeSet;

use serde_json::Value;

use super::admin::{Admin, by, rows, text};
use super::events::pretty;
use super::{Failed, print};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    admin: Admin,
    #[command(subcommand)]
    call: Option<Call>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(clap::Args)]
struct Filter {
    /// Only of this target.
    #[arg(long, global = true)]
    target: Option<String>,
    /// Only of this class: target, gateway or undecodable.
    #[arg(long, global = true)]
    class: Option<String>,
    /// Only of these commands, separated by commas.
    #[arg(long, global = true)]
    command: Option<String>,
    /// Only of this conversation.
    #[arg(long, global = true)]
    key: Option<String>,
}

#[derive(clap::Args)]
struct Which {
    /// Positions in the journal; with `--target`, which says whose dead letters they are.
    positions: Vec<u64>,
    /// All that the filters let through.
    #[arg(long, conflicts_with = "positions", required_unless_present = "positions")]
    all: bool,
}

#[derive(clap::Subcommand)]
enum Call {
    /// Delivers dead letters again.
    Replay(Which),
    /// Gives dead letters up.
    Discard(Which),
}

pub(super) async fn run(args: &Args) -> Result<(), Failed> {
    let Args { admin, call, filter } = args;
    match call {
        None => list(admin, filter).await,
        Some(Call::Replay(which)) => {
            each(admin, filter, which, "will be delivered again to", async |position, target| {
                let query = [("target", Some(target.to_owned())), ("by", by())];
                admin.post(&["events", position, "replay"], &query).await.map(drop)
            })
            .await
        }
        Some(Call::Discard(which)) => {
            each(admin, filter, which, "given up for", async |position, target| {
                admin.post(&["dead-letters", target, position, "discard"], &[("by", by())]).await.map(drop)
            })
            .await
        }
    }
}

/// What one request lists.
const PAGE: usize = 1000;

async fn page(admin: &Admin, filter: &Filter, before: Option<&str>) -> Result<Value, Failed> {
    let query = [
        ("target", filter.target.clone()),
        ("class", filter.class.clone()),
        ("command", filter.command.clone()),
        ("key", filter.key.clone()),
        ("before", before.map(str::to_owned)),
        ("limit", Some(PAGE.to_string())),
    ];
    admin.get(&["dead-letters"], &query).await
}

async fn list(admin: &Admin, filter: &Filter) -> Result<(), Failed> {
    let dead = page(admin, filter, None).await?;
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
    Ok(())
}

/// Does it to each dead letter that is meant.
async fn each(
    admin: &Admin,
    filter: &Filter,
    which: &Which,
    done: &str,
    act: impl AsyncFn(&str, &str) -> Result<(), Failed>,
) -> Result<(), Failed> {
    if !which.all {
        let target = filter.target.as_deref();
        let target = target.ok_or_else(|| Failed::Usage("say whose dead letters: --target NAME".to_owned()))?;
        for position in &which.positions {
            act(&position.to_string(), target).await?;
            print(&format!("{position} {done} {target}"));
        }
        return Ok(());
    }
    // All of them first: what is delivered again may soon be a dead letter again.
    let dead = all(admin, filter).await?;
    let mut failed = 0_usize;
    for (position, target) in &dead {
        if let Err(Failed::Outcome(problem) | Failed::Usage(problem)) = act(&position.to_string(), target).await {
            print(&format!("{position} of {target}: {problem}"));
            failed += 1;
        }
    }
    let targets = filter.target.as_deref().unwrap_or("their targets");
    print(&format!("{} dead letters {done} {targets}", dead.len() - failed));
    if failed > 0 { Err(Failed::Outcome(format!("{failed} could not be"))) } else { Ok(()) }
}

/// Positions and targets of all that the filters let through.
async fn all(admin: &Admin, filter: &Filter) -> Result<BTreeSet<(u64, String)>, Failed> {
    let (mut dead, mut before) = (BTreeSet::new(), None);
    loop {
        let page = page(admin, filter, before.as_deref()).await?;
        let known = dead.len();
        dead.extend(rows(&page).filter_map(|letter| Some((letter.get("position")?.as_u64()?, text(letter, "target")))));
        match dead.first() {
            // A page may end between two targets of one event.
            Some((last, _)) if dead.len() > known => before = Some((last + 1).to_string()),
            _ => return Ok(dead),
        }
    }
}
