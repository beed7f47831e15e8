//! `chathook listen`: what people see who only want to see what Chat sends.

use std::process::{Output, Stdio};
use std::time::Duration;

use chathook_tests::{Certificates, binary};
use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
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

    fn address(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches('/')
    }

    /// A connection of one's own, with `text` sent on it.
    async fn connect(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
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

/// A request as Chat sends it.
fn request(body: &str) -> String {
    format!(
        "POST /?CallbackCommand=State.StateChange HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Reads until an answer has begun.
async fn status_line(stream: &mut TcpStream) -> String {
    let mut line = String::new();
    timeout(LIMIT, BufReader::new(stream).read_line(&mut line)).await.expect("an answer").unwrap();
    line
}

#[tokio::test]
async fn listen_ends_at_once_when_it_is_told_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut listening = Listening::start(&[]).await;
        let mut idle = listening.connect(&request("{}")).await;
        assert!(status_line(&mut idle).await.contains("200"));
        let id = i32::try_from(listening.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
        let ended = timeout(Duration::from_secs(15), listening.child.wait()).await.expect("it ends").unwrap();
        assert!(ended.success(), "{signal:?}: {ended}");
    }
}

#[tokio::test]
async fn a_huge_body_is_answered_and_shown_by_its_beginning() {
    let brackets = "[".repeat(1_000_000);
    let nested = brackets.clone() + &"]".repeat(1_000_000);
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(300_000));
    for body in [brackets, nested, long] {
        let listening = Listening::start(&["--count", "2"]).await;
        let mut huge = listening.connect(&request(&body)).await;
        assert!(status_line(&mut huge).await.contains("200"));
        let mut next = listening.connect(&request("{}")).await;
        assert!(status_line(&mut next).await.contains("200"));
        let text = listening.end().await;
        let more = format!("... {} bytes more", body.len() - (64 << 10));
        assert!(text.contains(&more), "{more} is missing");
        assert!(text.len() < 4 << 20, "{} bytes", text.len());
    }
}

#[tokio::test]
async fn who_does_not_read_the_output_holds_up_no_answer() {
    let mut listening = Listening::start(&[]).await;
    let body = "x".repeat(60_000);
    for i in 0..20 {
        let mut stream = listening.connect(&request(&body)).await;
        assert!(status_line(&mut stream).await.contains("200"), "{i}");
    }
    let id = i32::try_from(listening.child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
    assert!(timeout(LIMIT, listening.child.wait()).await.expect("it ends").unwrap().success());
}

#[tokio::test]
async fn listen_says_what_it_refuses() {
    let listening = Listening::start(&["--count", "1"]).await;
    let head = "POST /?CallbackCommand=State.StateChange HTTP/1.1\r\nHost: a\r\nContent-Length: 17000000\r\n\r\n";
    let mut refused = listening.connect(head).await;
    assert!(status_line(&mut refused).await.contains("413"));
    listening.send(&["State.StateChange"]).await;
    let text = listening.end().await;
    let line = text.lines().find(|line| line.contains("refused")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("State.StateChange") && line.contains("17000000 bytes"), "{line}");
}

#[tokio::test]
async fn many_connections_at_once_are_all_answered_and_printed() {
    let listening = Listening::start(&["--short", "--count", "300"]).await;
    let sending = (0..300).map(|_| async {
        let mut stream = listening.connect(&request("{}")).await;
        status_line(&mut stream).await.contains("200")
    });
    assert!(join_all(sending).await.into_iter().all(|is_answered| is_answered));
    assert_eq!(listening.end().await.trim_end().lines().count(), 300);
}

#[tokio::test]
async fn send_shows_an_answer_without_what_a_terminal_obeys_and_not_all_of_a_huge_one() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("answers.toml");
    let answer = format!("\\u001b]0;title\\u0007\\u202e{}", "x".repeat(1 << 20));
    std::fs::write(&script, format!("[[answer]]\nbody = \"{answer}\"\n")).unwrap();
    let listening = Listening::start(&["--answers", script.to_str().unwrap()]).await;
    let sent = String::from_utf8(listening.send(&["State.StateChange"]).await.stdout).unwrap();
    assert!(!sent.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{}", &sent[..200]);
    assert!(sent.contains("\u{fffd}]0;title\u{fffd}\u{fffd}xxx"), "{}", &sent[..200]);
    assert!(sent.len() < 100_000 && sent.contains("bytes more"), "{}", sent.len());
}

#[tokio::test]
async fn send_names_what_chat_does_when_the_callback_failed() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("answers.toml");
    std::fs::write(&script, "[[answer]]\nstatus = 500\n").unwrap();
    let listening = Listening::start(&["--answers", script.to_str().unwrap()]).await;
    for (command, expected) in [
        ("Sns.CallbackPrevFriendAdd", "it lets it happen all the same"),
        ("Live.CallbackBeforeSendGift", "it does not let it happen"),
        ("Group.CallbackBeforeSendMsg", "the console's policy for failed callbacks applies"),
        ("Sns.CallbackFriendAdd", "it may send it again"),
    ] {
        let sent = String::from_utf8(listening.send(&[command]).await.stdout).unwrap();
        assert!(sent.contains(expected), "{command}: {sent}");
    }
}

#[tokio::test]
async fn https_at_a_port_without_tls_is_said_by_send_too() {
    let listening = Listening::start(&[]).await;
    let url = listening.url.replace("http:", "https:");
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::write(dir.path());
    let mut send = Command::new(binary());
    send.args(["send", "State.StateChange", "--url", &url, "--ca"]).arg(&certificates.ca);
    let sent = timeout(LIMIT, send.output()).await.unwrap().unwrap();
    let said = String::from_utf8(sent.stderr).unwrap();
    assert_eq!(sent.status.code(), Some(1));
    assert!(said.contains("does not speak TLS") && !said.contains("InvalidContentType"), "{said}");
}

#[tokio::test]
async fn a_wrong_script_says_what_is_wrong_and_where() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("answers.toml");
    for (text, expected) in [
        ("[[answer]]\ncommands = [\"Group.CallbackBeforeSendMs\"]", "did you mean `Group.CallbackBeforeSendMsg`?"),
        ("[[answer]]\nbdy = \"\"", "unknown field `bdy`"),
        ("[[answer]]\nstatus = 7", "answer[0].status: 7 is not the status of an answer"),
        ("[[answer]]\nstatus = 100", "answer[0].status: 100 is not the status of an answer"),
        ("[[answer]]\nstatus = 600", "answer[0].status: 600 is not the status of an answer"),
        ("[[answer]]\ndelay = \"soon\"", "\"soon\" is not a duration"),
    ] {
        std::fs::write(&script, text).unwrap();
        let output = Command::new(binary()).args(["listen", "--answers"]).arg(&script).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected) && said.contains("answers.toml"), "{said}");
    }
}
