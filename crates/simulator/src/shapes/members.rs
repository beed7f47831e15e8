//! Who comes into groups and live rooms, and who goes.

use super::facts::{Change, Facts, Place, Roll};
use super::messaging::place;
use super::object::Object;
use super::{SoFar, names};
use crate::flow::Flow;

pub(super) fn before_apply(facts: &Facts, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    body.text("CallbackCommand", "Group.CallbackBeforeApplyJoinGroup");
    place(&mut body, facts);
    body.text_of("Requestor_Account", |out| names::user(out, facts.from));
    if facts.happens(Roll::Optional, 0, 500) {
        body.text("ApplyMsg", facts.one_of(Roll::Custom, 0, &["I drive on Sundays", "你好，请通过", "hello", ""]));
    }
    body.number("EventTime", facts.time);
    body.end();
}

pub(super) fn before_invite(facts: &Facts, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    body.text("CallbackCommand", "Group.CallbackBeforeInviteJoinGroup");
    place(&mut body, facts);
    body.text_of("Operator_Account", |out| names::user(out, facts.from));
    body.list("DestinationMembers", facts.others(MOST_INVITED), |member, i| {
        member.text_of("Member_Account", |out| names::user(out, facts.other(i)));
    });
    body.number("EventTime", facts.time);
    body.end();
}

/// How many are invited at a time.
const MOST_INVITED: u32 = 12;

/// Those have joined who were asked about and not left out; one, after an application.
pub(super) fn joined(facts: &Facts, so_far: &SoFar, out: &mut Vec<u8>) {
    let invited: Vec<u32> = match facts.flow {
        Flow::Invite => (0..facts.others(MOST_INVITED)).map(|i| facts.other(i)).collect(),
        _ => vec![facts.from],
    };
    let joined: Vec<u32> = invited.into_iter().filter(|user| !so_far.refuses(*user)).collect();
    let mut body = Object::begin(out);
    body.text("CallbackCommand", "Group.CallbackAfterNewMemberJoin");
    place(&mut body, facts);
    body.text("JoinType", if facts.flow == Flow::Invite { "Invited" } else { "Apply" });
    body.text_of("Operator_Account", |out| names::user(out, facts.from));
    body.list("NewMemberList", joined.len() as u32, |member, i| {
        let user = joined.get(i as usize).copied().unwrap_or_default();
        member.text_of("Member_Account", |out| names::user(out, user));
    });
    body.number("EventTime", facts.time + 1);
    body.end();
}

pub(super) fn exit(facts: &Facts, out: &mut Vec<u8>) {
    let is_kicked = facts.happens(Roll::Shape, 2, 200);
    let operator = if is_kicked { facts.to } else { facts.from };
    let mut body = Object::begin(out);
    body.text("CallbackCommand", "Group.CallbackAfterMemberExit");
    place(&mut body, facts);
    body.text("ExitType", if is_kicked { "Kicked" } else { "Quit" });
    body.text_of("Operator_Account", |out| names::user(out, operator));
    body.list("ExitMemberList", 1, |member, _| {
        member.text_of("Member_Account", |out| names::user(out, facts.from));
    });
    body.number("EventTime", facts.time);
    body.end();
}

/// In a live room. Most come and go by themselves, some lose their connection and find it again.
pub(super) fn presence(facts: &Facts, out: &mut Vec<u8>) {
    let is_interrupted = facts.happens(Roll::Shape, 2, 200);
    let (kind, cause) = match (facts.change, is_interrupted) {
        (Change::Enter, false) => ("Online", "Join"),
        (Change::Enter, true) => ("Online", "HeartbeatRecover"),
        (_, false) => ("Offline", "Quit"),
        (_, true) => ("Offline", "HeartbeatInterrupt"),
    };
    debug_assert!(matches!(facts.flow, Flow::Command(_)) || facts.place() == Place::LiveRoom);
    let mut body = Object::begin(out);
    body.text("CallbackCommand", "Group.CallbackOnMemberStateChange");
    body.text_of("GroupId", |out| names::live_room(out, facts.group));
    body.text("EventType", kind).text("EventCause", cause);
    body.list("MemberList", 1, |member, _| {
        member.text_of("Member_Account", |out| names::user(out, facts.from));
    });
    body.end();
}
