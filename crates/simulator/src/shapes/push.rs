//! Batches of push events. Times are in seconds here.

use super::facts::{Facts, Roll};
use super::names;
use super::object::Object;
use crate::request::write_number;

/// Batches have 1 to 100 events; most are small.
fn events(facts: &Facts) -> u32 {
    1 + facts.roll(Roll::Count, 0, 100).min(facts.roll(Roll::Count, 1, 100))
}

/// A few pushes fail: the device has forgotten its token.
fn outcome(event: &mut Object<'_>, facts: &Facts, i: u32) {
    match facts.happens(Roll::Optional, i, 30) {
        true => event.number("ErrCode", 4001).text("ErrInfo", "token is not registered"),
        false => event.number("ErrCode", 0).text("ErrInfo", "OK"),
    };
}

fn stage(facts: &Facts, i: u32) -> u64 {
    1 + u64::from(facts.roll(Roll::Shape, i + 8, 3))
}

pub(super) fn all_members(facts: &Facts, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    body.list("Events", events(facts), |event, i| {
        let is_online = facts.happens(Roll::Item, i, 300);
        let device = 1 + u64::from(facts.roll(Roll::Item, i + 200, 8));
        event.text("CallbackCommand", "Push.AllMemberPush").number("EventType", if is_online { 2 } else { 1 });
        event.text_of("TaskId", |out| names::uuid(out, facts.time / 60_000)).text("DataId", "spring-sale");
        event.number("TaskTime", facts.time / 60_000 * 60).number("EventTime", facts.time / 1000);
        event.text_of("To_Account", |out| names::user(out, facts.other(i)));
        event.number("PushPlatform", if is_online { 0 } else { device });
        event.number("DeviceType", if is_online { device } else { 0 }).number("PushStage", stage(facts, i));
        outcome(event, facts, i);
    });
    body.end();
}

pub(super) fn offline(facts: &Facts, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    body.list("Events", events(facts), |event, i| {
        let is_group = facts.happens(Roll::Item, i, 400);
        event.text("CallbackCommand", "Push.OfflinePush").number("EventType", if is_group { 2 } else { 1 });
        event.number("EventTime", facts.time / 1000);
        event.text_of("From_Account", |out| names::user(out, facts.from));
        event.text_of("To_Account", |out| names::user(out, facts.other(i)));
        event.number("PushPlatform", 1 + u64::from(facts.roll(Roll::Item, i + 200, 8)));
        event.number("PushStage", stage(facts, i));
        match is_group {
            true => event.text_of("GroupID", |out| names::group(out, facts.group)),
            false => event.text_of("MsgKey", |out| facts.key(i, out)),
        };
        event.number("MsgSeq", facts.seq.wrapping_add(i).into()).number("MsgRandom", facts.random(i).into());
        event.number("MsgTime", facts.time / 1000);
        event.text_of("PushID", |out| {
            names::uuid(out, facts.dice);
            out.push(b'_');
            write_number(out, i.into());
        });
        outcome(event, facts, i);
    });
    body.end();
}
