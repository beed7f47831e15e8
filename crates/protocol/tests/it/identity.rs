//! The identity of an event and the conversation that it belongs to.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use chathook_protocol::{Command, Event, Query};
use serde_json::{Map, Value};
use strum::IntoEnumIterator;

use crate::corpus::wire;

fn body(command: Command) -> String {
    fs::read_to_string(wire().join(command.as_str()).join("sample.json")).unwrap()
}

/// The query of the sample, without the identifier of the request.
fn query(command: Command) -> String {
    let query = fs::read_to_string(wire().join(command.as_str()).join("sample.query")).unwrap();
    let named = |pair: &&str| !pair.to_ascii_lowercase().starts_with("requestid=");
    query.trim_end().split('&').filter(named).collect::<Vec<_>>().join("&")
}

fn read(query: &str, body: impl Into<Bytes>) -> Event {
    Event::read(Query::parse(query), body.into())
}

#[test]
fn identities_and_orders_of_the_samples_are_those_of_before() {
    let mut now = String::new();
    for command in Command::iter() {
        let event = read(&query(command), body(command));
        let key = event.ordering_key();
        writeln!(now, "{command}\t{}\t{}", event.id(), key.as_str().unwrap_or("-")).unwrap();
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/identity.golden");
    if fs::read_to_string(&golden).unwrap_or_default() != now {
        fs::write(&golden, now).unwrap();
        panic!("identity.golden was out of date, and is up to date now: look at the difference");
    }
}

#[test]
fn the_identifier_of_the_request_comes_before_anything_else() {
    for command in Command::iter() {
        let query = format!("{}&RequestID=8a4c37c6-93f0-4c69-8a4f-7d8f60b7a502", query(command));
        assert_eq!(read(&query, body(command)).id().as_str(), "8a4c37c6-93f0-4c69-8a4f-7d8f60b7a502", "{command}");
    }
}

#[test]
fn an_id_and_a_key_are_printable_and_have_no_blanks_whatever_they_are_made_of() {
    let event = read(
        "CallbackCommand=C2C.CallbackAfterSendMsg",
        r#"{"From_Account":"a b\u0000/%","To_Account":"é\n","MsgSeq":1,"MsgRandom":2,"MsgTime":3,
            "MsgKey":"k\r\n\tx: /\u007f","MsgBody":[]}"#,
    );
    assert_eq!(event.id().as_str(), "C2C.CallbackAfterSendMsg/k%0D%0A%09x:%20%2F%7F");
    assert_eq!(event.ordering_key().as_str(), Some("pair/a%20b%00%2F%25/%C3%A9%0A"));
    let event = read("CallbackCommand=X&RequestID=a%20b%0Ac%2F", "{}");
    assert_eq!(event.id().as_str(), "a%20b%0Ac%2F");
}

/// The same value with the keys of every object the other way round.
fn reordered(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), reordered(value)))
                .collect();
            fields.reverse();
            format!("{{{}}}", fields.join(" ,\n\t"))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(reordered).collect::<Vec<_>>().join(",  ")),
        scalar => scalar.to_string(),
    }
}

/// The commands that are told apart by fields, not by what was sent.
fn with_identity() -> impl Iterator<Item = Command> {
    Command::iter().filter(|&command| !read(&query(command), body(command)).id().as_str().starts_with("sha256:"))
}

#[test]
fn the_same_callback_in_other_words_has_the_same_identity() {
    let mut checked = 0;
    for command in with_identity() {
        let (query, sent) = (query(command), body(command));
        let other = reordered(&serde_json::from_str(&sent).unwrap());
        assert_ne!(sent, other);
        let (event, again) = (read(&query, sent), read(&query, other));
        assert_eq!(event.id(), again.id(), "{command}");
        assert_eq!(event.ordering_key(), again.ordering_key(), "{command}");
        for alias in command.aliases() {
            let aliased = read(&query.replace(command.as_str(), alias), body(command));
            assert_eq!(aliased.id(), event.id(), "{alias}");
        }
        checked += 1;
    }
    assert!(checked >= 14, "only {checked} commands have an identity of their own");
}

#[test]
fn another_message_has_another_identity() {
    for command in with_identity() {
        let sent: Map<String, Value> = serde_json::from_str(&body(command)).unwrap();
        let told_apart = sent.keys().any(|key| {
            let mut other = sent.clone();
            other[key] = match &sent[key] {
                Value::String(text) => Value::from(format!("{text}-2")),
                Value::Number(number) => Value::from(number.as_u64().unwrap() + 1),
                value => value.clone(),
            };
            let other = read(&query(command), Value::from(other).to_string());
            let id = other.id();
            !id.as_str().starts_with("sha256:") && id != read(&query(command), body(command)).id()
        });
        assert!(told_apart, "{command}: nothing in it makes another identity");
    }
}

#[test]
fn the_same_fields_in_another_application_are_another_event() {
    for command in Command::iter() {
        let query = query(command);
        let other = query.replace("1400000001", "1400000002");
        assert_ne!(query, other);
        assert_ne!(read(&query, body(command)).id(), read(&other, body(command)).id(), "{command}");
    }
}

#[test]
fn both_directions_of_a_conversation_have_one_order() {
    let mut pairs = Vec::new();
    for command in Command::iter() {
        let there = read(&query(command), body(command)).ordering_key();
        if !there.as_str().is_some_and(|key| key.starts_with("pair/")) {
            continue;
        }
        let mut sent: Value = serde_json::from_str(&body(command)).unwrap();
        let (from, to) = (sent["From_Account"].clone(), sent["To_Account"].clone());
        if from.is_string() && to.is_string() {
            assert_ne!(from, to, "{command}");
            (sent["From_Account"], sent["To_Account"]) = (to, from);
            assert_eq!(read(&query(command), sent.to_string()).ordering_key(), there, "{command}");
            pairs.push(command);
        }
    }
    for command in [Command::C2cBeforeSendMsg, Command::C2cAfterSendMsg, Command::C2cAfterMsgWithDraw] {
        assert!(pairs.contains(&command), "{command} is not in the order of its conversation");
    }
}

#[test]
fn a_body_that_is_not_read_has_no_order_and_the_hash_of_its_content_as_its_identity() {
    for command in Command::iter() {
        let query = query(command);
        let event = read(&query, "{");
        assert!(event.callback().is_some_and(|callback| callback.is_err()), "{command}");
        assert_eq!(event.ordering_key().as_str(), None, "{command}");
        let id = event.id();
        assert!(id.as_str().strip_prefix("sha256:").is_some_and(|hash| hash.len() == 64), "{command}: {id}");
        assert_eq!(read(&query, "{").id(), id);
        assert_ne!(read(&query, "{ ").id(), id);
        assert_ne!(read(&query.replace("1400000001", "1400000002"), "{").id(), id);
    }
}

#[test]
fn an_unknown_command_has_no_order_and_the_hash_of_its_content_as_its_identity() {
    let event = read("SdkAppid=1400000001&CallbackCommand=Group.CallbackAfterTomorrow", r#"{"GroupId":"g"}"#);
    assert!(event.callback().is_none());
    assert_eq!(event.ordering_key().as_str(), None);
    // The application and the length of the name as eight bytes each, the name, the body.
    assert_eq!(event.id().as_str(), "sha256:a0e9093e954acbbbdd91e07a9456a260b85097181842eb62baf5578ddbede841");
}

#[test]
fn a_message_without_what_identifies_it_has_the_hash_of_its_content() {
    for (command, keys) in [
        (Command::C2cBeforeSendMsg, ["MsgKey"].as_slice()),
        (Command::C2cAfterSendMsg, &["MsgKey"]),
        (Command::BotOnC2cMessage, &["MsgKey"]),
        (Command::ChatbotOnC2cSignalMessage, &["MsgKey"]),
        (Command::OfficialAccountAfterSendMsg, &["MsgKey"]),
        (Command::GroupAfterSendMsg, &["MsgSeq"]),
        (Command::BotOnGroupMessage, &["MsgSeq"]),
        (Command::C2cAfterC2cMsgExtension, &["Seq", "OperateType"]),
        (Command::GroupAfterGroupMsgExtension, &["Seq", "OperateType"]),
        (Command::StateChange, &["EventTime"]),
    ] {
        for key in keys {
            let mut sent: Map<String, Value> = serde_json::from_str(&body(command)).unwrap();
            assert!(sent.remove(*key).is_some(), "{command} has no {key}");
            let (query, without) = (query(command), Value::from(sent.clone()).to_string());
            let event = read(&query, without);
            assert!(event.callback().is_some_and(|callback| callback.is_ok()), "{command} without {key}");
            assert!(event.id().as_str().starts_with("sha256:"), "{command} without {key}");
            sent.insert((*key).to_owned(), "".into());
            let empty = read(&query, Value::from(sent).to_string());
            assert!(empty.id().as_str().starts_with("sha256:"), "{command} with an empty {key}");
        }
    }
}
