//! `chathook`: see `chathook --help`.

use std::process::ExitCode;

/// What one thread reads, another keeps: the allocator of the system has them wait for one another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    chathook_gateway::cli::run().await
}
