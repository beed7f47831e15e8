//! `chathook listen`: what people see who only want to see what Chat sends.

use std::process::{Output, Stdio};
use std::time::Duration;

use chathook_tests::binary;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const SECRET: &str = "k3y-Example_01";
const LIMIT: Duration = Duration::from_secs(30);

struct Listening {
    child: Child,
    out: BufReader<ChildStdout>,
    url: String,
}

impl Listening {
    async fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(["listen", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        timeout(LIMIT, out.read_line(&mut line)).await.unwrap().unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("an address").to_owned();
        Self { child, out, url }
    }

    async fn send(&self, arguments: &[&str]) -> Output {
        let send = Command::new(binary()).arg("send").args(arguments).args(["--url", &self.url]).output();
        timeout(LIMIT, send).await.unwrap().unwrap()
    }

    /// What it printed until it ended by itself.
    async fn end(mut self) -> String {
        let mut text = String::new();
        timeout(LIMIT, self.out.read_to_string(&mut text)).await.unwrap().unwrap();
        assert!(self.child.wait().await.unwrap().success());
        text
    }
}

#[tokio::test]
async fn listen_shows_each_callback_and_whether_it_is_genuine() {
    let listening = Listening::start(&["--token", SECRET, "--count", "4"]).await;
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("odd.json");
    let body = r#"{"CallbackCommand":"Sns.CallbackFriendDelete","New":"\u001b群","PairList":[{"From_Account":"u","To_Account":"v"}]}"#;
    std::fs::write(&odd, body).unwrap();
    let odd = odd.to_str().unwrap();
    let sent = listening.send(&["Sns.CallbackFriendDelete", "--token", SECRET, "--body", odd]).await;
    assert!(sent.status.success());
    assert!(String::from_utf8(sent.stdout).unwrap().contains(r#""ErrorCode":0"#));
    listening.send(&["State.StateChange", "--token", "other"]).await;
    listening.send(&["State.StateChange"]).await;
    std::fs::write(dir.path().join("odd.json"), "no \u{1b}[2J json").unwrap();
    listening.send(&["New.Callback", "--body", odd]).await;
    let text = listening.end().await;
    let events: Vec<&str> = text.split("\n20").collect();
    assert_eq!(events.len(), 4, "{text}");
    for part in ["Sns.CallbackFriendDelete after", " signed", "/New", "\"PairList\": [", "\\u001b群"] {
        assert!(events[0].contains(part), "{part} is missing in {}", events[0]);
    }
    assert!(events[1].contains("State.StateChange after") && events[1].contains("wrong Sign"));
    assert!(events[2].contains("not signed"));
    assert!(events[3].contains("unknown command `New.Callback`"));
    assert!(!text.contains('\u{1b}'), "neither colours where nobody sees them, nor what strangers send");
}

#[tokio::test]
async fn listen_answers_as_its_script_says() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("answers.toml");
    let text = r#"
        [[answer]]
        commands = ["Group.CallbackBeforeSendMsg"]
        times = 1
        body = '{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}'
        [[answer]]
        commands = ["Group.*"]
        contains = "red packet"
        delay = "10ms"
        status = 503
    "#;
    std::fs::write(&script, text).unwrap();
    let body = dir.path().join("body.json");
    std::fs::write(&body, r#"{"CallbackCommand":"Group.CallbackBeforeSendMsg","Text":"a red packet"}"#).unwrap();
    let body = body.to_str().unwrap();
    let listening = Listening::start(&["--answers", script.to_str().unwrap(), "--count", "4", "--short"]).await;
    for (arguments, expected) in [
        (vec!["Group.CallbackBeforeSendMsg"], "refuses with code 10016"),
        (vec!["Group.CallbackBeforeSendMsg"], "lets it happen"),
        (vec!["Group.CallbackBeforeSendMsg", "--body", body], "status: 503"),
        (vec!["C2C.CallbackBeforeSendMsg", "--body", body], "lets it happen"),
    ] {
        let sent = String::from_utf8(listening.send(&arguments).await.stdout).unwrap();
        assert!(sent.contains(expected), "{arguments:?}: {sent}");
    }
    assert_eq!(listening.end().await.trim_end().lines().count(), 4);
}

#[tokio::test]
async fn a_wrong_script_says_what_is_wrong_and_where() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("answers.toml");
    for (text, expected) in [
        ("[[answer]]\ncommands = [\"Group.CallbackBeforeSendMs\"]", "did you mean `Group.CallbackBeforeSendMsg`?"),
        ("[[answer]]\nbdy = \"\"", "unknown field `bdy`"),
        ("[[answer]]\nstatus = 7", "answer[0].status: 7 is no status"),
        ("[[answer]]\ndelay = \"soon\"", "\"soon\" is not a duration"),
    ] {
        std::fs::write(&script, text).unwrap();
        let output = Command::new(binary()).args(["listen", "--answers"]).arg(&script).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected) && said.contains("answers.toml"), "{said}");
    }
}
