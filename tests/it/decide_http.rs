//! HTTP deciders: what they are asked, what of their answers is obeyed, and how many requests they get.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chathook_protocol::reply::GroupCode;
use chathook_protocol::{Command, Event, Phase, Query, group, signature};
use chathook_router::Ctx;
use chathook_tests::{
    APP, Behaviour, Connection, Gate, OK, Response, Sample, TOKEN, TestDecider, TestGateway, config, http_decider, now,
    request, samples, signed, unsigned,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use strum::IntoEnumIterator;

const COMMAND: &str = "Group.CallbackBeforeSendMsg";
const MESSAGE: &str = concat!(
    r#"{"CallbackCommand":"Group.CallbackBeforeSendMsg","GroupId":"@TGS#1","From_Account":"u_1","#,
    r#""MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"what-a-user-said"}}]}"#
);

const REJECTED: &str = r#"{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":10150}"#;
const FALLBACK: &str = r#"{"ActionStatus":"OK","ErrorInfo":"try again","ErrorCode":10199}"#;

/// A failure that is seen at once is answered in this time.
const AT_ONCE: Duration = Duration::from_millis(200);
/// How late the machine may make an answer. Here is asked which time is its limit; `decide_failures` measures how closely it
/// is kept.
const TOLERANCE: Duration = Duration::from_millis(250);

/// A configuration with a fallback that no decider gives.
fn fallback(deadline: &str, late: &str) -> String {
    format!(
        "{}[decide]\ndeadline = {deadline:?}\nlate = {late:?}\n\
         [decide.{COMMAND:?}]\non_failure = {{ decision = \"reject\", code = 10199, info = \"try again\" }}\n",
        config("")
    )
}

/// A gateway with one decider for [`COMMAND`], and `more` in the decider's table.
async fn gateway(decider: &TestDecider, more: &str) -> TestGateway {
    let toml = fallback("1500ms", "0s") + &http_decider("moderation", &[COMMAND], &decider.url("/"), more);
    TestGateway::start(&toml).await
}

/// The value of a metric of the decider `moderation`; `labels` are its others.
async fn count(gateway: &TestGateway, metric: &str, labels: &str) -> f64 {
    gateway.metric(&format!(r#"chathook_{metric}{{decider="moderation"{labels}}}"#)).await
}

async fn errors(gateway: &TestGateway, reason: &str) -> f64 {
    count(gateway, "decider_errors_total", &format!(r#",reason="{reason}""#)).await
}

async fn fallbacks(gateway: &TestGateway, reason: &str) -> f64 {
    gateway.metric(&format!(r#"chathook_fallbacks_total{{command="{COMMAND}",reason="{reason}"}}"#)).await
}

/// Sends a callback, and does not wait for the answer.
async fn begin(gateway: &TestGateway) -> Connection {
    let mut connection = gateway.connect().await;
    connection.write(&request(&format!("/?{}", signed(COMMAND)), MESSAGE.as_bytes())).await.unwrap();
    connection
}

#[track_caller]
fn is(response: &Response, answer: &str) {
    assert_eq!((response.status, response.body.as_str()), (200, answer));
}

fn sample(command: Command) -> Sample {
    samples().find(|sample| sample.command == command).unwrap()
}

// What a decider is asked.

#[tokio::test]
async fn passthrough_is_what_chat_sent_byte_for_byte() {
    let decider = TestDecider::answering(OK).await;
    let gateway = gateway(&decider, "").await;
    let time = now();
    let query = format!(
        "x-new=%e4%BD%A0+%7E~'(*)!&RequestTime={time}&OptPlatform=iOS&empty=&flag&&Sign={}&CallbackCommand={COMMAND}\
         &ClientIP=2001:db8::1&RequestID=0c0b-77&contenttype=JSON&SdkAppid={APP}&x-new=again|[]",
        signature::sign(TOKEN, time)
    );
    let body = "\r\n{ \"New\" : [1e1, 1.0,\t\"\\u4f60\\/\"] ,\n\"MsgBody\":[], \"GroupId\" :\"g\",\
                \"From_Account\":\"你\",\"CallbackCommand\":\"Group.CallbackBeforeSendMsg\"}\n ";
    is(&gateway.post_query(&query, body).await, OK);
    let asked = decider.request(0).await;
    assert_eq!(asked.line(), format!("POST /?{query} HTTP/1.1"));
    assert_eq!(asked.text(), body);
    assert_eq!(asked.header("content-length"), Some(body.len().to_string().as_str()));
    assert_eq!(asked.header("host"), Some(decider.address.to_string().as_str()));
    assert_eq!(asked.header("transfer-encoding"), None);
}

#[tokio::test]
async fn path_and_query_of_the_deciders_url_stay() {
    let decider = TestDecider::answering(OK).await;
    let url = decider.url("/hooks/im%20chat?key=a%2Fb&tenant=7");
    let toml = fallback("1500ms", "0s") + &http_decider("moderation", &[COMMAND], &url, "");
    let gateway = TestGateway::start(&toml).await;
    let query = signed(COMMAND);
    is(&gateway.post_query(&query, MESSAGE).await, OK);
    assert_eq!(decider.request(0).await.target(), format!("/hooks/im%20chat?key=a%2Fb&tenant=7&{query}"));
}

/// The parameters of a query other than the signature, and those of the signature.
fn parted(query: &str) -> (Vec<&str>, Vec<&str>) {
    query.split('&').partition(|parameter| {
        let name = parameter.split('=').next().unwrap().to_ascii_lowercase();
        name != "sign" && name != "requesttime"
    })
}

#[tokio::test]
async fn with_a_token_of_its_own_a_decider_gets_a_signature_of_its_own() {
    let decider = TestDecider::answering(OK).await;
    let gateway = gateway(&decider, "http.token = \"decider-token\"").await;
    // As old as it may be, so that the two times differ.
    let time = now() - 30;
    let sign = signature::sign(TOKEN, time);
    let query = format!("b=%41&REQUESTTIME={time}&a=+&sIgN={sign}&{}&z", unsigned(COMMAND));
    is(&gateway.post_query(&query, MESSAGE).await, OK);
    let asked = decider.request(0).await;
    assert_eq!(asked.text(), MESSAGE);
    let (others, signature) = parted(asked.query());
    assert_eq!(others, parted(&query).0, "all else is in its place");
    assert_eq!(signature.len(), 2, "{signature:?}");
    let value = |name: &str| signature.iter().find_map(|parameter| parameter.strip_prefix(name)).unwrap();
    let time: u64 = value("RequestTime=").parse().unwrap();
    assert!(now() - time <= 5, "signed {time}");
    assert_eq!(value("Sign="), signature::sign("decider-token", time));
}

#[tokio::test]
async fn a_token_may_stand_in_a_file_and_changes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let decider = TestDecider::answering(OK).await;
    let gateway = gateway(&decider, &format!("http.token = {{ file = {file:?} }}")).await;
    let signed_with = async |token: &str, n: usize| {
        gateway.post(COMMAND, MESSAGE).await;
        let asked = decider.request(n).await;
        let time = Query::parse(asked.query()).request_time.unwrap();
        asked.query().contains(&signature::sign(token, time))
    };
    assert!(signed_with("first", 0).await);
    std::fs::write(&file, "second\n").unwrap();
    gateway.logged("configuration reloaded").await;
    assert!(signed_with("second", 1).await);
    let log = gateway.stop().await.log;
    assert!(!log.contains("\"first\"") && !log.contains("\"second\""), "{log}");
}

#[tokio::test]
async fn another_gateway_is_a_decider_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let ca = certificates(dir.path());
    let tls = format!("tls = {{ cert = \"{0}/tls.crt\", key = \"{0}/tls.key\" }}", dir.path().display());
    let decider = TestGateway::with(&config(&tls).replace(TOKEN, "decider-token"), (), |gateway| {
        gateway.before(|_cx: Ctx, _message: group::BeforeSendMsg| async move {
            Ok(group::SendDecision::reject(GroupCode::of::<10_150>(), "no"))
        })
    })
    .await;
    let url = format!("https://{}/", decider.callbacks);
    let trusting = format!("http.ca = {ca:?}\nhttp.token = \"decider-token\"");
    let toml = fallback("1500ms", "0s") + &http_decider("moderation", &[COMMAND], &url, &trusting);
    let gateway = TestGateway::start(&toml).await;
    is(&gateway.post(COMMAND, MESSAGE).await, REJECTED);

    // Without its authority it is nobody.
    let toml =
        fallback("1500ms", "0s") + &http_decider("moderation", &[COMMAND], &url, "http.token = \"decider-token\"");
    let gateway = TestGateway::start(&toml).await;
    let (response, took) = gateway.timed(COMMAND, MESSAGE).await;
    is(&response, FALLBACK);
    assert!(took < Duration::from_millis(1000), "{took:?}");
    assert_eq!(errors(&gateway, "connect").await, 1.0);
}

/// Writes a certificate for 127.0.0.1 with its key, and gives the file of its authority.
fn certificates(dir: &Path) -> std::path::PathBuf {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    std::fs::write(dir.join("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
    std::fs::write(dir.join("ca.crt"), ca.pem()).unwrap();
    dir.join("ca.crt")
}

// What a callback server answers, as they are written by hand.

/// A server whose next answer the test sets, and a gateway that asks it about everything.
struct Asking {
    gateway: TestGateway,
    decider: TestDecider,
    next: Arc<Mutex<String>>,
}

impl Asking {
    async fn start(format: &str) -> Self {
        let next = Arc::new(Mutex::new(String::new()));
        let answer = Arc::clone(&next);
        let decider = TestDecider::start(move |_, _| Behaviour::json(answer.lock().unwrap().as_str())).await;
        let more = format!("http.format = {format:?}\nhttp.breaker = false");
        let toml = fallback("1500ms", "0s")
            + "[decide.\"C2C.CallbackBeforeSendMsg\"]\non_failure = \"drop\"\n"
            + &http_decider("moderation", &["*"], &decider.url("/"), &more);
        Self { gateway: TestGateway::start(&toml).await, decider, next }
    }

    /// What Chat gets where the decider answers so to the sample of `command`.
    async fn answer(&self, command: Command, answer: &str) -> String {
        answer.clone_into(&mut self.next.lock().unwrap());
        let response = self.gateway.post(command.as_str(), sample(command).body).await;
        assert_eq!(response.status, 200, "{command}: {answer}");
        response.body
    }
}

fn answer(rest: &str) -> String {
    format!(r#"{{"ActionStatus":"OK",{rest}}}"#)
}

#[tokio::test]
async fn a_plain_callback_server_decides_on_every_before_command() {
    const ALLOW: &str = r#"{ "ErrorCode" : 0, "ErrorInfo" : "", "ActionStatus" : "OK" }"#;
    const REFUSE: &str =
        "{\n  \"ErrorInfo\": \"\\u5185\\u5bb9违规\",\n  \"ErrorCode\": 1,\n  \"ActionStatus\": \"OK\"\n}";
    let refused = answer(r#""ErrorInfo":"内容违规","ErrorCode":1"#);
    let coded =
        |code: u32| format!(r#"{{"ErrorCode":{code},"Extra":{{"a":[]}},"ErrorInfo":"不行","ActionStatus":"OK"}}"#);
    let rejected = |code: u32| answer(&format!(r#""ErrorInfo":"不行","ErrorCode":{code}"#));
    let zero = |rest: &str| answer(&format!(r#""ErrorInfo":"","ErrorCode":0,{rest}"#));
    let failed = r#"{"ActionStatus":"FAIL","ErrorInfo":"busy","ErrorCode":1}"#;
    let verdicts = |one: &str, code: u32, info: &str, other: &str| {
        zero(&format!(
            r#""ResultItem":[{{"To_Account":"{one}","ResultCode":{code},"ResultInfo":"{info}"}},{{"To_Account":"{other}","ResultCode":0,"ResultInfo":""}}]"#
        ))
    };
    let server = Asking::start("passthrough").await;
    let mut commands = HashSet::new();
    for (command, said, heard) in [
        (Command::GroupBeforeSendMsg, ALLOW.to_owned(), OK.to_owned()),
        (Command::GroupBeforeSendMsg, REFUSE.to_owned(), refused.clone()),
        (Command::GroupBeforeSendMsg, coded(10_150), rejected(10_150)),
        (Command::GroupBeforeSendMsg, coded(10_100), rejected(10_100)),
        (Command::GroupBeforeSendMsg, coded(10_200), rejected(10_200)),
        // As frameworks write it that fill in every field they know.
        (
            Command::GroupBeforeSendMsg,
            r#"{"ActionStatus":"OK","ErrorInfo":null,"ErrorCode":0,"MsgBody":[],"CloudCustomData":"","ResultItem":null}"#
                .to_owned(),
            OK.to_owned(),
        ),
        (
            Command::GroupBeforeSendMsg,
            r#"{"ErrorCode":2,"ErrorInfo":"","ActionStatus":"OK"}"#.to_owned(),
            answer(r#""ErrorInfo":"","ErrorCode":2"#),
        ),
        (
            Command::GroupBeforeSendMsg,
            r#"{ "MsgBody" : [ { "MsgContent" : {"Text": "你好 ***" }, "MsgType" : "TIMTextElem" },
                 { "MsgType" : "TIMNewElem", "MsgContent" : { "A" : 1.0 } } ],
                 "ErrorCode" : 0, "ActionStatus" : "OK", "ErrorInfo" : "" }"#
                .to_owned(),
            zero(concat!(
                r#""MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text": "你好 ***" }},"#,
                r#"{"MsgType":"TIMNewElem","MsgContent":{ "A" : 1.0 }}]"#
            )),
        ),
        (Command::C2cBeforeSendMsg, coded(120_001), rejected(120_001)),
        (Command::C2cBeforeSendMsg, coded(130_000), rejected(130_000)),
        (
            Command::C2cBeforeSendMsg,
            r#"{"CloudCustomData":"{\"seen\":true}","ErrorCode":0,"ErrorInfo":"","ActionStatus":"OK"}"#.to_owned(),
            zero(r#""CloudCustomData":"{\"seen\":true}""#),
        ),
        (Command::OfficialAccountBeforeSendMsg, coded(120_500), rejected(120_500)),
        (Command::GroupBeforeCreateGroup, coded(10_101), rejected(10_101)),
        (Command::GroupBeforeApplyJoinGroup, ALLOW.to_owned(), OK.to_owned()),
        (Command::GroupBeforeCreateTopic, REFUSE.to_owned(), refused.clone()),
        (
            Command::GroupBeforeInviteJoinGroup,
            r#"{"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "RefusedMembers_Account": [ "u_505" ]}"#.to_owned(),
            zero(r#""RefusedMembers_Account":["u_505"]"#),
        ),
        (Command::GroupBeforeInviteJoinGroup, coded(10_102), rejected(10_102)),
        (
            Command::OfficialAccountBeforeAddSubscriber,
            r#"{"ErrorCode":0,"RefusedSubscribers_Account":["u_511","u_513"],"ErrorInfo":"","ActionStatus":"OK"}"#
                .to_owned(),
            zero(r#""RefusedSubscribers_Account":["u_511","u_513"]"#),
        ),
        (Command::OfficialAccountBeforeCreateOfficialAccount, REFUSE.to_owned(), refused.clone()),
        (
            Command::SnsPrevFriendAdd,
            r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"","ResultItem":[
                 {"ResultInfo":"","ResultCode":0,"To_Account":"u_778"},
                 {"ResultInfo":"对方已关闭","ResultCode":38001,"To_Account":"u_777"}]}"#
                .to_owned(),
            verdicts("u_777", 38_001, "对方已关闭", "u_778"),
        ),
        (Command::SnsPrevFriendResponse, ALLOW.to_owned(), verdicts("u_501", 0, "", "u_502")),
        (
            Command::ChatbotOnC2cSignalMessage,
            r#"{"RspData":"{\"状态\":\"ok\"}","ErrorCode":0,"ErrorInfo":"","ActionStatus":"OK"}"#.to_owned(),
            zero(r#""RspData":"{\"状态\":\"ok\"}""#),
        ),
        (
            Command::ChatBotOnAssignAgent,
            r#"{"AgentIdList":["a@b.c", "d@e.f"],"AgentGroupId":7,"ErrorCode":0,"ErrorInfo":"","ActionStatus":"OK"}"#
                .to_owned(),
            zero(r#""AgentGroupId":7,"AgentIdList":["a@b.c","d@e.f"]"#),
        ),
        (Command::ChatBotOnAssignHuman, failed.to_owned(), failed.to_owned()),
        (Command::DeskBeforeImContactUser, REFUSE.to_owned(), refused.clone()),
        (Command::ChatbotInterfaceInvocation, ALLOW.to_owned(), OK.to_owned()),
        (Command::LiveBeforeSendGift, coded(102_150), rejected(102_150)),
    ] {
        assert_eq!(server.answer(command, &said).await, heard, "{command}: {said}");
        commands.insert(command);
    }
    assert_eq!(server.gateway.sum("chathook_decider_errors_total{").await, 0.0);
    let before = Command::iter().filter(|command| command.phase() == Phase::Before).collect();
    assert_eq!(commands, before, "a command is missing above");
    // After-commands are nobody's to decide.
    let asked = server.decider.asked();
    let change = sample(Command::StateChange);
    is(&server.gateway.post(change.command.as_str(), change.body).await, OK);
    assert_eq!(server.decider.asked(), asked);
}

#[tokio::test]
async fn a_chunked_answer_is_read() {
    let chunks = [r#"{"ActionStatus":"OK","Error"#, r#"Info":"no","ErrorC"#, r#"ode":10150}"#];
    let chunks: Vec<_> = chunks.map(Vec::from).into();
    let decider = TestDecider::start(move |_, _| Behaviour::Chunked(chunks.clone())).await;
    let gateway = gateway(&decider, "").await;
    is(&gateway.post(COMMAND, MESSAGE).await, REJECTED);
    is(&gateway.post(COMMAND, MESSAGE).await, REJECTED);
    assert_eq!(decider.opened(), 1);
}

#[tokio::test]
async fn an_answer_is_read_to_its_limit_and_no_further() {
    let padded = |length: usize| format!("{REJECTED}{}", " ".repeat(length - REJECTED.len()));
    let decider = TestDecider::start(move |_, n| Behaviour::json(padded(2048 + n))).await;
    let gateway = gateway(&decider, "http.max_answer = \"2KiB\"\nhttp.breaker = false").await;
    is(&gateway.post(COMMAND, MESSAGE).await, REJECTED);
    is(&gateway.post(COMMAND, MESSAGE).await, FALLBACK);
    assert_eq!(errors(&gateway, "too_large").await, 1.0);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = TestDecider::answering(REJECTED).await;
    let target = elsewhere.url("/");
    const REDIRECTS: [u16; 6] = [300, 301, 302, 303, 307, 308];
    let decider =
        TestDecider::start(move |_, n| Behaviour::answer(REDIRECTS[n], &[("Location", &target)], REJECTED)).await;
    let gateway = gateway(&decider, "http.breaker = false").await;
    for _ in REDIRECTS {
        is(&gateway.post(COMMAND, MESSAGE).await, FALLBACK);
    }
    assert_eq!(errors(&gateway, "status").await, 6.0);
    assert_eq!((decider.asked(), elsewhere.opened()), (6, 0));
}

// The format of services that are written for chathook.

#[tokio::test]
async fn a_json_decider_gets_the_documented_request() {
    let decider = TestDecider::answering(r#"{"decision":"allow"}"#).await;
    let url = decider.url("/decide?tenant=7");
    let more = "http.format = \"json\"\nhttp.token = \"decider-token\"";
    let toml = fallback("1500ms", "0s") + &http_decider("moderation", &[COMMAND], &url, more);
    let gateway = TestGateway::start(&toml).await;
    let Sample { body, .. } = sample(Command::GroupBeforeSendMsg);
    let time = now();
    let query = format!(
        "{}&RequestID=0c0b&Sign={}&RequestTime={time}",
        unsigned(COMMAND).replace("RESTAPI", "iOS"),
        signature::sign(TOKEN, time)
    );
    is(&gateway.post_query(&query, &body).await, OK);

    let asked = decider.request(0).await;
    assert!(asked.line().starts_with("POST /decide?tenant=7&"), "{}", asked.line());
    let (others, signature) = parted(asked.query());
    assert_eq!((others, signature.len()), (vec!["tenant=7"], 2));
    let signed = Query::parse(asked.query());
    let sign = signature::sign("decider-token", signed.request_time.unwrap());
    assert!(asked.query().contains(&format!("Sign={sign}")), "{}", asked.query());

    assert_eq!(asked.header("content-type"), Some("application/json"));
    let document = asked.json();
    let keys: HashSet<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, HashSet::from(["command", "sdk_app_id", "id", "deadline_ms", "query", "payload"]));
    assert_eq!(document["command"], COMMAND);
    assert_eq!(document["sdk_app_id"], APP);
    let event = Event::read(Query::parse(&query), body.clone().into());
    assert_eq!(document["id"], event.id().to_string());
    let left = document["deadline_ms"].as_u64().unwrap();
    assert!((1000..=1500).contains(&left), "{left}");
    assert_eq!(
        (&document["query"]["ClientIP"], &document["query"]["OptPlatform"]),
        (&json!("203.0.113.7"), &json!("iOS"))
    );
    assert!(document["query"].get("Sign").is_none(), "the signature of Chat is nobody else's");
    assert!(asked.text().contains(&format!(r#""payload":{}"#, body.trim())), "{}", asked.text());
}

#[tokio::test]
async fn a_json_decider_without_a_token_gets_its_own_url() {
    let decider = TestDecider::answering(r#"{"decision":"allow"}"#).await;
    let gateway = gateway(&decider, "http.format = \"json\"").await;
    is(&gateway.post(COMMAND, MESSAGE).await, OK);
    let asked = decider.request(0).await;
    assert_eq!(asked.line(), "POST / HTTP/1.1");
    assert!(asked.text().ends_with(&format!("{MESSAGE}}}")) || asked.text().contains(&format!("{MESSAGE},")));
}

#[tokio::test]
async fn every_json_decision_is_what_chat_gets() {
    let zero = |rest: &str| answer(&format!(r#""ErrorInfo":"","ErrorCode":0{rest}"#));
    let verdicts = |one: &str, other: &str| {
        zero(&format!(r#","ResultItem":[{{"To_Account":"u_777",{one}}},{{"To_Account":"u_778",{other}}}]"#))
    };
    let accepted = r#""ResultCode":0,"ResultInfo":"""#;
    let server = Asking::start("json").await;
    for (command, decision, heard) in [
        (Command::GroupBeforeSendMsg, r#"{"decision":"allow"}"#, OK.to_owned()),
        (Command::GroupBeforeSendMsg, r#"{ "decision" : "reject" }"#, answer(r#""ErrorInfo":"","ErrorCode":1"#)),
        (
            Command::GroupBeforeSendMsg,
            r#"{"info":"不行","code":10101,"decision":"reject"}"#,
            answer(r#""ErrorInfo":"不行","ErrorCode":10101"#),
        ),
        (
            Command::C2cBeforeSendMsg,
            r#"{"decision":"reject","code":120001,"info":".."}"#,
            answer(r#""ErrorInfo":"..","ErrorCode":120001"#),
        ),
        (Command::GroupBeforeSendMsg, r#"{"decision":"drop"}"#, answer(r#""ErrorInfo":"","ErrorCode":2"#)),
        (
            Command::GroupBeforeSendMsg,
            r#"{"decision":"rewrite","msg_body":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}}]}"#,
            zero(r#","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}}]"#),
        ),
        (
            Command::C2cBeforeSendMsg,
            r#"{"decision":"rewrite","cloud_custom_data":"seen"}"#,
            zero(r#","CloudCustomData":"seen""#),
        ),
        (
            Command::OfficialAccountBeforeSendMsg,
            r#"{"decision":"rewrite","cloud_custom_data":"seen","msg_body":[{"MsgType":"TIMNewElem","MsgContent":{"A": 1}}]}"#,
            zero(r#","MsgBody":[{"MsgType":"TIMNewElem","MsgContent":{"A": 1}}],"CloudCustomData":"seen""#),
        ),
        (
            Command::GroupBeforeApplyJoinGroup,
            r#"{"decision":"reject","code":10102,"info":"closed"}"#,
            answer(r#""ErrorInfo":"closed","ErrorCode":10102"#),
        ),
        (
            Command::GroupBeforeInviteJoinGroup,
            r#"{"decision":"partial","refused":["u_505"]}"#,
            zero(r#","RefusedMembers_Account":["u_505"]"#),
        ),
        (
            Command::OfficialAccountBeforeAddSubscriber,
            r#"{"decision":"partial","refused":["u_511","u_512"]}"#,
            zero(r#","RefusedSubscribers_Account":["u_511","u_512"]"#),
        ),
        (
            Command::SnsPrevFriendAdd,
            r#"{"decision":"partial","refused":["u_778"],"code":38001,"info":"no"}"#,
            verdicts(accepted, r#""ResultCode":38001,"ResultInfo":"no""#),
        ),
        (
            Command::SnsPrevFriendAdd,
            r#"{"decision":"partial","refused":["u_777"]}"#,
            verdicts(r#""ResultCode":38000,"ResultInfo":"""#, accepted),
        ),
        (
            Command::SnsPrevFriendAdd,
            r#"{"decision":"reject","code":38002,"info":"closed"}"#,
            verdicts(r#""ResultCode":38002,"ResultInfo":"closed""#, r#""ResultCode":38002,"ResultInfo":"closed""#),
        ),
        (Command::SnsPrevFriendAdd, r#"{"decision":"allow"}"#, verdicts(accepted, accepted)),
        (
            Command::ChatbotOnC2cSignalMessage,
            r#"{"decision":"respond","data":"{\"a\":1}"}"#,
            zero(r#","RspData":"{\"a\":1}""#),
        ),
        (Command::ChatbotOnC2cSignalMessage, r#"{"decision":"allow"}"#, zero(r#","RspData":"""#)),
        (
            Command::ChatBotOnAssignAgent,
            r#"{"decision":"respond","group":7,"agents":["a@b.c"]}"#,
            zero(r#","AgentGroupId":7,"AgentIdList":["a@b.c"]"#),
        ),
        (Command::ChatBotOnAssignHuman, r#"{"decision":"respond","group":7}"#, zero(r#","AgentGroupId":7"#)),
        (
            Command::ChatBotOnAssignHuman,
            r#"{"decision":"respond","agents":["a@b.c"]}"#,
            zero(r#","AgentIdList":["a@b.c"]"#),
        ),
        (
            Command::LiveBeforeSendGift,
            r#"{"decision":"reject","code":102100,"info":"enough"}"#,
            answer(r#""ErrorInfo":"enough","ErrorCode":102100"#),
        ),
    ] {
        assert_eq!(server.answer(command, decision).await, heard, "{command}: {decision}");
    }
    assert_eq!(server.gateway.sum("chathook_decider_errors_total{").await, 0.0);
    for (decision, decisions) in
        [("allow", 3.0), ("reject", 6.0), ("drop", 1.0), ("rewrite", 3.0), ("partial", 4.0), ("respond", 4.0)]
    {
        let labels = format!(r#",decision="{decision}""#);
        assert_eq!(count(&server.gateway, "decider_decisions_total", &labels).await, decisions, "{decision}");
    }
}

#[tokio::test]
async fn an_illegal_json_decision_is_none() {
    let server = Asking::start("json").await;
    let mut illegal = 0.0;
    for (command, decision) in [
        (Command::GroupBeforeSendMsg, r#"{}"#),
        (Command::GroupBeforeSendMsg, r#"[]"#),
        (Command::GroupBeforeSendMsg, r#""allow""#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"maybe"}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"Allow"}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":null}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"allow","reason":"why not"}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"allow","code":10101}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"allow","info":"fine"}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"allow","msg_body":[]}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"drop","info":"spam"}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"reject","code":120001}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"reject","code":10099}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"reject","code":10201}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"reject","code":-1}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"reject","code":"10101"}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"reject","code":10101.5}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"reject","info":7}"#),
        (
            Command::GroupBeforeSendMsg,
            r#"{"decision":"reject","msg_body":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"***"}}]}"#,
        ),
        (Command::GroupBeforeSendMsg, r#"{"decision":"rewrite"}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"rewrite","msg_body":"***"}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"rewrite","msg_body":[{}]}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"rewrite","msg_body":[{"MsgType":"TIMTextElem"}]}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"rewrite","cloud_custom_data":{}}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"rewrite","cloud_custom_data":"a","code":10101}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"partial","refused":["u_501"]}"#),
        (Command::GroupBeforeSendMsg, r#"{"decision":"respond","data":"x"}"#),
        // Of an existing callback server.
        (Command::GroupBeforeSendMsg, OK),
        (Command::GroupBeforeApplyJoinGroup, r#"{"decision":"drop"}"#),
        (Command::GroupBeforeApplyJoinGroup, r#"{"decision":"rewrite","cloud_custom_data":"a"}"#),
        (Command::GroupBeforeInviteJoinGroup, r#"{"decision":"partial"}"#),
        (Command::GroupBeforeInviteJoinGroup, r#"{"decision":"partial","refused":["u_505"],"code":10101}"#),
        (Command::GroupBeforeInviteJoinGroup, r#"{"decision":"partial","refused":["u_nobody"]}"#),
        (Command::DeskBeforeImContactUser, r#"{"decision":"reject","code":120001}"#),
        (Command::SnsPrevFriendAdd, r#"{"decision":"partial","refused":["u_777"],"code":10101}"#),
        (Command::SnsPrevFriendAdd, r#"{"decision":"drop"}"#),
        (Command::ChatbotOnC2cSignalMessage, r#"{"decision":"respond","group":7}"#),
        (Command::ChatbotOnC2cSignalMessage, r#"{"decision":"respond"}"#),
        (Command::ChatBotOnAssignAgent, r#"{"decision":"respond","data":"x"}"#),
        (Command::ChatbotInterfaceInvocation, r#"{"decision":"reject"}"#),
    ] {
        let heard = server.answer(command, decision).await;
        let fallbacks = format!(r#"chathook_fallbacks_total{{command="{command}",reason="error"}}"#);
        assert!(server.gateway.metric(&fallbacks).await > 0.0, "{command}: {decision} is {heard}");
        if command == Command::GroupBeforeSendMsg {
            assert_eq!(heard, FALLBACK, "{decision}");
        }
        illegal += 1.0;
        assert_eq!(errors(&server.gateway, "illegal").await, illegal, "{command}: {decision}");
    }
    for (n, broken) in
        ["", "allow", r#"{"decision":"allow""#, r#"{"decision":"allow"}{"decision":"drop"}"#].into_iter().enumerate()
    {
        assert_eq!(server.answer(Command::GroupBeforeSendMsg, broken).await, FALLBACK, "{broken}");
        assert_eq!(errors(&server.gateway, "not_json").await, n as f64 + 1.0, "{broken}");
    }
    assert_eq!(count(&server.gateway, "decider_decisions_total", r#",decision="allow""#).await, 0.0);
}

// How many requests there are, on how many connections, for how long.

#[tokio::test]
async fn callbacks_in_sequence_share_one_connection() {
    let decider = TestDecider::answering(REJECTED).await;
    let gateway = gateway(&decider, "").await;
    for _ in 0..50 {
        is(&gateway.post(COMMAND, MESSAGE).await, REJECTED);
    }
    assert_eq!((decider.asked(), decider.opened()), (50, 1));
    assert_eq!(count(&gateway, "decider_seconds_count", "").await, 50.0);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_decision() {
    let decider = TestDecider::start(|_, _| Behaviour::answer(200, &[("Connection", "close")], REJECTED)).await;
    let gateway = gateway(&decider, "").await;
    for _ in 0..20 {
        is(&gateway.post(COMMAND, MESSAGE).await, REJECTED);
    }
    assert_eq!(gateway.sum("chathook_decider_errors_total{").await, 0.0);
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_nobodys() {
    let twice = |body: &str| {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let unasked = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{OK}", OK.len());
        Behaviour::Raw([answer, unasked].concat().into_bytes())
    };
    let decider = TestDecider::start(move |_, _| twice(REJECTED)).await;
    let gateway = gateway(&decider, "").await;
    for _ in 0..10 {
        is(&gateway.post(COMMAND, MESSAGE).await, REJECTED);
    }
}

#[tokio::test]
async fn a_decider_may_have_less_time_than_the_deadline() {
    let decider = TestDecider::start(|_, _| Behaviour::Hang).await;
    let gateway = gateway(&decider, "http.timeout = \"150ms\"").await;
    let (response, took) = gateway.timed(COMMAND, MESSAGE).await;
    is(&response, FALLBACK);
    let timeout = Duration::from_millis(150);
    assert!(timeout <= took && took <= timeout + TOLERANCE, "{took:?}");
    assert_eq!((errors(&gateway, "timeout").await, fallbacks(&gateway, "timeout").await), (1.0, 1.0));
}

#[tokio::test]
async fn the_deadline_of_a_command_bounds_its_deciders() {
    let decider = TestDecider::start(|_, _| Behaviour::Hang).await;
    let toml = fallback("1500ms", "0s").replace("on_failure", "deadline = \"250ms\"\non_failure")
        + &http_decider("moderation", &[COMMAND], &decider.url("/"), "http.timeout = \"1s\"");
    let gateway = TestGateway::start(&toml).await;
    let (response, took) = gateway.timed(COMMAND, MESSAGE).await;
    is(&response, FALLBACK);
    let deadline = Duration::from_millis(250);
    assert!(deadline / 2 <= took && took <= deadline + TOLERANCE, "{took:?}");
}

#[tokio::test]
async fn the_deadline_runs_from_the_first_byte_of_the_request() {
    let decider = TestDecider::start(|_, _| Behaviour::Hang).await;
    let toml = fallback("600ms", "0s") + &http_decider("moderation", &[COMMAND], &decider.url("/"), "");
    let gateway = TestGateway::start(&toml).await;
    let mut connection = gateway.connect().await;
    let request = request(&format!("/?{}", signed(COMMAND)), MESSAGE.as_bytes());
    let started = std::time::Instant::now();
    let (first, rest) = request.split_at(1);
    connection.write(first).await.unwrap();
    // The way to the gateway is slow, and its time runs.
    tokio::time::sleep(Duration::from_millis(300)).await;
    connection.write(rest).await.unwrap();
    is(&connection.response().await.unwrap(), FALLBACK);
    let took = started.elapsed();
    assert!(took <= Duration::from_millis(600) + TOLERANCE, "{took:?}");
}

#[tokio::test]
async fn calls_beyond_the_limit_get_the_fallback_at_once() {
    let gate = Gate::default();
    let held = gate.clone();
    let decider = TestDecider::start(move |_, _| Behaviour::json(REJECTED).once(&held)).await;
    let gateway = gateway(&decider, "http.concurrency = 2").await;
    let mut asked = [begin(&gateway).await, begin(&gateway).await];
    decider.request(1).await;
    assert_eq!(count(&gateway, "decider_in_flight", "").await, 2.0);
    let (response, took) = gateway.timed(COMMAND, MESSAGE).await;
    is(&response, FALLBACK);
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!((errors(&gateway, "overload").await, fallbacks(&gateway, "overload").await), (1.0, 1.0));
    gate.open();
    for connection in &mut asked {
        is(&connection.response().await.unwrap(), REJECTED);
    }
    assert_eq!(count(&gateway, "decider_in_flight", "").await, 0.0);
    is(&gateway.post(COMMAND, MESSAGE).await, REJECTED);
    assert_eq!(decider.asked(), 3);
}

#[tokio::test]
async fn a_call_that_hung_gives_its_place_back() {
    let decider = TestDecider::start(|_, n| match n {
        0 => Behaviour::Hang,
        _ => Behaviour::json(REJECTED),
    })
    .await;
    let gateway = gateway(&decider, "http.concurrency = 1\nhttp.timeout = \"200ms\"").await;
    is(&gateway.post(COMMAND, MESSAGE).await, FALLBACK);
    decider.has_at_most(0).await;
    is(&gateway.post(COMMAND, MESSAGE).await, REJECTED);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_nothing_behind() {
    let decider = TestDecider::start(|_, n| match n {
        0 => Behaviour::Hang,
        _ => Behaviour::json(REJECTED),
    })
    .await;
    let gateway = gateway(&decider, "http.concurrency = 1").await;
    let connection = begin(&gateway).await;
    decider.request(0).await;
    drop(connection);
    decider.has_at_most(0).await;
    gateway.metric_becomes(r#"chathook_decider_in_flight{decider="moderation"}"#, 0.0).await;
    is(&gateway.post(COMMAND, MESSAGE).await, REJECTED);
}

#[tokio::test]
async fn a_shutdown_waits_for_what_is_being_decided() {
    let gate = Gate::default();
    let held = gate.clone();
    let decider = TestDecider::start(move |_, _| Behaviour::json(REJECTED).once(&held)).await;
    let gateway = gateway(&decider, "").await;
    let mut asked = begin(&gateway).await;
    decider.request(0).await;
    gateway.signal("TERM");
    gateway.logged("shutting down").await;
    gate.open();
    is(&asked.response().await.unwrap(), REJECTED);
    assert_eq!(gateway.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_hedge_answers_where_the_first_request_hangs() {
    let decider = TestDecider::start(|_, n| match n {
        0 => Behaviour::Hang,
        _ => Behaviour::json(REJECTED),
    })
    .await;
    let gateway = gateway(&decider, "http.hedge = \"100ms\"\nhttp.token = \"decider-token\"").await;
    let (response, took) = gateway.timed(COMMAND, MESSAGE).await;
    is(&response, REJECTED);
    assert!(Duration::from_millis(100) <= took && took < Duration::from_secs(1), "{took:?}");
    let (first, second) = (decider.request(0).await, decider.request(1).await);
    let unsigned = |target: &str| target.split("&Sign=").next().map(str::to_owned);
    assert_eq!((unsigned(first.target()), &first.body), (unsigned(second.target()), &second.body));
    assert_ne!(first.connection, second.connection);
    assert_eq!(count(&gateway, "decider_hedges_total", "").await, 1.0);
    assert_eq!(gateway.sum("chathook_decider_errors_total{").await, 0.0);
    assert_eq!(count(&gateway, "decider_decisions_total", r#",decision="reject""#).await, 1.0);
    // The first is given up.
    decider.has_at_most(1).await;

    // One that answers soon is asked once.
    is(&gateway.post(COMMAND, MESSAGE).await, REJECTED);
    assert_eq!((decider.asked(), count(&gateway, "decider_hedges_total", "").await), (3, 1.0));
}

#[tokio::test]
async fn a_hedge_says_what_time_is_left() {
    let decider = TestDecider::start(|_, n| match n {
        0 => Behaviour::Hang,
        _ => Behaviour::json(r#"{"decision":"reject","code":10150,"info":"no"}"#),
    })
    .await;
    let gateway = gateway(&decider, "http.hedge = \"200ms\"\nhttp.format = \"json\"").await;
    is(&gateway.post(COMMAND, MESSAGE).await, REJECTED);
    let left = |request: &chathook_tests::Request| request.json()["deadline_ms"].as_u64().unwrap();
    let (first, second) = (left(&decider.request(0).await), left(&decider.request(1).await));
    assert!(second + 200 <= first + 1, "{first} ms, then {second} ms");
}

#[tokio::test]
async fn the_first_answer_counts_where_both_requests_are_answered() {
    let gate = Gate::default();
    let held = gate.clone();
    let decider = TestDecider::start(move |_, n| match n {
        0 => Behaviour::json(REJECTED).once(&held),
        _ => Behaviour::Hang,
    })
    .await;
    let gateway = gateway(&decider, "http.hedge = \"50ms\"").await;
    let mut asked = begin(&gateway).await;
    decider.request(1).await;
    gate.open();
    is(&asked.response().await.unwrap(), REJECTED);
    assert_eq!(gateway.sum("chathook_decider_errors_total{").await, 0.0);
}

#[tokio::test]
async fn a_hedge_that_hangs_as_well_is_one_failure() {
    let decider = TestDecider::start(|_, _| Behaviour::Hang).await;
    let gateway = gateway(&decider, "http.hedge = \"50ms\"\nhttp.timeout = \"300ms\"").await;
    let (response, took) = gateway.timed(COMMAND, MESSAGE).await;
    is(&response, FALLBACK);
    assert!(took <= Duration::from_millis(300) + TOLERANCE, "{took:?}");
    assert_eq!(decider.asked(), 2);
    assert_eq!((errors(&gateway, "timeout").await, fallbacks(&gateway, "timeout").await), (1.0, 1.0));
    decider.has_at_most(0).await;
}

// The circuit breaker.

const BREAKER: &str = "http.breaker = { error_share = 0.5, window = \"10s\", min_calls = 4, open = \"1s\" }";

/// Asks until the decider has seen its n-th request, and gives the callback that waits for it.
async fn probe(gateway: &TestGateway, decider: &TestDecider, n: usize) -> Connection {
    loop {
        let mut connection = begin(gateway).await;
        tokio::select! {
            response = connection.response() => is(&response.unwrap(), FALLBACK),
            _ = decider.request(n) => return connection,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_breaker_opens_lets_one_probe_through_and_closes() {
    let gate = Gate::default();
    let held = gate.clone();
    let decider = TestDecider::start(move |_, n| match n {
        0..4 => Behaviour::answer(500, &[], ""),
        4 => Behaviour::json(REJECTED).once(&held),
        _ => Behaviour::json(REJECTED),
    })
    .await;
    let gateway = gateway(&decider, BREAKER).await;
    for _ in 0..4 {
        is(&gateway.post(COMMAND, MESSAGE).await, FALLBACK);
    }
    assert_eq!((errors(&gateway, "status").await, fallbacks(&gateway, "error").await), (4.0, 4.0));
    let (response, took) = gateway.timed(COMMAND, MESSAGE).await;
    is(&response, FALLBACK);
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!((errors(&gateway, "breaker").await, fallbacks(&gateway, "overload").await), (1.0, 1.0));
    assert_eq!(count(&gateway, "decider_breaker_open", "").await, 1.0);
    assert_eq!(decider.asked(), 4);

    let mut probe = probe(&gateway, &decider, 4).await;
    for _ in 0..3 {
        let (response, took) = gateway.timed(COMMAND, MESSAGE).await;
        is(&response, FALLBACK);
        assert!(took < AT_ONCE, "{took:?}");
    }
    assert_eq!(decider.asked(), 5, "one probe only");
    gate.open();
    is(&probe.response().await.unwrap(), REJECTED);
    for _ in 0..3 {
        is(&gateway.post(COMMAND, MESSAGE).await, REJECTED);
    }
    assert_eq!(count(&gateway, "decider_breaker_open", "").await, 0.0);
    assert_eq!(decider.asked(), 8);
}

#[tokio::test]
async fn a_breaker_stays_open_while_the_probe_fails() {
    let decider = TestDecider::start(|_, _| Behaviour::answer(500, &[], "")).await;
    let gateway = gateway(&decider, BREAKER).await;
    for _ in 0..4 {
        is(&gateway.post(COMMAND, MESSAGE).await, FALLBACK);
    }
    let mut probe = probe(&gateway, &decider, 4).await;
    is(&probe.response().await.unwrap(), FALLBACK);
    assert_eq!(errors(&gateway, "status").await, 5.0);
    let refused = errors(&gateway, "breaker").await;
    is(&gateway.post(COMMAND, MESSAGE).await, FALLBACK);
    assert_eq!((decider.asked(), errors(&gateway, "breaker").await), (5, refused + 1.0));
    assert_eq!(count(&gateway, "decider_breaker_open", "").await, 1.0);
}

#[tokio::test]
async fn a_breaker_opens_for_what_hangs_and_for_what_is_illegal() {
    for (behaviour, reason) in
        [(Behaviour::Hang, "timeout"), (Behaviour::json("[]"), "illegal"), (Behaviour::Reset, "io")]
    {
        let decider = TestDecider::start(move |_, _| behaviour.clone()).await;
        let gateway = gateway(&decider, &format!("http.timeout = \"100ms\"\n{BREAKER}")).await;
        for _ in 0..4 {
            is(&gateway.post(COMMAND, MESSAGE).await, FALLBACK);
        }
        // The fallback does not wait for a call to be counted.
        gateway.metric_becomes(r#"chathook_decider_breaker_open{decider="moderation"}"#, 1.0).await;
        is(&gateway.post(COMMAND, MESSAGE).await, FALLBACK);
        assert_eq!((errors(&gateway, reason).await, errors(&gateway, "breaker").await), (4.0, 1.0), "{reason}");
        assert_eq!(decider.asked(), 4, "{reason}");
    }
}

#[tokio::test]
async fn a_breaker_stays_closed_below_its_share_of_errors() {
    let decider = TestDecider::start(|_, n| match n % 3 {
        0 => Behaviour::answer(500, &[], ""),
        _ => Behaviour::json(REJECTED),
    })
    .await;
    let gateway = gateway(&decider, BREAKER).await;
    for _ in 0..30 {
        gateway.post(COMMAND, MESSAGE).await;
    }
    assert_eq!((errors(&gateway, "status").await, errors(&gateway, "breaker").await), (10.0, 0.0));
    assert_eq!(decider.asked(), 30);
}

#[tokio::test]
async fn the_breaker_is_on_unless_it_is_switched_off() {
    let decider = TestDecider::start(|_, _| Behaviour::answer(500, &[], "")).await;
    let with = gateway(&decider, "").await;
    for _ in 0..21 {
        is(&with.post(COMMAND, MESSAGE).await, FALLBACK);
    }
    assert_eq!((decider.asked(), errors(&with, "breaker").await), (20, 1.0));

    let decider = TestDecider::start(|_, _| Behaviour::answer(500, &[], "")).await;
    let without = gateway(&decider, "http.breaker = false").await;
    for _ in 0..30 {
        is(&without.post(COMMAND, MESSAGE).await, FALLBACK);
    }
    assert_eq!((decider.asked(), errors(&without, "status").await), (30, 30.0));
}

// Answers that come too late.

/// A gateway whose decider answers once the gate is open, and the callback that did not wait for it.
async fn late(answer: Behaviour, gate: &Gate, late: &str) -> (TestGateway, TestDecider) {
    let answer = answer.once(gate);
    let decider = TestDecider::start(move |_, _| answer.clone()).await;
    let toml = fallback("300ms", late) + &http_decider("moderation", &[COMMAND], &decider.url("/"), "");
    let gateway = TestGateway::start(&toml).await;
    let (response, took) = gateway.timed(COMMAND, MESSAGE).await;
    is(&response, FALLBACK);
    assert!(took <= Duration::from_millis(300) + TOLERANCE, "{took:?}");
    assert_eq!(errors(&gateway, "timeout").await, 1.0);
    (gateway, decider)
}

#[tokio::test]
async fn a_late_answer_is_counted_and_logged_with_what_it_would_have_decided() {
    for (answer, decision) in [
        (Behaviour::json(REJECTED), "reject"),
        (Behaviour::json(OK), "allow"),
        (Behaviour::answer(500, &[], ""), "error"),
        (Behaviour::json("[]"), "error"),
    ] {
        let gate = Gate::default();
        let (gateway, _decider) = late(answer, &gate, "10s").await;
        assert_eq!(gateway.sum("chathook_decider_late_total{").await, 0.0);
        gate.open();
        let series = format!(r#"chathook_decider_late_total{{decider="moderation",decision="{decision}"}}"#);
        gateway.metric_becomes(&series, 1.0).await;
        assert_eq!(gateway.sum("chathook_decider_late_total{").await, 1.0);
        assert_eq!(gateway.sum("chathook_decider_errors_total{").await, 1.0, "a late failure is the same failure");
        assert_eq!(gateway.sum("chathook_decider_decisions_total{").await, 0.0, "nothing was decided");
        let log = gateway.stop().await.log;
        let said = |line: &&str| {
            let entry: Value = serde_json::from_str(line).unwrap();
            let is_for_people = ["INFO", "WARN"].iter().any(|level| entry["level"] == *level);
            let says_what = entry["decision"] == decision || decision == "error";
            is_for_people && entry["decider"] == "moderation" && says_what && line.contains("late")
        };
        assert!(log.lines().any(|line| said(&line)), "{decision}: {log}");
        let of_users = |line: &&str| line.contains("what-a-user-said") && !line.contains("TRACE");
        assert_eq!(log.lines().find(of_users), None);
    }
}

#[tokio::test]
async fn what_is_later_than_late_is_not_awaited() {
    let gate = Gate::default();
    let (gateway, decider) = late(Behaviour::json(REJECTED), &gate, "100ms").await;
    decider.has_at_most(0).await;
    gate.open();
    assert_eq!(gateway.metric(r#"chathook_decider_late_total{decider="moderation",decision="reject"}"#).await, 0.0);
    gateway.metric_becomes(r#"chathook_decider_in_flight{decider="moderation"}"#, 0.0).await;

    let gate = Gate::default();
    let (gateway, decider) = late(Behaviour::json(REJECTED), &gate, "0s").await;
    decider.has_at_most(0).await;
    assert_eq!(gateway.sum("chathook_decider_late_total{").await, 0.0);
}

#[tokio::test]
async fn nobody_who_is_late_holds_up_a_shutdown() {
    let (gateway, _decider) = late(Behaviour::json(REJECTED), &Gate::default(), "1h").await;
    let began = std::time::Instant::now();
    assert_eq!(gateway.stop().await.code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
