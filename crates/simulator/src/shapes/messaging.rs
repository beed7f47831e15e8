//! Messages before and after they are sent.

use serde_json::value::RawValue;

use super::facts::{Facts, Place, Roll};
use super::messages::Messages;
use super::object::Object;
use super::{SoFar, names};
use crate::request::write_number;

const CUSTOM: [&str; 3] =
    [r#""{\"thread\":42}""#, r#""{\"reply\":{\"to\":\"61027_3904177331_1718000123\"}}""#, r#""plain text""#];

/// One-to-one. The after-callback is sent of messages too whose delivery failed.
pub(super) fn c2c(is_after: bool, facts: &Facts, messages: &Messages, so_far: &SoFar, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    body.text("CallbackCommand", if is_after { "C2C.CallbackAfterSendMsg" } else { "C2C.CallbackBeforeSendMsg" });
    body.text_of("From_Account", |out| match facts.is_over_rest() {
        true => out.extend_from_slice(b"administrator"),
        false => names::user(out, facts.from),
    });
    body.text_of("To_Account", |out| names::user(out, facts.to));
    body.number("MsgSeq", facts.seq.into()).number("MsgRandom", facts.random(0).into());
    body.number("MsgTime", facts.time / 1000).text_of("MsgKey", |out| facts.key(0, out));
    if facts.happens(Roll::Optional, 0, 600) {
        body.text_of("MsgId", |out| msg_id(facts, out));
    }
    body.number("OnlineOnlyFlag", online_only(facts));
    if is_after {
        if facts.happens(Roll::Optional, 1, 5) {
            body.number("SendMsgResult", 80_001).text("ErrorInfo", "msg contains bad words").json("UnreadMsgNum", "-1");
        } else {
            body.number("SendMsgResult", 0).text("ErrorInfo", "send msg succeed");
            body.number("UnreadMsgNum", facts.roll(Roll::Count, 1, 20).into());
        }
    }
    message(&mut body, facts, messages, so_far);
    if facts.happens(Roll::Optional, 2, 600) {
        body.number("EventTime", facts.time + u64::from(is_after));
    }
    body.end();
}

/// In a group, a topic or a live room. Only what was sent has a sequence number.
pub(super) fn group(is_after: bool, facts: &Facts, messages: &Messages, so_far: &SoFar, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    body.text("CallbackCommand", if is_after { "Group.CallbackAfterSendMsg" } else { "Group.CallbackBeforeSendMsg" });
    place(&mut body, facts);
    body.text_of("From_Account", |out| names::user(out, facts.from));
    body.text_of("Operator_Account", |out| match facts.is_over_rest() {
        true => out.extend_from_slice(b"administrator"),
        false => names::user(out, facts.from),
    });
    body.number("Random", facts.random(0).into());
    if is_after {
        body.number("MsgSeq", facts.seq.into()).number("MsgTime", facts.time / 1000);
    }
    if facts.happens(Roll::Optional, 0, 600) {
        body.text_of("MsgId", |out| msg_id(facts, out));
    }
    body.number("OnlineOnlyFlag", online_only(facts));
    message(&mut body, facts, messages, so_far);
    if facts.place() == Place::LiveRoom {
        body.text("MsgPriority", "Normal");
    } else if is_after && facts.happens(Roll::Optional, 1, 60) {
        body.list("GroupAtInfo", 1, |at, _| {
            at.number("GroupAtAllFlag", 0).text_of("GroupAt_Account", |out| names::user(out, facts.to));
        });
    }
    body.number("EventTime", facts.time + u64::from(is_after));
    body.end();
}

/// The fields of the group that something happens in.
pub(super) fn place(body: &mut Object<'_>, facts: &Facts) {
    match facts.place() {
        Place::Group => {
            body.text_of("GroupId", |out| names::group(out, facts.group));
            let kind = if facts.group.is_multiple_of(3) { "Private" } else { "Public" };
            body.text("Type", kind);
        }
        Place::Topic => {
            body.text_of("GroupId", |out| names::community(out, facts.group)).text("Type", "Community");
            body.text_of("TopicId", |out| names::topic(out, facts.group, facts.topic));
        }
        Place::LiveRoom => {
            body.text_of("GroupId", |out| names::live_room(out, facts.group)).text("Type", "AVChatRoom");
        }
    }
}

/// Of an official account to its subscribers.
pub(super) fn channel(is_after: bool, facts: &Facts, messages: &Messages, so_far: &SoFar, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    let command = match is_after {
        true => "OfficialAccount.CallbackAfterSendMsg",
        false => "OfficialAccount.CallbackBeforeSendMsg",
    };
    body.text("CallbackCommand", command).text_of("Official_Account", |out| names::channel(out, facts.group));
    if is_after {
        body.text_of("MsgKey", |out| facts.key(0, out)).number("MsgTime", facts.time / 1000);
    }
    body.number("OnlineOnlyFlag", online_only(facts));
    message(&mut body, facts, messages, so_far);
    body.number("EventTime", facts.time + u64::from(is_after));
    body.end();
}

/// The message as it was written, or as an answer has rewritten it.
fn message(body: &mut Object<'_>, facts: &Facts, messages: &Messages, so_far: &SoFar) {
    let written = messages.get(facts.message());
    body.json("MsgBody", so_far.rewrite.msg_body.as_deref().map_or(written, RawValue::get));
    if let Some(data) = &so_far.rewrite.cloud_custom_data {
        body.json("CloudCustomData", data.get());
    } else if facts.happens(Roll::Optional, 3, 500) {
        body.json("CloudCustomData", facts.one_of(Roll::Custom, 0, &CUSTOM));
    }
}

/// Typing notices and the like, which nobody keeps.
fn online_only(facts: &Facts) -> u64 {
    facts.happens(Roll::Optional, 4, 50).into()
}

fn msg_id(facts: &Facts, out: &mut Vec<u8>) {
    write_number(out, 144_115_200_000_000_000 + u64::from(facts.from));
    out.push(b'-');
    write_number(out, facts.time / 1000 - 2);
    out.push(b'-');
    write_number(out, facts.random(0).into());
}
