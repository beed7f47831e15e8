//! Sign: the right one has to be taken, and what only looks like Chat's has to be refused.

use std::time::Duration;

use chathook_protocol::Command;
use chathook_simulator::{App, Exchange, Request, Response, SendError, Verdict};
use futures_util::future::join_all;
use serde::Deserialize;

use super::answer::Clock;
use super::finding::{Finding, Findings, Level};
use super::{PROBE, Server};
use crate::cli::sign::now;

/// Nobody's application.
const FOREIGN: u64 = 1;

/// Older than any server should take. Docs: 269/32431 has a minute.
const OLD: Duration = Duration::from_hours(1);

/// Sends a right callback, and forged ones. Says whether the right one was taken.
pub(super) async fn check(server: &Server, clock: Clock, findings: &mut Findings) -> bool {
    let right = match right(server, clock).await {
        Ok((right, finding)) => {
            findings.note(finding);
            right
        }
        Err(finding) => {
            findings.note(finding);
            return false;
        }
    };
    let forgeries = forgeries(&server.app);
    let fates = join_all(forgeries.iter().map(|forgery| server.ask_as(&forgery.app, &forgery.request))).await;
    for (forgery, exchange) in forgeries.iter().zip(&fates) {
        findings.note(forgery.finding(exchange, &right));
    }
    true
}

/// Sends what Chat sends.
async fn right(server: &Server, clock: Clock) -> Result<(Response, Finding), Finding> {
    let check = if server.app.token.is_some() { "right Sign" } else { "without Sign" };
    let request = Request::sample(PROBE);
    let exchange = server.ask(&request).await;
    let verdict = exchange.verdict(&request);
    match (exchange.result, verdict) {
        (Ok(_), Verdict::Failed(failure)) => {
            let wrong = Finding::wrong(check, failure.to_string());
            Err(wrong.advise(why_refused(server, clock).await))
        }
        (Ok(response), verdict) => {
            let finding = match server.app.token.is_some() {
                true => Finding::ok(check, format!("taken; Chat {verdict}")),
                false => Finding::warning(check, format!("taken; Chat {verdict}")).advise(
                    "Anybody can send callbacks. Switch authentication on beside the URL in the console, give the \
                     server the token, and look again with --token.",
                ),
            };
            Ok((response, finding))
        }
        (Err(error), _) => {
            Err(Finding::wrong(check, error.to_string()).advise("See in the server's log what became of it."))
        }
    }
}

/// Tries whether it is the clock.
async fn why_refused(server: &Server, clock: Clock) -> &'static str {
    let Some(_) = &server.app.token else {
        return "Does the server want a Sign? Give the token that is entered in the console: --token.";
    };
    if let Some(ahead) = clock.ahead.filter(|ahead| *ahead != 0) {
        let request = Request { request_time: Some(now().saturating_add_signed(ahead)), ..Request::sample(PROBE) };
        let exchange = server.ask(&request).await;
        if exchange.result.is_ok() && !matches!(exchange.verdict(&request), Verdict::Failed(_)) {
            return "It is taken with the server's time: the token is right, and one of the clocks is wrong.";
        }
    }
    "Compare token and SdkAppid with those of the server (`tokens` in [[app]]), and its clock; see whether it takes \
     callbacks from this address (callbacks.allow_from)."
}

/// Something that Chat has not sent.
struct Forgery {
    check: &'static str,
    app: App,
    request: Request,
    /// How bad it is when it is taken.
    level: Level,
    /// What it means, and what to do.
    advice: &'static str,
}

fn forgeries(app: &App) -> Vec<Forgery> {
    let sample = || Request::sample(PROBE);
    let mut forgeries = Vec::new();
    if app.token.is_some() {
        forgeries.push(Forgery {
            check: "wrong Sign",
            app: app.clone(),
            request: Request { sign: Some("0".repeat(64)), ..sample() },
            level: Level::Wrong,
            advice: "Anybody can send callbacks in Chat's name. Sign has to be the SHA-256 of token and RequestTime, \
                     in hexadecimal; chathook checks it once [[app]] has `tokens`.",
        });
        forgeries.push(Forgery {
            check: "missing Sign",
            app: App::unsigned(app.sdk_app_id),
            request: sample(),
            level: Level::Wrong,
            advice: "Anybody can send callbacks in Chat's name. Refuse what has no Sign; chathook does so once [[app]] \
                     has `tokens`.",
        });
        forgeries.push(Forgery {
            check: "old RequestTime",
            app: app.clone(),
            request: Request { request_time: Some(now().saturating_sub(OLD.as_secs())), ..sample() },
            level: Level::Wrong,
            advice: "Who has ever seen one of Chat's URLs, in a log perhaps, can send callbacks for ever. Refuse a \
                     RequestTime more than a minute away (`max_age` in [[app]]).",
        });
    }
    forgeries.push(Forgery {
        check: "foreign SdkAppid",
        app: App { sdk_app_id: FOREIGN, ..app.clone() },
        request: sample(),
        level: Level::Warning,
        advice: "Compare SdkAppid with the application's own, as Chat's documentation asks.",
    });
    forgeries.push(Forgery {
        check: "another command",
        app: app.clone(),
        request: Request { command: Command::GroupBeforeSendMsg.into(), ..sample() },
        level: Level::Warning,
        advice: "CallbackCommand is the same in the query and in the body of all that Chat sends; refuse what differs.",
    });
    forgeries
}

impl Forgery {
    fn finding(&self, exchange: &Exchange, right: &Response) -> Finding {
        match Fate::of(exchange, right) {
            Fate::Refused(how) => Finding::ok(self.check, format!("refused: {how}")),
            Fate::Unknown(problem) => Finding::warning(self.check, format!("neither taken nor refused: {problem}"))
                .advise("Answer at once: who waits for nothing costs a connection."),
            Fate::Taken if self.level == Level::Wrong => {
                Finding::wrong(self.check, "taken as if it were Chat's").advise(self.advice)
            }
            Fate::Taken => Finding::warning(self.check, "taken").advise(self.advice),
        }
    }
}

/// What became of a forgery.
#[derive(Debug, PartialEq)]
enum Fate {
    Refused(String),
    Taken,
    Unknown(String),
}

impl Fate {
    /// Any status and any code may refuse: nothing is prescribed.
    fn of(exchange: &Exchange, right: &Response) -> Self {
        let response = match &exchange.result {
            Ok(response) => response,
            Err(SendError::Closed(_)) => return Self::Refused("the connection is closed".to_owned()),
            Err(error) => return Self::Unknown(error.to_string()),
        };
        if response.status != 200 {
            return Self::Refused(format!("status {}", response.status));
        }
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "ErrorCode")]
            code: Option<i64>,
        }
        let code = serde_json::from_slice(&response.body).ok().and_then(|Answer { code }| code);
        match code {
            // A decider may refuse the right one just so.
            _ if response.body == right.body => Self::Taken,
            Some(0) => Self::Taken,
            Some(code) => Self::Refused(format!("ErrorCode {code}")),
            None => Self::Refused("200 without an answer of Chat's kind".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chathook_simulator::{Exchange, Response, SendError};

    use super::Fate;

    fn answer(status: u16, body: &'static str) -> Response {
        Response { status, headers: Vec::new(), body: body.into() }
    }

    fn fate(result: Result<Response, SendError>, right: &'static str) -> Fate {
        Fate::of(&Exchange { result, took: Duration::ZERO }, &answer(200, right))
    }

    #[test]
    fn a_forgery_is_refused_by_any_status_or_code_other_than_that_of_the_right_one() {
        let (allow, reject) = (r#"{"ErrorCode":0}"#, r#"{"ErrorCode":1}"#);
        assert_eq!(fate(Ok(answer(403, allow)), allow), Fate::Refused("status 403".to_owned()));
        assert_eq!(fate(Ok(answer(200, reject)), allow), Fate::Refused("ErrorCode 1".to_owned()));
        assert_eq!(fate(Ok(answer(200, allow)), allow), Fate::Taken);
        assert_eq!(fate(Ok(answer(200, reject)), reject), Fate::Taken, "a decider refuses it, not its Sign");
        assert_eq!(fate(Ok(answer(200, r#"{"ErrorCode":0,"a":1}"#)), allow), Fate::Taken);
        assert!(matches!(fate(Ok(answer(200, "no")), allow), Fate::Refused(_)));
        let closed = SendError::Closed(std::io::ErrorKind::UnexpectedEof.into());
        assert!(matches!(fate(Err(closed), allow), Fate::Refused(_)));
        assert!(matches!(fate(Err(SendError::TimedOut(Duration::ZERO)), allow), Fate::Unknown(_)));
    }
}
