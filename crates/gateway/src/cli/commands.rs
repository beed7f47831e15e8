use super::{Failed, print};
use crate::http::admin;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Prints a JSON array.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failed> {
    if args.json {
        let rows: Vec<_> = admin::commands().collect();
        print(&serde_json::to_string_pretty(&rows).map_err(|error| Failed::Outcome(error.to_string()))?);
        return Ok(());
    }
    print(&format!("{:<52} {:<8} {:<16} ANSWER", "COMMAND", "PHASE", "FAMILY"));
    for row in admin::commands() {
        print(&format!("{:<52} {:<8} {:<16} {}", row.command, row.phase, row.family, row.answer));
    }
    Ok(())
}
