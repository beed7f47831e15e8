use std::time::{SystemTime, UNIX_EPOCH};

use chathook_protocol::signature;

use super::{Failed, print};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The token that is entered in the console.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    token: String,
    /// Unix seconds; now when it is not there.
    #[arg(long)]
    time: Option<u64>,
}

#[expect(clippy::unnecessary_wraps, reason = "as all subcommands")]
pub(super) fn run(args: &Args) -> Result<(), Failed> {
    let time = args.time.unwrap_or_else(now);
    print(&format!("RequestTime={time}\nSign={}", signature::sign(&args.token, time)));
    Ok(())
}

/// Unix seconds.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
