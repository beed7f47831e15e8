//! The example of the README does what it says.

use chathook_tests::{OK, TestGateway, config, example};

const COMMAND: &str = "Group.CallbackBeforeSendMsg";

fn message(from: &str, text: &str) -> String {
    format!(
        r#"{{"CallbackCommand":"{COMMAND}","GroupId":"g","From_Account":"{from}","MsgBody":[
            {{"MsgType":"TIMTextElem","MsgContent":{{"Text":"{text}"}}}},
            {{"MsgType":"TIMFaceElem","MsgContent":{{"Index":1,"New":true}}}}]}}"#
    )
}

#[tokio::test]
async fn the_example_rejects_rewrites_drops_and_records() {
    let dir = tempfile::tempdir().unwrap();
    let records = dir.path().join("block-list.tsv");
    let gateway = TestGateway::program(example("moderation"), &config(""), |command, file| {
        command.arg(file).arg(&records);
    })
    .await;
    for (from, text, answer) in [
        ("u_1", "tea", OK),
        (
            "u_1",
            "visit my casino",
            r#"{"ActionStatus":"OK","ErrorInfo":"advertising is not allowed here","ErrorCode":10137}"#,
        ),
        (
            "u_1",
            "well, damn it",
            concat!(
                r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgBody":["#,
                r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":"well, **** it"}},"#,
                r#"{"MsgType":"TIMFaceElem","MsgContent":{"Index":1,"New":true}}]}"#
            ),
        ),
        ("u_spammer", "tea", r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}"#),
    ] {
        let response = gateway.post(COMMAND, message(from, text)).await;
        assert_eq!((response.status, response.body.as_str()), (200, answer), "{text}");
    }
    let pairs = r#"{"PairList":[{"From_Account":"u_1","To_Account":"u_2"},{"From_Account":"u_1","To_Account":"u_3"}]}"#;
    assert_eq!(gateway.post("Sns.CallbackBlackListAdd", pairs).await.body, OK);
    // A shutdown waits for handlers that were started.
    assert_eq!(gateway.stop().await.code, Some(0));
    assert_eq!(std::fs::read_to_string(&records).unwrap(), "u_1\tu_2\nu_1\tu_3\n");
}
