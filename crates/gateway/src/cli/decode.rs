use std::io::Read as _;
use std::path::PathBuf;

use chathook_protocol::{AnyCallback, Event, Query};
use serde::Serialize;

use super::{Failed, known, print, say};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The command, such as State.StateChange.
    command: String,
    /// The body; standard input when it is not there, or `-`.
    file: Option<PathBuf>,
}

/// What is printed.
#[derive(Serialize)]
struct Understood<'a> {
    command: &'static str,
    phase: &'static str,
    id: String,
    ordering_key: Option<&'a str>,
    payload: &'a AnyCallback,
    unread: &'a [String],
}

pub(super) fn run(args: &Args) -> Result<(), Failed> {
    let command = known(&args.command)?;
    let body = body(args).map_err(Failed::Usage)?;
    let mut query = Query::default();
    query.command = Some(command.into());
    let event = Event::read(query, body.into());
    let payload = match event.callback() {
        Some(Ok(payload)) => payload,
        Some(Err(error)) => {
            // The pointer of the whole body is the empty one.
            let path = if error.path.is_empty() { "/" } else { &error.path };
            return Err(Failed::Outcome(format!("{command}: {path}: {}", error.source)));
        }
        None => return Err(Failed::Outcome(format!("{command}: nothing was read"))),
    };
    if event.contradicts_itself() {
        say(&format!("chathook: the body names another command than {command}; the gateway would refuse it"));
    }
    let key = event.ordering_key();
    let understood = Understood {
        command: command.as_str(),
        phase: command.phase().into(),
        id: event.id().to_string(),
        ordering_key: key.as_str(),
        payload,
        unread: event.unread(),
    };
    print(&serde_json::to_string_pretty(&understood).map_err(|error| Failed::Outcome(error.to_string()))?);
    Ok(())
}

fn body(args: &Args) -> Result<Vec<u8>, String> {
    match args.file.as_deref().filter(|file| file.as_os_str() != "-") {
        Some(file) => std::fs::read(file).map_err(|error| format!("{}: {error}", file.display())),
        None => {
            let mut body = Vec::new();
            std::io::stdin().lock().read_to_end(&mut body).map_err(|error| format!("standard input: {error}"))?;
            Ok(body)
        }
    }
}
