//! Connections that come up and end.

use super::facts::{Change, Facts, Roll};
use super::names;
use super::object::Object;

pub(super) fn change(facts: &Facts, out: &mut Vec<u8>) {
    let (action, reason) = match facts.change {
        Change::Disconnect if facts.happens(Roll::Shape, 2, 400) => ("Disconnect", "TimeOut"),
        Change::Disconnect => ("Disconnect", "LinkClose"),
        Change::Logout => ("Logout", "Unregister"),
        Change::CustomStatus => ("CustomStatusChange", "SetCustomStatus"),
        Change::Login | Change::Enter | Change::Leave => ("Login", "Register"),
    };
    let mut body = Object::begin(out);
    body.text("CallbackCommand", "State.StateChange").number("EventTime", facts.time);
    body.object("Info", |info| {
        info.text("Action", action).text_of("To_Account", |out| names::user(out, facts.from)).text("Reason", reason);
        if facts.change == Change::CustomStatus {
            info.text("CustomStatus", facts.one_of(Roll::Custom, 0, &["in a meeting", "在家", "🎧", ""]));
        }
    });
    if action == "Login" && facts.happens(Roll::Optional, 0, 60) {
        body.list("KickedDevice", 1, |device, _| {
            device.text("Platform", facts.one_of(Roll::Custom, 1, &["Android", "Linux", "iPad", "Web"]));
        });
    }
    body.end();
}
