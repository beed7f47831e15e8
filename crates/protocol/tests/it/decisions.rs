//! Decisions without a type: what callback servers answer, what several deciders come to, and nothing that Chat would
//! not take.

use chathook_protocol::reply::{Edits, Response};
use chathook_protocol::{AnyDecision, Command, Effect, IllegalDecision, MsgElement, Policy, Proposal, UserId};

const MESSAGE: Command = Command::GroupBeforeSendMsg;
const ONE_TO_ONE: Command = Command::C2cBeforeSendMsg;
const CREATE: Command = Command::GroupBeforeCreateGroup;
const INVITE: Command = Command::GroupBeforeInviteJoinGroup;
const SUBSCRIBE: Command = Command::OfficialAccountBeforeAddSubscriber;
const FRIENDS: Command = Command::SnsPrevFriendAdd;
const SIGNAL: Command = Command::ChatbotOnC2cSignalMessage;
const ASSIGN: Command = Command::ChatBotOnAssignHuman;
const INVOKED: Command = Command::ChatbotInterfaceInvocation;
const CONTACT: Command = Command::DeskBeforeImContactUser;

fn asked() -> [UserId; 2] {
    ["u_1".into(), "u_2".into()]
}

fn text(answer: &chathook_protocol::Answer) -> &str {
    std::str::from_utf8(answer.body()).unwrap()
}

#[test]
fn what_a_callback_server_answers_is_what_chat_gets() {
    for (command, answer, sent, effect) in [
        (MESSAGE, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#, "", Effect::Allow),
        (
            MESSAGE,
            r#" { "ErrorCode" : 0, "ActionStatus" : "OK" , "RequestId": "x", "Extra": {"a": 1} } "#,
            "",
            Effect::Allow,
        ),
        (
            MESSAGE,
            r#"{"ActionStatus":"OK","ErrorInfo":null,"ErrorCode":0,"MsgBody":[],"CloudCustomData":"","ResultItem":[],"RspData":""}"#,
            "",
            Effect::Allow,
        ),
        (
            MESSAGE,
            r#"{"ActionStatus":"FAIL","ErrorInfo":"不行","ErrorCode":10150}"#,
            r#"{"ActionStatus":"OK","ErrorInfo":"不行","ErrorCode":10150}"#,
            Effect::Reject,
        ),
        (
            MESSAGE,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}"#,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}"#,
            Effect::Reject,
        ),
        (
            MESSAGE,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}"#,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}"#,
            Effect::Drop,
        ),
        (
            MESSAGE,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[{"MsgType":"TIMNewElem","MsgContent":{"A": 1}}],"CallbackCommand":"Group.CallbackBeforeSendMsg"}"#,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":[{"MsgType":"TIMNewElem","MsgContent":{"A": 1}}]}"#,
            Effect::Rewrite,
        ),
        (
            ONE_TO_ONE,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"CloudCustomData":"seen"}"#,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"CloudCustomData":"seen"}"#,
            Effect::Rewrite,
        ),
        (
            INVITE,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RefusedMembers_Account":["u_2"]}"#,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RefusedMembers_Account":["u_2"]}"#,
            Effect::Partial,
        ),
        (
            SUBSCRIBE,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RefusedSubscribers_Account":["u_2","u_1"]}"#,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RefusedSubscribers_Account":["u_2","u_1"]}"#,
            Effect::Reject,
        ),
        (
            FRIENDS,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":0,"ResultInfo":""},{"To_Account":"u_2","ResultCode":0,"ResultInfo":""}]}"#,
            Effect::Allow,
        ),
        (
            FRIENDS,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"u_2","ResultCode":38001,"ResultInfo":"no"},{"To_Account":"u_1","ResultCode":0}]}"#,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":0,"ResultInfo":""},{"To_Account":"u_2","ResultCode":38001,"ResultInfo":"no"}]}"#,
            Effect::Partial,
        ),
        (
            SIGNAL,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RspData":"hi"}"#,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RspData":"hi"}"#,
            Effect::Respond,
        ),
        (
            SIGNAL,
            r#"{"ActionStatus":"FAIL","ErrorInfo":"down","ErrorCode":1}"#,
            r#"{"ActionStatus":"FAIL","ErrorInfo":"down","ErrorCode":1,"RspData":""}"#,
            Effect::Reject,
        ),
        (
            ASSIGN,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"AgentGroupId":7,"AgentIdList":["a@b.c"]}"#,
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"AgentGroupId":7,"AgentIdList":["a@b.c"]}"#,
            Effect::Respond,
        ),
        (INVOKED, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#, "", Effect::Allow),
    ] {
        let decision = AnyDecision::read(command, answer.as_bytes(), &asked());
        let decision = decision.unwrap_or_else(|error| panic!("{command}: {answer}: {error}"));
        assert_eq!(decision.effect(), effect, "{command}: {answer}");
        let sent = if sent.is_empty() { r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"# } else { sent };
        assert_eq!(text(&decision.into_answer()), sent, "{command}: {answer}");
    }
}

#[test]
fn what_chat_would_not_take_is_no_answer() {
    for (command, answer, problem) in [
        (MESSAGE, "", "not an answer in JSON"),
        (MESSAGE, "<html></html>", "not an answer in JSON"),
        (MESSAGE, "[]", "not an answer in JSON"),
        (MESSAGE, r#"["OK",0]"#, "not an answer in JSON"),
        (MESSAGE, "{}", "not an answer in JSON"),
        (MESSAGE, r#"{"ActionStatus":"OK"}"#, "not an answer in JSON"),
        (MESSAGE, r#"{"ErrorCode":0}"#, "not an answer in JSON"),
        (MESSAGE, r#"{"ActionStatus":"OK","ErrorCode":"0"}"#, "not an answer in JSON"),
        (MESSAGE, r#"{"ActionStatus":"OK","ErrorCode":-1}"#, "not an answer in JSON"),
        (MESSAGE, r#"{"ActionStatus":"OK","ErrorCode":0} x"#, "not an answer in JSON"),
        (MESSAGE, r#"{"ActionStatus":"ok","ErrorCode":0}"#, "neither OK nor FAIL"),
        (MESSAGE, r#"{"ActionStatus":"FAIL","ErrorCode":0}"#, "FAIL and ErrorCode is 0"),
        (MESSAGE, r#"{"ActionStatus":"OK","ErrorCode":3}"#, "code 3 is outside the range of this command, 10100-10200"),
        (MESSAGE, r#"{"ActionStatus":"OK","ErrorCode":120001}"#, "outside the range"),
        (ONE_TO_ONE, r#"{"ActionStatus":"OK","ErrorCode":10150}"#, "outside the range of this command, 120001-130000"),
        (CREATE, r#"{"ActionStatus":"OK","ErrorCode":2}"#, "outside the range"),
        (CONTACT, r#"{"ActionStatus":"OK","ErrorCode":2}"#, "no codes of one's own"),
        (SIGNAL, r#"{"ActionStatus":"FAIL","ErrorCode":2}"#, "no codes of one's own"),
        (INVOKED, r#"{"ActionStatus":"FAIL","ErrorCode":1}"#, "cannot be refused"),
        (
            MESSAGE,
            r#"{"ActionStatus":"OK","ErrorCode":1,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"a"}}]}"#,
            "it refuses, and has MsgBody as well",
        ),
        (MESSAGE, r#"{"ActionStatus":"OK","ErrorCode":2,"CloudCustomData":"a"}"#, "has CloudCustomData as well"),
        (INVITE, r#"{"ActionStatus":"OK","ErrorCode":1,"RefusedMembers_Account":["u_1"]}"#, "as well"),
        (
            CREATE,
            r#"{"ActionStatus":"OK","ErrorCode":0,"MsgBody":[{"MsgType":"TIMTextElem"}]}"#,
            "MsgBody does not belong",
        ),
        (MESSAGE, r#"{"ActionStatus":"OK","ErrorCode":0,"RspData":"a"}"#, "RspData does not belong"),
        (
            MESSAGE,
            r#"{"ActionStatus":"OK","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":0}]}"#,
            "ResultItem",
        ),
        (SUBSCRIBE, r#"{"ActionStatus":"OK","ErrorCode":0,"RefusedMembers_Account":["u_1"]}"#, "does not belong"),
        (SIGNAL, r#"{"ActionStatus":"OK","ErrorCode":0,"AgentGroupId":1}"#, "AgentGroupId does not belong"),
        (
            MESSAGE,
            r#"{"ActionStatus":"OK","ErrorCode":0,"CallbackCommand":"C2C.CallbackBeforeSendMsg"}"#,
            "it answers another command",
        ),
        (INVITE, r#"{"ActionStatus":"OK","ErrorCode":0,"RefusedMembers_Account":["u_3"]}"#, "was not asked about"),
        (FRIENDS, r#"{"ActionStatus":"OK","ErrorCode":38001}"#, "38001 stands outside ResultItem"),
        (
            FRIENDS,
            r#"{"ActionStatus":"OK","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":0}]}"#,
            "one verdict",
        ),
        (
            FRIENDS,
            r#"{"ActionStatus":"OK","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":0},{"To_Account":"u_3","ResultCode":0}]}"#,
            "one verdict",
        ),
        (
            FRIENDS,
            r#"{"ActionStatus":"OK","ErrorCode":0,"ResultItem":[{"To_Account":"u_1","ResultCode":0},{"To_Account":"u_2","ResultCode":1}]}"#,
            "code 1 is outside the range of this command, 38000-39000",
        ),
    ] {
        match AnyDecision::read(command, answer.as_bytes(), &asked()) {
            Ok(decision) => panic!("{command}: {answer}: {decision:?}"),
            Err(error) => assert!(error.to_string().contains(problem), "{command}: {answer}: {error}"),
        }
    }
}

#[test]
fn a_proposal_is_taken_where_chat_takes_it() {
    let partial = |code: Option<u32>, users: &[&str]| Proposal::Partial {
        refused: users.iter().map(|user| UserId::from(*user)).collect(),
        code,
        info: String::new(),
    };
    let data = || Proposal::Respond(Response::Data("hi".to_owned()));
    let agents = || Proposal::Respond(Response::Agents { group: Some(7), agents: Vec::new() });
    let rewrite = || Proposal::Rewrite(Edits::body(vec![MsgElement::text("*")]));
    for (command, proposal, outcome) in [
        (MESSAGE, rewrite(), Ok(Effect::Rewrite)),
        (CREATE, rewrite(), Err(IllegalDecision::NoRewrite)),
        (INVITE, partial(None, &["u_1"]), Ok(Effect::Partial)),
        (INVITE, partial(None, &["u_1", "u_2"]), Ok(Effect::Reject)),
        (INVITE, partial(None, &[]), Ok(Effect::Allow)),
        (INVITE, partial(Some(10_150), &["u_1"]), Err(IllegalDecision::NoCodes)),
        (INVITE, partial(None, &["u_3"]), Err(IllegalDecision::NotAsked)),
        (FRIENDS, partial(Some(38_001), &["u_1"]), Ok(Effect::Partial)),
        (FRIENDS, partial(None, &["u_1", "u_2"]), Ok(Effect::Reject)),
        (MESSAGE, partial(None, &["u_1"]), Err(IllegalDecision::NoPartial)),
        (SIGNAL, data(), Ok(Effect::Respond)),
        (ASSIGN, agents(), Ok(Effect::Respond)),
        (SIGNAL, agents(), Err(IllegalDecision::NoResponse)),
        (ASSIGN, data(), Err(IllegalDecision::NoResponse)),
        (MESSAGE, data(), Err(IllegalDecision::NoResponse)),
    ] {
        let decision = AnyDecision::of(command, proposal.clone(), &asked());
        assert_eq!(
            decision.as_ref().map(AnyDecision::effect).map_err(Clone::clone),
            outcome,
            "{command}: {proposal:?}"
        );
    }
}

/// An answer with these fields besides status and text.
fn answer(fields: &str) -> String {
    format!(r#"{{"ActionStatus":"OK","ErrorInfo":"",{fields}}}"#)
}

/// What answers with these fields come to, one after the other.
#[track_caller]
fn together(command: Command, answers: &[&str], sent: &str) {
    let mut decision = AnyDecision::allow(command, &asked());
    for fields in answers {
        decision.then(AnyDecision::read(command, answer(fields).as_bytes(), &asked()).unwrap());
    }
    assert_eq!(text(&decision.into_answer()), answer(sent));
}

#[test]
fn several_decisions_come_to_one() {
    const ALLOW: &str = r#""ErrorCode":0"#;
    const BODY: &str = r#""ErrorCode":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"*"}}]"#;
    together(MESSAGE, &[ALLOW, ALLOW], ALLOW);
    together(MESSAGE, &[BODY, ALLOW], BODY);
    together(
        MESSAGE,
        &[r#""ErrorCode":0,"CloudCustomData":"a""#, BODY, r#""ErrorCode":0,"CloudCustomData":"b""#],
        r#""ErrorCode":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"*"}}],"CloudCustomData":"b""#,
    );
    together(MESSAGE, &[BODY, r#""ErrorCode":10150"#], r#""ErrorCode":10150"#);
    together(MESSAGE, &[BODY, r#""ErrorCode":2"#], r#""ErrorCode":2"#);

    const ONE: &str = r#""ErrorCode":0,"RefusedMembers_Account":["u_2"]"#;
    const BOTH: &str = r#""ErrorCode":0,"RefusedMembers_Account":["u_2","u_1"]"#;
    together(INVITE, &[ONE, r#""ErrorCode":0,"RefusedMembers_Account":["u_1","u_2"]"#], BOTH);
    together(INVITE, &[ONE, r#""ErrorCode":0,"RefusedMembers_Account":["u_1"]"#], BOTH);
}

#[test]
fn the_first_refusal_of_each_friend_stands() {
    let verdicts = |first: u32, second: u32| {
        let item = |user: &str, code| format!(r#"{{"To_Account":"{user}","ResultCode":{code},"ResultInfo":""}}"#);
        format!(r#""ErrorCode":0,"ResultItem":[{},{}]"#, item("u_1", first), item("u_2", second))
    };
    together(FRIENDS, &[&verdicts(0, 38_001), &verdicts(38_002, 38_002)], &verdicts(38_002, 38_001));
    together(FRIENDS, &[&verdicts(0, 38_001), &verdicts(0, 0)], &verdicts(0, 38_001));
}

#[test]
fn nobody_is_asked_after_a_refusal_a_drop_or_a_response() {
    let of = |command, proposal: Proposal| AnyDecision::of(command, proposal, &asked()).unwrap().is_final();
    let policy = |policy: Policy| Proposal::from(&policy);
    assert!(of(MESSAGE, policy(Policy::reject())));
    assert!(of(MESSAGE, policy(Policy::Drop)));
    assert!(of(SIGNAL, Proposal::Respond(Response::Data("a".to_owned()))));
    assert!(of(FRIENDS, policy(Policy::reject())));
    assert!(!of(MESSAGE, policy(Policy::Allow)));
    assert!(!of(MESSAGE, Proposal::Rewrite(Edits::cloud_custom_data("a"))));
    let one = Proposal::Partial { refused: vec!["u_1".into()], code: None, info: String::new() };
    assert!(!of(INVITE, one.clone()) && !of(FRIENDS, one));
}

#[test]
fn decisions_agree_where_chat_would_do_the_same() {
    let read = |command, answer: &str| AnyDecision::read(command, answer.as_bytes(), &asked()).unwrap();
    let ok = |rest: &str| format!(r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0{rest}}}"#);
    let body = |content: &str| ok(&format!(r#","MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{content}}}]"#));
    let code = |code: u32, info: &str| format!(r#"{{"ActionStatus":"OK","ErrorInfo":"{info}","ErrorCode":{code}}}"#);
    let refused = |users: &str| ok(&format!(r#","RefusedMembers_Account":[{users}]"#));
    let friends = |codes: [u32; 2]| {
        let item = |user, code| format!(r#"{{"To_Account":"{user}","ResultCode":{code},"ResultInfo":""}}"#);
        ok(&format!(r#","ResultItem":[{},{}]"#, item("u_1", codes[0]), item("u_2", codes[1])))
    };
    for (command, one, other, agree) in [
        (MESSAGE, ok(""), ok(""), true),
        (MESSAGE, ok(""), code(1, ""), false),
        (MESSAGE, code(10101, "a"), code(10101, "b"), true),
        (MESSAGE, code(10101, "a"), code(10102, "a"), false),
        (MESSAGE, code(2, ""), code(1, ""), false),
        (MESSAGE, body(r#"{"Text":"*"}"#), body(r#"{ "Text" : "\u002a" }"#), true),
        (MESSAGE, body(r#"{"Text":"*"}"#), body(r#"{"Text":"**"}"#), false),
        (MESSAGE, body(r#"{"Text":"*"}"#), ok(r#","CloudCustomData":"x""#), false),
        (MESSAGE, ok(r#","CloudCustomData":"x""#), ok(r#","CloudCustomData":"y""#), false),
        (INVITE, refused(r#""u_1""#), refused(r#""u_1""#), true),
        (INVITE, refused(r#""u_1""#), refused(r#""u_2""#), false),
        (INVITE, refused(r#""u_1","u_2""#), refused(r#""u_2","u_1""#), true),
        (FRIENDS, friends([38_001, 0]), friends([38_001, 0]), true),
        (FRIENDS, friends([38_001, 0]), friends([0, 38_001]), false),
        (FRIENDS, friends([38_001, 0]), friends([38_002, 0]), false),
        (SIGNAL, ok(r#","RspData":"a""#), ok(r#","RspData":"b""#), false),
    ] {
        let decisions = (read(command, &one), read(command, &other));
        assert_eq!(decisions.0.agrees_with(&decisions.1), agree, "{one} {other}");
        assert_eq!(decisions.1.agrees_with(&decisions.0), agree, "{one} {other}");
    }
}

#[test]
fn a_message_with_half_a_surrogate_pair_agrees_with_itself() {
    let read = |half: &str| {
        let fields =
            format!(r#""ErrorCode":0,"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"{half}"}}}}]"#);
        AnyDecision::read(MESSAGE, answer(&fields).as_bytes(), &asked()).unwrap()
    };
    assert!(read(r"\ud83d").agrees_with(&read(r"\ud83d")));
    assert!(!read(r"\ud83d").agrees_with(&read(r"\ud83e")));
    assert!(!read(r"\ud83d").agrees_with(&read("a")));
}

#[test]
fn a_new_message_has_elements_with_type_and_object() {
    for element in [
        "{}",
        r#"{"MsgType":"TIMTextElem"}"#,
        r#"{"MsgType":"TIMTextElem","MsgContent":null}"#,
        r#"{"MsgType":"TIMTextElem","MsgContent":["x"]}"#,
        r#"{"MsgType":"","MsgContent":{}}"#,
        r#"{"MsgContent":{"Text":"x"}}"#,
    ] {
        let whole = r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}}"#;
        let answer = format!(r#"{{"ActionStatus":"OK","ErrorCode":0,"MsgBody":[{whole},{element}]}}"#);
        let error = AnyDecision::read(MESSAGE, answer.as_bytes(), &[]).unwrap_err().to_string();
        assert!(error.contains("MsgType"), "{element}: {error}");
    }
}
