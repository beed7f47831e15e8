use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chathook_protocol::{Command, Event, Phase, Query};
use chathook_router::{Decided, Outcome, Question, Router};
use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::Value;
use tokio::time::Instant;

use super::{Failed, known, print, sample};
use crate::Config;
use crate::decide::Plan;
use crate::decide::decider::{Canned, Decider, Deciders, Services};
use crate::metrics::{HANDLER, Metrics};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The cases: a TOML file of [[case]] tables. config/cases.toml is an example.
    file: PathBuf,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
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
    /// What services answer, as in the `json` format, or `timeout` or `error`. Those not named are not asked.
    #[serde(default)]
    deciders: BTreeMap<String, Value>,
    expect: Expect,
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
#[serde(from = "WordOrTable")]
struct Expect(Expected);

#[derive(Deserialize)]
#[serde(untagged)]
enum WordOrTable {
    Word(String),
    Table(Expected),
}

impl From<WordOrTable> for Expect {
    fn from(expect: WordOrTable) -> Self {
        Self(match expect {
            WordOrTable::Word(decision) => Expected { decision, ..Expected::default() },
            WordOrTable::Table(expected) => expected,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// `allow`, `reject`, `rewrite`, `drop`, `partial` or `respond`.
    decision: String,
    /// The code that the client sees.
    code: Option<u32>,
    /// The text that the client sees.
    info: Option<String>,
    /// The text elements of the rewritten message, one a line.
    text: Option<String>,
    /// The decider that was asked last.
    by: Option<String>,
    /// Whether it is the fallback.
    fallback: Option<bool>,
}

pub(super) async fn run(args: &Args) -> Result<(), Failed> {
    let config = Config::load(&args.config).map_err(|error| Failed::Usage(error.to_string()))?;
    let place = args.file.display();
    let text = std::fs::read_to_string(&args.file).map_err(|error| Failed::Usage(format!("{place}: {error}")))?;
    let File { case: cases } =
        toml::from_str(&text).map_err(|error| Failed::Usage(format!("{place}: {}", error.to_string().trim_end())))?;
    let mut failed = 0;
    for (i, case) in cases.iter().enumerate() {
        let name = case.name.as_deref().unwrap_or(&case.command);
        let outcome = case.run(&config).await.map_err(|problem| match problem {
            Failed::Usage(problem) => Failed::Usage(format!("{place}: case[{i}] ({name}): {problem}")),
            failed @ Failed::Outcome(_) => failed,
        })?;
        match case.expect.0.differs_from(&outcome) {
            None => print(&format!("ok      {name}: {outcome}")),
            Some(difference) => {
                failed += 1;
                print(&format!("FAILED  {name}: expected {difference}, came {outcome}"));
            }
        }
    }
    print(&format!("\n{} cases, {failed} failed", cases.len()));
    if failed == 0 { Ok(()) } else { Err(Failed::Outcome(String::new())) }
}

/// What was decided.
struct Came {
    decision: String,
    answer: Value,
    is_fallback: bool,
    /// Who was asked, and what they said.
    steps: Vec<(String, String)>,
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
        let mut last = None;
        for _ in 0..self.times.max(1) {
            let event = Event::read(Query::parse(&query), body.clone().into());
            // A rule has all the time that it wants.
            let deadline = Instant::now() + Duration::from_secs(60);
            let question = Question::new(command, event, deadline, self.time.unwrap_or_else(SystemTime::now));
            last = Some(router.decide(question, deciders.of(command), &plan.fallbacks).await);
        }
        last.map(Came::from).ok_or_else(|| Failed::Usage("times: nothing came".to_owned()))
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
            None => sample::body(command).ok_or_else(|| Failed::Usage("body: there is no sample".to_owned())),
        }
    }
}

impl From<Decided<Decider>> for Came {
    fn from(decided: Decided<Decider>) -> Self {
        let steps = decided.steps.into_iter().map(|step| {
            let name =
                step.decider.map_or_else(|| HANDLER.to_owned(), |decider: Arc<Decider>| decider.name().to_owned());
            let said = match step.outcome {
                Outcome::Decided(said) => said.effect.to_string(),
                Outcome::Failed(reason) => reason.to_owned(),
                Outcome::Running(..) => "no answer".to_owned(),
            };
            (name, said)
        });
        Self {
            steps: steps.collect(),
            decision: decided.said.effect.to_string(),
            answer: serde_json::from_slice(decided.answer.body()).unwrap_or_default(),
            is_fallback: decided.failure.is_some(),
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

impl std::fmt::Display for Came {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.decision)?;
        if let Some(code) = self.code() {
            write!(f, " {code}")?;
        }
        if self.is_fallback {
            f.write_str(", the fallback")?;
        }
        let steps: Vec<_> = self.steps.iter().map(|(name, said)| format!("{name}: {said}")).collect();
        if steps.is_empty() { Ok(()) } else { write!(f, " ({})", steps.join(", ")) }
    }
}

impl Expected {
    /// What was expected and did not come.
    fn differs_from(&self, came: &Came) -> Option<String> {
        let by = came.steps.last().map(|(name, _)| name.as_str());
        if self.decision != came.decision {
            return Some(self.decision.clone());
        }
        let differences = [
            self.code.filter(|code| came.code() != Some(*code)).map(|code| format!("code {code}")),
            self.info.as_ref().filter(|info| came.info() != **info).map(|info| format!("info {info:?}")),
            self.text.as_ref().filter(|text| came.text() != **text).map(|text| format!("text {text:?}")),
            self.by.as_ref().filter(|name| by != Some(name.as_str())).map(|name| format!("the word of {name}")),
            self.fallback.filter(|is| came.is_fallback != *is).map(|is| match is {
                true => "the fallback".to_owned(),
                false => "no fallback".to_owned(),
            }),
        ];
        differences.into_iter().flatten().next()
    }
}
