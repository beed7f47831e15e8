//! Results of content moderation. The body does not name its command.

use super::facts::{Facts, Roll};
use super::names;
use super::object::Object;
use crate::request::write_number;

pub(super) fn result(facts: &Facts, out: &mut Vec<u8>) {
    let is_group = facts.happens(Roll::Shape, 0, 600);
    let is_text = facts.happens(Roll::Shape, 1, 700);
    let is_blocked = facts.happens(Roll::Shape, 2, 400);
    let mut body = Object::begin(out);
    body.text("Scene", if is_group { "Group" } else { "C2C" });
    body.text_of("From_Account", |out| names::user(out, facts.from));
    body.object("ContactItem", |contact| match is_group {
        true => {
            contact.number("ContactType", 2).text_of("ToGroupId", |out| names::group(out, facts.group));
        }
        false => {
            contact.number("ContactType", 1).text_of("To_Account", |out| names::user(out, facts.to));
        }
    });
    if is_text {
        let texts = [r#"["buy my tonic, only today"]"#, r#"["加我微信领红包"]"#, r#"["you are all fools"]"#];
        body.text("ContentType", "Text").json("TextContent", facts.one_of(Roll::Custom, 0, &texts));
        body.json("CtxcbKeywords", if is_blocked { r#"["tonic"]"# } else { "[]" });
    } else {
        body.text("ContentType", facts.one_of(Roll::Custom, 1, &["Image", "Audio", "Video"]));
        body.text_of("FileURL", |out| {
            out.extend_from_slice(b"https://files.example.net/i/");
            write_number(out, facts.dice);
        });
    }
    // What was blocked in a group was never sent, and has no number.
    match (is_group, is_blocked) {
        (true, true) => {}
        (true, false) => {
            body.text_of("MsgID", |out| write_number(out, facts.seq.into()));
        }
        (false, _) => {
            body.text_of("MsgID", |out| facts.key(0, out));
        }
    }
    body.number("CtxcbResult", is_blocked.into());
    body.text_of("CtxcbRequestId", |out| names::uuid(out, facts.dice));
    body.text("CtxcbSuggestion", if is_blocked { "Block" } else { "Normal" });
    let label = facts.one_of(Roll::Custom, 2, &["Ad", "Abuse", "Porn", "Illegal"]);
    body.text("CtxcbLabel", if is_blocked { label } else { "Normal" });
    body.json("CloudCustomData", r#""{\"thread\":42}""#);
    body.end();
}
