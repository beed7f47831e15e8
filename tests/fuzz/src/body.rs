//! Bodies of every command: what is read is written and read again as the same, and what is said of an event depends on
//! nothing else.

use bytes::Bytes;
use chathook_protocol::callbacks::command_of;
use chathook_protocol::reply::Edits;
use chathook_protocol::{AnyCallback, Command, CommandName, Event, MsgElement, Query};
use serde::de::IgnoredAny;

use crate::wire;

/// Every shape of the wire corpus, behind the place of its command.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    wire::files(".json").into_iter().map(|(place, body)| [&[place], body.as_slice()].concat()).collect()
}

/// A byte for the command, and the body.
pub fn check(input: &[u8]) {
    let Some((place, body)) = input.split_first() else { return };
    let command = wire::command(*place);
    let decoded = AnyCallback::decode(command, body);
    assert_eq!(decoded.command, command_of(body), "the command of the body, found in two ways");
    is_bounded(&decoded.unread);
    match &decoded.callback {
        Ok(callback) => {
            assert_eq!(callback.command(), command);
            assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok(), "read although it is no JSON");
            is_read_again(command, callback);
        }
        Err(error) => {
            assert_eq!(error.command, CommandName::Known(command));
            assert!(error.path.len() <= 256 && !error.to_string().contains('\n'), "{error}");
            assert!(decoded.unread.is_empty());
        }
    }
    says_the_same_of_itself(command, body);
}

fn is_bounded(unread: &[String]) {
    assert!(unread.len() <= Event::MAX_UNREAD, "{} unread fields", unread.len());
    for pointer in unread {
        assert!(pointer.starts_with('/') && pointer.len() <= 256, "{pointer}");
    }
}

/// What was read is written as JSON that is read as the same.
fn is_read_again(command: Command, callback: &AnyCallback) {
    let written = serde_json::to_vec(callback).expect("a payload is plain data");
    let again = AnyCallback::decode(command, &written);
    let again = again.callback.unwrap_or_else(|error| {
        panic!("{error}: {}: {}", error.source, written.escape_ascii());
    });
    let twice = serde_json::to_vec(&again).expect("a payload is plain data");
    assert_eq!(written.escape_ascii().to_string(), twice.escape_ascii().to_string());
    let (one, other) = (callback.payload(), again.payload());
    assert_eq!(one.ordering_key(), other.ordering_key());
    assert_eq!(one.identity(), other.identity());
    assert_eq!(one.asked(), other.asked());
    assert_eq!(one.elements().len(), other.elements().len());
    for (one, other) in one.elements().iter().zip(other.elements()) {
        assert_eq!((one.kind(), one.is_whole()), (other.kind(), other.is_whole()));
    }
}

/// Identity and order of an event are the same whenever they are asked for, and can stand in any header.
fn says_the_same_of_itself(command: Command, body: &[u8]) {
    let query = Query::parse(&format!("SdkAppid=1400000001&CallbackCommand={command}"));
    let event = |body: &[u8]| Event::read(query.clone(), Bytes::copy_from_slice(body));
    let (one, other) = (event(body), event(body));
    assert_eq!(one.id(), other.id());
    assert_eq!(one.ordering_key(), other.ordering_key());
    assert_eq!((one.unread(), one.asked()), (other.unread(), other.asked()));
    assert_eq!(&**one.body(), body, "kept byte for byte");
    is_printable(one.id().as_str());
    one.ordering_key().as_str().iter().for_each(|key| is_printable(key));
    let is_other = command_of(body).is_some_and(|named| named != CommandName::Known(command));
    assert_eq!(one.contradicts_itself(), is_other);

    let identity = one.callback().and_then(|read| read.ok()?.payload().identity());
    assert_eq!(one.id().is_of_content(), identity.is_none());
    let rewritten = one.rewritten(&Edits::body(vec![MsgElement::text("*")]).and_cloud_custom_data("seen"));
    assert_eq!((rewritten.id(), rewritten.command()), (one.id(), one.command()), "a rewritten event is the same event");
    if one.callback().is_some_and(|read| read.is_ok_and(|callback| !callback.payload().elements().is_empty())) {
        let Some(Ok(callback)) = rewritten.callback() else { panic!("a rewritten message is not read") };
        let texts: Vec<_> = callback.payload().elements().iter().map(MsgElement::as_text).collect();
        assert_eq!(texts, [Some("*")]);
        assert_eq!(rewritten.ordering_key(), one.ordering_key());
    }
}

fn is_printable(text: &str) {
    assert!(!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
}
