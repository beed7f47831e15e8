//! What deciders answer in the format of chathook: what is taken of it is what Chat takes.

use std::time::SystemTime;

use chathook_protocol::{Event, Query};
use chathook_router::Question;
use tokio::time::Instant;

use crate::{decision, wire};

/// Decisions of every kind on every before-command.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for command in wire::before_commands() {
        let users: Vec<_> = decision::asked(command).iter().map(|user| format!("\"{user}\"")).collect();
        let (code, _) = decision::codes(command).unwrap_or((38_001, 0));
        for answer in [
            r#"{"decision":"allow"}"#.to_owned(),
            r#"{"decision":"drop"}"#.to_owned(),
            r#"{"decision":"reject"}"#.to_owned(),
            format!(r#"{{"decision":"reject","code":{code},"info":"no"}}"#),
            r#"{"decision":"rewrite","msg_body":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"*"}}]}"#.to_owned(),
            r#"{"decision":"rewrite","msg_body":[{"MsgType":"TIMNewElem","MsgContent":{"A": 1}}],"cloud_custom_data":"x"}"#.to_owned(),
            r#"{"decision":"rewrite","cloud_custom_data":""}"#.to_owned(),
            format!(r#"{{"decision":"partial","refused":[{}]}}"#, users.first().map_or("", String::as_str)),
            format!(r#"{{"decision":"partial","refused":[{}],"code":38001,"info":"no"}}"#, users.join(",")),
            r#"{"decision":"respond","data":"hi"}"#.to_owned(),
            r#"{"decision":"respond","group":7,"agents":["a@b.c"]}"#.to_owned(),
        ] {
            seeds.push([&[wire::byte_of_before(command)], answer.as_bytes()].concat());
        }
    }
    seeds
}

/// A byte for the command, and the answer.
pub fn check(input: &[u8]) {
    let Some((place, answer)) = input.split_first() else { return };
    let command = wire::before(*place);
    let event = Event::read(Query::parse(&format!("CallbackCommand={command}")), wire::sample(command).clone());
    let question = Question::new(command, event, Instant::now(), SystemTime::UNIX_EPOCH);
    match chathook_gateway::decide::http::read_json(&question, answer) {
        Ok(decision) => decision::is_what_chat_takes(command, question.users(), &decision),
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
}
