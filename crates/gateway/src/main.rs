//! `chathook`: see `chathook --help`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    chathook_gateway::cli::run().await
}
