//! `chathook doctor`: finds out why callbacks do not arrive.

mod address;
mod answer;
mod certificate;
mod commands;
mod finding;
mod forgery;
mod handshake;
mod speed;
mod tls;
mod url;

use std::time::{Duration, Instant};

use bytes::Bytes;
use chathook_protocol::Command;
use chathook_simulator::{App, Client, Connection, Exchange, Request, Response, SendError, Settings, Target, Tls};
use tokio::time::timeout;

use self::finding::{Finding, Findings, Level};
use super::Failed;
use super::backend::{Backend, Consent};
use crate::config::Commands;

#[derive(clap::Args)]
#[command(after_help = ABOUT)]
pub(super) struct Args {
    /// The URL of the console.
    #[arg(long, default_value = "http://127.0.0.1:8080/")]
    url: String,
    #[command(flatten)]
    backend: Backend,
    #[command(flatten)]
    consent: Consent,
    /// Sends these commands only: names, or patterns such as Group.*, separated by commas.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', default_value = "*")]
    commands: Vec<String>,
    /// Sends after-callbacks too. The server takes them for real: it keeps and delivers what the samples tell.
    #[arg(long)]
    after: bool,
    /// Prints JSON at the end, in place of lines.
    #[arg(long)]
    json: bool,
}

const ABOUT: &str = "Looks the host up, connects, looks at the certificate, then plays the Chat backend with right, wrong and \
missing Sign, takes the time, and sends the samples of commands. Says of each step whether it is ok, a warning or wrong, and \
what to do. The exit code is 1 when something is wrong.

Unless --after is given, only before-callbacks are sent, which ask for a decision and tell of nothing that happened.";

/// No step that waits for somebody waits longer.
const LIMIT: Duration = Duration::from_secs(5);

/// What is sent where any command would do: one that asks, and changes nothing.
const PROBE: Command = Command::C2cBeforeSendMsg;

pub(super) async fn run(args: Args) -> Result<(), Failed> {
    let commands = Commands::new(args.commands.clone());
    commands.check().map_err(|error| Failed::Usage(format!("--commands: {}", error.problem)))?;
    let mut findings = Findings::new(args.url.clone(), args.json);
    let (unseen, is_refused) = match examine(&args, &commands, &mut findings).await {
        Ok(unseen) => (unseen, false),
        // What was found until then is told all the same.
        Err(Failed::Usage(problem) | Failed::Outcome(problem)) => {
            findings.note(Finding::wrong("arguments", problem));
            (Some("the server"), true)
        }
    };
    if let Some(unseen) = unseen {
        findings.note(Finding::skipped(unseen, "not looked at until what is wrong above is mended"));
    }
    findings.end().map_err(|error| Failed::Outcome(error.to_string()))?;
    match findings.count(Level::Wrong) {
        0 => Ok(()),
        _ if is_refused => Err(Failed::Usage(String::new())),
        _ => Err(Failed::Outcome(String::new())),
    }
}

/// From the outside to the inside. Gives what cannot be looked at because of what is wrong before it.
async fn examine(args: &Args, commands: &Commands, findings: &mut Findings) -> Result<Option<&'static str>, Failed> {
    let Some(target) = url::read(&args.url, findings) else { return Ok(Some("the server")) };
    let addresses = address::resolve(&target, findings).await;
    if addresses.is_empty() {
        return Ok(Some("the server"));
    }
    args.consent.check(&target).await?;
    let addresses = address::connect(&addresses, findings).await;
    if addresses.is_empty() {
        return Ok(Some("the server"));
    }
    if target.is_https() {
        let before = findings.count(Level::Wrong);
        tls::check(&target, &addresses, args.backend.ca.as_deref(), findings).await?;
        if findings.count(Level::Wrong) > before {
            return Ok(Some("its answers"));
        }
    }
    let server = Server::new(target, &args.backend).map_err(|error| Failed::Usage(error.to_string()))?;
    let Some(clock) = answer::check(&server, findings).await else { return Ok(Some("its answers")) };
    if !forgery::check(&server, clock, findings).await {
        return Ok(Some("time and commands"));
    }
    speed::check(&server, findings).await;
    commands::check(&server, commands, args.after, findings).await;
    Ok(None)
}

/// The server, and who asks it.
struct Server {
    target: Target,
    app: App,
    tls: Tls,
    /// Waits as long as Chat does, on a connection that is kept.
    chat: Client,
}

impl Server {
    fn new(target: Target, backend: &Backend) -> Result<Self, SendError> {
        let (app, tls) = (backend.app(), Tls::new(&target, backend.ca.as_deref())?);
        let settings = Settings { ca: backend.ca.clone(), ..Settings::default() };
        let chat = Client::new(target.clone(), app.clone(), &settings)?;
        Ok(Self { target, app, tls, chat })
    }

    /// Asks in the name of the application.
    async fn ask(&self, request: &Request) -> Exchange {
        self.ask_as(&self.app, request).await
    }

    /// Asks in the name of `app`, on a connection of its own, and waits longer than Chat does.
    async fn ask_as(&self, app: &App, request: &Request) -> Exchange {
        let began = Instant::now();
        let asking = async {
            let mut connection = Connection::open_any(&self.target, &self.tls).await?;
            let status = connection.exchange(&request.to_bytes(&self.target, app)).await?;
            let (headers, body) = (connection.headers(), Bytes::copy_from_slice(connection.body()));
            Ok(Response { status, headers, body })
        };
        let result = timeout(LIMIT, asking).await.unwrap_or(Err(SendError::TimedOut(LIMIT)));
        Exchange { result, took: began.elapsed() }
    }
}
