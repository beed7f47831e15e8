//! Configuration: what is wrong is named with file, key and what was probably meant; the shipped files are good.

use std::path::{Path, PathBuf};
use std::process::Command;

use chathook_gateway::Config;
use chathook_tests::{TOKEN, TestGateway, binary, config, signed};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn error(toml: &str, variables: &[(&str, &str)]) -> String {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    match Config::parse(toml, Path::new("my.toml"), variables) {
        Ok(_) => panic!("taken:\n{toml}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_error_names_file_key_and_what_was_meant() {
    let app = "[[app]]\nsdk_app_id = 1\nunsigned = true\n";
    let handlers = "[[target]]\nname = \"handlers\"\nhandlers = {}\n";
    for (toml, message) in [
        (format!("{app}[callbacks]\nlisen = \"x\""), "my.toml: callbacks.lisen: unknown key; did you mean `listen`?"),
        (format!("{app}[callback]\n"), "my.toml: callback: unknown key; did you mean `callbacks`?"),
        (format!("{app}max_aeg = \"1s\""), "my.toml: app[0].max_aeg: unknown key; did you mean `max_age`?"),
        (
            format!("{app}[decide.\"Group.CallbackBeforeSendMessage\"]\non_failure = \"drop\""),
            "my.toml: decide: unknown key or command `Group.CallbackBeforeSendMessage`; \
             did you mean `Group.CallbackBeforeSendMsg`?",
        ),
        (
            format!("{app}[decide.\"Group.CallbackAfterSendMsg\"]\non_failure = \"drop\""),
            "my.toml: decide: Group.CallbackAfterSendMsg asks for no decision, so it has no fallback",
        ),
        (
            format!("{app}[decide.\"Group.CallbackBeforeCreateGroup\"]\non_failure = \"drop\""),
            "my.toml: decide.Group.CallbackBeforeCreateGroup.on_failure: drop: this command has no silent drop",
        ),
        (
            format!("{app}[decide]\ndeadline = \"2s\""),
            "my.toml: decide.deadline: must be more than zero and less than the 2s that Chat waits",
        ),
        (
            format!("{app}[decide]\ndeadline = \"soon\""),
            "my.toml: decide.deadline: \"soon\" is not a duration, such as \"1500ms\" or \"60s\"",
        ),
        (
            format!("{app}[callbacks]\nmax_body = \"much\""),
            "my.toml: callbacks.max_body: \"much\" is not a size, such as \"1MiB\"",
        ),
        (
            format!("{app}[callbacks]\nallow_from = [\"nowhere\"]"),
            "my.toml: callbacks.allow_from: \"nowhere\" is neither a network nor an address",
        ),
        (format!("{app}[callbacks]\npath = \"x\""), "my.toml: callbacks.path: must begin with `/` and have no query"),
        (
            format!("{app}[[target]]\nname = \"handlers\"\nhandlers = {{ timeout = \"0s\" }}"),
            "my.toml: target[0].handlers.timeout: must be more than zero",
        ),
        (
            format!("{app}[[target]]\nname = \"mine\"\nhandlers = {{}}"),
            "my.toml: target[0].name: must be `handlers`, as the handlers are called without a table",
        ),
        (
            format!("{app}[[target]]\nname = \"handlers\"\nstdout = {{}}"),
            "my.toml: target[0].name: `handlers` is what the handlers of the program are called",
        ),
        (format!("{app}{handlers}{handlers}"), "my.toml: target[1].name: this name is there twice"),
        (String::new(), "my.toml: app: there is no application; add [[app]] with sdk_app_id and tokens"),
        (
            "[[app]]\nsdk_app_id = 1".to_owned(),
            "my.toml: app[0].tokens: there is no token; give one, \
             or say `unsigned = true` to take callbacks from anybody",
        ),
        (format!("{app}tokens = [\"t\"]"), "my.toml: app[0].unsigned: contradicts the tokens that are given"),
        (format!("{app}{app}"), "my.toml: app[1].sdk_app_id: this application is there twice"),
        (
            "[[app]]\nsdk_app_id = 1\ntokens = [7]".to_owned(),
            "my.toml: app[0].tokens[0]: expected a string, { file = \"...\" } or { env = \"...\" }",
        ),
        (
            "[[app]]\nsdk_app_id = 1\ntokens = 123456".to_owned(),
            "my.toml: app[0].tokens: expected a string, { file = \"...\" } or { env = \"...\" }",
        ),
        ("app = [\"my-secret\"]".to_owned(), "my.toml: app[0]: expected struct AppConfig, not this string"),
        (
            format!("{app}[callbacks]\nlisten = \"nonsense\""),
            "my.toml: callbacks.listen: \"nonsense\" is not an address with a port, such as \"0.0.0.0:8080\"",
        ),
        (
            format!("{app}[admin]\nlisten = \"[::]:99999\""),
            "my.toml: admin.listen: \"[::]:99999\" is not an address with a port, such as \"0.0.0.0:8080\"",
        ),
        (format!("{app}[log]\nlevel = \"inof\""), "my.toml: log.level: \"inof\" is not a level; did you mean `info`?"),
    ] {
        assert_eq!(error(&toml, &[]), message);
    }
}

#[test]
fn a_syntax_error_names_its_line_and_quotes_no_secret() {
    let said = error("[[app]]\nsdk_app_id = 1\ntokens = [\"my-secret-token]\n", &[]);
    assert!(said.starts_with("my.toml:3:"), "{said}");
    assert!(!said.contains("my-secret"), "{said}");
}

#[test]
fn the_environment_wins_and_is_named_when_it_is_wrong() {
    let toml = "[callbacks]\nlisten = \"1.2.3.4:1\"\n[[app]]\nsdk_app_id = 1\nunsigned = true\n";
    let parse = |name: &str, value: &str| {
        Config::parse(toml, Path::new("my.toml"), [(name.to_owned(), value.to_owned())]).unwrap()
    };
    assert_eq!(parse("CHATHOOK__CALLBACKS__LISTEN", "[::]:80").callbacks.listen, "[::]:80");
    assert_eq!(parse("CHATHOOK__CALLBACKS__WORKERS", "3").callbacks.workers, 3);
    assert_eq!(parse("CHATHOOK__APP__0__SDK_APP_ID", "1400000009").app[0].sdk_app_id, 1_400_000_009);
    assert_eq!(parse("CHATHOOK__APP__1", "{ sdk_app_id = 2, unsigned = true }").app.len(), 2);
    assert_eq!(parse("CHATHOOK_TOKEN", "not ours").callbacks.listen, "1.2.3.4:1");
    let decide = parse("CHATHOOK__DECIDE__GROUP.CALLBACKBEFORESENDMSG__ON_FAILURE", "drop").decide;
    assert!(decide.commands.contains_key(&chathook_protocol::Command::GroupBeforeSendMsg));
    let variables = [("SDK_APP_ID", "7"), ("TOKENS__0", "123456"), ("TOKENS__1", "abc")];
    let variables = variables.map(|(key, value)| (format!("CHATHOOK__APP__0__{key}"), value.to_owned()));
    let from_nothing = Config::parse("", Path::new("my.toml"), variables).unwrap();
    assert_eq!((from_nothing.app[0].sdk_app_id, from_nothing.app[0].tokens.len()), (7, 2));
    let said = error("", &[("CHATHOOK__APP", "[{ sdk_app_id = 1, tokens = \"my-secret\" }")]);
    assert!(said.starts_with("CHATHOOK__APP: app: ") && !said.contains("my-secret"), "{said}");
    assert_eq!(
        error(toml, &[("CHATHOOK__CALLBACKS__WORKERS", "many")]).split(": ").take(2).collect::<Vec<_>>(),
        ["CHATHOOK__CALLBACKS__WORKERS", "callbacks.workers"]
    );
    assert_eq!(
        error(toml, &[("CHATHOOK__CALBACKS__PATH", "/x")]),
        "CHATHOOK__CALBACKS__PATH: calbacks: unknown key; did you mean `callbacks`?"
    );
}

#[test]
fn a_bad_configuration_ends_with_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    let missing = dir.path().join("missing-token");
    for (toml, problem) in [
        ("[callbacks]\nlisen = 1\n".to_owned(), "did you mean `listen`?"),
        (config("").replace(&format!("\"{TOKEN}\""), &format!("{{ file = {missing:?} }}")), "app[0].tokens[0]"),
        (config("").replace(&format!("\"{TOKEN}\""), "{ env = \"CHATHOOK_TEST_NOT_SET\" }"), "CHATHOOK_TEST_NOT_SET"),
        (config("tls = { cert = \"/nowhere\", key = \"/nowhere\" }"), "callbacks.tls.cert"),
        (config("").replace("level = \"trace\"", "level = \"=,=\""), "log.level"),
    ] {
        std::fs::write(&file, &toml).unwrap();
        for call in ["serve", "check"] {
            let output = Command::new(binary()).arg(call).arg("--config").arg(&file).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{call}: {said}");
            assert!(said.contains(problem), "{call}: {said}");
            assert!(said.contains("bad.toml"), "{call}: {said}");
            assert!(!said.contains(TOKEN), "{call}: {said}");
        }
    }
    let none = Command::new(binary()).args(["serve", "--config", "/nowhere.toml"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stderr).contains("no such file; name one with --config"));
}

#[test]
fn an_address_in_use_is_an_error_that_names_the_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("taken.toml");
    std::fs::write(&file, config("").replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{address}\""))).unwrap();
    let output =
        Command::new(binary()).current_dir(dir.path()).args(["serve", "--config"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("callbacks.listen: cannot listen on {address}")), "{said}");
}

/// The file without the `#` before its keys.
fn uncommented(text: &str) -> String {
    let is_key = |rest: &str| {
        rest.starts_with('[')
            || rest.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_documented_file_has_every_key_at_its_default() {
    let text = std::fs::read_to_string(root().join("config/chathook.toml")).unwrap();
    let parse = |text: &str| {
        Config::parse(text, Path::new("config/chathook.toml"), []).unwrap_or_else(|error| panic!("{error}"))
    };
    let shipped = format!("{:?}", parse(&text));
    // Examples of what has no default, and what would contradict the tokens.
    let (settings, _deciders) = text.split_once("# Who decides besides handlers").unwrap();
    let every_key = uncommented(settings)
        .lines()
        .filter(|line| {
            ![
                "allow_from",
                "tls = ",
                "unsigned",
                "tokens = [{ file",
                "[decide.",
                "on_failure = \"reject\"",
                "on_failure = {",
                "deadline = \"1s\"",
                "max_size",
                "nats = ",
                "otlp = ",
            ]
            .iter()
            .any(|key| line.starts_with(key))
        })
        .collect::<Vec<_>>()
        .join("\n");
    assert_eq!(format!("{:?}", parse(&every_key)), shipped);
    // Each of the left-out examples is a key that exists.
    let examples = uncommented(&text)
        .replace("unsigned = false\n", "")
        .replacen("tokens = [{ env", "# ", 1)
        .replace("engine = \"sqlite\"", "engine = \"jetstream\"")
        .replace("max_size = \"20GiB\"", "")
        .replace("secrets = [{ env = \"CRM_SECRET\" }]", "")
        .replace("mask = \"*\"\n", "");
    parse(&examples);
    // And there is no key that the file does not tell of: serde lists them in its error.
    for (section, keys) in [
        (
            "[callbacks]",
            &[
                "listen",
                "path",
                "max_body",
                "workers",
                "before_lane",
                "after_lane",
                "tls",
                "allow_from",
                "trusted_proxies",
            ][..],
        ),
        ("[admin]", &["listen"]),
        ("[[app]]", &["sdk_app_id", "tokens", "max_age", "unsigned", "decide"]),
        ("[journal]", &["engine", "path", "max_size", "nats", "dedup_window", "retention", "decisions"]),
        ("[log]", &["level", "format"]),
        ("[traces]", &["otlp", "sample", "service_name"]),
        ("[shutdown]", &["delay", "grace"]),
    ] {
        let app = if section == "[[app]]" { "" } else { "[[app]]\nsdk_app_id = 1\nunsigned = true\n" };
        let known = error(&format!("{app}{section}\nzzzzzzzzzzzz = 1\n"), &[]);
        let known = known.split("there are ").nth(1).unwrap_or_else(|| panic!("{known}"));
        assert_eq!(known, keys.join(", "), "{section}");
        let start = text.find(section).unwrap();
        for key in keys {
            let is_told = text[start..].contains(&format!("{key} = ")) || text.contains(&format!("# [app.{key}]"));
            assert!(is_told, "{section} does not tell of {key}");
        }
    }
    let otlp = text.lines().find(|line| line.starts_with("# otlp = ")).unwrap();
    let known = error("[[app]]\nsdk_app_id = 1\nunsigned = true\n[traces]\notlp = { zzzzzzzzzzzz = 1 }\n", &[]);
    for key in known.split("there are ").nth(1).unwrap_or_else(|| panic!("{known}")).split(", ") {
        assert!(otlp.contains(&format!("{key} = ")), "otlp does not tell of {key}");
    }
    for section in ["", "[decider.http]", "[decider.rule]"] {
        let app = "[[app]]\nsdk_app_id = 1\nunsigned = true\n[[decider]]\n";
        let known = error(&format!("{app}{section}\nzzzzzzzzzzzz = 1\n"), &[]);
        for key in known.split("there are ").nth(1).unwrap_or_else(|| panic!("{known}")).split(", ") {
            let is_told = text.contains(&format!("# {key} = ")) || text.contains(&format!("# [decider.{key}]"));
            assert!(is_told, "{section} does not tell of {key}");
        }
    }
    let targets = &text[text.find("# Who gets events").unwrap()..];
    for section in ["", "[target.retry]", "[target.http]"] {
        let app = "[[app]]\nsdk_app_id = 1\nunsigned = true\n[[target]]\n";
        let known = error(&format!("{app}{section}\nzzzzzzzzzzzz = 1\n"), &[]);
        for key in known.split("there are ").nth(1).unwrap_or_else(|| panic!("{known}")).split(", ") {
            let is_told = targets.contains(&format!("# {key} = ")) || targets.contains(&format!("# [target.{key}]"));
            assert!(is_told, "{section} does not tell of {key}");
        }
    }
    // Tables on one line.
    for table in ["file", "handlers", "kafka", "nats", "rabbitmq", "redis"] {
        let app = "[[app]]\nsdk_app_id = 1\nunsigned = true\n[[target]]\n";
        let known = error(&format!("{app}{table} = {{ zzzzzzzzzzzz = 1 }}\n"), &[]);
        let line = targets.lines().find(|line| line.starts_with(&format!("# {table} = "))).unwrap();
        for key in known.split("there are ").nth(1).unwrap_or_else(|| panic!("{known}")).split(", ") {
            let is_told = line.contains(&format!("{key} = ")) || targets.contains(&format!("`{key}`"));
            // What `tls`, `ca` and the like mean is told once.
            assert!(is_told || key == "ca", "{table} does not tell of {key}");
        }
    }
}

#[tokio::test]
async fn a_token_may_stand_in_a_file_or_in_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let in_file = config("").replace(&format!("\"{TOKEN}\""), &format!("{{ file = {file:?} }}"));
    let gateway = TestGateway::start(&in_file).await;
    assert_eq!(gateway.post_query(&signed("State.StateChange"), "{}").await.status, 200);
    let in_env = config("").replace(&format!("\"{TOKEN}\""), "{ env = \"MY_TOKEN\" }");
    let gateway = TestGateway::start_with(&in_env, &[("MY_TOKEN", TOKEN)]).await;
    assert_eq!(gateway.post_query(&signed("State.StateChange"), "{}").await.status, 200);
}
