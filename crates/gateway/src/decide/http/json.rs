//! A small request and answer, for services that are written for chathook.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use chathook_protocol::reply::{Edits, Response};
use chathook_protocol::{AnyDecision, MsgElement, Platform, Proposal, UserId, signature};
use chathook_router::Question;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::failure::Failure;

/// What a service is asked.
#[derive(Serialize)]
struct Document<'a> {
    command: &'a str,
    sdk_app_id: Option<u64>,
    id: &'a str,
    /// How long an answer is waited for.
    deadline_ms: u64,
    query: Query<'a>,
    /// The body as it came, or as those before have changed it.
    payload: &'a RawValue,
}

/// What the query says of the client behind the event.
#[derive(Serialize)]
struct Query<'a> {
    #[serde(rename = "ClientIP", skip_serializing_if = "Option::is_none")]
    client_ip: Option<IpAddr>,
    #[serde(rename = "OptPlatform", skip_serializing_if = "Option::is_none")]
    platform: Option<&'a str>,
}

/// The signature of `time`.
pub(super) fn query(token: &str, time: u64) -> String {
    format!("Sign={}&RequestTime={time}", signature::sign(token, time))
}

/// The question, which has to be answered within `left`.
pub(super) fn body(question: &Question, left: Duration) -> Result<Bytes, Failure> {
    let (event, query) = (question.event(), question.event().query());
    let id = event.id();
    let document = Document {
        command: event.command().as_str(),
        sdk_app_id: query.sdk_app_id,
        id: id.as_str(),
        deadline_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        query: Query { client_ip: query.client_ip, platform: query.platform.as_ref().map(Platform::as_str) },
        payload: serde_json::from_slice(event.body()).map_err(|_| NOT_JSON)?,
    };
    serde_json::to_vec(&document).map(Bytes::from).map_err(|_| NOT_JSON)
}

const NOT_JSON: Failure = Failure::Decode("the body is not JSON");

#[derive(Deserialize)]
struct Tag {
    decision: Box<str>,
}

/// Declares the keys that belong to a decision. There are no others; `null` is as good as nothing.
macro_rules! keys {
    ($($name:ident { $($key:ident: $kind:ty),* })+) => {$(
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            #[serde(rename = "decision")]
            _decision: IgnoredAny,
            $($key: $kind,)*
        }
    )+};
}

keys! {
    Plain {}
    Reject { code: Option<u32>, info: Option<String> }
    Rewrite { msg_body: Option<Vec<MsgElement>>, cloud_custom_data: Option<String> }
    Partial { refused: Vec<UserId>, code: Option<u32>, info: Option<String> }
    Respond { data: Option<String>, group: Option<u64>, agents: Option<Vec<Box<str>>> }
}

/// Reads what a service answers: its decision first, then the keys that belong to it.
pub(super) fn read(question: &Question, answer: &[u8]) -> Result<AnyDecision, Failure> {
    let Tag { decision } = object(answer)?;
    let proposal = match &*decision {
        "allow" => object(answer).map(|Plain { .. }| Proposal::Allow)?,
        "drop" => object(answer).map(|Plain { .. }| Proposal::Drop)?,
        "reject" => {
            let Reject { code, info, .. } = object(answer)?;
            Proposal::Reject { code, info: info.unwrap_or_default() }
        }
        "rewrite" => Proposal::Rewrite(edits(object(answer)?)?),
        "partial" => {
            let Partial { refused, code, info, .. } = object(answer)?;
            Proposal::Partial { refused, code, info: info.unwrap_or_default() }
        }
        "respond" => Proposal::Respond(response(object(answer)?)?),
        _ => return Err(Failure::Illegal("there is no such decision".to_owned())),
    };
    AnyDecision::of(question.command(), proposal, question.users()).map_err(|error| Failure::Illegal(error.to_string()))
}

fn edits(Rewrite { msg_body, cloud_custom_data, .. }: Rewrite) -> Result<Edits, Failure> {
    let edits = match (msg_body, cloud_custom_data) {
        (Some(body), _) if body.is_empty() => Err(Failure::Illegal("msg_body is empty".to_owned())),
        (Some(body), Some(data)) => Ok(Edits::body(body).and_cloud_custom_data(data)),
        (Some(body), None) => Ok(Edits::body(body)),
        (None, Some(data)) => Ok(Edits::cloud_custom_data(data)),
        (None, None) => Err(Failure::Illegal("a rewrite has neither msg_body nor cloud_custom_data".to_owned())),
    }?;
    edits.whole().map_err(|error| Failure::Illegal(error.to_string()))
}

fn response(Respond { data, group, agents, .. }: Respond) -> Result<Response, Failure> {
    match (data, group, agents) {
        (Some(data), None, None) => Ok(Response::Data(data)),
        (None, None, None) => Err(Failure::Illegal("a response has neither data nor group nor agents".to_owned())),
        (None, group, agents) => Ok(Response::Agents { group, agents: agents.unwrap_or_default() }),
        (Some(_), _, _) => Err(Failure::Illegal("a response has data, and group or agents as well".to_owned())),
    }
}

/// Reads an object. A struct alone would be read from an array too.
fn object<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(fields))
        }
    }

    let mut answer = serde_json::Deserializer::from_slice(answer);
    let read = answer.deserialize_map(Object(PhantomData)).and_then(|fields| answer.end().map(|()| fields));
    read.map_err(|error| Failure::of_json(&error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chathook_protocol::{Command, signature};

    use super::super::tests::question;
    use super::{Failure, body, query, read};

    #[test]
    fn the_document_has_the_body_as_it_came() {
        let payload = "{ \"Text\" : \"\\u4f60\", \"B\":1e1 }";
        let sent = "SdkAppid=14&ClientIP=203.0.113.7&OptPlatform=IOS&RequestID=0c0b&Sign=00&RequestTime=1";
        let question = question(Command::GroupBeforeSendMsg, sent, &format!(" {payload}\r\n"));
        let document = body(&question, Duration::from_micros(780_900)).unwrap();
        let id = question.event().id();
        assert_eq!(
            document,
            format!(
                r#"{{"command":"Group.CallbackBeforeSendMsg","sdk_app_id":14,"id":"{id}","deadline_ms":780,"query":{{"ClientIP":"203.0.113.7","OptPlatform":"iOS"}},"payload":{payload}}}"#
            )
        );
    }

    #[test]
    fn what_the_query_does_not_say_is_not_there() {
        let question = question(Command::SnsPrevFriendAdd, "ClientIP=nowhere", "{}");
        let document = body(&question, Duration::ZERO).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
        assert_eq!(document["query"], serde_json::json!({}));
        assert_eq!(document["sdk_app_id"], serde_json::Value::Null);
    }

    #[test]
    fn a_body_that_is_no_json_is_not_sent() {
        for broken in ["", "{", "{} {}"] {
            let question = question(Command::GroupBeforeSendMsg, "", broken);
            assert!(matches!(body(&question, Duration::ZERO), Err(Failure::Decode(_))), "{broken}");
        }
    }

    #[test]
    fn a_query_is_nothing_but_a_signature() {
        assert_eq!(query("k3y", 7), format!("Sign={}&RequestTime=7", signature::sign("k3y", 7)));
    }

    const FRIENDS: &str = r#"{"CallbackCommand":"Sns.CallbackPrevFriendAdd","Requester_Account":"u_0","From_Account":"u_0",
        "FriendItem":[{"To_Account":"u_1"},{"To_Account":"u_2"}],"ForceAddFlags":0,"AddType":"Add_Type_Both"}"#;
    const INVITED: &str = r#"{"CallbackCommand":"Group.CallbackBeforeInviteJoinGroup","GroupId":"g","Type":"Public",
        "Operator_Account":"u_0","DestinationMembers":[{"Member_Account":"u_1"},{"Member_Account":"u_2"}]}"#;
    const FRIEND: Command = Command::SnsPrevFriendAdd;
    const INVITE: Command = Command::GroupBeforeInviteJoinGroup;
    const MESSAGE: Command = Command::GroupBeforeSendMsg;
    const JOIN: Command = Command::GroupBeforeApplyJoinGroup;
    const SIGNAL: Command = Command::ChatbotOnC2cSignalMessage;
    const AGENT: Command = Command::ChatBotOnAssignAgent;

    fn answered(command: Command, answer: &str) -> Result<String, Failure> {
        let payload = match command {
            FRIEND => FRIENDS,
            INVITE => INVITED,
            _ => "{}",
        };
        let decision = read(&question(command, "", payload), answer.as_bytes())?;
        Ok(String::from_utf8(decision.into_answer().body().to_vec()).unwrap())
    }

    #[test]
    fn every_decision_is_read() {
        let ok = |rest: &str| format!(r#"{{"ActionStatus":"OK",{rest}}}"#);
        let zero = |rest: &str| ok(&format!(r#""ErrorInfo":"","ErrorCode":0{rest}"#));
        for (command, answer, wire) in [
            (MESSAGE, r#"{"decision":"allow"}"#, zero("")),
            (MESSAGE, " {\n\"decision\" : \"allow\"\t}\r\n", zero("")),
            (MESSAGE, r#"{"decision":"drop"}"#, ok(r#""ErrorInfo":"","ErrorCode":2"#)),
            (MESSAGE, r#"{"decision":"reject"}"#, ok(r#""ErrorInfo":"","ErrorCode":1"#)),
            (MESSAGE, r#"{"decision":"reject","code":null,"info":null}"#, ok(r#""ErrorInfo":"","ErrorCode":1"#)),
            (MESSAGE, r#"{"info":"no","code":10101,"decision":"reject"}"#, ok(r#""ErrorInfo":"no","ErrorCode":10101"#)),
            (
                MESSAGE,
                r#"{"msg_body":[{"MsgType":"TIMNewElem","MsgContent":{"A": 1}}],"decision":"rewrite","cloud_custom_data":"x"}"#,
                zero(r#","MsgBody":[{"MsgType":"TIMNewElem","MsgContent":{"A": 1}}],"CloudCustomData":"x""#),
            ),
            (MESSAGE, r#"{"decision":"rewrite","cloud_custom_data":""}"#, zero(r#","CloudCustomData":"""#)),
            (INVITE, r#"{"decision":"partial","refused":["u_2"]}"#, zero(r#","RefusedMembers_Account":["u_2"]"#)),
            (INVITE, r#"{"decision":"partial","refused":[]}"#, zero("")),
            (
                FRIEND,
                r#"{"decision":"partial","refused":["u_2"],"code":38001,"info":"no"}"#,
                zero(concat!(
                    r#","ResultItem":[{"To_Account":"u_1","ResultCode":0,"ResultInfo":""},"#,
                    r#"{"To_Account":"u_2","ResultCode":38001,"ResultInfo":"no"}]"#
                )),
            ),
            (SIGNAL, r#"{"decision":"respond","data":"x"}"#, zero(r#","RspData":"x""#)),
            (
                AGENT,
                r#"{"decision":"respond","group":7,"agents":["a@b.c"]}"#,
                zero(r#","AgentGroupId":7,"AgentIdList":["a@b.c"]"#),
            ),
            (AGENT, r#"{"decision":"respond","group":7}"#, zero(r#","AgentGroupId":7"#)),
            (AGENT, r#"{"decision":"respond","agents":["a@b.c"]}"#, zero(r#","AgentIdList":["a@b.c"]"#)),
        ] {
            assert_eq!(answered(command, answer), Ok(wire), "{command}: {answer}");
        }
    }

    #[test]
    fn what_is_not_a_decision_on_the_command_is_illegal() {
        for (command, answer) in [
            (MESSAGE, "{}"),
            (MESSAGE, "null"),
            (MESSAGE, "true"),
            (MESSAGE, "7"),
            (MESSAGE, "[]"),
            (MESSAGE, r#""allow""#),
            (MESSAGE, r#"["allow"]"#),
            (MESSAGE, r#"["reject",10101,"no"]"#),
            (MESSAGE, r#"{"allow":null}"#),
            (MESSAGE, r#"{"decision":null}"#),
            (MESSAGE, r#"{"decision":"Allow"}"#),
            (MESSAGE, r#"{"decision":"maybe"}"#),
            (MESSAGE, r#"{"decision":{"allow":null}}"#),
            (MESSAGE, r#"{"decision":"allow","decision":"drop"}"#),
            (MESSAGE, r#"{"Decision":"allow"}"#),
            (MESSAGE, r#"{"decision":"allow","code":10101}"#),
            (MESSAGE, r#"{"decision":"allow","code":null}"#),
            (MESSAGE, r#"{"decision":"allow","comment":"fine"}"#),
            (MESSAGE, r#"{"decision":"drop","info":"spam"}"#),
            (MESSAGE, r#"{"decision":"reject","code":120001}"#),
            (MESSAGE, r#"{"decision":"reject","code":0}"#),
            (MESSAGE, r#"{"decision":"reject","code":-1}"#),
            (MESSAGE, r#"{"decision":"reject","code":1e4}"#),
            (MESSAGE, r#"{"decision":"reject","code":"10101"}"#),
            (MESSAGE, r#"{"decision":"reject","info":7}"#),
            (MESSAGE, r#"{"decision":"reject","code":10101,"code":10102}"#),
            (MESSAGE, r#"{"decision":"reject","cloud_custom_data":"x"}"#),
            (MESSAGE, r#"{"decision":"reject","refused":["u_1"]}"#),
            (MESSAGE, r#"{"decision":"rewrite"}"#),
            (MESSAGE, r#"{"decision":"rewrite","msg_body":null,"cloud_custom_data":null}"#),
            (MESSAGE, r#"{"decision":"rewrite","msg_body":[]}"#),
            (MESSAGE, r#"{"decision":"rewrite","msg_body":[],"cloud_custom_data":"x"}"#),
            (MESSAGE, r#"{"decision":"rewrite","msg_body":"***"}"#),
            (MESSAGE, r#"{"decision":"rewrite","msg_body":[7]}"#),
            (MESSAGE, r#"{"decision":"rewrite","msg_body":[{}]}"#),
            (MESSAGE, r#"{"decision":"rewrite","msg_body":[{"MsgType":"","MsgContent":{}}]}"#),
            (MESSAGE, r#"{"decision":"rewrite","msg_body":[{"MsgType":"TIMTextElem"}]}"#),
            (MESSAGE, r#"{"decision":"rewrite","msg_body":[{"MsgType":"TIMTextElem","MsgContent":["x"]}]}"#),
            (MESSAGE, r#"{"decision":"rewrite","cloud_custom_data":{}}"#),
            (MESSAGE, r#"{"decision":"rewrite","cloud_custom_data":"x","info":"why"}"#),
            (MESSAGE, r#"{"decision":"partial","refused":["u_1"]}"#),
            (MESSAGE, r#"{"decision":"respond","data":"x"}"#),
            (MESSAGE, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#),
            (JOIN, r#"{"decision":"drop"}"#),
            (JOIN, r#"{"decision":"rewrite","cloud_custom_data":"x"}"#),
            (INVITE, r#"{"decision":"partial"}"#),
            (INVITE, r#"{"decision":"partial","refused":null}"#),
            (INVITE, r#"{"decision":"partial","refused":"u_1"}"#),
            (INVITE, r#"{"decision":"partial","refused":["u_9"]}"#),
            (INVITE, r#"{"decision":"partial","refused":["u_1"],"code":10101}"#),
            (FRIEND, r#"{"decision":"partial","refused":["u_1"],"code":10101}"#),
            (FRIEND, r#"{"decision":"reject","code":10101}"#),
            (SIGNAL, r#"{"decision":"respond"}"#),
            (SIGNAL, r#"{"decision":"respond","data":{}}"#),
            (SIGNAL, r#"{"decision":"respond","data":"x","group":7}"#),
            (SIGNAL, r#"{"decision":"respond","group":7}"#),
            (AGENT, r#"{"decision":"respond","data":"x"}"#),
            (AGENT, r#"{"decision":"respond","data":"x","agents":[]}"#),
            (AGENT, r#"{"decision":"respond","group":-7}"#),
            (Command::ChatbotInterfaceInvocation, r#"{"decision":"reject"}"#),
        ] {
            let failure = answered(command, answer);
            assert!(matches!(failure, Err(Failure::Illegal(_))), "{command}: {answer}: {failure:?}");
        }
    }

    #[test]
    fn what_is_not_json_is_no_decision() {
        for answer in ["", " ", "allow", "<html>", "{", r#"{"decision":"allow""#, r#"{"decision":"allow"}x"#] {
            let failure = answered(MESSAGE, answer);
            assert!(matches!(failure, Err(Failure::NotJson { .. })), "{answer}: {failure:?}");
        }
        let gbk = [br#"{"decision":"reject","info":""#.as_slice(), b"\xce\xa5\xb9\xe6\"}"].concat();
        let failure = read(&question(MESSAGE, "", "{}"), &gbk);
        assert!(matches!(failure, Err(Failure::NotJson { .. })), "{failure:?}");
    }

    #[test]
    fn what_an_answer_says_is_not_repeated() {
        for answer in [
            r#"{"decision":"u_1"}"#,
            r#"{"decision":"allow","u_1":7}"#,
            r#"{"decision":"reject","code":"u_1"}"#,
            r#""u_1""#,
            "u_1",
        ] {
            let failure = answered(MESSAGE, answer).unwrap_err().to_string();
            assert!(!failure.contains("u_1"), "{failure}");
        }
    }
}
