//! What callback servers answer: what is taken of it is what Chat takes, and is read back as the same decision.

use std::collections::BTreeMap;

use chathook_protocol::{AnyDecision, Command, Effect, Event, Query, UserId};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::wire;

/// Answers of every kind to every before-command.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for command in wire::before_commands() {
        let users = asked(command);
        let verdicts: Vec<_> =
            users.iter().map(|user| format!(r#"{{"To_Account":"{user}","ResultCode":38001}}"#)).collect();
        let users: Vec<_> = users.iter().map(|user| format!("\"{user}\"")).collect();
        let first = users.first().map_or("", String::as_str);
        for fields in [
            r#""ErrorCode":0"#.to_owned(),
            r#""ErrorInfo":"no","ErrorCode":1"#.to_owned(),
            r#""ErrorCode":2"#.to_owned(),
            format!(r#""ErrorInfo":"no","ErrorCode":{}"#, codes(command).map_or(1, |(first, _)| first)),
            r#""ErrorCode":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"*"}}],"CloudCustomData":"x""#
                .to_owned(),
            r#""ErrorCode":0,"MsgBody":[{"MsgType":"TIMNewElem","MsgContent":{"A": 1e1}}]"#.to_owned(),
            format!(r#""ErrorCode":0,"ResultItem":[{}]"#, verdicts.join(",")),
            format!(r#""ErrorCode":0,"RefusedMembers_Account":[{first}]"#),
            format!(r#""ErrorCode":0,"RefusedSubscribers_Account":[{}]"#, users.join(",")),
            r#""ErrorCode":0,"RspData":"hi""#.to_owned(),
            r#""ErrorCode":0,"AgentGroupId":7,"AgentIdList":["a@b.c"]"#.to_owned(),
        ] {
            for status in ["OK", "FAIL"] {
                let answer = format!(r#"{{"ActionStatus":"{status}",{fields}}}"#);
                seeds.push([&[wire::byte_of_before(command)], answer.as_bytes()].concat());
            }
        }
    }
    seeds
}

/// A byte for the command, and the answer.
pub fn check(input: &[u8]) {
    let Some((place, answer)) = input.split_first() else { return };
    let (command, asked) = (wire::before(*place), asked(wire::before(*place)));
    if let Ok(decision) = AnyDecision::read(command, answer, &asked) {
        is_what_chat_takes(command, &asked, &decision);
    }
}

/// The users whom the sample of a command asks about.
pub(crate) fn asked(command: Command) -> Vec<UserId> {
    Event::read(Query::parse(&format!("CallbackCommand={command}")), wire::sample(command).clone()).asked()
}

/// The codes of one's own that Chat hands to the client, by its documentation.
pub(crate) fn codes(command: Command) -> Option<(u64, u64)> {
    let name = command.as_str();
    match name.split_once('.').map_or(name, |(family, _)| family) {
        _ if name == "OfficialAccount.CallbackBeforeAddSubscriber" => None,
        "C2C" | "OfficialAccount" => Some((120_001, 130_000)),
        "Group" => Some((10_100, 10_200)),
        "Live" => Some((102_100, 102_200)),
        _ => None,
    }
}

/// Checks the bytes that would be sent, by what the documentation says of the command, and reads them back.
pub(crate) fn is_what_chat_takes(command: Command, asked: &[UserId], decision: &AnyDecision) {
    let answer = decision.clone().into_answer();
    let sent = answer.body().escape_ascii().to_string();
    assert_eq!(answer.effect(), decision.effect(), "{command}: {sent}");
    // Half a surrogate pair in an element is passed on as it came, as everything in it is; no `Value` could hold it.
    let fields: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(answer.body()).unwrap_or_else(|error| panic!("{command}: {error}: {sent}"));
    let value: BTreeMap<&str, Value> = fields
        .iter()
        .filter(|(name, _)| *name != "MsgBody")
        .map(|(name, raw)| (name.as_str(), serde_json::from_str(raw.get()).expect("what we write is read")))
        .collect();
    let field = |name: &str| value.get(name).filter(|value| !value.is_null());
    let code = field("ErrorCode").and_then(Value::as_u64).unwrap_or_else(|| panic!("{command}: no ErrorCode: {sent}"));
    assert!(field("ErrorInfo").is_some_and(Value::is_string), "{command}: no ErrorInfo: {sent}");

    let is_failure = code != 0 && matches!(command.answer_type(), "SignalResponse" | "Assignment");
    let status = if is_failure { "FAIL" } else { "OK" };
    assert!(field("ActionStatus").is_some_and(|said| said == status), "{command}: {sent}");
    let is_message = command.answer_type() == "SendDecision";
    let is_legal = match code {
        0 => true,
        1 => !matches!(command.answer_type(), "FriendDecision" | "Invoked"),
        2 => is_message,
        own => codes(command).is_some_and(|(first, last)| (first..=last).contains(&own)),
    };
    assert!(is_legal, "{command}: ErrorCode {code}: {sent}");
    let is_right = match code {
        0 => !matches!(decision.effect(), Effect::Drop),
        2 => matches!(decision.effect(), Effect::Drop),
        _ => matches!(decision.effect(), Effect::Reject),
    };
    assert!(is_right, "{command}: {} by {sent}", decision.effect());

    for name in ["MsgBody", "CloudCustomData"] {
        assert!(!fields.contains_key(name) || (is_message && code == 0), "{command}: {name}: {sent}");
    }
    if let Some(elements) = fields.get("MsgBody") {
        let elements: Vec<Element> =
            serde_json::from_str(elements.get()).unwrap_or_else(|error| panic!("{command}: {error}: {sent}"));
        let is_whole = |element: &Element| !element.kind.is_empty() && element.content.get().starts_with('{');
        assert!(!elements.is_empty() && elements.iter().all(is_whole), "{command}: {sent}");
    }
    let users = |name: &str| field(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let is_asked = |user: &Value| user.as_str().is_some_and(|user| asked.iter().any(|known| known == user));
    for user in users("RefusedMembers_Account").iter().chain(&users("RefusedSubscribers_Account")) {
        assert!(is_asked(user) && code == 0, "{command}: {user}: {sent}");
    }
    match field("ResultItem").and_then(Value::as_array) {
        None => assert_ne!(command.answer_type(), "FriendDecision", "{command}: no verdicts: {sent}"),
        Some(items) => {
            let named = items.iter().map(|item| item["To_Account"].as_str().unwrap_or_default());
            assert!(named.eq(asked.iter().map(UserId::as_str)), "{command}: not a verdict for each: {sent}");
            for item in items {
                let code = item["ResultCode"].as_u64();
                assert!(code.is_some_and(|code| code == 0 || (38_000..=39_000).contains(&code)), "{command}: {sent}");
            }
        }
    }
    assert_eq!(field("RspData").is_some(), command.answer_type() == "SignalResponse", "{command}: {sent}");

    let again = AnyDecision::read(command, answer.body(), asked);
    let again = again.unwrap_or_else(|error| panic!("{command}: not read back: {error}: {sent}"));
    // Nothing in the place of the custom data is as good as none, for those who read answers.
    if field("CloudCustomData").is_none_or(|data| data != "") {
        assert!(again.agrees_with(decision) && decision.agrees_with(&again), "{command}: {again:?} by {sent}");
        assert_eq!(again.into_answer().body().escape_ascii().to_string(), sent, "{command}");
    }
}

/// An element of a message as Chat has to have it.
#[derive(Deserialize)]
struct Element {
    #[serde(rename = "MsgType")]
    kind: String,
    #[serde(rename = "MsgContent")]
    content: Box<RawValue>,
}
