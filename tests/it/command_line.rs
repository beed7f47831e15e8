//! The program's subcommands.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use chathook_tests::{APP, TOKEN, TestGateway, binary, config, samples};
use serde_json::Value;

fn chathook(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn commands_lists_all_91() {
    let output = chathook(&["commands", "--json"]);
    let commands: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(commands.len(), 91);
    let sns = commands.iter().find(|row| row["command"] == "Sns.CallbackPrevFriendAdd").unwrap();
    assert_eq!(
        (&sns["phase"], &sns["family"], &sns["answer"]),
        (&"before".into(), &"Sns".into(), &"FriendDecision".into())
    );
    let table = text(&chathook(&["commands"]).stdout);
    assert_eq!(table.lines().count(), 92, "a heading and every command");
}

#[test]
fn decode_reads_every_sample_with_nothing_unread() {
    for sample in samples() {
        let mut child = Command::new(binary())
            .args(["decode", sample.command.as_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(sample.body.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let read: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success(), "{}", sample.command);
        assert_eq!(read["command"], sample.command.as_str());
        assert_eq!(read["phase"], sample.command.phase().to_string());
        assert_eq!(read["unread"], Value::Array(Vec::new()), "{}", sample.command);
        assert!(read["id"].as_str().is_some_and(|id| !id.is_empty()), "{}", sample.command);
        assert!(read["payload"].is_object() && read.get("ordering_key").is_some(), "{}", sample.command);
    }
}

#[test]
fn decode_names_what_is_unread_and_where_it_fails() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("body.json");
    let path = file.to_str().unwrap();
    std::fs::write(&file, r#"{"CallbackCommand":"Sns.CallbackFriendDelete","a/b":1,"PairList":[{"From_Account":"u","To_Account":"v","X":1}]}"#).unwrap();
    let output = chathook(&["decode", "Sns.CallbackFriendDelete", path]);
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read["unread"], serde_json::json!(["/a~1b", "/PairList/0/X"]));
    assert_eq!(read["payload"]["PairList"][0]["To_Account"], "v");

    std::fs::write(&file, r#"{"PairList":[{"From_Account":"u","To_Account":["v"]}]}"#).unwrap();
    let output = chathook(&["decode", "Sns.CallbackFriendDelete", path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/PairList/0/To_Account"), "{}", text(&output.stderr));

    let output = chathook(&["decode", "Sns.CallbackFriendDelet", path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("did you mean `Sns.CallbackFriendDelete`?"), "{}", text(&output.stderr));
}

#[test]
fn sign_gives_the_documented_value() {
    let output = chathook(&["sign", "--token", "xxxxyyyy", "--time", "1669872112"]);
    assert_eq!(
        text(&output.stdout),
        "RequestTime=1669872112\nSign=17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn send_plays_chat_for_every_command() {
    let gateway = TestGateway::start(&config("")).await;
    let (url, app) = (format!("http://{}/", gateway.callbacks), APP.to_string());
    for sample in samples() {
        let output = chathook(&["send", sample.command.as_str(), "--url", &url, "--app", &app, "--token", TOKEN]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{}: {said}{}", sample.command, text(&output.stderr));
        assert!(said.starts_with("status: 200\nanswer: {\"ActionStatus\":\"OK\""), "{}: {said}", sample.command);
        assert!(said.contains("\nChat:   ") && said.contains("\ntime:   "), "{said}");
    }
    let output = chathook(&["send", "State.StateChange", "--url", &url, "--app", &app, "--token", "wrong"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("status: 403"), "{}", text(&output.stdout));
}

#[test]
fn send_says_when_nobody_is_there() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    let output = chathook(&["send", "State.StateChange", "--url", &url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("refused"), "{}", text(&output.stderr));
}

#[test]
fn output_that_cannot_be_written_is_a_failure_and_who_reads_no_further_is_none() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in [
        &["commands", "--json"][..],
        &["sign", "--token", "a"],
        &["doctor", "--json", "--url", "nowhere"],
        &["load", "--list"],
    ] {
        let output = Command::new(binary()).args(arguments).stdout(full()).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert_eq!(said.matches("cannot write to standard output: No space left").count(), 1, "{arguments:?}: {said}");
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(binary()).arg("commands").stdout(writer).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn check_shows_the_fallback_of_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    let toml = config("")
        + "[decide]\non_failure = \"drop\"\n[decide.\"C2C.CallbackBeforeSendMsg\"]\non_failure = \"reject\"\n";
    std::fs::write(&file, toml).unwrap();
    let output = chathook(&["check", "--config", file.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}");
    let row = |command: &str| -> Vec<String> {
        let line = said.lines().find(|line| line.starts_with(command)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(
        row("C2C.CallbackBeforeSendMsg"),
        ["C2C.CallbackBeforeSendMsg", "before", "1500ms", "reject", "nobody:", "allowed", "not", "kept"]
    );
    assert_eq!(row("Group.CallbackBeforeSendMsg")[3], "drop");
    assert_eq!(row("Group.CallbackBeforeCreateGroup")[3], "reject", "has no drop");
    assert_eq!(row("Chatbot.InterfaceInvocation")[3], "allow", "cannot be refused");
    assert_eq!(row("State.StateChange"), ["State.StateChange", "after", "-", "-", "-", "kept", "only"]);
}

#[test]
fn check_shows_which_targets_get_each_command() {
    let toml = config("")
        + "[[target]]\nname = \"crm\"\ncommands = [\"Sns.*\"]\nhttp.url = \"http://crm:8080/\"\n"
        + "[[target]]\nname = \"archive\"\nwhen = 'has(payload.Info)'\nfile.path = \"events.ndjson\"\n";
    let said = checked(&toml);
    let heading = said.lines().next().unwrap();
    let targets = |command: &str| {
        let line = said.lines().find(|line| line.starts_with(command)).unwrap();
        line[heading.find("TARGETS").unwrap()..].to_owned()
    };
    assert_eq!(targets("Sns.CallbackFriendAdd "), "crm (http), archive (file, when)");
    assert_eq!(targets("State.StateChange "), "archive (file, when)");
    assert_eq!(targets("Sns.CallbackPrevFriendAdd "), "not kept");
}

#[test]
fn the_shipped_example_passes_its_own_cases_and_a_wrong_expectation_fails() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let test = |cases: &Path| {
        let mut call = Command::new(binary());
        call.current_dir(&root).arg("test").arg(cases).args(["--config", "config/moderation.toml"]);
        call.output().unwrap()
    };
    let output = test(Path::new("config/moderation.cases.toml"));
    assert!(output.status.success(), "{}", text(&output.stdout));
    assert!(text(&output.stdout).ends_with("8 cases, 0 failed\n"), "{}", text(&output.stdout));

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cases.toml");
    let allowed = "deciders.moderation = { decision = \"allow\" }\nexpect = \"drop\"";
    std::fs::write(&file, case("Group.CallbackBeforeSendMsg", allowed)).unwrap();
    let output = test(&file);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("expected drop, came allow"), "{}", text(&output.stdout));
}

/// What `chathook test` says of cases on the shipped example: its exit code, and its output.
fn tried(cases: &str) -> (Option<i32>, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cases.toml");
    std::fs::write(&file, cases).unwrap();
    let mut call = Command::new(binary());
    call.current_dir(&root).arg("test").arg(&file).args(["--config", "config/moderation.toml"]);
    let output = call.output().unwrap();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

fn case(command: &str, more: &str) -> String {
    format!("[[case]]\nname = \"mine\"\ncommand = {command:?}\n{more}\n")
}

#[test]
fn a_case_is_good_only_where_somebody_decided_or_the_fallback_was_expected() {
    let (group, official) = ("Group.CallbackBeforeSendMsg", "OfficialAccount.CallbackBeforeSendMsg");
    let answer = |answer: &str| format!("deciders.moderation = {answer}\n");
    for (command, more, expect, problem) in [
        (official, "body = 'not JSON'".to_owned(), "allow", "expected no fallback"),
        (official, "body = '{}'".to_owned(), "allow", "expected no fallback"),
        (group, answer("\"timeout\""), "reject", "expected no fallback"),
        (group, answer("{ decision = \"reject\", code = 120001 }"), "reject", "its answer is not allowed"),
        (group, answer("{ ActionStatus = \"OK\", ErrorCode = 0 }"), "reject", "its answer is not allowed"),
    ] {
        let (code, said) = tried(&case(command, &format!("{more}\nexpect = {expect:?}")));
        assert!(code == Some(1) && said.contains("FAILED  mine") && said.contains(problem), "{said}");
        let (code, said) = tried(&case(command, &format!("{more}\nexpect = \"fallback\"")));
        assert_eq!(code, Some(0), "{said}");
        let expect = format!("expect = {{ decision = {expect:?}, fallback = true }}");
        let (code, said) = tried(&case(command, &format!("{more}\n{expect}")));
        assert_eq!(code, Some(0), "{said}");
    }
    for (more, problem) in [
        ("expect = \"fallback\"", "moderation is asked, and `deciders.moderation` is not given"),
        (
            "body.CallbackCommand = \"C2C.CallbackBeforeSendMsg\"\nexpect = \"fallback\"",
            "the body names another command",
        ),
        (
            "deciders.moderation = { decision = \"allow\" }\ndeciders.new-model = { decision = \"alow\" }\nexpect = \"allow\"",
            "`deciders.new-model` is no answer",
        ),
        ("deciders.moderation = { decision = \"allow\" }\nexpect = \"fallback\"", "expected the fallback"),
        (
            "deciders.moderation = { decision = \"allow\" }\ndeciders.new-model = { decision = \"drop\" }\n\
             expect = { decision = \"allow\", by = \"new-model\" }",
            "expected the word of new-model",
        ),
    ] {
        let (code, said) = tried(&case(group, more));
        assert!(code == Some(1) && said.contains("FAILED  mine") && said.contains(problem), "{said}");
    }
}

#[test]
fn a_case_that_cannot_be_read_is_named_with_its_key() {
    let group = "Group.CallbackBeforeSendMsg";
    for (more, key) in [
        ("expect = \"alow\"", "expect: unknown variant `alow`"),
        ("expect = { decision = \"alow\" }", "expect.decision: unknown variant `alow`"),
        ("expect = { decision = \"allow\", cod = 1 }", "expect.cod: unknown key; did you mean `code`?"),
        ("expect = { decision = \"reject\", code = \"10101\" }", "expect.code: expected u32"),
        ("expect = 7", "expect: expected a decision"),
        ("expects = \"drop\"", "expects: unknown key; did you mean `expect`?"),
        ("", "missing field `expect`"),
        ("expect = \"allow\"\ntimes = \"once\"", "times: expected u32"),
    ] {
        let good = case(group, "expect = \"fallback\"");
        let (code, said) = tried(&(good + &case(group, more)));
        assert!(code == Some(2) && said.contains("case[1] (mine)") && said.contains(key), "{key}: {said}");
    }
    let (code, said) = tried("");
    assert!(code == Some(2) && said.contains("[[case]]"), "{said}");
}

#[test]
fn files_that_the_help_names_are_there() {
    let help = text(&chathook(&["test", "--help"]).stdout);
    let named =
        help.split_whitespace().find(|word| word.starts_with("config/") && word.ends_with("cases.toml")).unwrap();
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(named).exists(), "{named}");
}

#[test]
fn the_configuration_of_the_readme_loads_as_it_stands() {
    let said = checked(&toml_of_the_readme("Decide in time")[0]);
    assert!(said.contains("words (rule: mask) > moderation (http)"), "{said}");
}

#[test]
fn the_journals_and_targets_of_the_readme_load_beside_an_application() {
    let app = format!("[[app]]\nsdk_app_id = {APP}\ntokens = [{TOKEN:?}]\n");
    let blocks = toml_of_the_readme("Where the events go");
    assert_eq!(blocks.len(), 2);
    let said: Vec<String> = blocks.iter().map(|toml| checked(&(app.clone() + toml))).collect();
    assert!(said[0].contains("crm (http), legacy (http)"), "{}", said[0]);
}

/// The blocks of TOML in a section of the README.
fn toml_of_the_readme(section: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, page) = readme.split_once(&format!("\n## {section}\n")).unwrap();
    let page = page.split("\n## ").next().unwrap();
    page.split("```toml\n").skip(1).map(|block| block.split_once("```").unwrap().0.to_owned()).collect()
}

/// What `check` says of a good configuration.
fn checked(toml: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chathook.toml");
    std::fs::write(&file, toml).unwrap();
    let mut call = Command::new(binary());
    call.current_dir(dir.path()).env("CRM_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let output = call.args(["check", "--config"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}
