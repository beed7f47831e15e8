use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use chathook_protocol::{Command, Event, Phase, Query};
use chathook_router::{Decided, Decider as _, Outcome, Question, Router};
use chathook_simulator::samples;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use tokio::time::Instant;

use super::{Failed, known, print};
use crate::Config;
use crate::config::{Invalid, explain};
use crate::decide::Plan;
use crate::decide::decider::{Canned, Decider, Deciders, Services};
use crate::metrics::{HANDLER, Metrics};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The cases: a TOML file of [[case]] tables. config/moderation.cases.toml is an example.
    file: PathBuf,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Each is a [`Case`], and read by itself, so that an error has its name.
    #[serde(default)]
    case: Vec<toml::Value>,
}

/// A callback and what is to be decided on it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: Option<String>,
    command: String,
    /// A table, or JSON as a string; the command's sample where there is none.
    body: Option<Value>,
    /// Parameters besides those that every query has.
    #[serde(default)]
    query: BTreeMap<String, Value>,
    /// The application; the first of the configuration where there is none.
    app: Option<u64>,
    /// When the callback comes, after RFC 3339; now where there is none.
    #[serde(default, deserialize_with = "time")]
    time: Option<SystemTime>,
    /// How often it comes; the last one is looked at.
    #[serde(default = "once")]
    times: u32,
    /// What services answer, as in the `json` format, or `timeout` or `error`. Shadows that are not named are not asked.
    #[serde(default)]
    deciders: BTreeMap<String, Value>,
    #[serde(deserialize_with = "expected")]
    expect: Expected,
}

fn once() -> u32 {
    1
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
    let time = String::deserialize(deserializer)?;
    let time = humantime::parse_rfc3339(&time);
    time.map(Some).map_err(|error| de::Error::custom(format!("not a time such as 2026-11-23T08:00:00Z: {error}")))
}

/// What is to be decided: a word, or a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    decision: Word,
    /// The code that the client sees.
    code: Option<u32>,
    /// The text that the client sees.
    info: Option<String>,
    /// The text elements of the rewritten message, one a line.
    text: Option<String>,
    /// The decider that was asked last, of those who are obeyed.
    by: Option<String>,
    /// Whether it is the fallback: what is not said to be is to be decided.
    #[serde(default)]
    fallback: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
enum Word {
    Allow,
    Reject,
    Rewrite,
    Drop,
    Partial,
    Respond,
    /// The fallback, whatever it is.
    Fallback,
}

fn expected<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Expected, D::Error> {
    struct WordOrTable;
    impl<'de> Visitor<'de> for WordOrTable {
        type Value = Expected;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a decision, or a table such as { decision = \"reject\", code = 10101 }")
        }

        fn visit_str<E: de::Error>(self, word: &str) -> Result<Expected, E> {
            let decision = Word::deserialize(de::value::StrDeserializer::<E>::new(word))?;
            Ok(Expected { decision, code: None, info: None, text: None, by: None, fallback: false })
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Expected, A::Error> {
            Expected::deserialize(de::value::MapAccessDeserializer::new(fields))
        }
    }
    deserializer.deserialize_any(WordOrTable)
}

pub(super) async fn run(args: &Args) -> Result<(), Failed> {
    let config = Config::load(&args.config).map_err(|error| Failed::Usage(error.to_string()))?;
    let place = args.file.display();
    let text = std::fs::read_to_string(&args.file).map_err(|error| Failed::Usage(format!("{place}: {error}")))?;
    let wrong = |problem: String| Failed::Usage(format!("{place}: {problem}"));
    let cases = read(&text).map_err(wrong)?;
    let mut failed = 0;
    for (i, case) in cases.iter().enumerate() {
        let name = case.name.as_deref().unwrap_or(&case.command);
        let came = case.run(&config).await.map_err(|problem| match problem {
            Failed::Usage(problem) => wrong(format!("case[{i}] ({name}): {problem}")),
            failed @ Failed::Outcome(_) => failed,
        })?;
        match came.problem.clone().or_else(|| case.expect.differs_from(&came)) {
            None => print(&format!("ok      {name}: {came}")),
            Some(problem) => {
                failed += 1;
                print(&format!("FAILED  {name}: {problem}, came {came}"));
            }
        }
    }
    print(&format!("\n{} cases, {failed} failed", cases.len()));
    if failed == 0 { Ok(()) } else { Err(Failed::Outcome(String::new())) }
}

fn read(text: &str) -> Result<Vec<Case>, String> {
    let File { case } = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    if case.is_empty() {
        return Err("there is no [[case]]".to_owned());
    }
    let read = |(i, case): (usize, toml::Value)| {
        let name = case.get("name").and_then(toml::Value::as_str).map(|name| format!(" ({name})")).unwrap_or_default();
        serde_path_to_error::deserialize(case).map_err(|error| {
            let Invalid { key, problem } = explain(&error);
            let between = if key.is_empty() { "" } else { ": " };
            format!("case[{i}]{name}: {key}{between}{problem}")
        })
    };
    case.into_iter().enumerate().map(read).collect()
}

/// What was decided.
struct Came {
    decision: String,
    answer: Value,
    /// Why it is the fallback, if it is.
    fallback: Option<String>,
    /// Who was asked, and what they said.
    steps: Vec<Said>,
    /// Why the case cannot be one that is good.
    problem: Option<String>,
}

/// What somebody said who was asked.
struct Said {
    name: String,
    is_shadow: bool,
    /// A decision, or why there is none.
    what: Result<String, &'static str>,
}

impl Case {
    async fn run(&self, config: &Config) -> Result<Came, Failed> {
        let command = known(&self.command)?;
        if command.phase() == Phase::After {
            return Err(Failed::Usage(format!("{command} asks for no decision")));
        }
        let app = match self.app {
            Some(app) => config.app.iter().find(|it| it.sdk_app_id == app),
            None => config.app.first(),
        };
        let app = app.ok_or_else(|| Failed::Usage("app: not an application of the configuration".to_owned()))?;
        let wrong = |invalid| Failed::Usage(config.error(invalid).to_string());
        let plan = Plan::build(&config.decide, &app.decide).map_err(wrong)?;
        let metrics = Metrics::new().map_err(|error| Failed::Outcome(error.to_string()))?;
        let canned = self.canned(config)?;
        let deciders = Deciders::build(&config.decider, None, &metrics, &Services::Canned(&canned)).map_err(wrong)?;
        let router = Router::<()>::builder().build(()).map_err(|error| Failed::Outcome(error.to_string()))?;

        let (query, body) = (self.query(command, app.sdk_app_id)?, self.body(command)?);
        let (mut last, mut contradicts_itself) = (None, false);
        for _ in 0..self.times.max(1) {
            let event = Event::read(Query::parse(&query), body.clone().into());
            contradicts_itself = event.contradicts_itself();
            // A rule has all the time that it wants.
            let deadline = Instant::now() + Duration::from_secs(60);
            let question = Question::new(command, event, deadline, self.time.unwrap_or_else(SystemTime::now));
            last = Some(router.decide(question, deciders.of(command), &plan.fallbacks).await);
        }
        let mut came = last.map(Came::from).ok_or_else(|| Failed::Usage("times: nothing came".to_owned()))?;
        came.problem = match contradicts_itself {
            true => Some("the body names another command: the gateway would turn it away".to_owned()),
            false => came.steps.iter().find_map(|said| unprepared(said, config, &canned)),
        };
        Ok(came)
    }

    fn canned(&self, config: &Config) -> Result<BTreeMap<String, Canned>, Failed> {
        let services = || config.decider.iter().filter(|decider| decider.http.is_some());
        let canned = self.deciders.iter().map(|(name, answer)| {
            if !services().any(|decider| decider.name == *name) {
                return Err(format!("deciders.{name}: no service of that name is configured"));
            }
            let canned = match answer.as_str() {
                Some("timeout") => Canned::TimedOut,
                Some("error") => Canned::Failed,
                Some(_) => return Err(format!("deciders.{name}: neither `timeout` nor `error` nor an answer")),
                None => Canned::Answer(answer.to_string().into_bytes()),
            };
            Ok((name.clone(), canned))
        });
        canned.collect::<Result<_, _>>().map_err(Failed::Usage)
    }

    fn query(&self, command: Command, app: u64) -> Result<String, Failed> {
        let mut url: reqwest::Url = "http://chathook/".parse().map_err(|_| Failed::Outcome(String::new()))?;
        let mut query = url.query_pairs_mut();
        query.append_pair("SdkAppid", &app.to_string()).append_pair("CallbackCommand", command.as_str());
        query.append_pair("contenttype", "json");
        for (name, value) in &self.query {
            query.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        drop(query);
        Ok(url.query().unwrap_or_default().to_owned())
    }

    fn body(&self, command: Command) -> Result<Vec<u8>, Failed> {
        match &self.body {
            Some(Value::String(json)) => Ok(json.clone().into_bytes()),
            Some(table) => serde_json::to_vec(table).map_err(|error| Failed::Usage(format!("body: {error}"))),
            None => samples::body(command).ok_or_else(|| Failed::Usage("body: there is no sample".to_owned())),
        }
    }
}

/// What the case does not say of a service that was asked, or says wrongly without any effect.
fn unprepared(said: &Said, config: &Config, canned: &BTreeMap<String, Canned>) -> Option<String> {
    let Said { name, is_shadow, what } = said;
    match canned.get(name) {
        None if config.decider.iter().any(|decider| decider.name == *name && decider.http.is_some()) => {
            Some(format!("{name} is asked, and `deciders.{name}` is not given"))
        }
        Some(Canned::Answer(_)) if *is_shadow && what.is_err() => {
            Some(format!("`deciders.{name}` is no answer that the command allows"))
        }
        _ => None,
    }
}

impl From<Decided<Decider>> for Came {
    fn from(decided: Decided<Decider>) -> Self {
        let steps = decided.steps.into_iter().map(|step| Said {
            name: step.decider.as_ref().map_or(HANDLER, |decider| decider.name()).to_owned(),
            is_shadow: step.decider.is_some_and(|decider| decider.is_shadow()),
            what: match step.outcome {
                Outcome::Decided(said) => Ok(said.effect.to_string()),
                Outcome::Shadowed(decision) => Ok(decision.effect().to_string()),
                Outcome::Failed(reason) => Err(reason),
                Outcome::Running(..) => Err("no answer"),
            },
        });
        Self {
            steps: steps.collect(),
            decision: decided.said.effect.to_string(),
            answer: serde_json::from_slice(decided.answer.body()).unwrap_or_default(),
            fallback: decided.failure.map(|error| error.to_string()),
            problem: None,
        }
    }
}

impl Came {
    fn code(&self) -> Option<u32> {
        let code = |value: &Value| u32::try_from(value.as_u64()?).ok().filter(|code| *code != 0);
        let items = self.answer["ResultItem"].as_array().into_iter().flatten();
        code(&self.answer["ErrorCode"]).or_else(|| items.filter_map(|item| code(&item["ResultCode"])).next())
    }

    fn info(&self) -> &str {
        let items = self.answer["ResultItem"].as_array().into_iter().flatten();
        let infos = std::iter::once(&self.answer["ErrorInfo"]).chain(items.map(|item| &item["ResultInfo"]));
        infos.filter_map(Value::as_str).find(|info| !info.is_empty()).unwrap_or_default()
    }

    fn text(&self) -> String {
        let elements = self.answer["MsgBody"].as_array().into_iter().flatten();
        elements.filter_map(|element| element["MsgContent"]["Text"].as_str()).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.decision)?;
        if let Some(code) = self.code() {
            write!(f, " {code}")?;
        }
        if let Some(reason) = &self.fallback {
            write!(f, ", the fallback: {reason}")?;
        }
        let said = |said: &Said| format!("{}: {}", said.name, said.what.as_deref().unwrap_or_else(|reason| reason));
        let steps: Vec<_> = self.steps.iter().map(said).collect();
        if steps.is_empty() { Ok(()) } else { write!(f, " ({})", steps.join(", ")) }
    }
}

impl Expected {
    /// What was expected and did not come.
    fn differs_from(&self, came: &Came) -> Option<String> {
        let by = came.steps.iter().rfind(|said| !said.is_shadow).map(|said| said.name.as_str());
        let is_fallback = self.fallback || self.decision == Word::Fallback;
        if self.decision != Word::Fallback && self.decision.to_string() != came.decision {
            return Some(format!("expected {}", self.decision));
        }
        let differences = [
            self.code.filter(|code| came.code() != Some(*code)).map(|code| format!("code {code}")),
            self.info.as_ref().filter(|info| came.info() != **info).map(|info| format!("info {info:?}")),
            self.text.as_ref().filter(|text| came.text() != **text).map(|text| format!("text {text:?}")),
            self.by.as_ref().filter(|name| by != Some(name.as_str())).map(|name| format!("the word of {name}")),
            (is_fallback && came.fallback.is_none()).then(|| "the fallback".to_owned()),
            (!is_fallback && came.fallback.is_some()).then(|| "no fallback".to_owned()),
        ];
        differences.into_iter().flatten().next().map(|difference| format!("expected {difference}"))
    }
}
