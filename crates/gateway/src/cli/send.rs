use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chathook_protocol::{Command, Phase, signature};
use serde_json::Value;

use super::sign::now;
use super::{Failed, known, print, sample};
use crate::http_client::root_cause;

#[derive(clap::Args)]
pub(super) struct Args {
    /// The command, such as Group.CallbackBeforeSendMsg. Any other name is sent too, with --body.
    command: String,
    /// The URL of the console.
    #[arg(long, default_value = "http://127.0.0.1:8080/")]
    url: String,
    /// The application.
    #[arg(long, default_value_t = 1_400_000_001)]
    app: u64,
    /// The token to sign with; without, nothing is signed.
    #[arg(long)]
    token: Option<String>,
    /// The body; the command's sample when it is not there.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
}

/// What Chat waits.
const CHAT_WAITS: Duration = Duration::from_secs(2);

pub(super) async fn run(args: &Args) -> Result<(), Failed> {
    let command = match (known(&args.command), &args.body) {
        (Ok(command), _) => Some(command),
        (Err(_), Some(_)) => None,
        (Err(failed), None) => return Err(failed),
    };
    let body = match &args.body {
        Some(file) => std::fs::read(file).map_err(|error| Failed::Usage(format!("{}: {error}", file.display())))?,
        None => command.and_then(sample::body).ok_or_else(|| Failed::Outcome("there is no sample".to_owned()))?,
    };
    let url = url(args, command)?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(CHAT_WAITS);
    let client = client.build().map_err(|error| Failed::Outcome(error.to_string()))?;

    let started = Instant::now();
    let response = async {
        let response = client.post(url).body(body).send().await?;
        Ok::<_, reqwest::Error>((response.status().as_u16(), response.text().await?))
    };
    let (status, text) = match response.await {
        Ok(answer) => answer,
        Err(error) if error.is_timeout() => {
            print(&format!("no answer within {CHAT_WAITS:?}\nChat: {}", when_late(command)));
            return Err(Failed::Outcome(String::new()));
        }
        Err(error) => return Err(Failed::Outcome(format!("{}: {}", args.url, root_cause(&error)))),
    };
    let took = started.elapsed();
    let verdict = verdict(command, status, &text);
    let text = text.trim_end();
    let chat = verdict.as_ref().unwrap_or_else(|problem| problem);
    print(&format!("status: {status}\nanswer: {text}\nChat:   {chat}\ntime:   {:.1} ms", took.as_secs_f64() * 1e3));
    verdict.map(drop).map_err(|_| Failed::Outcome(String::new()))
}

/// The URL of the console with the query of the sample, signed.
fn url(args: &Args, command: Option<Command>) -> Result<reqwest::Url, Failed> {
    let mut url: reqwest::Url =
        args.url.parse().map_err(|error| Failed::Usage(format!("--url {}: {error}", args.url)))?;
    let query = command
        .and_then(sample::query)
        .unwrap_or_else(|| format!("SdkAppid=&CallbackCommand={}&contenttype=json", args.command));
    let mut signed = String::new();
    for parameter in query.split('&') {
        let name = parameter.split('=').next().unwrap_or_default();
        let _ = match name.eq_ignore_ascii_case("SdkAppid") {
            true => write!(signed, "&{name}={}", args.app),
            false => write!(signed, "&{parameter}"),
        };
    }
    if let Some(token) = &args.token {
        let time = now();
        let _ = write!(signed, "&Sign={}&RequestTime={time}", signature::sign(token, time));
    }
    url.set_query(Some(signed.trim_start_matches('&')));
    Ok(url)
}

/// What Chat would do with the answer, or why it would count the callback as failed.
fn verdict(command: Option<Command>, status: u16, text: &str) -> Result<String, String> {
    if status != 200 {
        return Err(format!("failed: status is not 200; {}", when_late(command)));
    }
    let Ok(Value::Object(answer)) = serde_json::from_str(text) else {
        return Err(format!("failed: the answer is not JSON; {}", when_late(command)));
    };
    if command.is_none_or(|command| command.phase() == Phase::After) {
        return Ok("takes note: the event has happened already".to_owned());
    }
    let code = answer.get("ErrorCode").and_then(Value::as_i64);
    Ok(match code {
        Some(0) if answer.contains_key("MsgBody") || answer.contains_key("CloudCustomData") => {
            "delivers the message as the answer has it".to_owned()
        }
        Some(0) => match answer.get("ResultItem").and_then(Value::as_array) {
            Some(items) => {
                let refused = items.iter().filter(|item| item["ResultCode"] != 0).count();
                format!("lets {} of {} friend requests happen", items.len() - refused, items.len())
            }
            None => match left_out(&answer) {
                0 => "lets it happen".to_owned(),
                users => format!("lets it happen, but for {users} users"),
            },
        },
        Some(2) => "discards the message, and tells its sender that it was sent".to_owned(),
        Some(1) => "refuses with its general error".to_owned(),
        Some(code) => format!("refuses with code {code} and text {}", answer.get("ErrorInfo").unwrap_or(&Value::Null)),
        None => return Err("failed: ErrorCode is missing".to_owned()),
    })
}

fn left_out(answer: &serde_json::Map<String, Value>) -> usize {
    ["RefusedMembers_Account", "RefusedSubscribers_Account"]
        .iter()
        .filter_map(|key| answer.get(*key)?.as_array())
        .map(Vec::len)
        .sum()
}

fn when_late(command: Option<Command>) -> &'static str {
    match command.map(Command::phase) {
        Some(Phase::Before) => "the console's policy for failed callbacks applies",
        _ => "it may send it again, where the console says so",
    }
}
