//! The first answer: whether a callback server is there at all. The console asks the same with an empty body.

use std::time::{Duration, SystemTime};

use chathook_simulator::{Failure, Request, Response, SendError, Verdict};

use super::finding::{Finding, Findings};
use super::{PROBE, Server};

const CHECK: &str = "empty body";

/// What an answer says of the server's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// How many seconds it is ahead of this machine's; unknown where the answer has no date.
    pub(super) ahead: Option<i64>,
}

/// Sends an empty body. Gives the server's clock where it is worth asking further.
pub(super) async fn check(server: &Server, findings: &mut Findings) -> Option<Clock> {
    let request = Request::new(PROBE, "");
    let exchange = server.ask(&request).await;
    let response = match &exchange.result {
        Ok(response) => response,
        Err(error) => {
            findings.note(no_answer(error));
            return None;
        }
    };
    let clock = Clock::read(response);
    let took = super::address::millis(exchange.took);
    match exchange.verdict(&request) {
        Verdict::Failed(Failure::Status(status)) => {
            findings.note(wrong_status(status, response.header("location")));
            // What refuses an empty body may take others.
            if is_elsewhere(status) {
                return None;
            }
        }
        Verdict::Failed(failure) => {
            findings.note(Finding::wrong(CHECK, format!("{failure}: {}", begin(&response.body))).advise(
                "The console and Chat want a JSON object with ActionStatus, ErrorInfo and ErrorCode. Is this a page \
                 of a proxy, or of another server?",
            ));
        }
        verdict => findings.note(Finding::ok(CHECK, format!("answered with 200 and JSON in {took}; Chat {verdict}"))),
    }
    findings.note(clock.finding());
    Some(clock)
}

/// Whether a status says that this is not the callback server, or not its URL.
fn is_elsewhere(status: u16) -> bool {
    matches!(status, 300..=399 | 404 | 405 | 410 | 421 | 502..=504)
}

fn no_answer(error: &SendError) -> Finding {
    let advice = match error {
        SendError::TimedOut(_) => {
            "Chat gives up after two seconds. The server takes the connection, but is stuck or overloaded."
        }
        SendError::NotHttp(_) => "Is this the port for https, or of something else? Chat speaks HTTP/1.1.",
        SendError::Closed(_) => {
            "Is this the port for https, or does a firewall, a proxy or a demanded client certificate end the connection?"
        }
        _ => "See in the server's log what became of it.",
    };
    Finding::wrong(CHECK, error.to_string()).advise(advice)
}

fn wrong_status(status: u16, location: Option<&str>) -> Finding {
    let found = match location {
        Some(location) => format!("status {status} instead of 200: it redirects to {location}"),
        None => format!("status {status} instead of 200"),
    };
    let advice = match status {
        // Docs: nothing is said of redirects; overview of the callbacks, 1047/34354.
        300..=399 => "Chat is not known to follow redirects. Enter the URL that it redirects to in the console.",
        401 | 403 => {
            "The console sends this when the URL is saved, with a Sign as any callback: see below what becomes of Sign."
        }
        404 | 410 => "Nothing is at this path: compare it with the server's own (callbacks.path).",
        405 => "Chat sends POST: the server, or the proxy before it, has to take it.",
        502..=504 => "The proxy does not reach the server behind it, or that is starting, stopping or overloaded.",
        _ => {
            "A refusal too is 200 with an ErrorCode; any other status counts as failed. The server's log may say more."
        }
    };
    Finding::wrong(CHECK, found).advise(advice)
}

/// How what is no answer begins.
fn begin(body: &[u8]) -> String {
    const SHOWN: usize = 60;
    let text = String::from_utf8_lossy(body);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None if text.is_empty() => "it is empty".to_owned(),
        None => text,
    }
}

/// The clocks of two machines that ask the time of the same servers are closer.
const USUAL: u64 = 5;

/// Docs: 269/32431. A `RequestTime` further away makes the request invalid.
const MAX_AGE: u64 = 60;

impl Clock {
    fn read(response: &Response) -> Self {
        let date = response.header("date").and_then(|date| httpdate::parse_http_date(date).ok());
        let ahead = date.map(|date| match date.duration_since(SystemTime::now()) {
            Ok(ahead) => seconds(ahead),
            Err(behind) => -seconds(behind.duration()),
        });
        Self { ahead }
    }

    fn finding(self) -> Finding {
        const CHECK: &str = "clock";
        let Some(ahead) = self.ahead else {
            return Finding::skipped(CHECK, "the answer has no date to compare with");
        };
        let difference = match ahead {
            0.. => format!("the server's is {ahead} s ahead of this machine's"),
            _ => format!("the server's is {} s behind this machine's", -ahead),
        };
        let advice = "Chat's RequestTime may be a minute away from the server's clock: set both by NTP.";
        match ahead.unsigned_abs() {
            0..=USUAL => Finding::ok(CHECK, "the server's and this machine's are the same"),
            MAX_AGE.. => Finding::wrong(CHECK, difference).advise(advice),
            _ => Finding::warning(CHECK, difference).advise(advice),
        }
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::{Clock, begin};

    #[test]
    fn clocks_may_differ_by_less_than_a_minute() {
        for (ahead, expected) in [
            (None, Level::Skipped),
            (Some(0), Level::Ok),
            (Some(-5), Level::Ok),
            (Some(6), Level::Warning),
            (Some(-59), Level::Warning),
            (Some(60), Level::Wrong),
            (Some(i64::MIN + 1), Level::Wrong),
        ] {
            assert_eq!(Clock { ahead }.finding().level, expected, "{ahead:?}");
        }
    }

    #[test]
    fn a_page_is_shown_by_its_beginning() {
        assert_eq!(begin(b""), "it is empty");
        assert_eq!(begin(b"<html>\n  <body>"), "<html> <body>");
        assert_eq!(begin("群".repeat(70).as_bytes()), "群".repeat(60) + "...");
    }
}
