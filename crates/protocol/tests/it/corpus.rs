//! Every sample of the wire corpus is read as what it says, with nothing unread and nothing lost.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use chathook_protocol::{AnyCallback, Command};
use serde_json::{Map, Value};

pub(crate) fn wire() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire")
}

/// The bodies of a command: the shape's name and the JSON.
pub(crate) fn shapes(command: Command) -> Vec<(String, String)> {
    let folder = wire().join(command.as_str());
    let mut shapes: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{command} has no samples: {}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    shapes.sort();
    assert!(shapes.iter().any(|(name, _)| name == "sample"), "{command} has no sample.json");
    shapes
}

fn each_shape(check: impl Fn(Command, &str, &str)) {
    for command in <Command as strum::IntoEnumIterator>::iter() {
        for (shape, body) in shapes(command) {
            check(command, &shape, &body);
        }
    }
}

#[track_caller]
fn decode(command: Command, shape: &str, body: &str) -> (AnyCallback, Vec<String>) {
    let decoded = AnyCallback::decode(command, body.as_bytes());
    let callback = decoded.callback.unwrap_or_else(|error| panic!("{command}/{shape}: {error}: {}", error.source));
    (callback, decoded.unread)
}

#[test]
fn every_sample_is_read_with_nothing_unread() {
    each_shape(|command, shape, body| {
        let (callback, unread) = decode(command, shape, body);
        assert_eq!(callback.command(), command);
        assert!(unread.is_empty(), "{command}/{shape}: {unread:?}");
    });
}

/// The value without what may differ between the wire and its documented form: a number in quotes is the number, a
/// flag is 0 or 1, a list of one is its item, and what is empty is absent.
fn plain(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => plain(&Value::from(u8::from(*flag))),
        Value::Number(number) => plain(&Value::from(number.to_string())),
        Value::String(text) => match text.as_str() {
            "" | "0" | "false" => None,
            "true" => Some("1".into()),
            text => Some(text.into()),
        },
        Value::Array(items) => match items.iter().filter_map(plain).collect::<Vec<_>>() {
            items if items.is_empty() => None,
            mut items if items.len() == 1 => items.pop(),
            items => Some(Value::Array(items)),
        },
        Value::Object(fields) => {
            let fields: Map<_, _> =
                fields.iter().filter_map(|(key, value)| Some((key.clone(), plain(value)?))).collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
    }
}

#[test]
fn every_field_of_a_sample_comes_out_under_its_own_name_again() {
    each_shape(|command, shape, body| {
        let (callback, _) = decode(command, shape, body);
        let mut sent: Value = serde_json::from_str(body).unwrap();
        sent.as_object_mut().unwrap().remove("CallbackCommand");
        let read = serde_json::to_value(&callback).unwrap();
        assert_eq!(plain(&read), plain(&sent), "{command}/{shape}");
    });
}

/// Whether it stands for a number, a flag or nothing.
fn is_scalar_in_quotes(text: &str) -> bool {
    text.parse::<f64>().is_ok() || ["true", "false", ""].contains(&text)
}

/// The body as Tencent might send it tomorrow.
fn changed(value: &mut Value) {
    match value {
        Value::Number(number) => *value = Value::String(number.to_string()),
        Value::String(text) if !is_scalar_in_quotes(text) => {
            *value = Value::String(format!("new {text}"));
        }
        Value::Array(items) => items.iter_mut().for_each(changed),
        Value::Object(fields) => {
            fields.values_mut().for_each(changed);
            fields.insert("FieldOfTomorrow".to_owned(), serde_json::json!([{"a": [1, {"b": null}]}, "c"]));
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn numbers_as_strings_and_new_words_and_new_fields_refuse_nothing() {
    each_shape(|command, shape, body| {
        let mut body: Value = serde_json::from_str(body).unwrap();
        body.as_object_mut().unwrap().remove("CallbackCommand");
        changed(&mut body);
        let (_, unread) = decode(command, shape, &body.to_string());
        assert!(unread.iter().any(|path| path == "/FieldOfTomorrow"), "{command}/{shape}: {unread:?}");
    });
}

#[test]
fn a_null_is_as_good_as_a_missing_field() {
    // Whatever may be missing may be null: take each field away in turn, and put null where that was fine.
    each_shape(|command, shape, body| {
        let body: Value = serde_json::from_str(body).unwrap();
        for key in body.as_object().unwrap().keys() {
            let mut without = body.clone();
            without.as_object_mut().unwrap().remove(key);
            if AnyCallback::decode(command, without.to_string().as_bytes()).callback.is_ok() {
                without[key] = Value::Null;
                decode(command, &format!("{shape} with {key} null"), &without.to_string());
            }
        }
    });
}

fn sample(command: Command) -> Map<String, Value> {
    let (_, body) = shapes(command).into_iter().find(|(name, _)| name == "sample").unwrap();
    serde_json::from_str(&body).unwrap()
}

fn is_read(command: Command, body: &Map<String, Value>) -> bool {
    AnyCallback::decode(command, &serde_json::to_vec(body).unwrap()).callback.is_ok()
}

/// The fields at the top of the sample without which it is not read.
fn required(command: Command) -> Vec<String> {
    let sample = sample(command);
    let is_required = |key: &&String| {
        let mut without = sample.clone();
        without.remove(*key);
        !is_read(command, &without)
    };
    sample.keys().filter(is_required).cloned().collect()
}

#[test]
fn only_the_core_of_a_body_is_required() {
    let mut now = String::new();
    for command in <Command as strum::IntoEnumIterator>::iter() {
        writeln!(now, "{command}\t{}", required(command).join(",")).unwrap();
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/required.golden");
    if fs::read_to_string(&golden).unwrap_or_default() != now {
        fs::write(&golden, now).unwrap();
        panic!("required.golden was out of date, and is up to date now: look at the difference");
    }
}

#[test]
fn a_body_with_nothing_but_its_core_is_read() {
    for command in <Command as strum::IntoEnumIterator>::iter() {
        let required = required(command);
        let mut core = sample(command);
        core.retain(|key, _| required.contains(key));
        let (callback, _) = decode(command, "core", &Value::from(core.clone()).to_string());
        // Whatever is asked of it, it has an answer.
        let payload = callback.payload();
        let _ = (payload.identity(), payload.ordering_key(), payload.asked());
        assert_eq!(plain(&serde_json::to_value(&callback).unwrap()), plain(&core.into()), "{command}");
    }
}

/// The body with a number for every text but the types of elements, which decide how their content is read.
fn numbered(value: &mut Value, next: &mut u64) {
    match value {
        Value::String(text) if !is_scalar_in_quotes(text) => {
            *value = Value::from(*next);
            *next += 1;
        }
        Value::Array(items) => items.iter_mut().for_each(|item| numbered(item, next)),
        Value::Object(fields) => {
            fields.iter_mut().filter(|(key, _)| *key != "MsgType").for_each(|(_, value)| numbered(value, next));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_text_may_be_a_number() {
    each_shape(|command, shape, body| {
        let mut body: Value = serde_json::from_str(body).unwrap();
        body.as_object_mut().unwrap().remove("CallbackCommand");
        numbered(&mut body, &mut 2);
        let (callback, unread) = decode(command, shape, &body.to_string());
        assert!(unread.is_empty(), "{command}/{shape}: {unread:?}");
        assert_eq!(plain(&serde_json::to_value(&callback).unwrap()), plain(&body), "{command}/{shape}");
    });
}
