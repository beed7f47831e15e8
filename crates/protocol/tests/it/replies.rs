//! Every answer that can be given, byte for byte, and what each policy comes to for each command.

use chathook_protocol::reply::{Edits, FriendCode, GiftCode, GroupCode, MessageCode, RejectCode, Verdict};
use chathook_protocol::{
    Answer, AnyDecision, Command, Decision, Effect, IllegalDecision, MsgElement, Phase, Policy, UserId, bot, c2c, desk,
    group, live, official_account, sns,
};
use strum::IntoEnumIterator;

const OK: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#;
const REFUSED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}"#;
const DROPPED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}"#;

#[track_caller]
fn answers(decision: impl Decision, effect: Effect, body: &str) {
    let answer = decision.into_answer();
    assert_eq!(answer.body(), body);
    assert_eq!(answer.effect(), effect);
}

fn read<P: serde::de::DeserializeOwned>(json: &str) -> P {
    serde_json::from_str(json).unwrap()
}

/// The code must be `FIRST` or `LAST`: both ends of its range.
fn ends<const FIRST: u32, const LAST: u32>() -> [RejectCode<FIRST, LAST>; 2] {
    for outside in [0, 1, 2, FIRST - 1, LAST + 1, u32::MAX] {
        assert_eq!(RejectCode::<FIRST, LAST>::new(outside), None);
    }
    [RejectCode::new(FIRST).unwrap(), RejectCode::new(LAST).unwrap()]
}

#[test]
fn an_acknowledgement_and_a_failure() {
    assert_eq!(Answer::OK.body(), OK);
    assert_eq!(Answer::OK.effect(), Effect::Acknowledge);
    let failure = Answer::fail("not a genuine callback");
    assert_eq!(failure.body(), r#"{"ActionStatus":"FAIL","ErrorInfo":"not a genuine callback","ErrorCode":1}"#);
    assert_eq!(failure.effect(), Effect::Reject);
}

#[test]
fn codes_are_legal_from_the_first_to_the_last_of_their_range() {
    assert_eq!(ends().map(MessageCode::get), [120_001, 130_000]);
    assert_eq!(ends().map(GroupCode::get), [10_100, 10_200]);
    assert_eq!(ends().map(FriendCode::get), [38_000, 39_000]);
    assert_eq!(ends().map(GiftCode::get), [102_100, 102_200]);
    assert_eq!(MessageCode::FIRST, MessageCode::of::<120_001>());
    assert_eq!(GroupCode::of::<10_200>().get(), 10_200);
}

#[test]
fn a_one_to_one_message_is_let_through_changed_refused_or_dropped() {
    let [first, last] = ends();
    answers(c2c::SendDecision::allow(), Effect::Allow, OK);
    answers(
        c2c::SendDecision::rewrite(vec![MsgElement::text("***"), MsgElement::custom("{\"a\":1}")]),
        Effect::Rewrite,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}},{"MsgType":"TIMCustomElem","MsgContent":{"Data":"{\"a\":1}"}}]}"#,
    );
    answers(
        c2c::SendDecision::rewrite(Edits::cloud_custom_data("checked")),
        Effect::Rewrite,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"CloudCustomData":"checked"}"#,
    );
    answers(
        c2c::SendDecision::rewrite(Edits::body(vec![MsgElement::text("***")]).and_cloud_custom_data("checked")),
        Effect::Rewrite,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}}],"CloudCustomData":"checked"}"#,
    );
    answers(c2c::SendDecision::refuse(), Effect::Reject, REFUSED);
    answers(
        c2c::SendDecision::reject(first, "no"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":120001}"#,
    );
    answers(
        c2c::SendDecision::reject(last, "no"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":130000}"#,
    );
    answers(c2c::SendDecision::drop_silently(), Effect::Drop, DROPPED);
}

#[test]
fn a_group_message_is_let_through_changed_refused_or_dropped() {
    let [first, last] = ends();
    answers(group::SendDecision::allow(), Effect::Allow, OK);
    answers(
        group::SendDecision::rewrite(vec![MsgElement::text("***")]),
        Effect::Rewrite,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}}]}"#,
    );
    answers(
        group::SendDecision::rewrite(Edits::cloud_custom_data("checked")),
        Effect::Rewrite,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"CloudCustomData":"checked"}"#,
    );
    answers(
        group::SendDecision::rewrite(Edits::body(vec![MsgElement::text("***")]).and_cloud_custom_data("")),
        Effect::Rewrite,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}}],"CloudCustomData":""}"#,
    );
    answers(group::SendDecision::refuse(), Effect::Reject, REFUSED);
    answers(
        group::SendDecision::reject(first, "no"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":10100}"#,
    );
    answers(
        group::SendDecision::reject(last, "no"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":10200}"#,
    );
    answers(group::SendDecision::drop_silently(), Effect::Drop, DROPPED);
}

#[test]
fn a_message_of_an_official_account_is_let_through_changed_refused_or_dropped() {
    let [first, last] = ends();
    answers(official_account::SendDecision::allow(), Effect::Allow, OK);
    answers(
        official_account::SendDecision::rewrite(vec![MsgElement::text("***")]),
        Effect::Rewrite,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}}]}"#,
    );
    answers(
        official_account::SendDecision::rewrite(Edits::cloud_custom_data("checked")),
        Effect::Rewrite,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"CloudCustomData":"checked"}"#,
    );
    answers(
        official_account::SendDecision::rewrite(Edits::body(Vec::new()).and_cloud_custom_data("checked")),
        Effect::Rewrite,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[],"CloudCustomData":"checked"}"#,
    );
    answers(official_account::SendDecision::refuse(), Effect::Reject, REFUSED);
    answers(
        official_account::SendDecision::reject(first, "no"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":120001}"#,
    );
    answers(
        official_account::SendDecision::reject(last, "no"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":130000}"#,
    );
    answers(official_account::SendDecision::drop_silently(), Effect::Drop, DROPPED);
}

#[test]
fn a_rewrite_of_one_element_sends_the_others_as_they_came() {
    let message: group::BeforeSendMsg = read(
        r#"{"GroupId":"g","From_Account":"u","MsgBody":[
            {"MsgType":"TIMTextElem","MsgContent":{"Text":"rude"}},
            {"MsgContent":{"Latitude":48.000, "Longitude":1e1,"Floor":3},"MsgType":"TIMLocationElem"},
            {"MsgType":"TIMNewElem","MsgContent":[ null ]}]}"#,
    );
    let mut body = message.body;
    body[0] = MsgElement::text("****");
    answers(
        group::SendDecision::rewrite(body),
        Effect::Rewrite,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"****"}},{"MsgType":"TIMLocationElem","MsgContent":{"Latitude":48.000, "Longitude":1e1,"Floor":3}},{"MsgType":"TIMNewElem","MsgContent":[ null ]}]}"#,
    );
}

#[test]
fn a_text_for_the_client_is_json_whatever_is_in_it() {
    answers(
        c2c::SendDecision::reject(MessageCode::FIRST, "\"so\"\\\n\u{0}你好\u{1F44B}"),
        Effect::Reject,
        "{\"ActionStatus\":\"OK\",\"ErrorInfo\":\"\\\"so\\\"\\\\\\n\\u0000你好\u{1F44B}\",\"ErrorCode\":120001}",
    );
}

#[test]
fn a_permission_is_a_yes_or_a_no_with_a_code_of_its_family() {
    answers(group::Permission::allow(), Effect::Allow, OK);
    answers(group::Permission::refuse(), Effect::Reject, REFUSED);
    let [first, last] = ends();
    answers(
        group::Permission::reject(first, "no"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":10100}"#,
    );
    answers(
        group::Permission::reject(last, "no"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":10200}"#,
    );

    answers(official_account::Permission::allow(), Effect::Allow, OK);
    answers(official_account::Permission::refuse(), Effect::Reject, REFUSED);
    let [first, last] = ends();
    answers(
        official_account::Permission::reject(first, "no"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":120001}"#,
    );
    answers(
        official_account::Permission::reject(last, "no"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":130000}"#,
    );

    answers(live::Permission::allow(), Effect::Allow, OK);
    answers(live::Permission::refuse(), Effect::Reject, REFUSED);
    let [first, last] = ends();
    answers(
        live::Permission::reject(first, "no"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":102100}"#,
    );
    answers(
        live::Permission::reject(last, "no"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":102200}"#,
    );

    answers(desk::Permission::allow(), Effect::Allow, OK);
    answers(desk::Permission::refuse(), Effect::Reject, REFUSED);
}

#[test]
fn invited_users_join_all_but_those_who_were_not_admitted() {
    let invitation: group::BeforeInviteJoinGroup = read(
        r#"{"GroupId":"g","DestinationMembers":[
            {"Member_Account":"u_1"},{"Member_Account":"u_2"},{"Member_Account":"u_3"}]}"#,
    );
    answers(invitation.admit(|_| true), Effect::Allow, OK);
    answers(
        invitation.admit(|user| *user == "u_2"),
        Effect::Partial,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RefusedMembers_Account":["u_1","u_3"]}"#,
    );
    answers(
        invitation.admit(|_| false),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RefusedMembers_Account":["u_1","u_2","u_3"]}"#,
    );
    answers(group::JoinDecision::allow(), Effect::Allow, OK);
    answers(group::JoinDecision::refuse(), Effect::Reject, REFUSED);
    let [first, last] = ends();
    answers(
        group::JoinDecision::reject(first, "full"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"full","ErrorCode":10100}"#,
    );
    answers(
        group::JoinDecision::reject(last, "full"),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"full","ErrorCode":10200}"#,
    );

    let nobody: group::BeforeInviteJoinGroup = read(r#"{"GroupId":"g","DestinationMembers":[]}"#);
    answers(nobody.admit(|_| false), Effect::Allow, OK);
}

#[test]
fn subscribers_join_all_but_those_who_were_not_admitted() {
    let wish: official_account::BeforeAddSubscriber = read(
        r#"{"Official_Account":"@TOA#_a","SubscribeAccountList":[
            {"Subscriber_Account":"u_1"},{"Subscriber_Account":"u_2"}]}"#,
    );
    answers(wish.admit(|_| true), Effect::Allow, OK);
    answers(
        wish.admit(|user| *user == "u_2"),
        Effect::Partial,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RefusedSubscribers_Account":["u_1"]}"#,
    );
    answers(
        wish.admit(|_| false),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RefusedSubscribers_Account":["u_1","u_2"]}"#,
    );
    answers(official_account::JoinDecision::allow(), Effect::Allow, OK);
    answers(official_account::JoinDecision::refuse(), Effect::Reject, REFUSED);
}

#[test]
fn every_friend_asked_about_has_a_verdict() {
    let wish: sns::PrevFriendAdd = read(
        r#"{"Requester_Account":"u_0","From_Account":"u_0","FriendItem":[
            {"To_Account":"u_1"},{"To_Account":"u_2","AddWording":"hi"},{"To_Account":"u_1"}]}"#,
    );
    let [first, last] = ends();
    answers(
        wish.decide(|_| Verdict::Allow),
        Effect::Allow,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":0,"ResultInfo":""},{"To_Account":"u_2","ResultCode":0,"ResultInfo":""},{"To_Account":"u_1","ResultCode":0,"ResultInfo":""}]}"#,
    );
    answers(
        wish.decide(|item| match &item.add_wording {
            Some(wording) => Verdict::reject(first, format!("{wording}?")),
            None => Verdict::Allow,
        }),
        Effect::Partial,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":0,"ResultInfo":""},{"To_Account":"u_2","ResultCode":38000,"ResultInfo":"hi?"},{"To_Account":"u_1","ResultCode":0,"ResultInfo":""}]}"#,
    );
    answers(
        wish.decide(|_| Verdict::reject(last, "no")),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":39000,"ResultInfo":"no"},{"To_Account":"u_2","ResultCode":39000,"ResultInfo":"no"},{"To_Account":"u_1","ResultCode":39000,"ResultInfo":"no"}]}"#,
    );
}

#[test]
fn every_friend_answered_has_a_verdict() {
    let wish: sns::PrevFriendResponse = read(
        r#"{"Requester_Account":"u_0","From_Account":"u_0","ResponseFriendItem":[
            {"To_Account":"u_1","ResponseAction":"Response_Action_Agree"},
            {"To_Account":"u_2","ResponseAction":"Response_Action_Reject"}]}"#,
    );
    let [first, last] = ends();
    answers(
        wish.decide(|_| Verdict::Allow),
        Effect::Allow,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":0,"ResultInfo":""},{"To_Account":"u_2","ResultCode":0,"ResultInfo":""}]}"#,
    );
    answers(
        wish.decide(|item| match item.action {
            Some(sns::ResponseAction::Reject) => Verdict::Allow,
            _ => Verdict::reject(first, "not yet"),
        }),
        Effect::Partial,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":38000,"ResultInfo":"not yet"},{"To_Account":"u_2","ResultCode":0,"ResultInfo":""}]}"#,
    );
    answers(
        wish.decide(|_| Verdict::reject(last, "no")),
        Effect::Reject,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":39000,"ResultInfo":"no"},{"To_Account":"u_2","ResultCode":39000,"ResultInfo":"no"}]}"#,
    );
}

#[test]
fn a_signal_is_answered_with_content_or_a_failure() {
    answers(
        bot::SignalResponse::respond("{\"a\":1}"),
        Effect::Respond,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RspData":"{\"a\":1}"}"#,
    );
    answers(
        bot::SignalResponse::respond(""),
        Effect::Allow,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RspData":""}"#,
    );
    answers(
        bot::SignalResponse::fail("down"),
        Effect::Reject,
        r#"{"ActionStatus":"FAIL","ErrorInfo":"down","ErrorCode":1,"RspData":""}"#,
    );
}

#[test]
fn a_session_is_assigned_to_a_group_to_agents_to_both_or_by_default() {
    answers(desk::Assignment::by_default(), Effect::Allow, OK);
    answers(
        desk::Assignment::to_group(7),
        Effect::Respond,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"AgentGroupId":7}"#,
    );
    answers(
        desk::Assignment::to_agents(["a@b.c", "d@b.c"]),
        Effect::Respond,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"AgentIdList":["a@b.c","d@b.c"]}"#,
    );
    answers(
        desk::Assignment::to_agents_of(7, ["a@b.c"]),
        Effect::Respond,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"AgentGroupId":7,"AgentIdList":["a@b.c"]}"#,
    );
    answers(desk::Assignment::to_agents([""; 0]), Effect::Allow, OK);
    answers(
        desk::Assignment::to_agents_of(7, [""; 0]),
        Effect::Respond,
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"AgentGroupId":7}"#,
    );
    answers(
        desk::Assignment::failed("roster unavailable"),
        Effect::Reject,
        r#"{"ActionStatus":"FAIL","ErrorInfo":"roster unavailable","ErrorCode":1}"#,
    );
}

#[test]
fn a_call_out_of_a_task_can_only_be_done() {
    answers(desk::Invoked::done(), Effect::Allow, OK);
}

/// For every before-command what each policy comes to: effect and body, or the error. Commands that answer alike stand
/// together, in the order of the table; a code is given together with the text `no`; `u_1` and `u_2` are asked about.
const POLICIES: &str = r#"
Sns.CallbackPrevFriendAdd
Sns.CallbackPrevFriendResponse
    allow          allow: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":0,"ResultInfo":""},{"To_Account":"u_2","ResultCode":0,"ResultInfo":""}]}
    reject         reject: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":38000,"ResultInfo":""},{"To_Account":"u_2","ResultCode":38000,"ResultInfo":""}]}
    reject 39000   reject: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":39000,"ResultInfo":"no"},{"To_Account":"u_2","ResultCode":39000,"ResultInfo":"no"}]}
    reject 39001   code 39001 is outside the range of this command, 38000-39000
    drop           this command has no silent drop
C2C.CallbackBeforeSendMsg
    allow          allow: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}
    reject         reject: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}
    reject 130000  reject: {"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":130000}
    reject 120000  code 120000 is outside the range of this command, 120001-130000
    drop           drop: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}
Group.CallbackBeforeCreateGroup
Group.CallbackBeforeApplyJoinGroup
Group.CallbackBeforeInviteJoinGroup
    allow          allow: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}
    reject         reject: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}
    reject 10100   reject: {"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":10100}
    reject 10201   code 10201 is outside the range of this command, 10100-10200
    drop           this command has no silent drop
Group.CallbackBeforeSendMsg
    allow          allow: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}
    reject         reject: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}
    reject 10200   reject: {"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":10200}
    reject 120001  code 120001 is outside the range of this command, 10100-10200
    drop           drop: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}
Group.CallbackBeforeCreateTopic
    allow          allow: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}
    reject         reject: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}
    reject 10100   reject: {"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":10100}
    reject 10099   code 10099 is outside the range of this command, 10100-10200
    drop           this command has no silent drop
Chatbot.OnC2CSignalMessage
    allow          allow: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RspData":""}
    reject         reject: {"ActionStatus":"FAIL","ErrorInfo":"","ErrorCode":1,"RspData":""}
    reject 120001  this command has no codes of one's own
    drop           this command has no silent drop
OfficialAccount.CallbackBeforeCreateOfficialAccount
    allow          allow: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}
    reject         reject: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}
    reject 120001  reject: {"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":120001}
    reject 130001  code 130001 is outside the range of this command, 120001-130000
    drop           this command has no silent drop
OfficialAccount.CallbackBeforeAddSubscriber
    allow          allow: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}
    reject         reject: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}
    reject 120001  this command has no codes of one's own
    drop           this command has no silent drop
OfficialAccount.CallbackBeforeSendMsg
    allow          allow: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}
    reject         reject: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}
    reject 120001  reject: {"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":120001}
    reject 10100   code 10100 is outside the range of this command, 120001-130000
    drop           drop: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}
Desk.CallbackBeforeIMContactUser
    allow          allow: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}
    reject         reject: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}
    reject 120001  this command has no codes of one's own
    drop           this command has no silent drop
ChatBot.OnAssignHuman
ChatBot.OnAssignAgent
    allow          allow: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}
    reject         reject: {"ActionStatus":"FAIL","ErrorInfo":"","ErrorCode":1}
    reject 120001  this command has no codes of one's own
    drop           this command has no silent drop
Chatbot.InterfaceInvocation
    allow          allow: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}
    reject         this command cannot be refused
    reject 120001  this command cannot be refused
    drop           this command has no silent drop
Live.CallbackBeforeSendGift
    allow          allow: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}
    reject         reject: {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}
    reject 102100  reject: {"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":102100}
    reject 102201  code 102201 is outside the range of this command, 102100-102200
    drop           this command has no silent drop
"#;

fn policy(words: &str) -> Policy {
    match words.split_once(' ') {
        Some(("reject", code)) => Policy::Reject { code: Some(code.parse().unwrap()), info: "no".to_owned() },
        None if words == "allow" => Policy::Allow,
        None if words == "reject" => Policy::reject(),
        None if words == "drop" => Policy::Drop,
        _ => panic!("no policy: {words}"),
    }
}

fn by_policy(command: Command, policy: &Policy, asked: &[UserId]) -> Result<Answer, IllegalDecision> {
    AnyDecision::of(command, policy, asked).map(AnyDecision::into_answer)
}

fn outcome(command: Command, policy: &Policy) -> String {
    let asked: [UserId; 2] = ["u_1".into(), "u_2".into()];
    match by_policy(command, policy, &asked) {
        Ok(answer) => format!("{}: {}", answer.effect(), std::str::from_utf8(answer.body()).unwrap()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_policy_comes_to_one_answer_or_one_error() {
    let mut commands: Vec<Command> = Vec::new();
    let mut together: Vec<Command> = Vec::new();
    let mut outcomes = 0;
    for line in POLICIES.lines().filter(|line| !line.is_empty()) {
        if let Some(row) = line.strip_prefix("    ") {
            let (words, expected) = row.split_at("reject 120001".len());
            for command in &together {
                assert_eq!(outcome(*command, &policy(words.trim())), expected.trim(), "{command}: {words}");
            }
            outcomes += 1;
        } else {
            if std::mem::take(&mut outcomes) > 0 {
                together.clear();
            }
            together.push(line.parse().unwrap());
            commands.push(line.parse().unwrap());
        }
    }
    let before: Vec<_> = Command::iter().filter(|command| command.phase() == Phase::Before).collect();
    assert_eq!(commands, before);
}

#[test]
fn an_after_command_has_no_policy_but_to_acknowledge() {
    for command in Command::iter().filter(|command| command.phase() == Phase::After) {
        assert_eq!(by_policy(command, &Policy::Allow, &[]), Ok(Answer::OK), "{command}");
        assert_eq!(by_policy(command, &Policy::reject(), &[]), Err(IllegalDecision::NoRefusal), "{command}");
        assert_eq!(by_policy(command, &Policy::Drop, &[]), Err(IllegalDecision::NoDrop), "{command}");
    }
}

#[test]
fn friends_in_a_body_that_was_not_read_can_only_be_allowed() {
    for command in [Command::SnsPrevFriendAdd, Command::SnsPrevFriendResponse] {
        for policy in [Policy::Allow, Policy::reject()] {
            let answer = by_policy(command, &policy, &[]).unwrap();
            assert_eq!(answer.body(), r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[]}"#);
            assert_eq!(answer.effect(), Effect::Allow);
        }
    }
}

#[test]
fn to_allow_is_the_same_by_decision_and_by_policy() {
    fn same<D: Decision>(command: Command) {
        let asked: [UserId; 2] = ["u_1".into(), "u_2".into()];
        let allowed = D::allowing(&asked).into_answer();
        assert_eq!(Ok(&allowed), by_policy(command, &Policy::Allow, &asked).as_ref(), "{}", D::NAME);
        assert_eq!(allowed, AnyDecision::allow(command, &asked).into_answer());
    }
    same::<c2c::SendDecision>(Command::C2cBeforeSendMsg);
    same::<group::SendDecision>(Command::GroupBeforeSendMsg);
    same::<official_account::SendDecision>(Command::OfficialAccountBeforeSendMsg);
    same::<group::Permission>(Command::GroupBeforeCreateGroup);
    same::<official_account::Permission>(Command::OfficialAccountBeforeCreateOfficialAccount);
    same::<live::Permission>(Command::LiveBeforeSendGift);
    same::<desk::Permission>(Command::DeskBeforeImContactUser);
    same::<group::JoinDecision>(Command::GroupBeforeInviteJoinGroup);
    same::<official_account::JoinDecision>(Command::OfficialAccountBeforeAddSubscriber);
    same::<chathook_protocol::reply::FriendDecision>(Command::SnsPrevFriendAdd);
    same::<bot::SignalResponse>(Command::ChatbotOnC2cSignalMessage);
    same::<desk::Assignment>(Command::ChatBotOnAssignHuman);
    same::<desk::Invoked>(Command::ChatbotInterfaceInvocation);
}
