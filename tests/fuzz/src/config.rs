//! Configuration: a wrong one is refused in one line, a right one means the same however it is written, and no secret is
//! ever printed.

use std::fs;
use std::path::Path;

use chathook_gateway::Config;

/// The files that are shipped, the examples in the tests, and variables of the environment.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let folder = crate::repository("config");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder that can be read").path()).collect();
    paths.sort();
    let shipped = paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let mut seeds: Vec<_> = shipped.map(|path| fs::read(path).expect("a file that can be read")).collect();
    // What is commented out in them is meant to be used too.
    for seed in seeds.clone() {
        let text = String::from_utf8(seed).expect("a configuration is text");
        let used = |line: &str| match line.strip_prefix("# ") {
            Some(key) if key.contains(" = ") || key.starts_with('[') => format!("{key}\n"),
            _ => format!("{line}\n"),
        };
        seeds.push(text.lines().map(used).collect::<String>().into_bytes());
    }
    for part in PARTS {
        seeds.push(format!("{APP}{part}").into_bytes());
    }
    for variable in ["JOURNAL__PATH=/tmp/x", "CALLBACKS__LISTEN=1", "APP__0__TOKENS=[\"k3y-Example_02\"]", "DECIDE=x"] {
        seeds.push(format!("{APP}\0CHATHOOK__{variable}").into_bytes());
    }
    seeds
}

const APP: &str = "[[app]]\nsdk_app_id = 1400000001\ntokens = [\"k3y-Example_01\"]\n";

const PARTS: [&str; 9] = [
    "max_age = \"5m\"\n[app.decide]\non_failure = \"reject\"\n",
    "[callbacks]\nlisten = \"127.0.0.1:0\"\npath = \"/x\"\nmax_body = \"2MiB\"\nworkers = 1\nbefore_lane = 1\n",
    "[callbacks]\nallow_from = [\"203.0.113.0/24\", \"::1\"]\ntrusted_proxies = [\"10.0.0.1\"]\n",
    "[callbacks]\ntls = { cert = \"a\", key = \"b\", client_ca = \"c\" }\n",
    "[decide]\ndeadline = \"1s\"\n[decide.\"Group.CallbackBeforeSendMsg\"]\non_failure = { decision = \"reject\", code = 10150, info = \"no\" }\n",
    "[[decider]]\nname = \"a\"\ncommands = [\"Group.CallbackBeforeSendMsg\"]\nmode = \"shadow\"\nhttp = { url = \"http://a:1/b\", timeout = \"800ms\", token = \"k3y-Example_03\" }\n",
    "[journal]\nengine = \"jetstream\"\nnats = { url = \"nats://nats:4222\", stream = \"CHATHOOK\", replicas = 3 }\n",
    "[[target]]\nname = \"crm\"\ncommands = [\"Sns.*\"]\nhttp = { url = \"http://crm:8080/\", format = \"cloudevents\", secrets = [\"c2VjcmV0LXNlY3JldC1zZWNyZXQ=\"] }\n",
    "[log]\nformat = \"json\"\nlevel = \"debug\"\n[shutdown]\ndelay = \"0s\"\ngrace = \"1s\"\n[admin]\nlisten = \"127.0.0.1:0\"\n",
];

/// A file, and behind a NUL variables of the environment, one a line.
pub fn check(input: &[u8]) {
    let input = String::from_utf8_lossy(input);
    let (text, environment) = input.split_once('\0').unwrap_or((&input, ""));
    let variables: Vec<_> = environment
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let read = |text: &str| Config::parse(text, Path::new("chathook.toml"), variables.clone());
    let table = text.parse::<toml::Table>().ok();
    let secrets: Vec<_> = table.iter().flat_map(secrets).filter(|secret| input.matches(secret).count() == 1).collect();
    let printed = match read(text) {
        Ok(config) => {
            let printed = format!("{config:?}");
            let table = table.as_ref().expect("a configuration is TOML");
            let again = toml::to_string(table).expect("a table can be written");
            let again = read(&again).unwrap_or_else(|error| panic!("written again it is refused: {error}: {again}"));
            assert_eq!(format!("{again:?}"), printed);
            printed
        }
        Err(error) => {
            let error = error.to_string();
            assert!(!error.contains('\n') && error.contains(": "), "{error:?}");
            error
        }
    };
    for secret in secrets {
        assert!(!printed.contains(&secret), "{secret} stands in: {printed}");
    }
}

/// The tokens and secrets of a configuration that are long enough to be told from other words.
fn secrets(table: &toml::Table) -> Vec<String> {
    let entries = |key: &str| table.get(key).and_then(toml::Value::as_array).into_iter().flatten();
    let lists = entries("app")
        .map(|app| app.get("tokens"))
        .chain(entries("target").map(|target| target.get("http").and_then(|http| http.get("secrets"))));
    let in_lists = lists.flatten().filter_map(toml::Value::as_array).flatten();
    let tokens = entries("decider").chain(entries("target")).filter_map(|entry| entry.get("http")?.get("token"));
    let texts = in_lists.chain(tokens).filter_map(toml::Value::as_str);
    texts.filter(|text| text.len() >= 8).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{APP, Config, PARTS, Path};

    #[test]
    fn every_part_that_is_begun_with_is_a_good_configuration() {
        for part in PARTS {
            let read = Config::parse(&format!("{APP}{part}"), Path::new("part.toml"), []);
            assert!(read.is_ok(), "{}: {part}", read.unwrap_err());
        }
    }
}
