//! What holds for every body and every decision there can be: bodies like those of the samples, with other types, without
//! fields, with new ones; decisions from all that can be said.

use chathook_protocol::callbacks::command_of;
use chathook_protocol::reply::{Edits, Response};
use chathook_protocol::{AnyCallback, AnyDecision, Command, Effect, Event, MsgElement, Phase, Proposal, Query, UserId};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::{Index, select};
use proptest::test_runner::Config;
use serde_json::{Value, json};
use strum::IntoEnumIterator;

use crate::corpus::shapes;

/// A body of the corpus with its command.
fn samples() -> impl Strategy<Value = (Command, Value)> {
    let all: Vec<_> = Command::iter()
        .flat_map(|command| shapes(command).into_iter().map(move |(_, body)| (command, body)))
        .map(|(command, body)| (command, serde_json::from_str(&body).unwrap()))
        .collect();
    select(all)
}

/// What may stand where something else was expected.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        any::<u64>().prop_map(|number| Value::from(number.to_string())),
        select(vec!["", "TIMTextElem", "TIMRelayElem", "0", "1.5", "-1", "Web", "\u{0}"]).prop_map(Value::from),
        (1_usize..300).prop_map(nested),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        let fields = (select(vec!["MsgType", "MsgContent", "MsgBody", "MsgList", "Text", "New"]), inner.clone());
        prop_oneof![
            vec(inner, 0..5).prop_map(Value::from),
            vec(fields, 0..5)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// Arrays inside of each other; deeper than this a `Value` could not be read.
fn nested(depth: usize) -> Value {
    (0..depth.min(100)).fold(json!([]), |inner, _| json!([inner]))
}

/// A change at some place of a body.
#[derive(Debug, Clone)]
enum Change {
    Replace(Value),
    Remove,
    Add(String, Value),
    Repeat,
}

fn changes() -> impl Strategy<Value = Vec<(Index, Change)>> {
    let change = prop_oneof![
        3 => values().prop_map(Change::Replace),
        2 => Just(Change::Remove),
        2 => (".{0,12}", values()).prop_map(|(name, value)| Change::Add(name, value)),
        1 => Just(Change::Repeat),
    ];
    vec((any::<Index>(), change), 0..6)
}

/// JSON pointers of all that is in `value`, itself included.
fn places(value: &Value, at: &str, places: &mut Vec<String>) {
    places.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                self::places(value, &format!("{at}/{name}"), places);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                self::places(item, &format!("{at}/{index}"), places);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn changed(mut body: Value, changes: Vec<(Index, Change)>) -> Value {
    for (index, change) in changes {
        let mut all = Vec::new();
        places(&body, "", &mut all);
        let at = index.get(&all);
        match change {
            Change::Replace(value) => *body.pointer_mut(at).unwrap() = value,
            Change::Remove => {
                if let Some((parent, name)) = at.rsplit_once('/') {
                    match body.pointer_mut(parent).unwrap() {
                        Value::Object(fields) => drop(fields.remove(&name.replace("~1", "/").replace("~0", "~"))),
                        Value::Array(items) => drop(items.remove(name.parse().unwrap())),
                        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
                    }
                }
            }
            Change::Add(name, value) => match body.pointer_mut(at).unwrap() {
                Value::Object(fields) => drop(fields.insert(name, value)),
                Value::Array(items) => items.push(value),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            },
            Change::Repeat => {
                if let Some(items) = body.pointer_mut(at).and_then(Value::as_array_mut) {
                    items.extend(items.clone());
                }
            }
        }
    }
    body
}

/// Reads a body in all the ways there are, and writes and reads again what was read.
fn holds(command: Command, body: &[u8]) {
    let decoded = AnyCallback::decode(command, body);
    assert_eq!(decoded.command, command_of(body));
    assert!(decoded.unread.len() <= Event::MAX_UNREAD && decoded.unread.iter().all(|pointer| pointer.len() <= 256));
    let query = Query::parse(&format!("SdkAppid=1400000001&CallbackCommand={command}"));
    let event = Event::read(query.clone(), body.to_vec().into());
    assert_eq!(event.callback().unwrap().is_ok(), decoded.callback.is_ok());
    assert_eq!(event.unread(), decoded.unread);
    let Ok(callback) = decoded.callback else { return };

    let written = serde_json::to_vec(&callback).unwrap();
    let again = Event::read(query, written.clone().into());
    let read = again.callback().unwrap().unwrap_or_else(|error| panic!("{error}: {}: {written:?}", error.source));
    assert_eq!(serde_json::to_vec(read).unwrap(), written);
    assert_eq!(again.ordering_key(), event.ordering_key());
    assert_eq!(again.asked(), event.asked());
    if !event.id().is_of_content() {
        assert_eq!(again.id(), event.id());
    }
}

/// Users as they may be asked about, and some who were not.
fn users() -> impl Strategy<Value = Vec<UserId>> {
    vec("[a-d]|.{0,8}".prop_map(UserId::from), 0..5)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), ".{0,20}", Just("\"\\\u{0}\u{7f}\u{2028}👋".to_owned())]
}

fn code() -> impl Strategy<Value = Option<u32>> {
    let edges = vec![0, 1, 2, 3, 10_099, 10_100, 10_200, 10_201, 38_000, 39_000, 102_100, 102_201, 120_000, 120_001];
    prop_oneof![
        Just(None),
        select(edges).prop_map(Some),
        (10_000_u32..131_000).prop_map(Some),
        any::<u32>().prop_map(Some)
    ]
}

fn edits() -> impl Strategy<Value = Edits> {
    let element = prop_oneof![text().prop_map(MsgElement::text), text().prop_map(MsgElement::custom)];
    prop_oneof![
        vec(element.clone(), 1..4).prop_map(Edits::body),
        text().prop_map(Edits::cloud_custom_data),
        (vec(element, 1..4), text()).prop_map(|(body, data)| Edits::body(body).and_cloud_custom_data(data)),
    ]
}

/// All that can be said.
fn proposals() -> impl Strategy<Value = Proposal> {
    let agents = vec("[a-c]@b.c".prop_map(String::into_boxed_str), 0..3);
    prop_oneof![
        Just(Proposal::Allow),
        Just(Proposal::Drop),
        (code(), text()).prop_map(|(code, info)| Proposal::Reject { code, info }),
        edits().prop_map(Proposal::Rewrite),
        (users(), code(), text()).prop_map(|(refused, code, info)| Proposal::Partial { refused, code, info }),
        text().prop_map(|data| Proposal::Respond(Response::Data(data))),
        (any::<Option<u64>>(), agents)
            .prop_map(|(group, agents)| Proposal::Respond(Response::Agents { group, agents })),
    ]
}

fn before() -> impl Strategy<Value = Command> {
    select(Command::iter().filter(|command| command.phase() == Phase::Before).collect::<Vec<_>>())
}

/// The codes of one's own that Chat hands on, by its documentation; only 0, which refuses nothing, where there are none.
fn codes(command: Command) -> std::ops::RangeInclusive<u64> {
    match (command.as_str().split('.').next().unwrap(), command) {
        (_, Command::OfficialAccountBeforeAddSubscriber) => 0..=0,
        ("C2C" | "OfficialAccount", _) => 120_001..=130_000,
        ("Group", _) => 10_100..=10_200,
        ("Live", _) => 102_100..=102_200,
        _ => 0..=0,
    }
}

/// The bytes are what Chat takes, and are read back as the same decision.
fn is_taken(command: Command, asked: &[UserId], decision: &AnyDecision) {
    let answer = decision.clone().into_answer();
    let sent: Value = serde_json::from_slice(answer.body()).unwrap();
    let code = sent["ErrorCode"].as_u64().unwrap();
    let is_failure = code != 0 && ["SignalResponse", "Assignment"].contains(&command.answer_type());
    assert_eq!(sent["ActionStatus"], if is_failure { "FAIL" } else { "OK" }, "{sent}");
    assert!(sent["ErrorInfo"].is_string(), "{sent}");
    match (code, decision.effect()) {
        (0, Effect::Allow | Effect::Rewrite | Effect::Partial | Effect::Respond | Effect::Reject) => {}
        (1, Effect::Reject) => assert!(!["FriendDecision", "Invoked"].contains(&command.answer_type()), "{sent}"),
        (2, Effect::Drop) => assert_eq!(command.answer_type(), "SendDecision", "{sent}"),
        (own, Effect::Reject) => assert!(codes(command).contains(&own), "{command}: {sent}"),
        (_, effect) => panic!("{effect} by {sent}"),
    }
    for item in sent["ResultItem"].as_array().into_iter().flatten() {
        let code = item["ResultCode"].as_u64().unwrap();
        assert!(code == 0 || (38_000..=39_000).contains(&code), "{sent}");
    }

    let again = AnyDecision::read(command, answer.body(), asked);
    let again = again.unwrap_or_else(|error| panic!("{command}: {error}: {sent}"));
    // Custom data that is to be empty is as good as none, for those who read answers.
    if sent["CloudCustomData"] != "" {
        assert!(again.agrees_with(decision), "{command}: {again:?} by {sent}");
        assert_eq!(again.into_answer().body(), answer.body());
    }
}

/// 1000 cases, or as many as `PROPTEST_CASES` says.
fn config() -> Config {
    let config = Config { failure_persistence: None, ..Config::default() };
    let is_said = std::env::var_os("PROPTEST_CASES").is_some();
    Config { cases: if is_said { config.cases } else { 1000 }, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_body_like_a_sample_is_read_or_refused_and_never_panics((command, body) in samples(), changes in changes()) {
        holds(command, changed(body, changes).to_string().as_bytes());
    }

    #[test]
    fn a_body_of_another_command_is_read_or_refused_too(
        (_, body) in samples(), command in select(Command::iter().collect::<Vec<_>>()),
    ) {
        holds(command, body.to_string().as_bytes());
    }

    #[test]
    fn a_body_that_is_cut_or_broken_anywhere_is_refused(
        (command, body) in samples(), at in any::<Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = body.to_string().into_bytes();
        let at = at.index(bytes.len());
        assert!(AnyCallback::decode(command, &bytes[..at]).callback.is_err());
        bytes[at] = byte;
        holds(command, &bytes);
    }

    #[test]
    fn every_decision_that_can_be_made_is_one_that_chat_takes(
        command in before(), proposal in proposals(), asked in users(),
    ) {
        if let Ok(decision) = AnyDecision::of(command, proposal, &distinct(asked.clone())) {
            is_taken(command, &distinct(asked), &decision);
        }
    }

    #[test]
    fn what_several_decisions_come_to_is_one_that_chat_takes(
        command in before(), proposals in vec(proposals(), 1..5), asked in users(),
    ) {
        let asked = distinct(asked);
        let mut decision = AnyDecision::allow(command, &asked);
        for proposal in proposals {
            if let Ok(next) = AnyDecision::of(command, proposal, &asked) && !decision.is_final() {
                decision.then(next);
            }
        }
        is_taken(command, &asked, &decision);
    }
}

/// Each of the users once: nobody is asked about twice.
fn distinct(mut users: Vec<UserId>) -> Vec<UserId> {
    users.sort();
    users.dedup();
    users
}
