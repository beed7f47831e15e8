//! `chathook listen`: prints what Chat sends.

mod answers;
mod json;
mod printer;

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use anstyle::{AnsiColor, Style};
use chathook_protocol::signature::{self, SignatureError};
use chathook_protocol::{Event, Query};
use serde::de::IgnoredAny;
use tokio::sync::Notify;

use self::answers::{Answer, Answers};
use self::printer::Printer;
use super::Failed;
use super::output::{beginning, print, printable, printable_lines};
use crate::shutdown::{Signals, Stop as _, Urgency};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: String,
    /// A token of the application: says of each callback whether its Sign is right. May be given more than once.
    #[arg(long, value_name = "TOKEN")]
    token: Vec<String>,
    /// The body to answer with, whatever comes. Default: the protocol's OK.
    #[arg(long, value_name = "JSON", conflicts_with = "answers")]
    answer: Option<String>,
    /// What to answer to which callback: a TOML file of [[answer]] tables.
    #[arg(long, value_name = "FILE", long_help = answers::HELP)]
    answers: Option<PathBuf>,
    /// Prints one line a callback, without its body.
    #[arg(long)]
    short: bool,
    /// Ends after so many callbacks.
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
}

/// No body of Chat is nearly as large.
const MAX_BODY: usize = 16 << 20;
/// How far from now `RequestTime` may be. Docs: 269/32431.
const MAX_AGE: Duration = Duration::from_mins(1);
/// What is left after a signal for answers on their way, and then for who reads the output.
const GRACE: Duration = Duration::from_secs(5);

/// What stands before each line about a callback but the first.
const MARGIN: &str = "  ";

const DIM: Style = Style::new().dimmed();
const NAME: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const ODD: Style = AnsiColor::Yellow.on_default();

struct Listener {
    tokens: Vec<String>,
    answers: Answers,
    is_short: bool,
    most: u64,
    seen: AtomicU64,
    enough: Notify,
    printer: Printer,
}

pub(super) async fn run(args: Args) -> Result<(), Failed> {
    let answers = match (&args.answers, args.answer) {
        (Some(file), _) => Answers::load(file).map_err(Failed::Usage)?,
        (None, Some(body)) => Answers::fixed(body),
        (None, None) => Answers::default(),
    };
    let failed = |error| Failed::Outcome(format!("--listen {}: {error}", args.listen));
    let socket = TcpListener::bind(&args.listen).map_err(failed)?;
    print(&format!("listening on http://{}/ for callbacks; end with Ctrl-C", socket.local_addr().map_err(failed)?));
    let listener = web::Data::new(Listener {
        tokens: args.token,
        answers,
        is_short: args.short,
        most: args.count.unwrap_or(u64::MAX),
        seen: AtomicU64::new(0),
        enough: Notify::new(),
        printer: Printer::start().map_err(failed)?,
    });
    let data = listener.clone();
    let app = move || {
        App::new().app_data(data.clone()).app_data(web::PayloadConfig::new(MAX_BODY)).default_service(web::to(heard))
    };
    let mut signals = Signals::new().map_err(failed)?;
    let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(GRACE.as_secs());
    let mut server = pin!(server.listen(socket).map_err(failed)?.run());
    let handle = server.handle();
    let signal = tokio::select! {
        ended = &mut server => return ended.map_err(failed),
        () = listener.enough.notified() => None,
        urgency = signals.first() => Some(urgency),
    };
    let is_orderly = signal != Some(Urgency::Prompt);
    let end = async {
        let (ended, ()) = tokio::join!(server, handle.stop(is_orderly));
        let printed = listener.printer.finish();
        match signal {
            None => printed.await,
            // Who has stopped reading may never go on.
            Some(_) => _ = tokio::time::timeout(GRACE, printed).await,
        }
        ended.map_err(failed)
    };
    tokio::select! {
        ended = end => ended,
        _ = signals.first() => Ok(()),
    }
}

async fn heard(
    listener: web::Data<Listener>,
    request: HttpRequest,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, actix_web::Error> {
    let query = Query::parse(request.query_string());
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            listener.printer.print(Listener::refusal(&request, &query, &error)).await;
            return Err(error);
        }
    };
    let event = Event::read(query, body);
    let answer = listener.answers.to(event.command().as_str(), event.body());
    let mut text = listener.headline(&request, &event);
    if !listener.is_short {
        describe(&mut text, &event);
        describe_answer(&mut text, &answer);
    }
    listener.printer.print(text).await;
    tokio::time::sleep(answer.delay).await;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = HttpResponse::build(status);
    if listener.seen.fetch_add(1, Ordering::Relaxed) + 1 >= listener.most {
        listener.enough.notify_one();
        response.force_close();
    }
    Ok(response.insert_header((CONTENT_TYPE, "application/json")).body(answer.body))
}

impl Listener {
    /// What was not taken in, from where, and why.
    fn refusal(request: &HttpRequest, query: &Query, error: &actix_web::Error) -> String {
        let mut line = time(SystemTime::now());
        let command = query.command.as_ref().map_or("", |command| command.as_str());
        let _ =
            write!(line, "{BAD}refused{BAD:#} {NAME}{}{NAME:#}: {}", printable(command), printable(&error.to_string()));
        if let Some(length) = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()) {
            let _ = write!(line, " ({} bytes)", printable(length));
        }
        from(&mut line, request);
        line
    }

    /// When, what, from where, and whether it is genuine.
    fn headline(&self, request: &HttpRequest, event: &Event) -> String {
        let now = SystemTime::now();
        let mut line = time(now);
        let _ = match (event.command().known(), event.body().is_empty()) {
            (_, true) => write!(line, "{NAME}empty body{NAME:#} (the console's check)"),
            (Some(command), false) => write!(line, "{NAME}{command}{NAME:#} {}", command.phase()),
            (None, false) => write!(line, "{ODD}unknown command `{}`{ODD:#}", printable(event.command().as_str())),
        };
        if request.method() != actix_web::http::Method::POST {
            let _ = write!(line, " {ODD}{}{ODD:#}", request.method());
        }
        from(&mut line, request);
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let tokens = self.tokens.iter().map(String::as_str);
        let _ = match (event.query().sign.is_some(), signature::verify(event.query(), tokens, now, MAX_AGE)) {
            _ if self.tokens.is_empty() => Ok(()),
            (_, Ok(())) => write!(line, " {GOOD}signed{GOOD:#}"),
            (true, Err(SignatureError::Age)) => {
                write!(line, " {BAD}signed, but RequestTime is too far from now{BAD:#}")
            }
            (true, Err(SignatureError::Sign)) => write!(line, " {BAD}wrong Sign{BAD:#}"),
            (false, Err(_)) => write!(line, " {BAD}not signed{BAD:#}"),
        };
        line
    }
}

fn time(now: SystemTime) -> String {
    format!("{DIM}{}{DIM:#} ", humantime::format_rfc3339_millis(now))
}

fn from(line: &mut String, request: &HttpRequest) {
    if let Some(peer) = request.peer_addr() {
        let _ = write!(line, " {DIM}from {}{DIM:#}", peer.ip());
    }
}

/// The query, the body, and what was understood of it.
fn describe(text: &mut String, event: &Event) {
    let _ = write!(text, "\n  {DIM}query{DIM:#}  {}", printable(event.query().as_str()));
    if event.body().is_empty() {
        return;
    }
    let _ = write!(text, "\n  {DIM}id{DIM:#}     {}", printable(event.id().as_str()));
    if let Some(key) = event.ordering_key().as_str() {
        let _ = write!(text, "\n  {DIM}key{DIM:#}    {}", printable(key));
    }
    if event.contradicts_itself() {
        let _ = write!(text, "\n  {BAD}the body names another command than the query{BAD:#}");
    }
    if let Some(Err(error)) = event.callback() {
        let path = if error.path.is_empty() { "/" } else { &error.path };
        let _ = write!(
            text,
            "\n  {BAD}cannot be read{BAD:#} at {}: {}",
            printable(path),
            printable(&error.source.to_string())
        );
    }
    for pointer in event.unread() {
        let _ = write!(text, "\n  {ODD}unread{ODD:#} {}", printable(pointer));
    }
    let _ = write!(text, "\n  {DIM}body{DIM:#}   ");
    describe_body(text, event.body());
}

fn describe_answer(text: &mut String, answer: &Answer) {
    let _ = write!(text, "\n  {DIM}answer{DIM:#} ");
    if answer.status != 200 {
        let _ = write!(text, "{ODD}status {}{ODD:#} ", answer.status);
    }
    if !answer.delay.is_zero() {
        let _ = write!(text, "{ODD}after {}{ODD:#} ", humantime::format_duration(answer.delay));
    }
    describe_body(text, answer.body.as_bytes());
}

fn describe_body(text: &mut String, body: &[u8]) {
    let (shown, more) = beginning(body);
    match serde_json::from_slice::<IgnoredAny>(body) {
        Ok(_) => json::pretty(text, &shown, MARGIN),
        Err(_) => text.push_str(&printable_lines(&shown, MARGIN)),
    }
    if more > 0 {
        let _ = write!(text, "\n{MARGIN}{DIM}... {more} bytes more{DIM:#}");
    }
}
