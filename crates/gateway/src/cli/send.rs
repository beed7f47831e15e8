use std::path::PathBuf;

use chathook_protocol::{Command, CommandName, Phase};
use chathook_simulator::{Client, OnTimeout, Request, SendError, Settings, Target, Verdict};

use super::backend::{Backend, NoTls};
use super::output::{beginning, print, printable, printable_lines};
use super::{Failed, known};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The command, such as Group.CallbackBeforeSendMsg. Any other name is sent too, with --body.
    command: String,
    /// The URL of the console.
    #[arg(long, default_value = "http://127.0.0.1:8080/")]
    url: String,
    #[command(flatten)]
    backend: Backend,
    /// The body; the command's sample when it is not there.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
}

pub(super) async fn run(args: &Args) -> Result<(), Failed> {
    let request = request(args)?;
    let target: Target = args.url.parse().map_err(|error| Failed::Usage(format!("--url: {error}")))?;
    let settings = Settings { ca: args.backend.ca.clone(), ..Settings::default() };
    let client =
        Client::new(target, args.backend.app(), &settings).map_err(|error| Failed::Usage(error.to_string()))?;

    let exchange = client.send(&request).await;
    let verdict = exchange.verdict(&request);
    let chat = match &verdict {
        Verdict::Failed(_) => format!("{verdict}; {}", when_failed(&verdict, request.command.known())),
        _ => verdict.to_string(),
    };
    let chat = printable(&chat);
    match &exchange.result {
        Ok(response) => print(&format!(
            "status: {}\nanswer: {}\nChat:   {chat}\ntime:   {:.1} ms",
            response.status,
            shown(&response.body),
            exchange.took.as_secs_f64() * 1e3
        )),
        Err(error @ SendError::TimedOut(_)) => print(&format!("{error}\nChat:   {chat}")),
        Err(error) => {
            return Err(Failed::Outcome(printable(&format!("{}: {}", args.url, why_unsent(error)))));
        }
    }
    match verdict {
        Verdict::Failed(_) => Err(Failed::Outcome(String::new())),
        _ => Ok(()),
    }
}

/// The sample of a known command, or any body under any name.
fn request(args: &Args) -> Result<Request, Failed> {
    let command = known(&args.command);
    let Some(file) = &args.body else { return command.map(Request::sample) };
    let body = std::fs::read(file).map_err(|error| Failed::Usage(format!("{}: {error}", file.display())))?;
    Ok(match command {
        Ok(command) => Request { body: body.into(), ..Request::sample(command) },
        Err(_) => Request::new(CommandName::from(args.command.as_str()), body),
    })
}

/// An answer as a terminal may have it.
fn shown(body: &[u8]) -> String {
    const MARGIN: &str = "        ";
    let (shown, more) = beginning(body);
    let shown = printable_lines(shown.trim_end(), MARGIN);
    if more > 0 { format!("{shown}\n{MARGIN}... {more} bytes more") } else { shown }
}

/// What becomes of a callback that failed.
fn when_failed(verdict: &Verdict, command: Option<Command>) -> &'static str {
    if command.map(Command::phase) != Some(Phase::Before) {
        return "it may send it again, where the console says so";
    }
    match [OnTimeout::Allow, OnTimeout::Refuse].map(|policy| verdict.happens(command, policy)) {
        [true, true] => "it lets it happen all the same, whatever the console's policy is",
        [false, false] => "it does not let it happen, whatever the console's policy is",
        _ => "the console's policy for failed callbacks applies",
    }
}

/// Why nothing was sent, and what to do where that is known.
fn why_unsent(error: &SendError) -> String {
    let SendError::Tls { host, source } = error else { return error.to_string() };
    match NoTls::of(source) {
        Some(reason) => format!("TLS with {host} fails: {reason}. {}", reason.advice()),
        None => error.to_string(),
    }
}
