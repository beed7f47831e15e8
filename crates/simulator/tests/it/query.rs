//! What goes over the wire, byte for byte.

use chathook_protocol::{Command, Platform, Query};
use chathook_simulator::{App, Client, Request, Settings};
use strum::IntoEnumIterator;

use crate::server::{Reply, Server};

const SIGN: &str = "35225e0f7b7b5236aae337b57ddb7df4c1137f07b73ced5fafee248b0a6138e8";

fn app() -> App {
    App::signed(1_400_000_001, "k3y-Example_01")
}

fn at(request: Request) -> Request {
    Request { request_time: Some(1_718_000_000), ..request }
}

#[test]
fn the_query_has_the_order_and_the_spelling_of_chat() {
    let request = at(Request::sample(Command::C2cBeforeSendMsg));
    assert_eq!(
        request.query(&app()),
        format!(
            "SdkAppid=1400000001&CallbackCommand=C2C.CallbackBeforeSendMsg&contenttype=json&ClientIP=203.0.113.7\
             &OptPlatform=iOS&RequestTime=1718000000&Sign={SIGN}"
        )
    );
    assert_eq!(
        request.query(&App::unsigned(7)),
        "SdkAppid=7&CallbackCommand=C2C.CallbackBeforeSendMsg&contenttype=json&ClientIP=203.0.113.7&OptPlatform=iOS"
    );
}

#[test]
fn state_changes_alone_spell_ios_in_capitals() {
    for (command, spelling) in [(Command::StateChange, "IOS"), (Command::GroupAfterSendMsg, "iOS")] {
        let request = Request { platform: Some(Platform::Ios), ..Request::new(command, "{}") };
        assert!(request.query(&App::unsigned(1)).ends_with(&format!("&OptPlatform={spelling}")));
    }
}

#[test]
fn a_request_id_stands_before_the_signature() {
    let id = "6f1c2a0e-93d4-4b57-8e1a-0c5d7f2b9a34";
    let request = Request { request_id: Some(id.to_owned()), ..at(Request::new(Command::StateChange, "{}")) };
    assert!(request.query(&app()).ends_with(&format!("&RequestID={id}&RequestTime=1718000000&Sign={SIGN}")));
}

#[test]
fn every_command_has_the_query_of_its_sample() {
    for command in Command::iter() {
        let expected = chathook_simulator::samples::query(command).unwrap();
        assert_eq!(Request::sample(command).query(&App::unsigned(1_400_000_001)), expected);
    }
}

#[test]
fn a_name_that_nobody_knows_is_encoded() {
    let request = Request { client_ip: None, platform: None, ..Request::new("New.Command & more", "{}") };
    let query = request.query(&App::unsigned(1));
    assert_eq!(query, "SdkAppid=1&CallbackCommand=New.Command%20%26%20more&contenttype=json");
    assert_eq!(Query::parse(&query).command.unwrap().as_str(), "New.Command & more");
}

#[test]
fn a_sign_of_ones_own_replaces_the_right_one() {
    let request = Request { sign: Some("0".repeat(64)), ..at(Request::new(Command::StateChange, "{}")) };
    assert!(request.query(&app()).ends_with(&format!("&Sign={}", "0".repeat(64))));
}

#[tokio::test]
async fn a_request_has_no_headers_but_host_and_length() {
    let server = Server::start(|_| Reply::ok()).await;
    let client = Client::new(server.url().parse().unwrap(), app(), &Settings::default()).unwrap();
    client.send(&at(Request::sample(Command::SnsBlackListAdd))).await.result.unwrap();
    let seen = server.seen().remove(0);
    let body = chathook_simulator::samples::body(Command::SnsBlackListAdd).unwrap();
    assert_eq!(
        seen.head,
        format!(
            "POST /callback?SdkAppid=1400000001&CallbackCommand=Sns.CallbackBlackListAdd&contenttype=json\
             &ClientIP=203.0.113.7&OptPlatform=iOS&RequestTime=1718000000&Sign={SIGN} HTTP/1.1\r\n\
             Host: {}\r\nContent-Length: {}\r\n\r\n",
            server.address,
            body.len()
        )
    );
    assert_eq!(seen.body, body);
}
