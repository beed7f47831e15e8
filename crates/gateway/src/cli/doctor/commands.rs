//! The sample of each command, and whether Chat takes the answer.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use chathook_protocol::{Command, Phase};
use chathook_simulator::{Failure, Request, Verdict};
use strum::IntoEnumIterator;

use super::Server;
use super::address::millis;
use super::finding::{Finding, Findings, Tried};
use crate::config::Commands;

/// After so many time-outs in a row no more is sent.
const ENOUGH: usize = 3;

/// Sends what `commands` fits: before-callbacks, and after-callbacks where they are wanted.
pub(super) async fn check(server: &Server, commands: &Commands, with_after: bool, findings: &mut Findings) {
    let of = |phase| -> Vec<Command> {
        Command::iter().filter(|command| command.phase() == phase && commands.fit(command.as_str())).collect()
    };
    let (before, after) = (of(Phase::Before), of(Phase::After));
    if !before.is_empty() {
        let finding = Sent::all(server, &before, findings).await.finding("before-callbacks", before.len());
        findings.note(finding);
    }
    if after.is_empty() {
        return;
    }
    if !with_after {
        let found =
            format!("{} not sent: the server would keep and deliver what they tell; --after sends them", after.len());
        return findings.note(Finding::skipped("after-callbacks", found));
    }
    let finding = Sent::all(server, &after, findings).await.finding("after-callbacks", after.len());
    findings.note(finding);
}

/// What came of the samples of one phase.
#[derive(Default)]
struct Sent {
    /// How often Chat does what.
    verdicts: BTreeMap<&'static str, usize>,
    failed: Vec<(Command, Failure)>,
    slowest: Option<(Duration, Command)>,
    count: usize,
}

impl Sent {
    async fn all(server: &Server, commands: &[Command], findings: &mut Findings) -> Self {
        let mut sent = Self::default();
        let mut timed_out = 0;
        for command in commands {
            let request = Request::sample(*command);
            let exchange = server.chat.send(&request).await;
            let verdict = exchange.verdict(&request);
            let kind: &str = verdict.kind().into();
            findings.commands.push(Tried {
                command: command.to_string(),
                verdict: kind,
                chat: verdict.to_string(),
                milliseconds: exchange.took.as_secs_f64() * 1e3,
            });
            sent.count += 1;
            *sent.verdicts.entry(kind).or_default() += 1;
            sent.slowest = sent.slowest.max(Some((exchange.took, *command)));
            timed_out = if matches!(verdict, Verdict::Failed(Failure::TimedOut)) { timed_out + 1 } else { 0 };
            if let Verdict::Failed(failure) = verdict {
                sent.failed.push((*command, failure));
            }
            if timed_out == ENOUGH {
                break;
            }
        }
        sent
    }

    fn finding(self, check: &'static str, wanted: usize) -> Finding {
        let verdicts: Vec<_> = self.verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        let mut found = format!("{} sent: {}", self.count, verdicts.join(", "));
        if let Some((took, command)) = self.slowest {
            let _ = write!(found, "; the slowest took {} ({command})", millis(took));
        }
        for (command, failure) in &self.failed {
            let _ = write!(found, "\n{command}: {failure}");
        }
        if self.count < wanted {
            let _ = write!(found, "\nno more was sent: {ENOUGH} in a row had no answer");
        }
        match self.failed.is_empty() {
            true => Finding::ok(check, found),
            false => Finding::wrong(check, found).advise(
                "Answer each command with status 200 and JSON of its own kind: `chathook send COMMAND` shows an answer, \
                 and `chathook commands` what kind it has to be.",
            ),
        }
    }
}
