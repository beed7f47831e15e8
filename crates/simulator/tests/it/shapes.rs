//! Bodies are what the protocol says, and vary as in life.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chathook_protocol::{AnyCallback, Command, CommandName, Event, Query};
use chathook_simulator::{App, Population, Shapes};
use serde_json::Value;
use strum::IntoEnumIterator;

const EPOCH: Duration = Duration::from_secs(1_764_812_305);

fn shapes(seed: u64) -> Shapes {
    Shapes::new(seed, Population::default(), EPOCH)
}

#[test]
fn every_body_of_every_command_is_read_with_nothing_unread() {
    let mut shapes = shapes(1);
    for command in Command::iter() {
        for _ in 0..200 {
            let request = shapes.request(command);
            let decoded = AnyCallback::decode(command, &request.body);
            let body = String::from_utf8_lossy(&request.body);
            assert!(decoded.callback.is_ok(), "{command}: {:?}: {body}", decoded.callback);
            assert!(decoded.unread.is_empty(), "{command}: {:?}: {body}", decoded.unread);
            let says = decoded.command.is_none_or(|name| name == CommandName::Known(command));
            assert!(says, "{command}: the body names another command: {body}");
            assert!(serde_json::from_slice::<Value>(&request.body).unwrap().is_object());
        }
    }
}

#[test]
fn a_population_of_two_users_is_enough_for_every_command() {
    let population = Population { users: 2, groups: 0, communities: 0, topics: 0, live_rooms: 0, channels: 0 };
    let mut shapes = Shapes::new(3, population, EPOCH);
    for command in Command::iter() {
        for _ in 0..20 {
            let request = shapes.request(command);
            assert!(AnyCallback::decode(command, &request.body).callback.is_ok(), "{command}");
        }
    }
}

#[test]
fn bodies_of_a_command_differ_and_are_different_events() {
    let mut shapes = shapes(2);
    // Nothing of a quota or of an alarm of the application varies with users.
    let constant = [Command::AlertRequestOverLimit, Command::MemberEventNotify];
    for command in Command::iter().filter(|command| !constant.contains(command)) {
        let ids: BTreeSet<String> = (0..100)
            .map(|_| {
                let request = shapes.request(command);
                let query = request.query(&App::unsigned(1_400_000_001));
                Event::read(Query::parse(&query), request.body).id().to_string()
            })
            .collect();
        assert!(ids.len() > 90, "{command}: {} of 100 are different events", ids.len());
    }
}

#[test]
fn the_same_seed_makes_the_same_and_another_seed_something_else() {
    let bodies = |seed| {
        let mut shapes = shapes(seed);
        Command::iter().map(|command| shapes.request(command).body).collect::<Vec<_>>()
    };
    assert_eq!(bodies(5), bodies(5));
    assert_ne!(bodies(5), bodies(6));
}

#[test]
fn messages_come_in_all_sizes_with_ascending_numbers() {
    let mut shapes = shapes(4);
    let mut last = 0;
    let mut sizes = Vec::new();
    for _ in 0..3_000 {
        let body = shapes.request(Command::C2cBeforeSendMsg).body;
        let json: Value = serde_json::from_slice(&body).unwrap();
        let seq = json["MsgSeq"].as_u64().unwrap();
        assert!(seq > last);
        let key = format!("{seq}_{}_{}", json["MsgRandom"], json["MsgTime"]);
        assert_eq!(json["MsgKey"], key);
        assert_ne!(json["From_Account"], json["To_Account"]);
        last = seq;
        sizes.push(body.len());
    }
    sizes.sort_unstable();
    assert!(sizes[0] < 300 && sizes[1_500] < 1_000 && sizes[2_999] > 9_000 && sizes[2_999] < 13_000, "{sizes:?}");
}

#[test]
fn logins_and_disconnects_of_a_user_alternate() {
    let population = Population { users: 20, ..Population::default() };
    let mut shapes = Shapes::new(7, population, EPOCH);
    let mut online: BTreeMap<String, bool> = BTreeMap::new();
    for _ in 0..2_000 {
        let json: Value = serde_json::from_slice(&shapes.request(Command::StateChange).body).unwrap();
        let user = json["Info"]["To_Account"].as_str().unwrap().to_owned();
        let is_online = online.entry(user).or_default();
        match json["Info"]["Action"].as_str().unwrap() {
            "Login" => assert!(!std::mem::replace(is_online, true)),
            "Logout" | "Disconnect" => assert!(std::mem::replace(is_online, false)),
            _ => assert!(*is_online),
        }
    }
}

#[test]
fn nobody_leaves_a_live_room_who_did_not_come() {
    let population = Population { users: 500, live_rooms: 2, ..Population::default() };
    let mut shapes = Shapes::new(8, population, EPOCH);
    let mut present: BTreeMap<String, i32> = BTreeMap::new();
    for _ in 0..2_000 {
        let json: Value = serde_json::from_slice(&shapes.request(Command::GroupOnMemberStateChange).body).unwrap();
        let who = format!("{} {}", json["GroupId"], json["MemberList"][0]["Member_Account"]);
        let here = present.entry(who).or_default();
        *here += if json["EventType"] == "Online" { 1 } else { -1 };
        assert!(*here >= 0);
    }
}
