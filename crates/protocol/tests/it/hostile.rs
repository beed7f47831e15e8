//! Bad input: it is refused where it has to be, never panics and never takes long.

use std::fs;
use std::time::{Duration, Instant};

use chathook_protocol::callbacks::command_of;
use chathook_protocol::{AnyCallback, Command, CommandName, Decoded, Event, MsgContent, MsgElement, Query};
use serde_json::Value;
use strum::IntoEnumIterator;

use crate::corpus::wire;

const BEFORE_SEND: Command = Command::GroupBeforeSendMsg;

fn sample(command: Command) -> String {
    fs::read_to_string(wire().join(command.as_str()).join("sample.json")).unwrap()
}

/// Reads a body in all the ways there are. None takes a second, not even unoptimised, unless the machine is busy.
fn read(command: Command, body: &[u8]) -> Decoded {
    let started = Instant::now();
    let decoded = AnyCallback::decode(command, body);
    let query = format!("CallbackCommand={command}&SdkAppid=1400000001");
    let event = Event::read(Query::parse(&query), body.to_vec().into());
    let _ = (event.id(), event.ordering_key(), event.asked(), event.contradicts_itself(), command_of(body));
    if let Ok(callback) = &decoded.callback {
        serde_json::to_vec(callback).unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{command}: {:?}", started.elapsed());
    decoded
}

/// A group message with the fields `rest` (which begins with a comma) and one text element.
fn message(rest: &str) -> String {
    format!(
        r#"{{"GroupId":"g","From_Account":"u","MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"hi"}}}}]{rest}}}"#
    )
}

/// A group message with one element.
fn with_element(kind: &str, content: &str) -> String {
    format!(r#"{{"GroupId":"g","From_Account":"u","MsgBody":[{{"MsgType":"{kind}","MsgContent":{content}}}]}}"#)
}

/// Where reading a group message failed.
#[track_caller]
fn refused(body: impl AsRef<[u8]>) -> String {
    match read(BEFORE_SEND, body.as_ref()).callback {
        Ok(callback) => panic!("read as {callback:?}"),
        Err(error) => error.path,
    }
}

/// What was unread of a group message that is read.
#[track_caller]
fn taken(body: &str) -> Vec<String> {
    let decoded = read(BEFORE_SEND, body.as_bytes());
    decoded.callback.unwrap_or_else(|error| panic!("{error}: {}", error.source));
    decoded.unread
}

fn elements(body: &str) -> Vec<MsgElement> {
    read(BEFORE_SEND, body.as_bytes()).callback.unwrap().payload().elements().to_vec()
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn no_command_reads_what_is_no_object() {
    let deep = nested(100_000);
    let bodies: [&[u8]; 19] = [
        b"",
        b" \n",
        b"{",
        b"}",
        b"[]",
        b"[{}]",
        b"\"text\"",
        b"0",
        b"null",
        b"true",
        b"nonsense",
        b"{]",
        b"\0",
        b"{\"a\":1}\0",
        b"\xEF\xBB\xBF{}",
        b"\xFF\xFE{\0}\0",
        b"{\"a\":\"\xC3\x28\"}",
        b"{\"a\":\"\xED\xA0\x80\"}",
        deep.as_bytes(),
    ];
    for command in Command::iter() {
        for body in bodies {
            let decoded = read(command, body);
            let error = decoded.callback.err();
            let error = error.unwrap_or_else(|| panic!("{command} reads {:?}", String::from_utf8_lossy(body)));
            assert_eq!(error.to_string(), format!("{command}: cannot read the body"));
            assert_eq!(decoded.command, None);
        }
    }
}

#[test]
fn an_array_of_the_fields_in_their_order_is_no_object() {
    let body = format!(r#"{{"fields":["g",null,"u",null,null,null,null,[]{}]}}"#, ",null".repeat(20));
    let fields = body.trim_start_matches(r#"{"fields":"#).trim_end_matches('}');
    for length in 0..28 {
        let mut fields: Vec<Value> = serde_json::from_str(fields).unwrap();
        fields.truncate(length);
        assert_eq!(refused(Value::from(fields).to_string()), "");
    }
}

#[test]
fn a_body_that_was_cut_off_is_refused_and_still_names_its_command() {
    let whole = sample(BEFORE_SEND);
    let whole = whole.trim_end();
    let named = whole.find("\"Group.CallbackBeforeSendMsg\"").unwrap() + "\"Group.CallbackBeforeSendMsg\"".len();
    for length in 0..whole.len() {
        let decoded = read(BEFORE_SEND, &whole.as_bytes()[..length]);
        assert!(decoded.callback.is_err(), "read although cut off after {length}");
        let command = (length >= named).then_some(CommandName::Known(BEFORE_SEND));
        assert_eq!(decoded.command, command, "cut off after {length}");
    }
    assert!(read(BEFORE_SEND, whole.as_bytes()).callback.is_ok());
}

#[test]
fn invalid_utf8_anywhere_is_refused() {
    let whole = sample(BEFORE_SEND).into_bytes();
    for at in 0..whole.len() {
        let mut body = whole.clone();
        body[at] = 0xFF;
        assert_eq!(refused(body), "");
    }
}

#[test]
fn something_behind_the_body_is_refused() {
    for garbage in ["x", "{}", ",", "]", "\0", "//", "\u{a0}"] {
        assert_eq!(refused(message("") + garbage), "", "{garbage:?}");
    }
    assert!(taken(&format!("\r\n\t {} \r\n\t", message(""))).is_empty());
}

#[test]
fn brackets_without_end_are_refused_where_they_would_be_read() {
    for depth in [200, 100_000] {
        for deep in [nested(depth), "[".repeat(depth), "{\"a\":".repeat(depth)] {
            assert_eq!(refused(&deep), "");
            assert_eq!(refused(format!(r#"{{"GroupId":{deep}}}"#)), "/GroupId");
            assert_eq!(refused(format!(r#"{{"EventTime":{deep}}}"#)), "/EventTime");
            assert!(refused(format!(r#"{{"MsgBody":{deep}}}"#)).starts_with("/MsgBody"));
        }
        let deep = nested(depth);
        let untagged = format!(r#"{{"Operator_Account":"u","CreateGroupNum":{deep}}}"#);
        assert!(read(Command::GroupBeforeCreateGroup, untagged.as_bytes()).callback.is_err());
    }
}

#[test]
fn brackets_without_end_do_no_harm_where_nothing_reads_them() {
    let deep = nested(100_000);
    assert_eq!(taken(&message(&format!(r#","New":{deep}"#))), ["/New"]);
    assert_eq!(refused(message(&format!(r#","New":{}"#, "[".repeat(100_000)))), "");

    for (kind, unread) in [
        ("TIMTextElem", ["/MsgBody/0/MsgContent"].as_slice()),
        ("TIMCustomElem", &["/MsgBody/0/MsgContent"]),
        ("TIMRelayElem", &["/MsgBody/0/MsgContent"]),
        ("TIMNewElem", &[]),
    ] {
        let body = with_element(kind, &deep);
        assert_eq!(taken(&body), unread, "{kind}");
        let element = elements(&body).remove(0);
        assert!(matches!(element.content(), MsgContent::Unknown(_)), "{kind}");
        let sent = serde_json::to_string(&element).unwrap();
        assert_eq!(sent, format!(r#"{{"MsgType":"{kind}","MsgContent":{deep}}}"#), "as it came");
    }
    let body = with_element("TIMTextElem", &format!(r#"{{"Text":"hi","New":{deep}}}"#));
    assert_eq!(taken(&body), ["/MsgBody/0/MsgContent/New"]);

    let body = format!(r#"{{"Body":{deep}}}"#);
    assert!(read(Command::ChatbotInterfaceInvocation, body.as_bytes()).callback.is_ok());
}

/// Combined messages inside each other, with `core` as the elements of the innermost.
fn relays(depth: usize, core: &str) -> String {
    let open = r#"[{"MsgType":"TIMRelayElem","MsgContent":{"MsgList":[{"From_Account":"u","MsgBody":"#;
    format!("{}{core}{}", open.repeat(depth), "}]}}]".repeat(depth))
}

#[test]
fn combined_messages_inside_each_other_are_read_to_a_bounded_depth() {
    let body = |depth, core: &str| format!(r#"{{"GroupId":"g","From_Account":"u","MsgBody":{}}}"#, relays(depth, core));
    let text = r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"core","X":1}}]"#;
    let unread = taken(&body(3, text));
    assert_eq!(unread.len(), 1);
    assert!(unread[0].ends_with("/MsgList/0/MsgBody/0/MsgContent/X"), "{unread:?}");
    for depth in [30, 100, 20_000] {
        let body = body(depth, text);
        assert_eq!(taken(&body), ["/MsgBody/0/MsgContent"]);
        assert!(matches!(elements(&body)[0].content(), MsgContent::Unknown(_)));
    }
    // As deep as it goes, with much to hand down.
    let large = format!(r#"[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"{}"}}}}]"#, "a".repeat(1 << 18));
    for depth in 1..20 {
        taken(&body(depth, &large));
    }
}

#[test]
fn a_large_body_takes_no_longer_than_its_size() {
    let size = 1 << 18;
    let many = |item: &str| vec![item; size / (item.len() + 1)].join(",");
    taken(&message(&format!(r#","CloudCustomData":"{}""#, "\\n".repeat(size / 2))));
    taken(&message(&format!(r#","{}":0"#, "k".repeat(size))));
    taken(&message(&format!(r#","New":[{}]"#, many("0"))));
    refused(format!(r#"{{"GroupId":"g","From_Account":"u","MsgBody":[{}]}}"#, many("{}")));
    taken(&format!(
        r#"{{"GroupId":"g","From_Account":"u","MsgBody":[{}]}}"#,
        many(r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":""}}"#)
    ));
    let friends =
        format!(r#"{{"Requester_Account":"u","From_Account":"u","FriendItem":[{}]}}"#, many(r#"{"To_Account":"u"}"#));
    assert!(read(Command::SnsPrevFriendAdd, friends.as_bytes()).callback.is_ok());
    let numbers = format!(r#"{{"GroupId":"g","From_Account":{}}}"#, "9".repeat(size));
    refused(numbers);
    refused(message(&format!(r#","EventTime":"{}""#, "9".repeat(size))));
}

#[test]
fn what_is_unread_is_listed_up_to_a_bound() {
    let fields = |count: usize| (0..count).map(|i| format!(r#","New{i}":0"#)).collect::<String>();
    assert_eq!(taken(&message(&fields(20))).len(), 20);
    assert_eq!(taken(&message(&fields(50_000))).len(), 100);

    let core = format!(r#"[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":""{}}}}}]"#, fields(50_000));
    let body = format!(r#"{{"GroupId":"g","From_Account":"u","MsgBody":{}{}}}"#, relays(12, &core), fields(50_000));
    assert_eq!(taken(&body).len(), 100);
    assert_eq!(elements(&body)[0].unread().count(), 100);
}

#[test]
fn a_field_that_is_there_twice_is_refused() {
    refused(message(r#","GroupId":"h""#));
    refused(message(r#","GroupId":"g""#));
    refused(message(r#","Group\u0049d":"h""#));
    refused(message(r#","MsgBody":[]"#));
    assert_eq!(taken(&message(r#","New":1,"New":2"#)), ["/New", "/New"]);
}

#[test]
fn a_command_that_is_there_twice_is_refused() {
    let twice = |second: &str| {
        let rest = format!(r#","CallbackCommand":"Group.CallbackBeforeSendMsg","CallbackCommand":{second}"#);
        assert_eq!(refused(message(&rest)), "");
        read(BEFORE_SEND, message(&rest).as_bytes()).command
    };
    let first = Some(CommandName::Known(BEFORE_SEND));
    assert_eq!(twice(r#""Group.CallbackBeforeSendMsg""#), first);
    assert_eq!(twice(r#""Group.CallbackAfterSendMsg""#), first);
    assert_eq!(twice("null"), first);
    let escaped = message(r#","CallbackCommand":"a","\u0043allbackCommand":"b""#);
    refused(escaped);
}

#[test]
fn numbers_beyond_all_ranges_are_refused_where_they_are_read() {
    let square = "340282366920938463463374607431768211456";
    for number in ["1e999", "-1e999", square, "18446744073709551616", "-1", "1.5", "1e19"] {
        assert_eq!(refused(message(&format!(r#","Random":{number}"#))), "/Random", "{number}");
        assert_eq!(refused(message(&format!(r#","Random":"{number}""#))), "/Random", "{number} as a string");
    }
    assert_eq!(refused(message(&format!(r#","EventTime":{square}"#))), "/EventTime");
    assert_eq!(refused(message(r#","Random":"nan""#)), "/Random");
    assert_eq!(refused(message(r#","Random":"inf""#)), "/Random");

    for number in ["1e999", square] {
        assert_eq!(taken(&message(&format!(r#","New":{number}"#))), ["/New"]);
        let body = with_element("TIMFaceElem", &format!(r#"{{"Index":{number}}}"#));
        assert_eq!(taken(&body), ["/MsgBody/0/MsgContent"]);
        let sent = serde_json::to_string(&elements(&body)[0]).unwrap();
        assert_eq!(sent, format!(r#"{{"MsgType":"TIMFaceElem","MsgContent":{{"Index":{number}}}}}"#), "as it came");
    }
    assert!(taken(&message(r#","Random":4294967295"#)).is_empty());
    assert!(taken(&message(r#","Random":18446744073709551615"#)).is_empty());
    assert!(taken(&message(r#","Random":1e3"#)).is_empty());
}

#[test]
fn half_a_surrogate_pair_is_refused_where_it_is_read() {
    for half in ["\\ud83d", "\\udc4b", "\\ud83d\\ud83d", "\\ud83dx", "\\ud83d\\n"] {
        assert_eq!(refused(message(&format!(r#","CloudCustomData":"{half}""#))), "/CloudCustomData", "{half}");
        assert_eq!(taken(&message(&format!(r#","New":"{half}""#))), ["/New"]);
        let body = with_element("TIMTextElem", &format!(r#"{{"Text":"{half}"}}"#));
        assert_eq!(taken(&body), ["/MsgBody/0/MsgContent"]);
        let sent = serde_json::to_string(&elements(&body)[0]).unwrap();
        assert!(sent.contains(half), "as it came: {sent}");
        refused(message(&format!(r#","{half}":0"#)));
    }
    let waving = with_element("TIMTextElem", r#"{"Text":"\ud83d\udc4b"}"#);
    assert_eq!(elements(&waving)[0].as_text(), Some("\u{1F44B}"));
}

#[test]
fn a_nul_is_a_character_when_escaped_and_refused_when_bare() {
    refused(message(",\"CloudCustomData\":\"a\0b\""));
    refused(message(",\"New\":\"a\0b\""));
    refused(message("\0"));
    let body = message(r#","CloudCustomData":"a\u0000b""#);
    assert!(taken(&body).is_empty());
    let sent = serde_json::to_value(read(BEFORE_SEND, body.as_bytes()).callback.unwrap()).unwrap();
    assert_eq!(sent["CloudCustomData"], "a\0b");
}

#[test]
fn an_error_names_the_command_and_the_place() {
    #[track_caller]
    fn shows(command: Command, body: &str, display: &str) {
        let error = read(command, body.as_bytes()).callback.unwrap_err();
        assert_eq!(error.to_string(), display);
        assert_eq!(error.command, command.into());
    }
    shows(BEFORE_SEND, "{", "Group.CallbackBeforeSendMsg: cannot read the body");
    shows(BEFORE_SEND, r#"{"From_Account":"u"}"#, "Group.CallbackBeforeSendMsg: cannot read the body");
    shows(BEFORE_SEND, &message(r#","EventTime":"soon""#), "Group.CallbackBeforeSendMsg: cannot read /EventTime");
    shows(BEFORE_SEND, r#"{"MsgBody":[{},7]}"#, "Group.CallbackBeforeSendMsg: cannot read /MsgBody/1");
    shows(
        BEFORE_SEND,
        r#"{"MsgBody":[{},{"MsgType":{}}]}"#,
        "Group.CallbackBeforeSendMsg: cannot read /MsgBody/1/MsgType",
    );
    shows(
        Command::SnsPrevFriendAdd,
        r#"{"FriendItem":[{"To_Account":"u"},{"Remark":""}]}"#,
        "Sns.CallbackPrevFriendAdd: cannot read /FriendItem/1",
    );
}

#[test]
fn an_error_never_quotes_the_body() {
    const SECRET: &str = "S3CRET\n";
    fn check(command: Command, body: &str) -> bool {
        let Err(error) = read(command, body.as_bytes()).callback else { return false };
        let shown = error.to_string();
        assert!(!shown.contains("S3CRET") && !shown.contains('\n'), "{command}: {shown}");
        true
    }
    // Something else in the place of each value, and a number that breaks off in an unknown field of each object.
    fn walk(command: Command, whole: &Value, pointer: &str) -> usize {
        let with = |value: Value| {
            let mut other = whole.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            other
        };
        let mut refused = 0;
        for value in
            [Value::from(SECRET), serde_json::json!([[SECRET]]), serde_json::json!({ SECRET: { SECRET: SECRET } })]
        {
            refused += usize::from(check(command, &with(value).to_string()));
        }
        match whole.pointer(pointer).unwrap() {
            Value::Object(fields) => {
                let broken = with(serde_json::json!({ SECRET: ["BREAK"] })).to_string().replace("\"BREAK\"", "1e");
                refused += usize::from(check(command, &broken));
                fields.keys().map(|key| walk(command, whole, &format!("{pointer}/{key}"))).sum::<usize>() + refused
            }
            Value::Array(items) => {
                (0..items.len()).map(|i| walk(command, whole, &format!("{pointer}/{i}"))).sum::<usize>() + refused
            }
            _ => refused,
        }
    }
    for command in Command::iter() {
        let refused = walk(command, &serde_json::from_str(&sample(command)).unwrap(), "");
        assert!(refused > 3, "{command}: hardly anything was refused");
    }
}

#[test]
fn the_command_of_a_body_is_found_although_its_payload_is_not_read() {
    for command in Command::iter() {
        for name in [&[command.as_str()], command.aliases()].concat() {
            for body in [
                format!(r#"{{"CallbackCommand":"{name}"}} garbage"#),
                format!(r#"{{"CallbackCommand":"{name}","New":"#),
                format!(r#"{{"New":[{{"CallbackCommand":"nested"}}],"CallbackCommand":"{name}"}}]"#),
                format!(r#"{{"CallbackCommand":"{name}","a":"\ud83d"]"#),
                format!(r#"{{"\u0043allbackCommand":"{name}",}}"#),
            ] {
                let decoded = read(command, body.as_bytes());
                assert!(decoded.callback.is_err(), "{body}");
                assert_eq!(decoded.command, Some(CommandName::Known(command)), "{body}");
            }
        }
    }
    // Behind the place where reading stopped.
    let late = r#"{"GroupId":[],"EventTime":"soon","CallbackCommand":"Group.CallbackBeforeSendMsg"}"#;
    assert_eq!(refused(late), "/GroupId");
    assert_eq!(read(BEFORE_SEND, late.as_bytes()).command, Some(BEFORE_SEND.into()));
    let other =
        Event::read(Query::parse("CallbackCommand=Group.CallbackAfterSendMsg"), late.as_bytes().to_vec().into());
    assert!(other.contradicts_itself());
}

#[test]
fn a_command_that_is_no_text_is_as_good_as_none() {
    for command in ["null", "7", "[]", r#"["Group.CallbackBeforeSendMsg"]"#, "{}", r#""\ud83d""#] {
        let decoded = read(BEFORE_SEND, message(&format!(r#","CallbackCommand":{command}"#)).as_bytes());
        assert!(decoded.callback.is_ok(), "{command}");
        assert_eq!(decoded.command, None, "{command}");
    }
}

#[test]
fn a_body_has_no_more_elements_than_any_message() {
    let body =
        |count: usize| format!(r#"{{"MsgBody":[{}],"GroupId":"g","From_Account":"u"}}"#, vec!["{}"; count].join(","));
    taken(&body(10_000));
    assert_eq!(elements(&body(10_000)).len(), 10_000);
    assert_eq!(refused(body(10_001)), "/MsgBody");
    assert_eq!(refused(body(300_000)), "/MsgBody");

    // Inside of a combined message it is the combined message that stays raw.
    let core = format!("[{}]", vec!["{}"; 10_001].join(","));
    let body = format!(r#"{{"GroupId":"g","From_Account":"u","MsgBody":{}}}"#, relays(1, &core));
    assert_eq!(taken(&body), ["/MsgBody/0/MsgContent"]);
}

#[test]
fn a_pointer_is_cut_off_where_it_gets_long() {
    let key = "ключ/~".repeat(1 << 15);
    let fields = (0..200).map(|i| format!(r#""{i}":0"#)).collect::<Vec<_>>().join(",");
    let short = "k".repeat(255);
    assert_eq!(taken(&message(&format!(r#","{short}":0"#))), [format!("/{short}")]);
    assert_eq!(taken(&message(&format!(r#","{short}k":0"#))), [format!("/{}…", "k".repeat(252))]);

    let whole = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
    let core = format!(r#"[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"","{key}":0}}}}]"#);
    let body = format!(r#"{{"GroupId":"g","From_Account":"u","MsgBody":{},"{key}":{{{fields}}}}}"#, relays(3, &core));
    let unread = taken(&body);
    assert_eq!(unread.len(), 2);
    for pointer in &unread {
        assert!(pointer.len() <= 256 && pointer.ends_with('…'), "{} bytes", pointer.len());
    }
    assert!(whole.starts_with(unread[0].trim_end_matches('…')), "{}", unread[0]);
    assert!(unread[1].starts_with("/MsgBody/0/MsgContent/MsgList/0/MsgBody/0/"), "{}", unread[1]);
}

#[test]
fn the_place_of_an_error_is_cut_off_where_it_gets_long() {
    let key = "k".repeat(1 << 12);
    for command in Command::iter() {
        for body in [format!(r#"{{"{key}":{{"{key}":["#), format!(r#"{{"CreatedGroupNum":{{"{key}":1e999}}}}"#)] {
            if let Err(error) = read(command, body.as_bytes()).callback {
                assert!(error.path.len() <= 256, "{command}: {} bytes", error.path.len());
            }
        }
    }
}

#[test]
fn the_command_of_a_body_is_found_although_it_is_no_utf8() {
    let body = |before: &[u8], after: &[u8]| {
        [b"{", before, br#""CallbackCommand":"Group.CallbackAfterSendMsg""#, after, b"}"].concat()
    };
    for body in [
        body(b"\"New\":\"\xFF\",", b""),
        body(b"\"\xFF\":0,", b""),
        body(b"", b",\"New\":\"\xED\xA0\x80\""),
        body(b"", b"\xFF"),
        body(b"\"GroupId\":\"\xC3\",", b",\"New\":\xC3"),
    ] {
        let decoded = read(BEFORE_SEND, &body);
        assert!(decoded.callback.is_err());
        assert_eq!(decoded.command, Some(Command::GroupAfterSendMsg.into()));
        for (query, contradicts) in [("Group.CallbackBeforeSendMsg", true), ("Group.CallbackAfterSendMsg", false)] {
            let event = Event::read(Query::parse(&format!("CallbackCommand={query}")), body.clone().into());
            assert_eq!(event.contradicts_itself(), contradicts);
        }
    }
    assert_eq!(command_of(br#"\xFF{"CallbackCommand":"Group.CallbackAfterSendMsg"}"#), None);
}

#[test]
fn an_empty_command_in_the_query_is_none() {
    let body = message(r#","CallbackCommand":"Group.CallbackBeforeSendMsg""#);
    let event = Event::read(Query::parse("CallbackCommand=&SdkAppid=1"), body.into());
    assert_eq!(event.command(), &BEFORE_SEND.into());
    assert!(event.callback().is_some_and(|callback| callback.is_ok()) && !event.contradicts_itself());
}
