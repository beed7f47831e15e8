//! This test binary as another process, to be killed or limited.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use chathook_journal::{AppendError, Appended, EngineConfig, Health, Journal, Outcome, Record, SqliteConfig};

use crate::harness::{attempt, config, dead, delivered, record, retry};

const ROLE: &str = "JOURNAL_CHILD_ROLE";
const PATH: &str = "JOURNAL_CHILD_PATH";
const ROUND: &str = "JOURNAL_CHILD_ROUND";
/// What it says begins so: the rest is the test harness's.
const MARK: &str = "\u{1}";

pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Starts this binary in a role. With words before it: run by that program.
pub(crate) fn spawn(role: &str, path: &Path, by: &[&str]) -> Process {
    spawn_round(role, path, by, 0)
}

pub(crate) fn spawn_round(role: &str, path: &Path, by: &[&str], round: usize) -> Process {
    let this = std::env::current_exe().unwrap();
    let arguments = ["--exact", "sqlite::child::what_other_tests_run_as_a_process", "--nocapture", "--test-threads=1"];
    let mut command = match by {
        [] => Command::new(this),
        [program, rest @ ..] => {
            let mut command = Command::new(program);
            command.args(rest).arg(this);
            command
        }
    };
    command.args(arguments).env(ROLE, role).env(PATH, path).env(ROUND, round.to_string());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Process { child, lines }
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next thing it says; none: it has ended.
    pub(crate) fn line(&mut self) -> Option<String> {
        loop {
            // A line that was cut off by the end was not said.
            let line = self.lines.next()?.ok()?;
            if let Some((_, said)) = line.split_once(MARK)
                && let Some(said) = said.strip_suffix(MARK)
            {
                return Some(said.to_owned());
            }
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn wait(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("{MARK}{what}{MARK}\n").as_bytes());
    let _ = out.flush();
}

/// Does nothing unless another test started it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_other_tests_run_as_a_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let path = std::env::var_os(PATH).unwrap().into();
    let round = std::env::var(ROUND).unwrap().parse().unwrap();
    let config = config(EngineConfig::Sqlite(SqliteConfig { path, max_size: None }));
    let journal = match Journal::open(&config, &["crm"]).await {
        Ok(journal) => journal,
        Err(error) => return say(&format!("refused {error}")),
    };
    say("open");
    match role.as_str() {
        "hold" => std::future::pending().await,
        "load" => load(&journal, round).await,
        "one by one" => one_by_one(&journal, round).await,
        "fill" => {
            fill(&journal).await;
            // Where it is kept may be seen by this process only.
            let journal = Journal::open(&config, &["crm"]).await.unwrap();
            for id in super::all_ids(&journal).await {
                say(&format!("found {id}"));
            }
        }
        role => panic!("no role {role}"),
    }
}

/// Appends and delivers until it is killed. Says `kept ID`, `out POSITION ID`, `settled POSITION` or `retried POSITION`.
async fn load(journal: &Journal, round: usize) {
    for writer in 0..16 {
        let journal = journal.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let record = Record {
                    id: format!("{round}-{writer}-{number}"),
                    command: format!("Round.{round}"),
                    ..record(&format!("k{}", (writer + number) % 24))
                };
                let id = record.id.clone();
                assert!(matches!(journal.append(record).await, Ok(Appended::Kept(_))));
                say(&format!("kept {id}"));
            }
        });
    }
    let mut crm = journal.subscribe("crm").unwrap();
    loop {
        for delivery in crm.next(8).await.unwrap() {
            say(&format!("out {} {}", delivery.position, delivery.record.id));
            tokio::spawn(async move {
                let attempt = match (delivery.position.0 % 10, delivery.attempts) {
                    (0, 0) => retry(Duration::from_millis(30)),
                    (1, 0) => dead(),
                    _ => delivered(),
                };
                let is_retry = matches!(attempt.outcome, Outcome::Retry { .. });
                delivery.settle(attempt).await.unwrap();
                say(&format!("{} {}", if is_retry { "retried" } else { "settled" }, delivery.position));
            });
        }
    }
}

/// Appends so many, one after the other. Says `asked ID` before, and `kept ID` after each of them.
async fn one_by_one(journal: &Journal, count: usize) {
    for number in 0..count {
        let record = record(&format!("k{}", number % 3));
        let id = record.id.clone();
        say(&format!("asked {id}"));
        assert!(matches!(journal.append(record).await, Ok(Appended::Kept(_))));
        say(&format!("kept {id}"));
    }
    journal.close().await;
}

/// Appends until nothing can be kept, says `full REASON`, and goes on when there is room again. Ends in order.
async fn fill(journal: &Journal) {
    let mut crm = journal.subscribe("crm").unwrap();
    let body = vec![b'x'; 20_000];
    let append = async || {
        let record = Record { body: body.clone().into(), ..record("a") };
        let id = record.id.clone();
        journal.append(record).await.inspect(|_| say(&format!("kept {id}")))
    };
    append().await.unwrap();
    let out = crm.next(1).await.unwrap().remove(0);
    let reason = loop {
        match append().await {
            Ok(_) => {}
            Err(AppendError::Failed(reason) | AppendError::Full(reason)) => break reason,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(matches!(journal.health(), Health::CannotKeep(_)));
    // What was delivered is recorded as soon as that is possible.
    let settling = tokio::spawn(async move { out.settle(attempt(Outcome::Delivered { detail: "204".into() })).await });
    say(&format!("full {reason}"));
    while matches!(journal.health(), Health::CannotKeep(_)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    say("healthy");
    append().await.unwrap();
    settling.await.unwrap().unwrap();
    journal.close().await;
    say("closed");
}
