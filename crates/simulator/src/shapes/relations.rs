//! Friends, and those who are blocked.

use chathook_protocol::Command;

use super::facts::{Facts, Roll};
use super::object::Object;
use super::{SoFar, names};

/// How many friends are asked at a time.
const MOST_ASKED: u32 = 3;

/// Those who are asked and not refused.
fn friends(facts: &Facts, so_far: &SoFar) -> Vec<u32> {
    (0..facts.others(MOST_ASKED)).map(|i| facts.other(i)).filter(|user| !so_far.refuses(*user)).collect()
}

pub(super) fn before_add(facts: &Facts, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    body.text("CallbackCommand", "Sns.CallbackPrevFriendAdd");
    body.text_of("Requester_Account", |out| names::user(out, facts.from));
    body.text_of("From_Account", |out| names::user(out, facts.from));
    body.list("FriendItem", facts.others(MOST_ASKED), |friend, i| {
        friend.text_of("To_Account", |out| names::user(out, facts.other(i)));
        friend.text("Remark", facts.one_of(Roll::Item, i, &["", "Ben from the fair", "老同学"]));
        friend.text("GroupName", facts.one_of(Roll::Item, i + 100, &["", "Colleagues"]));
        friend
            .text("AddSource", facts.one_of(Roll::Item, i + 200, &["AddSource_Type_QRCode", "AddSource_Type_Search"]));
        let wording = ["", "Hello, we met on Monday.", "你好，我是小王", "👋"];
        friend.text("AddWording", facts.one_of(Roll::Item, i + 300, &wording));
    });
    let is_both = facts.happens(Roll::Shape, 2, 800);
    body.text("AddType", if is_both { "Add_Type_Both" } else { "Add_Type_Single" });
    body.number("ForceAddFlags", 0).number("EventTime", facts.time);
    body.end();
}

/// The answer of the first who was asked.
pub(super) fn before_response(facts: &Facts, so_far: &SoFar, out: &mut Vec<u8>) {
    let friend = friends(facts, so_far).first().copied().unwrap_or(facts.to);
    let mut body = Object::begin(out);
    body.text("CallbackCommand", "Sns.CallbackPrevFriendResponse");
    body.text_of("Requester_Account", |out| names::user(out, friend));
    body.text_of("From_Account", |out| names::user(out, friend));
    body.list("ResponseFriendItem", 1, |item, _| {
        item.text_of("To_Account", |out| names::user(out, facts.from)).text("Remark", "").text("TagName", "");
        let actions = ["Response_Action_Agree", "Response_Action_AgreeAndAdd"];
        item.text("ResponseAction", facts.one_of(Roll::Shape, 3, &actions));
    });
    body.number("EventTime", facts.time + 1);
    body.end();
}

/// Both directions of each friendship.
pub(super) fn added(facts: &Facts, so_far: &SoFar, out: &mut Vec<u8>) {
    let mut friends = friends(facts, so_far);
    if facts.needs_consent() {
        friends.truncate(1);
    }
    let mut body = Object::begin(out);
    body.text("CallbackCommand", "Sns.CallbackFriendAdd");
    body.list("PairList", friends.len() as u32 * 2, |pair, i| {
        let friend = friends.get(i as usize / 2).copied().unwrap_or(facts.to);
        let (from, to) = if i % 2 == 0 { (facts.from, friend) } else { (friend, facts.from) };
        pair.text_of("From_Account", |out| names::user(out, from));
        pair.text_of("To_Account", |out| names::user(out, to));
        pair.text_of("Initiator_Account", |out| names::user(out, facts.from));
    });
    body.text("ClientCmd", if facts.needs_consent() { "friend_response" } else { "friend_add" });
    body.text("Admin_Account", "").number("ForceFlag", 0).number("EventTime", facts.time + 2);
    body.end();
}

pub(super) fn block(command: Command, facts: &Facts, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    body.text("CallbackCommand", command.as_str());
    body.list("PairList", facts.others(2), |pair, i| {
        pair.text_of("From_Account", |out| names::user(out, facts.from));
        pair.text_of("To_Account", |out| names::user(out, facts.other(i)));
    });
    if facts.happens(Roll::Optional, 0, 700) {
        body.number("EventTime", facts.time);
    }
    body.end();
}
