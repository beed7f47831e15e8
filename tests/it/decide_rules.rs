//! Rules: what they match, what they decide, and which of them are refused at load.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chathook_tests::{OK, Response, TestDecider, TestGateway, binary, config, http_decider, signed};
use tokio::time::timeout;

const GROUP: &str = "Group.CallbackBeforeSendMsg";
const C2C: &str = "C2C.CallbackBeforeSendMsg";
const APPLY: &str = "Group.CallbackBeforeApplyJoinGroup";
const FRIENDS: &str = "Sns.CallbackPrevFriendAdd";

const REFUSED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}"#;
const DROPPED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}"#;

/// A rule for these commands; `lines` are its keys, without `rule.`.
fn rule(name: &str, commands: &[&str], lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("rule.{line}\n")).collect();
    format!("[[decider]]\nname = {name:?}\ncommands = {commands:?}\n{lines}")
}

/// A gateway with one rule for group messages.
async fn gateway(lines: &[&str]) -> TestGateway {
    TestGateway::start(&(config("") + &rule("rule", &[GROUP], lines))).await
}

fn text(text: &str) -> String {
    format!(r#"{{"MsgType":"TIMTextElem","MsgContent":{{"Text":{text:?}}}}}"#)
}

/// A group message with these elements.
fn group(elements: &[&str]) -> String {
    let elements = elements.join(",");
    format!(
        r#"{{"CallbackCommand":"{GROUP}","GroupId":"@TGS#1","Type":"Public","From_Account":"u_1","MsgBody":[{elements}]}}"#
    )
}

fn says(said: &str) -> String {
    group(&[&text(said)])
}

fn rewritten(elements: &[&str]) -> String {
    format!(r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[{}]}}"#, elements.join(","))
}

#[track_caller]
fn is(response: &Response, answer: &str, of: &str) {
    assert_eq!((response.status, response.body.as_str()), (200, answer), "{of}");
}

// What they match.

#[tokio::test]
async fn words_are_masked_and_nothing_else_changes() {
    let gateway = gateway(&[r#"words = ["casino", "赌场", "free gift"]"#, r#"then = "mask""#]).await;
    for (said, masked) in [
        ("my casino here", "my ****** here"),
        ("CASINO Casino", "****** ******"),
        ("ｃａｓｉｎｏ", "******"),
        ("去赌场吧", "去**吧"),
        ("casinocasino", "************"),
        ("a Free Gift!", "a *********!"),
    ] {
        is(&gateway.post(GROUP, says(said)).await, &rewritten(&[&text(masked)]), said);
    }
    for said in ["tea", "cas ino", "", "赌 场"] {
        is(&gateway.post(GROUP, says(said)).await, OK, said);
    }
    // Elements without a match stay byte for byte, whatever they are.
    let others = [
        r#"{"MsgType":"TIMNewElem","MsgContent":{ "Text" : "casino" , "n": 1.0}}"#,
        r#"{"MsgType":"TIMTextElem","MsgContent":{ "Text" : "te\u0061" }}"#,
    ];
    let sent = group(&[others[0], &text("casino"), others[1]]);
    is(&gateway.post(GROUP, sent).await, &rewritten(&[others[0], &text("******"), others[1]]), "others");
    let series = r#"chathook_decider_decisions_total{decider="rule",decision="rewrite"}"#;
    assert_eq!(gateway.metric(series).await, 7.0);
}

#[tokio::test]
async fn a_mask_may_be_another_character() {
    let gateway = gateway(&[r#"words = ["casino"]"#, r#"then = "mask""#, r#"mask = "█""#]).await;
    is(&gateway.post(GROUP, says("a casino")).await, &rewritten(&[&text("a ██████")]), "mask");
}

#[tokio::test]
async fn patterns_are_masked_as_well() {
    let gateway = gateway(&[r"patterns = ['\d{4,}']", r#"then = "mask""#]).await;
    is(&gateway.post(GROUP, says("call 5550123 or 42")).await, &rewritten(&[&text("call ******* or 42")]), "digits");
}

#[tokio::test]
async fn a_whole_word_is_one_that_nothing_touches() {
    let gateway = gateway(&[r#"words = ["gin", "赌场"]"#, "whole_words = true", r#"then = "reject""#]).await;
    for (said, answer) in [
        ("a gin, please", REFUSED),
        ("GIN", REFUSED),
        ("(gin)", REFUSED),
        ("ginger", OK),
        ("engine", OK),
        ("origin 1", OK),
        ("gin2", OK),
        ("去赌场吧", REFUSED),
    ] {
        is(&gateway.post(GROUP, says(said)).await, answer, said);
    }
}

#[tokio::test]
async fn a_pattern_rejects_with_code_and_text() {
    let gateway =
        gateway(&[r"patterns = ['(?i)https?://\S+']", r#"then = "reject""#, "code = 10101", r#"info = "没有链接""#])
            .await;
    let rejected = r#"{"ActionStatus":"OK","ErrorInfo":"没有链接","ErrorCode":10101}"#;
    is(&gateway.post(GROUP, says("see HTTPS://a.b/c")).await, rejected, "a link");
    is(&gateway.post(GROUP, says("see a.b/c")).await, OK, "no link");
    assert_eq!(gateway.metric(r#"chathook_decider_decisions_total{decider="rule",decision="reject"}"#).await, 1.0);
}

#[tokio::test]
async fn a_pattern_that_would_be_catastrophic_elsewhere_costs_nothing_here() {
    let gateway = gateway(&["patterns = ['^(a+)+$']", r#"then = "drop""#]).await;
    let (response, took) = gateway.timed(GROUP, says(&("a".repeat(10_000) + "!"))).await;
    is(&response, OK, "no match");
    assert!(took < Duration::from_secs(1), "{took:?}");
    is(&gateway.post(GROUP, says(&"a".repeat(100))).await, DROPPED, "a match");
}

#[tokio::test]
async fn a_rule_drops_in_silence() {
    let gateway = gateway(&[r#"words = ["spam"]"#, r#"then = "drop""#]).await;
    is(&gateway.post(GROUP, says("spam")).await, DROPPED, "spam");
}

#[tokio::test]
async fn lists_of_senders_groups_types_and_platforms_are_matched_exactly() {
    let body = |from: &str, group: &str, kind: &str| {
        format!(r#"{{"GroupId":"{group}","Type":"{kind}","From_Account":"{from}","MsgBody":[]}}"#)
    };
    for (list, matching) in [
        (r#"senders = ["u_bad", "u_worse"]"#, ("u_bad", "g", "Public", "Web")),
        (r#"groups = ["@TGS#9"]"#, ("u", "@TGS#9", "Public", "Web")),
        (r#"group_types = ["AVChatRoom", "Live"]"#, ("u", "g", "AVChatRoom", "Web")),
        (r#"platforms = ["windows"]"#, ("u", "g", "Public", "Windows")),
    ] {
        let gateway = gateway(&[list, r#"then = "reject""#]).await;
        for (from, group, kind, platform) in [
            ("u", "g", "Public", "Web"),
            ("u_bad", "g", "Public", "Web"),
            ("u", "@TGS#9", "Public", "Web"),
            ("u", "g", "AVChatRoom", "Web"),
            ("u", "g", "Public", "Windows"),
            ("u_ba", "@TGS#99", "AVChatRoomX", "WindowsPhone"),
        ] {
            let answer = if (from, group, kind, platform) == matching { REFUSED } else { OK };
            let query = signed(GROUP).replace("RESTAPI", platform);
            let of = format!("{list}: {from} {group} {kind} {platform}");
            is(&gateway.post_query(&query, body(from, group, kind)).await, answer, &of);
        }
    }
}

#[tokio::test]
async fn everything_that_is_given_has_to_match() {
    let gateway =
        gateway(&[r#"words = ["spam"]"#, r#"senders = ["u_1"]"#, r#"platforms = ["restapi"]"#, r#"then = "reject""#])
            .await;
    is(&gateway.post(GROUP, says("spam")).await, REFUSED, "all");
    is(&gateway.post(GROUP, says("tea")).await, OK, "another text");
    is(&gateway.post(GROUP, says("spam").replace("u_1", "u_2")).await, OK, "another sender");
    is(&gateway.post_query(&signed(GROUP).replace("RESTAPI", "Web"), says("spam")).await, OK, "another platform");
}

#[tokio::test]
async fn exceptions_do_not_match() {
    let gateway = gateway(&[
        r#"words = ["spam"]"#,
        r#"except = { senders = ["u_admin"], groups = ["@TGS#9"], group_types = ["Live"], platforms = ["Web"] }"#,
        r#"then = "reject""#,
    ])
    .await;
    is(&gateway.post(GROUP, says("spam")).await, REFUSED, "no exception");
    for (part, other) in [("u_1", "u_admin"), ("@TGS#1", "@TGS#9"), ("Public", "Live")] {
        is(&gateway.post(GROUP, says("spam").replace(part, other)).await, OK, other);
    }
    is(&gateway.post_query(&signed(GROUP).replace("RESTAPI", "Web"), says("spam")).await, OK, "Web");
}

#[tokio::test]
async fn a_sender_is_whoever_caused_it() {
    let toml =
        config("") + &rule("rule", &[GROUP, C2C, APPLY, FRIENDS], &[r#"senders = ["u_bad"]"#, r#"then = "reject""#]);
    let gateway = TestGateway::start(&toml).await;
    let c2c = r#"{"From_Account":"u_bad","To_Account":"v","MsgSeq":1,"MsgTime":1,"MsgBody":[]}"#;
    let apply = r#"{"GroupId":"g","Type":"Public","Requestor_Account":"u_bad"}"#;
    let friends = r#"{"Requester_Account":"u_bad","From_Account":"u_bad","FriendItem":[{"To_Account":"u_2"}]}"#;
    let verdict = |code: u32| {
        format!(
            r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{{"To_Account":"u_2","ResultCode":{code},"ResultInfo":""}}]}}"#
        )
    };
    let group = says("tea").replace("u_1", "u_bad");
    for (command, body, refused, allowed) in [
        (GROUP, group.as_str(), REFUSED.to_owned(), OK.to_owned()),
        (C2C, c2c, REFUSED.to_owned(), OK.to_owned()),
        (APPLY, apply, REFUSED.to_owned(), OK.to_owned()),
        (FRIENDS, friends, verdict(38_000), verdict(0)),
    ] {
        is(&gateway.post(command, body).await, &refused, command);
        is(&gateway.post(command, body.replace("u_bad", "u_good")).await, &allowed, command);
    }
}

#[tokio::test]
async fn kinds_sizes_and_numbers_of_elements_are_limited() {
    const FACE: &str = r#"{"MsgType":"TIMFaceElem","MsgContent":{"Index":1,"Data":""}}"#;
    const FILE: &str = r#"{"MsgType":"TIMFileElem","MsgContent":{"Url":"u","UUID":"i","FileSize":1,"FileName":"a.exe","Download_Flag":2}}"#;
    let tea = text("tea");
    for (limit, within, beyond) in [
        (r#"elements = ["TIMFileElem"]"#, vec![tea.as_str(), FACE], vec![tea.as_str(), FILE]),
        (r#"other_elements = ["TIMTextElem", "TIMFaceElem"]"#, vec![&tea, FACE], vec![&tea, FILE]),
        ("more_elements_than = 2", vec![FACE, FACE], vec![FACE, FACE, FACE]),
    ] {
        let gateway = gateway(&[limit, r#"then = "reject""#]).await;
        is(&gateway.post(GROUP, group(&within)).await, OK, limit);
        is(&gateway.post(GROUP, group(&beyond)).await, REFUSED, limit);
    }
    // `MsgBody` as it came: brackets and blanks are part of it.
    let gateway = gateway(&[r#"larger_than = "1KiB""#, r#"then = "reject""#]).await;
    let of = |bytes: usize| says(&"x".repeat(bytes - text("").len() - 2));
    is(&gateway.post(GROUP, of(1024)).await, OK, "1024 bytes");
    is(&gateway.post(GROUP, of(1025)).await, REFUSED, "1025 bytes");
}

#[tokio::test]
async fn a_rate_is_kept_for_each_sender_or_group() {
    for (per, part) in [("sender", "u_1"), ("group", "@TGS#1")] {
        let rate = format!(r#"rate = {{ per = "{per}", limit = 1, every = "1h", burst = 3 }}"#);
        let gateway = gateway(&[&rate, r#"then = "reject""#, "code = 10110", r#"info = "slowly""#]).await;
        let slowly = r#"{"ActionStatus":"OK","ErrorInfo":"slowly","ErrorCode":10110}"#;
        for n in 0..3 {
            is(&gateway.post(GROUP, says("tea")).await, OK, &format!("{per} {n}"));
        }
        is(&gateway.post(GROUP, says("tea")).await, slowly, per);
        is(&gateway.post(GROUP, says("tea").replace(part, "another")).await, OK, "another");
        is(&gateway.post(GROUP, says("tea")).await, slowly, per);
    }
}

#[tokio::test]
async fn a_rate_grants_again_after_its_time() {
    let gateway = gateway(&[r#"rate = { per = "sender", limit = 1, every = "500ms" }"#, r#"then = "reject""#]).await;
    is(&gateway.post(GROUP, says("tea")).await, OK, "the first");
    is(&gateway.post(GROUP, says("tea")).await, REFUSED, "the second");
    tokio::time::sleep(Duration::from_millis(600)).await;
    is(&gateway.post(GROUP, says("tea")).await, OK, "after a while");
}

#[tokio::test]
async fn text_that_words_cannot_read_is_not_let_through() {
    let fallback = "[decide]\non_failure = { decision = \"reject\" }\n";
    for then in ["mask", "reject", "drop"] {
        let lines = [r#"words = ["casino"]"#, &format!("then = {then:?}")];
        let gateway = TestGateway::start(&(config("") + fallback + &rule("rule", &[GROUP], &lines))).await;
        let deep = (0..40).fold(text("casino"), |inner, _| {
            format!(
                r#"{{"MsgType":"TIMRelayElem","MsgContent":{{"MsgList":[{{"From_Account":"u","MsgBody":[{inner}]}}]}}}}"#
            )
        });
        let hidden = [
            deep,
            r#"{"MsgType":"TIMTextElem","MsgContent":{}}"#.to_owned(),
            r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":["casino"]}}"#.to_owned(),
            r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":"tea","Text":"casino"}}"#.to_owned(),
            r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":"tea","text":"casino"}}"#.to_owned(),
            r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":"tea","TEXT":"casino"}}"#.to_owned(),
            r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":"tea"},"msgContent":{"Text":"casino"}}"#.to_owned(),
            text(&"tea ".repeat(20_000)),
        ];
        for (n, element) in (1_u32..).zip(&hidden) {
            is(&gateway.post(GROUP, group(&[element])).await, REFUSED, element);
            let errors = r#"chathook_decider_errors_total{decider="rule",reason="error"}"#;
            assert_eq!(gateway.metric(errors).await, f64::from(n), "{element}");
        }
        is(&gateway.post(GROUP, says("tea")).await, OK, "what can be read");
    }
}

// What they do beside the others.

#[tokio::test]
async fn allow_ends_the_chain() {
    let strict = TestDecider::answering(REFUSED).await;
    let toml = config("")
        + &rule("staff", &[GROUP], &[r#"senders = ["u_admin"]"#, r#"then = "allow""#])
        + &http_decider("strict", &[GROUP], &strict.url("/"), "");
    let gateway = TestGateway::start(&toml).await;
    is(&gateway.post(GROUP, says("tea").replace("u_1", "u_admin")).await, OK, "staff");
    assert_eq!(strict.opened(), 0);
    is(&gateway.post(GROUP, says("tea")).await, REFUSED, "others");
}

#[tokio::test]
async fn allow_keeps_what_was_rewritten_before() {
    let toml = config("")
        + &rule("words", &[GROUP], &[r#"words = ["damn"]"#, r#"then = "mask""#])
        + &rule("staff", &[GROUP], &[r#"senders = ["u_1"]"#, r#"then = "allow""#])
        + &rule("strict", &[GROUP], &[r#"group_types = ["Public"]"#, r#"then = "reject""#]);
    let gateway = TestGateway::start(&toml).await;
    is(&gateway.post(GROUP, says("damn it")).await, &rewritten(&[&text("**** it")]), "staff");
    is(&gateway.post(GROUP, says("damn it").replace("u_1", "u_2")).await, REFUSED, "others");
}

#[tokio::test]
async fn masks_of_several_rules_add_up() {
    let toml = config("")
        + &rule("words", &[GROUP], &[r#"words = ["damn"]"#, r#"then = "mask""#])
        + &rule("digits", &[GROUP], &[r"patterns = ['\d+']", r##"then = "mask""##, r##"mask = "#""##]);
    let gateway = TestGateway::start(&toml).await;
    is(&gateway.post(GROUP, says("damn 42")).await, &rewritten(&[&text("**** ##")]), "both");
}

#[tokio::test]
async fn a_condition_is_for_rules_as_well() {
    let toml = config("")
        + &rule("words", &[GROUP], &[r#"words = ["spam"]"#, r#"then = "reject""#])
        + "when = 'query.OptPlatform == \"Web\"'\n";
    let gateway = TestGateway::start(&toml).await;
    is(&gateway.post(GROUP, says("spam")).await, OK, "RESTAPI");
    is(&gateway.post_query(&signed(GROUP).replace("RESTAPI", "Web"), says("spam")).await, REFUSED, "Web");
}

#[tokio::test]
async fn a_rule_may_be_a_shadow() {
    let toml =
        config("") + &rule("words", &[GROUP], &[r#"words = ["spam"]"#, r#"then = "reject""#]) + "mode = \"shadow\"\n";
    let gateway = TestGateway::start(&toml).await;
    is(&gateway.post(GROUP, says("spam")).await, OK, "not obeyed");
    let series = r#"chathook_decider_disagreements_total{decider="words",decision="reject"}"#;
    gateway.metric_becomes(series, 1.0).await;
}

#[tokio::test]
async fn a_pattern_of_commands_takes_the_before_commands_that_it_matches() {
    let toml =
        config("") + &rule("nobody", &["*.CallbackBeforeSendMsg"], &[r#"senders = ["u_1"]"#, r#"then = "reject""#]);
    let gateway = TestGateway::start(&toml).await;
    let c2c = r#"{"From_Account":"u_1","To_Account":"v","MsgSeq":1,"MsgTime":1,"MsgBody":[]}"#;
    is(&gateway.post(GROUP, says("tea")).await, REFUSED, GROUP);
    is(&gateway.post(C2C, c2c).await, REFUSED, C2C);
    is(&gateway.post(APPLY, r#"{"GroupId":"g","Requestor_Account":"u_1"}"#).await, OK, APPLY);
}

#[tokio::test]
async fn a_changed_list_is_taken_over_and_nothing_else_of_the_gateway_changes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("words.txt");
    std::fs::write(&file, "# drinks\n\n  gin  \r\nrum\n#tea\n").unwrap();
    let gateway = gateway(&[&format!("words = {{ file = {file:?} }}"), r#"then = "mask""#]).await;
    is(&gateway.post(GROUP, says("gin rum tea # drinks")).await, &rewritten(&[&text("*** *** tea # drinks")]), "old");
    std::fs::write(&file, "tea\n").unwrap();
    let answer = rewritten(&[&text("gin ***")]);
    let changed = async {
        while gateway.post(GROUP, says("gin tea")).await.body != answer {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), changed).await.expect("the list is read again");
}

// What is refused at load.

struct Check(tempfile::TempDir);

impl Check {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// What `chathook check` says of a configuration with `more` that it does not take.
    fn refused(&self, more: &str) -> String {
        let file = self.0.path().join("bad.toml");
        std::fs::write(&file, config("") + more).unwrap();
        let output = Command::new(binary()).arg("check").arg("--config").arg(&file).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "taken:\n{more}\n{said}");
        assert!(said.contains("bad.toml"), "{said}");
        assert!(!said.contains("my-secret"), "{said}");
        said
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

#[track_caller]
fn names(check: &Check, more: &str, parts: &[&str]) {
    let said = check.refused(more);
    for part in parts {
        assert!(said.contains(part), "no {part:?} in {said:?} for\n{more}");
    }
}

/// An HTTP decider with these lines.
fn http(commands: &[&str], more: &str) -> String {
    http_decider("http", commands, "http://127.0.0.1:1/", more)
}

#[test]
fn unknown_keys_are_named_with_the_nearest() {
    let check = Check::new();
    for (more, key, meant) in [
        (http(&[GROUP], "mod = \"shadow\""), "decider[0].mod", "mode"),
        (http(&[GROUP], "whem = \"true\""), "decider[0].whem", "when"),
        (http(&[GROUP], "http.timout = \"1s\""), "decider[0].http.timout", "timeout"),
        (http(&[GROUP], "http.tokn = \"my-secret\""), "decider[0].http.tokn", "token"),
        (http(&[GROUP], "http.breaker = { error_share = 0.5, windw = \"1s\" }"), "decider[0].http.breaker", "window"),
        (rule("a", &[GROUP], &[r#"word = ["a"]"#, r#"then = "mask""#]), "decider[0].rule.word", "words"),
        (
            rule("a", &[GROUP], &[r#"words = ["a"]"#, r#"except = { sender = ["u"] }"#, r#"then = "mask""#]),
            "decider[0].rule.except.sender",
            "senders",
        ),
        (
            rule("a", &[GROUP], &[r#"rate = { per = "sender", limit = 1, evry = "1s" }"#, r#"then = "drop""#]),
            "decider[0].rule.rate.evry",
            "every",
        ),
        (format!("[decide.{GROUP:?}]\non_failure = {{ decision = \"reject\", cod = 10101 }}\n"), "on_failure", "code"),
        (format!("[decide.{GROUP:?}]\ndeadlin = \"1s\"\n"), "deadlin", "deadline"),
        ("[app.decide]\non_failur = \"drop\"\n".to_owned(), "on_failur", "on_failure"),
    ] {
        names(&check, &more, &[key, &format!("did you mean `{meant}`?")]);
    }
}

#[test]
fn unknown_words_are_named_with_those_there_are() {
    let check = Check::new();
    for (more, key, words) in [
        (http(&[GROUP], "mode = \"shadwo\""), "decider[0].mode", "shadow"),
        (http(&[GROUP], "http.format = \"jsn\""), "decider[0].http.format", "json"),
        (rule("a", &[GROUP], &[r#"words = ["a"]"#, r#"then = "msk""#]), "decider[0].rule.then", "mask"),
        (
            rule("a", &[GROUP], &[r#"rate = { per = "user", limit = 1, every = "1s" }"#, r#"then = "drop""#]),
            "decider[0].rule.rate.per",
            "sender",
        ),
        ("[decide]\non_failure = \"alow\"\n".to_owned(), "decide.on_failure", "allow"),
    ] {
        names(&check, &more, &[key, words]);
    }
}

#[test]
fn a_decision_that_a_command_does_not_have_is_an_error() {
    let check = Check::new();
    let words = r#"words = ["a"]"#;
    let senders = r#"senders = ["u"]"#;
    for (more, parts) in [
        (
            rule("a", &[GROUP], &[words, r#"then = "reject""#, "code = 120001"]),
            ["decider[0].rule.code", GROUP, "120001", "10100-10200"],
        ),
        // In the range of one command, and not of the other.
        (
            rule("a", &[C2C, GROUP], &[words, r#"then = "reject""#, "code = 120001"]),
            ["decider[0].rule.code", GROUP, "120001", "10100-10200"],
        ),
        (
            rule("a", &["Desk.CallbackBeforeIMContactUser"], &[senders, r#"then = "reject""#, "code = 10101"]),
            ["decider[0].rule.code", "Desk.CallbackBeforeIMContactUser", "no codes", ""],
        ),
        (rule("a", &[APPLY], &[words, r#"then = "mask""#]), ["decider[0].rule", APPLY, "message", ""]),
        (rule("a", &["Group.*"], &[words, r#"then = "mask""#]), ["decider[0].rule", "Group.", "message", ""]),
        (rule("a", &[APPLY], &[senders, r#"then = "drop""#]), ["decider[0].rule.then", APPLY, "no silent drop", ""]),
        (
            rule("a", &["Chatbot.InterfaceInvocation"], &[senders, r#"then = "reject""#]),
            ["decider[0].rule.then", "Chatbot.InterfaceInvocation", "cannot be refused", ""],
        ),
        (format!("[decide.{APPLY:?}]\non_failure = \"drop\"\n"), ["decide.", APPLY, "on_failure", "no silent drop"]),
        (
            format!("[decide.{GROUP:?}]\non_failure = {{ decision = \"reject\", code = 120001 }}\n"),
            ["decide.", GROUP, "on_failure", "10100-10200"],
        ),
        (
            format!("[app.decide.{APPLY:?}]\non_failure = \"drop\"\n"),
            ["app[0].decide.", APPLY, "on_failure", "no silent drop"],
        ),
    ] {
        names(&check, &more, &parts);
    }
}

#[test]
fn expressions_are_refused_with_the_place_of_the_error() {
    let check = Check::new();
    names(
        &check,
        &rule("a", &[GROUP], &[r"patterns = ['fine', 'abc(d']", r#"then = "drop""#]),
        &["decider[0].rule.patterns: entry 2", "abc(d", "unclosed group at character 4"],
    );
    names(&check, &http(&[GROUP], "when = 'payload.Type == '"), &["decider[0].when", "line 1, column"]);
    names(&check, &http(&[GROUP], "when = 'payload.Type = \"Live\"'"), &["decider[0].when", "line 1, column"]);
    // What nobody knows is seen before it is asked for.
    names(&check, &http(&[GROUP], "when = 'paylod.Type == \"Live\"'"), &["decider[0].when", "paylod"]);
    names(&check, &http(&[GROUP], "when = 'nonsense(payload)'"), &["decider[0].when", "nonsense"]);
    names(&check, &http(&[GROUP], "when = '1 + 1'"), &["decider[0].when", "line 1, column 3", "never true"]);
    let square = "payload.MsgBody.exists(a, payload.MsgBody.exists(b, a.MsgType != b.MsgType))";
    names(&check, &http(&[GROUP], &format!("when = '{square}'")), &["decider[0].when", "line 1, column 27"]);
    let list = check.path().join("patterns.txt");
    std::fs::write(&list, "# links\nhttps?://\n\nabc(d\n").unwrap();
    names(
        &check,
        &rule("a", &[GROUP], &[&format!("patterns = {{ file = {list:?} }}"), r#"then = "drop""#]),
        &["decider[0].rule.patterns: ", "patterns.txt, line 4: `abc(d`", "unclosed group at character 4"],
    );
}

#[test]
fn commands_that_are_not_there_are_errors() {
    let check = Check::new();
    names(
        &check,
        &http(&["Group.CallbackBeforeSendMessage"], ""),
        &["decider[0].commands", "did you mean `Group.CallbackBeforeSendMsg`?"],
    );
    names(&check, &http(&[GROUP, "Groups.*"], ""), &["decider[0].commands", "Groups.*"]);
    names(&check, &http(&["*.CallbackAfterSendMsg"], ""), &["decider[0].commands", "*.CallbackAfterSendMsg"]);
    names(
        &check,
        &http(&["Group.CallbackAfterSendMsg"], ""),
        &["decider[0].commands", "Group.CallbackAfterSendMsg", "before"],
    );
    names(&check, &http(&[], ""), &["decider[0].commands"]);
}

#[test]
fn a_decider_has_a_name_of_its_own_and_one_kind() {
    let check = Check::new();
    let words = &[r#"words = ["a"]"#, r#"then = "drop""#];
    names(&check, &(rule("twice", &[GROUP], words) + &rule("twice", &[C2C], words)), &["decider[1].name", "twice"]);
    names(&check, &rule("handler", &[GROUP], words), &["decider[0].name", "handler"]);
    for name in ["", "two words", "Ärger", "a\\\"b"] {
        let more = rule("NAME", &[GROUP], words).replace("NAME", name);
        names(&check, &more, &["decider[0].name"]);
    }
    let both = rule("both", &[GROUP], words) + "http.url = \"http://127.0.0.1:1/\"\n";
    names(&check, &both, &["decider[0]", "http", "rule"]);
    let neither = format!("[[decider]]\nname = \"neither\"\ncommands = [{GROUP:?}]\n");
    names(&check, &neither, &["decider[0]", "http", "rule"]);
    names(&check, &neither.replace("name = \"neither\"\n", ""), &["decider[0]", "name"]);
}

#[test]
fn a_list_without_an_entry_is_refused() {
    let check = Check::new();
    let cut = check.path().join("cut.txt");
    std::fs::write(&cut, "# all that is left\n\n").unwrap();
    let file = format!("{{ file = {cut:?} }}");
    for key in ["words", "patterns", "senders", "groups", "group_types", "platforms", "elements", "other_elements"] {
        for (list, place) in [("[]", "has no entry"), (file.as_str(), "cut.txt has no entry")] {
            let more = rule("a", &[GROUP], &[&format!("{key} = {list}"), r#"then = "drop""#]);
            names(&check, &more, &[&format!("decider[0].rule.{key}"), place]);
        }
    }
    let more = rule("a", &[GROUP], &[r#"words = ["a"]"#, "except = { senders = [] }", r#"then = "drop""#]);
    names(&check, &more, &["decider[0].rule.except.senders", "has no entry"]);
}

#[test]
fn a_word_that_is_nearly_a_known_one_is_refused() {
    let check = Check::new();
    for (key, word, meant) in [
        ("group_types", "AVChatroom", "AVChatRoom"),
        ("platforms", "Andriod", "Android"),
        ("elements", "TIMTextElm", "TIMTextElem"),
        ("other_elements", "timCustomElem", "TIMCustomElem"),
    ] {
        let more = rule("a", &[GROUP], &[&format!("{key} = [{word:?}]"), r#"then = "drop""#]);
        names(&check, &more, &[&format!("decider[0].rule.{key}: entry 1"), &format!("did you mean `{meant}`?")]);
    }
}

#[test]
fn a_missing_file_is_named() {
    let check = Check::new();
    let missing = check.path().join("missing.txt");
    for list in ["words", "patterns", "senders", "groups"] {
        let more = rule("a", &[GROUP], &[&format!("{list} = {{ file = {missing:?} }}"), r#"then = "drop""#]);
        names(&check, &more, &[&format!("decider[0].rule.{list}"), "missing.txt"]);
    }
    for key in ["http.token = { file = FILE }", "http.ca = FILE"] {
        let more = http(&[GROUP], &key.replace("FILE", &format!("{missing:?}"))).replace("http://", "https://");
        names(&check, &more, &["decider[0].http.", "missing.txt"]);
    }
}

#[test]
fn values_that_make_no_sense_are_errors() {
    let check = Check::new();
    let words = r#"words = ["a"]"#;
    let drop = r#"then = "drop""#;
    for (more, key) in [
        (http(&[GROUP], "").replace("http://", "ftp://"), "decider[0].http.url"),
        (http(&[GROUP], "").replace("http://127.0.0.1:1/", "moderation"), "decider[0].http.url"),
        (http(&[GROUP], "http.timeout = \"0s\""), "decider[0].http.timeout"),
        (http(&[GROUP], "http.timeout = \"soon\""), "decider[0].http.timeout"),
        (http(&[GROUP], "http.concurrency = 0"), "decider[0].http.concurrency"),
        (http(&[GROUP], "http.max_answer = \"much\""), "decider[0].http.max_answer"),
        (http(&[GROUP], "http.breaker = { error_share = 1.5 }"), "decider[0].http.breaker"),
        (rule("a", &[GROUP], &[words]), "decider[0].rule"),
        (rule("a", &[GROUP], &["words = [\"\"]", drop]), "decider[0].rule.words"),
        (rule("a", &[GROUP], &[words, drop, "code = 10101"]), "decider[0].rule.code"),
        (rule("a", &[GROUP], &[words, drop, "mask = \"#\""]), "decider[0].rule.mask"),
        (rule("a", &[GROUP], &[r#"senders = ["u"]"#, r#"then = "mask""#]), "decider[0].rule"),
        (rule("a", &[GROUP], &[r#"rate = { per = "sender", limit = 0, every = "1s" }"#, drop]), "decider[0].rule.rate"),
        (rule("a", &[GROUP], &[r#"rate = { per = "sender", limit = 1, every = "0s" }"#, drop]), "decider[0].rule.rate"),
        (
            rule("a", &[GROUP], &[r#"rate = { per = "sender", limit = 1, every = "30d", burst = 10000 }"#, drop]),
            "decider[0].rule.rate.every",
        ),
        (
            rule("a", &[GROUP], &[r#"rate = { per = "sender", limit = 1, every = "1d", burst = 4294967295 }"#, drop]),
            "decider[0].rule.rate.burst",
        ),
        (rule("a", &[GROUP], &[words, r#"then = "mask""#, "mask = \"0123456789abcdefg\""]), "decider[0].rule.mask"),
        (format!("[decide.{GROUP:?}]\ndeadline = \"2s\"\n"), "deadline"),
        ("[app.decide]\ndeadline = \"0s\"\n".to_owned(), "app[0].decide.deadline"),
        ("[decide]\nlate = \"soon\"\n".to_owned(), "decide.late"),
    ] {
        names(&check, &more, &[key]);
    }
}

#[test]
fn check_shows_the_chain_of_each_command() {
    let check = Check::new();
    let file = check.path().join("good.toml");
    let toml = config("")
        + &rule("words", &["*.CallbackBeforeSendMsg"], &[r#"words = ["a"]"#, r#"then = "mask""#])
        + &http_decider("moderation", &[GROUP], "http://127.0.0.1:1/", "http.token = \"my-secret\"")
        + &http_decider("next", &["Group.*"], "http://127.0.0.1:1/", "mode = \"shadow\"");
    std::fs::write(&file, toml).unwrap();
    let output = Command::new(binary()).arg("check").arg("--config").arg(&file).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("my-secret"));
    let row = |command: &str| said.lines().find(|line| line.starts_with(&format!("{command} "))).unwrap().to_owned();
    let group = row(GROUP);
    let places = ["words", "moderation", "next"].map(|name| group.find(name).unwrap_or_else(|| panic!("{group}")));
    assert!(places.is_sorted(), "{group}");
    assert!(group.contains("shadow"), "{group}");
    let c2c = row(C2C);
    assert!(c2c.contains("words") && !c2c.contains("moderation") && !c2c.contains("next"), "{c2c}");
    assert!(row(APPLY).contains("next") && !row(APPLY).contains("words"), "{}", row(APPLY));
    assert!(!row("State.StateChange").contains("words"));
}
