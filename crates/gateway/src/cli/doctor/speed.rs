//! Time: how long Chat waits for answers, and whether connections are kept.

use std::time::{Duration, Instant};

use chathook_simulator::{CHAT_WAITS, Connection, Request, SendError};
use tokio::time::timeout;

use super::address::millis;
use super::finding::{Finding, Findings};
use super::{LIMIT, PROBE, Server};

/// What is left for the way of an answer from the server to Chat, which may be half around the world.
const COMFORTABLE: Duration = Duration::from_secs(1);

/// Answers on one connection.
const ANSWERS: usize = 10;

/// Takes the time of a first answer, connection included, and of those after it on the same connection.
pub(super) async fn check(server: &Server, findings: &mut Findings) {
    let began = Instant::now();
    let (mut connection, first) = match timeout(LIMIT, open(server)).await {
        Ok(Ok(connection)) => (connection, began.elapsed()),
        failed => {
            let problem = match failed {
                Ok(Err(error)) => error.to_string(),
                _ => format!("none within {LIMIT:?}"),
            };
            return findings.note(slow(Finding::wrong("first answer", problem)));
        }
    };
    let found = format!("{} with the look-up of the name and the connection", millis(first));
    findings.note(judged("first answer", first, found));

    const KEPT: &str = "kept connection";
    if !connection.is_open() {
        return findings.note(closed(Finding::warning(KEPT, "the server closes it after an answer")));
    }
    let mut times = Vec::with_capacity(ANSWERS);
    while times.len() < ANSWERS {
        let began = Instant::now();
        let request = Request::sample(PROBE).to_bytes(&server.target, &server.app);
        match timeout(LIMIT, connection.exchange(&request)).await {
            Ok(Ok(_)) => times.push(began.elapsed()),
            Ok(Err(SendError::Closed(_))) => {
                let found = format!("the server ends it without a word after {} answers", times.len() + 1);
                return findings.note(closed(Finding::warning(KEPT, found)));
            }
            Ok(Err(error)) => return findings.note(Finding::wrong(KEPT, error.to_string())),
            Err(_) => return findings.note(slow(Finding::wrong(KEPT, format!("no answer within {LIMIT:?}")))),
        }
        // Enough is seen.
        if times.last().is_some_and(|took| *took > CHAT_WAITS) || !connection.is_open() {
            break;
        }
    }
    findings.note(match connection.is_open() || times.len() == ANSWERS {
        true => Finding::ok(KEPT, format!("{} answers on it", times.len() + 1)),
        false => closed(Finding::warning(KEPT, format!("the server closes it after {} answers", times.len() + 1))),
    });
    times.sort_unstable();
    let (median, longest) = (times.get(times.len() / 2), times.last());
    if let (Some(median), Some(longest)) = (median, longest) {
        let found = format!(
            "{} on a kept connection; the longest of {} took {}",
            millis(*median),
            times.len(),
            millis(*longest)
        );
        findings.note(judged("answer time", *longest, found));
    }
}

/// Connects and asks once.
async fn open(server: &Server) -> Result<Connection, SendError> {
    let mut connection = Connection::open_any(&server.target, &server.tls).await?;
    connection.exchange(&Request::sample(PROBE).to_bytes(&server.target, &server.app)).await?;
    Ok(connection)
}

fn judged(check: &'static str, took: Duration, found: String) -> Finding {
    if took > CHAT_WAITS {
        slow(Finding::wrong(check, found))
    } else if took > COMFORTABLE {
        slow(Finding::warning(check, found))
    } else {
        Finding::ok(check, found)
    }
}

/// Docs: 1047/34354.
fn slow(finding: Finding) -> Finding {
    finding.advise(
        "Chat gives up after two seconds, the way there and back included. Answer first and work afterwards; see which \
         decider takes the time, and have the server closer to Chat.",
    )
}

/// Docs: 1047/34354 shows persistent connections as the default.
fn closed(finding: Finding) -> Finding {
    finding.advise(
        "Chat keeps its connections: where the server or the proxy does not, each callback waits for a new one, and \
         those that are on their way when it closes are lost. Keep connections alive for a minute or more.",
    )
}
