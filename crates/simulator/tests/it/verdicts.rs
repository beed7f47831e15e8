//! What Chat does with an answer, command by command.

use chathook_protocol::Command;
use chathook_simulator::{FailureKind, OnTimeout, Verdict, VerdictKind, samples};

use crate::server::OK;

fn verdict(command: Command, answer: &str) -> Verdict {
    Verdict::of(Some(command), &samples::body(command).unwrap(), 200, answer.as_bytes())
}

/// An answer with a code and more fields.
fn answer(code: u32, more: &str) -> String {
    format!(r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":{code}{more}}}"#)
}

#[track_caller]
fn check(command: Command, answer: &str, expected: VerdictKind, client_sees: Option<u32>) {
    let verdict = verdict(command, answer);
    assert_eq!(verdict.kind(), expected, "{command} {answer}: {verdict}");
    assert_eq!(verdict.client_code(Some(command), OnTimeout::Allow), client_sees, "{command} {answer}");
    let happens = !matches!(expected, VerdictKind::Refused | VerdictKind::Dropped);
    assert_eq!(verdict.happens(Some(command), OnTimeout::Allow), happens, "{command} {answer}");
}

#[track_caller]
fn fails(command: Command, answer: &str, expected: FailureKind) {
    let Verdict::Failed(failure) = verdict(command, answer) else { panic!("{command} {answer} does not fail") };
    assert_eq!(failure.kind(), expected, "{command} {answer}: {failure}");
}

#[test]
fn messages_are_delivered_rewritten_dropped_and_refused() {
    use VerdictKind::{Allowed, Dropped, Refused, Rewritten};
    let text = r#","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"**"}}]"#;
    for (command, general, own) in [
        (Command::C2cBeforeSendMsg, 20_006, 120_001),
        (Command::GroupBeforeSendMsg, 10_016, 10_150),
        (Command::OfficialAccountBeforeSendMsg, 10_016, 130_000),
    ] {
        check(command, OK, Allowed, None);
        check(command, "\n{ \"ErrorCode\":0,\"ErrorInfo\":\"\",\"ActionStatus\":\"OK\" }", Allowed, None);
        check(command, &answer(0, r#","MsgBody":[]"#), Allowed, None);
        check(command, &answer(0, text), Rewritten, None);
        check(command, &answer(0, r#","CloudCustomData":"x""#), Rewritten, None);
        check(command, &answer(1, ""), Refused, Some(general));
        check(command, &answer(own, ""), Refused, Some(own));
        check(command, &answer(2, ""), Dropped, None);
    }
}

#[test]
fn a_code_of_another_family_is_undefined() {
    fails(Command::C2cBeforeSendMsg, &answer(10_150, ""), FailureKind::UndefinedCode);
    fails(Command::GroupBeforeSendMsg, &answer(120_001, ""), FailureKind::UndefinedCode);
    fails(Command::OfficialAccountBeforeSendMsg, &answer(130_001, ""), FailureKind::UndefinedCode);
    fails(Command::GroupBeforeApplyJoinGroup, &answer(7, ""), FailureKind::UndefinedCode);
    fails(Command::GroupBeforeApplyJoinGroup, &answer(2, ""), FailureKind::UndefinedCode);
}

#[test]
fn some_may_be_left_out() {
    use VerdictKind::{Allowed, Partial, Refused};
    let invite = Command::GroupBeforeInviteJoinGroup;
    check(invite, &answer(0, r#","RefusedMembers_Account":["u_504"]"#), Partial, None);
    check(invite, &answer(0, r#","RefusedMembers_Account":["u_504","u_505"]"#), Refused, Some(0));
    fails(invite, &answer(0, r#","RefusedMembers_Account":["somebody else"]"#), FailureKind::Illegal);
    let Verdict::Partial { refused } = verdict(invite, &answer(0, r#","RefusedMembers_Account":["u_505"]"#)) else {
        panic!("not partial")
    };
    assert_eq!(refused, ["u_505"]);

    let friends = |one: u32, other: u32| {
        let item = |to: &str, code: u32| format!(r#"{{"To_Account":"{to}","ResultCode":{code},"ResultInfo":""}}"#);
        answer(0, &format!(r#","ResultItem":[{},{}]"#, item("u_777", one), item("u_778", other)))
    };
    let add = Command::SnsPrevFriendAdd;
    check(add, &friends(0, 0), Allowed, None);
    check(add, &friends(0, 38_001), Partial, None);
    check(add, &friends(38_001, 38_002), Refused, Some(38_001));
    let Verdict::Partial { refused } = verdict(add, &friends(38_001, 0)) else { panic!("not partial") };
    assert_eq!(refused, ["u_777"]);
}

#[test]
fn only_the_verdict_on_each_friend_counts_and_there_has_to_be_one() {
    let items = |code: u32, items: &[(&str, u32)]| {
        let item = |(to, code): &(&str, u32)| format!(r#"{{"To_Account":"{to}","ResultCode":{code},"ResultInfo":""}}"#);
        answer(code, &format!(r#","ResultItem":[{}]"#, items.iter().map(item).collect::<Vec<_>>().join(",")))
    };
    let (add, both) = (Command::SnsPrevFriendAdd, |one, other| [("u_777", one), ("u_778", other)]);
    // The ErrorCode beside it is ignored, and any ResultCode but 0 refuses.
    check(add, &items(38_005, &both(0, 0)), VerdictKind::Allowed, None);
    check(add, &items(1, &both(38_001, 0)), VerdictKind::Partial, None);
    check(add, &items(0, &both(0, 5)), VerdictKind::Partial, None);
    check(add, &items(0, &both(5, 5)), VerdictKind::Refused, Some(0));
    check(add, &items(0, &both(5, 38_001)), VerdictKind::Refused, Some(38_001));
    for command in [Command::SnsPrevFriendAdd, Command::SnsPrevFriendResponse] {
        for without in [OK.to_owned(), answer(38_005, ""), answer(0, r#","ResultItem":null"#), items(0, &[])] {
            fails(command, &without, FailureKind::MissingField);
        }
    }
    fails(add, &items(0, &[("u_777", 0)]), FailureKind::Illegal);
    fails(add, &items(0, &[("u_777", 0), ("u_777", 0)]), FailureKind::Illegal);
    fails(add, &items(0, &[("u_777", 0), ("u_779", 5)]), FailureKind::Illegal);
}

#[test]
fn a_bare_ok_is_no_answer_to_a_signal_for_a_bot() {
    let signal = Command::ChatbotOnC2cSignalMessage;
    fails(signal, OK, FailureKind::MissingField);
    fails(signal, &answer(0, r#","RspData":null"#), FailureKind::MissingField);
    check(signal, &answer(0, r#","RspData":"hi""#), VerdictKind::Responded, None);
    // It is there; and where there was a failure, it is ignored.
    assert_ne!(verdict(signal, &answer(0, r#","RspData":"""#)).kind(), VerdictKind::Failed);
    check(signal, &answer(1, ""), VerdictKind::Refused, Some(0));
}

#[test]
fn only_pages_that_name_a_general_code_have_one() {
    check(Command::GroupBeforeInviteJoinGroup, &answer(1, ""), VerdictKind::Refused, Some(0));
    assert_eq!(verdict(Command::GroupBeforeInviteJoinGroup, &answer(1, "")).to_string(), "refuses");
    for command in
        [Command::GroupBeforeApplyJoinGroup, Command::GroupBeforeCreateGroup, Command::GroupBeforeCreateTopic]
    {
        check(command, &answer(1, ""), VerdictKind::Refused, Some(10_016));
    }
}

#[test]
fn data_is_used_where_there_is_use_for_it() {
    check(Command::ChatbotOnC2cSignalMessage, &answer(0, r#","RspData":"hi""#), VerdictKind::Responded, None);
    check(Command::ChatBotOnAssignHuman, &answer(0, r#","AgentGroupId":7"#), VerdictKind::Responded, None);
    fails(Command::GroupBeforeSendMsg, &answer(0, r#","RspData":"hi""#), FailureKind::OtherCommand);
    fails(
        Command::GroupBeforeSendMsg,
        &answer(0, r#","CallbackCommand":"State.StateChange""#),
        FailureKind::OtherCommand,
    );
}

#[test]
fn an_after_callback_is_acknowledged_whatever_the_code() {
    for answer in [OK.to_owned(), answer(1, ""), answer(10_150, r#","MsgBody":[]"#)] {
        check(Command::GroupAfterSendMsg, &answer, VerdictKind::Acknowledged, None);
        let unknown = Verdict::of(None, b"{}", 200, answer.as_bytes());
        assert_eq!(unknown.kind(), VerdictKind::Acknowledged);
    }
}

#[test]
fn what_is_no_answer_fails_in_both_phases() {
    for command in [Command::C2cBeforeSendMsg, Command::C2cAfterSendMsg] {
        for (answer, expected) in [
            ("", FailureKind::NotJson),
            ("OK", FailureKind::NotJson),
            ("<html>", FailureKind::NotJson),
            ("{", FailureKind::NotJson),
            ("null", FailureKind::NotJson),
            (r#"["OK","",0]"#, FailureKind::NotJson),
            ("{}", FailureKind::MissingField),
            (r#"{"ActionStatus":"OK","ErrorCode":0}"#, FailureKind::MissingField),
            (r#"{"ActionStatus":"OK","ErrorInfo":""}"#, FailureKind::MissingField),
            (r#"{"ErrorCode":0,"ErrorInfo":""}"#, FailureKind::MissingField),
        ] {
            fails(command, answer, expected);
        }
        for status in [201, 204, 302, 403, 500, 503] {
            let verdict = Verdict::of(Some(command), b"{}", status, OK.as_bytes());
            assert!(matches!(verdict, Verdict::Failed(chathook_simulator::Failure::Status(s)) if s == status));
        }
    }
    fails(Command::C2cBeforeSendMsg, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":"0"}"#, FailureKind::Illegal);
    fails(Command::C2cBeforeSendMsg, r#"{"ActionStatus":"FAIL","ErrorInfo":"","ErrorCode":0}"#, FailureKind::Illegal);
    fails(Command::C2cBeforeSendMsg, r#"{"ActionStatus":"ok","ErrorInfo":"","ErrorCode":0}"#, FailureKind::Illegal);
}

#[test]
fn the_console_decides_on_what_failed_but_for_friends_and_gifts() {
    let happens = |command, on_timeout| {
        let failed = Verdict::Failed(chathook_simulator::Failure::TimedOut);
        (failed.happens(Some(command), on_timeout), failed.client_code(Some(command), on_timeout))
    };
    use OnTimeout::{Allow, Refuse};
    assert_eq!(happens(Command::C2cBeforeSendMsg, Allow), (true, None));
    assert_eq!(happens(Command::C2cBeforeSendMsg, Refuse), (false, Some(80_003)));
    assert_eq!(happens(Command::SnsPrevFriendAdd, Refuse), (true, None));
    assert!(!happens(Command::LiveBeforeSendGift, Allow).0);
}
