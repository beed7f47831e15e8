//! The command line: one file a subcommand.

mod admin;
mod backend;
mod check;
mod commands;
mod dead_letters;
mod decode;
mod doctor;
mod events;
mod listen;
mod load;
mod output;
mod send;
mod serve;
mod sign;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use chathook_protocol::Command;
use clap::{Parser, Subcommand};
use strum::IntoEnumIterator;

use self::output::{print, say};
use crate::config::nearest;

/// The one gateway for every server callback of Tencent Cloud Chat.
///
/// Without a subcommand it serves with config/local.toml.
#[derive(Parser)]
#[command(name = "chathook", version)]
struct Cli {
    #[command(subcommand)]
    call: Option<Call>,
}

#[derive(Subcommand)]
enum Call {
    /// Runs the gateway.
    Serve(ConfigFile),
    /// Checks a configuration, and prints who decides on each command, by when, and what the fallback is.
    Check(ConfigFile),
    /// Tries cases on a configuration, without a network: what would be decided, and whether that was expected.
    Test(test::Args),
    /// Lists every command with its phase, family and answer type.
    Commands(commands::Args),
    /// Reads a body and prints what was understood; exit code 1 with the JSON path when it does not decode.
    Decode(decode::Args),
    /// Prints RequestTime and Sign.
    Sign(sign::Args),
    /// Plays the Chat backend once, and prints the answer and what Chat would do with it.
    Send(send::Args),
    /// Plays the Chat backend under load: a scenario at its rate, what Chat would have seen, and how long it waited.
    Load(load::Args),
    /// Finds out why callbacks do not arrive: name, connection, TLS, Sign, clock, time, every answer.
    Doctor(doctor::Args),
    /// Prints what Chat sends: a small receiver with a fixed or scripted answer, which keeps nothing.
    Listen(listen::Args),
    /// Lists what a running gateway has kept, newest first; shows one event, or delivers it again.
    Events(events::Args),
    /// Lists what the targets of a running gateway could not take; delivers it again, or gives it up.
    DeadLetters(dead_letters::Args),
}

#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

const DEFAULT_CONFIG: &str = "config/local.toml";

/// How a call ended badly.
pub(crate) enum Failed {
    /// What it was asked for did not work out: exit code 1.
    Outcome(String),
    /// It could not be asked that way: exit code 2, as for wrong arguments.
    Usage(String),
}

/// Runs the call that the arguments ask for.
pub async fn run() -> ExitCode {
    let call = Cli::parse().call.unwrap_or_else(|| Call::Serve(ConfigFile { config: DEFAULT_CONFIG.into() }));
    let result = match call {
        Call::Serve(file) => serve::run(&file.config).await,
        Call::Check(file) => check::run(&file.config),
        Call::Test(args) => test::run(&args).await,
        Call::Commands(args) => commands::run(&args),
        Call::Decode(args) => decode::run(&args),
        Call::Sign(args) => sign::run(&args),
        Call::Send(args) => send::run(&args).await,
        Call::Load(args) => load::run(args).await,
        Call::Doctor(args) => doctor::run(args).await,
        Call::Listen(args) => listen::run(args).await,
        Call::Events(args) => events::run(&args).await,
        Call::DeadLetters(args) => dead_letters::run(&args).await,
    };
    let (message, code) = match result {
        Ok(()) if output::is_lost() => return ExitCode::FAILURE,
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failed::Outcome(message)) => (message, 1),
        Err(Failed::Usage(message)) => (message, 2),
    };
    if !message.is_empty() {
        say(&format!("chathook: {message}"));
    }
    ExitCode::from(code)
}

/// A command by its name, for arguments.
fn known(name: &str) -> Result<Command, Failed> {
    name.parse().map_err(|_| {
        let names = Command::iter().map(Command::as_str);
        Failed::Usage(match nearest(name, names) {
            Some(known) => format!("unknown command `{name}`; did you mean `{known}`?"),
            None => format!("unknown command `{name}`; `chathook commands` lists them"),
        })
    })
}
