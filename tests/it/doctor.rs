//! `chathook doctor`: what it finds, and that it never hangs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use chathook_tests::{APP, OK, TOKEN, TestGateway, binary, config};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

async fn doctor(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("doctor").args(["--url", url, "--app", &APP.to_string()]).args(arguments).kill_on_drop(true);
    timeout(LIMIT, command.output()).await.expect("it never hangs").unwrap()
}

/// What was found, by check; several findings of one are in their order.
struct Found {
    code: Option<i32>,
    json: Value,
}

async fn found(url: &str, arguments: &[&str]) -> Found {
    let output = doctor(url, &[arguments, &["--json"]].concat()).await;
    let json = serde_json::from_slice(&output.stdout);
    let json = json.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    Found { code: output.status.code(), json }
}

impl Found {
    /// Level, what was found and the advice of a check.
    #[track_caller]
    fn of(&self, check: &str) -> (&str, String) {
        let finding = self.json["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == check);
        let finding = finding.unwrap_or_else(|| panic!("no {check} in {:#}", self.json));
        let text = format!("{} {}", finding["found"], finding["advice"]);
        (finding["level"].as_str().unwrap(), text)
    }

    #[track_caller]
    fn is(&self, check: &str, level: &str, part: &str) {
        let (found, text) = self.of(check);
        assert!(found == level && text.contains(part), "{check}: {level}, {part}: {:#}", self.json);
    }

    /// The checks that are so bad.
    fn all(&self, level: &str) -> Vec<&str> {
        let findings = self.json["findings"].as_array().unwrap().iter();
        findings.filter(|finding| finding["level"] == level).map(|it| it["check"].as_str().unwrap()).collect()
    }
}

fn url(gateway: &TestGateway) -> String {
    format!("http://{}/", gateway.callbacks)
}

/// How many events the gateway has taken in.
async fn kept(gateway: &TestGateway) -> f64 {
    let metrics = gateway.get("/metrics").await.body;
    let kept = metrics.lines().filter(|line| line.contains(r#"outcome="acknowledged""#));
    kept.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// A gateway that takes whatever comes.
fn unsigned() -> String {
    config("").replace(&format!("tokens = [\"{TOKEN}\"]"), "unsigned = true")
}

const FORGERIES: [&str; 5] = ["wrong Sign", "missing Sign", "old RequestTime", "foreign SdkAppid", "another command"];

#[tokio::test]
async fn a_healthy_gateway_is_healthy_and_keeps_nothing_of_it() {
    let gateway = TestGateway::start(&config("")).await;
    let found = found(&url(&gateway), &["--token", TOKEN]).await;
    assert_eq!(found.code, Some(0), "{:#}", found.json);
    // Neither has a test: an address of the internet, and a certificate.
    assert_eq!(found.all("warning"), ["url", "addresses"]);
    found.is("connect", "ok", &gateway.callbacks.to_string());
    found.is("right Sign", "ok", "lets it happen");
    for check in FORGERIES {
        found.is(check, "ok", "status 403");
    }
    for check in ["empty body", "clock", "first answer", "kept connection", "answer time", "before-callbacks"] {
        assert_eq!(found.of(check).0, "ok", "{check}");
    }
    found.is("after-callbacks", "skipped", "--after");
    let commands = found.json["commands"].as_array().unwrap();
    assert!(commands.len() > 10, "{commands:?}");
    assert!(commands.iter().all(|command| command["verdict"] != "failed" && command["verdict"] != "acknowledged"));
    assert_eq!(kept(&gateway).await, 0.0);
}

#[tokio::test]
async fn after_callbacks_are_sent_where_they_are_wanted_and_a_pattern_limits_all() {
    let gateway = TestGateway::start(&config("")).await;
    let all = found(&url(&gateway), &["--token", TOKEN, "--after"]).await;
    assert_eq!(all.code, Some(0), "{:#}", all.json);
    assert_eq!(all.of("after-callbacks").0, "ok");
    assert!(kept(&gateway).await > 0.0);
    assert_eq!(all.json["commands"].as_array().unwrap().len(), chathook_tests::samples().count());

    let some = found(&url(&gateway), &["--token", TOKEN, "--after", "--commands", "Sns.*,State.StateChange"]).await;
    let commands = some.json["commands"].as_array().unwrap();
    let sent: Vec<_> = commands.iter().map(|command| command["command"].as_str().unwrap()).collect();
    assert!(sent.contains(&"State.StateChange") && sent.contains(&"Sns.CallbackPrevFriendAdd"), "{sent:?}");
    assert!(sent.iter().all(|command| command.starts_with("Sns.") || *command == "State.StateChange"), "{sent:?}");

    let unknown = doctor(&url(&gateway), &["--commands", "Sns.CallbackFriendDelet"]).await;
    assert_eq!(unknown.status.code(), Some(2));
    let problem = String::from_utf8(unknown.stderr).unwrap();
    assert!(problem.contains("did you mean `Sns.CallbackFriendDelete`?"), "{problem}");
}

#[tokio::test]
async fn lines_say_how_it_is_and_what_to_do() {
    let gateway = TestGateway::start(&unsigned()).await;
    let output = doctor(&url(&gateway), &["--token", TOKEN]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in
        ["ok       connect", "warning  addresses", "wrong    wrong Sign", "-> Anybody can", "Wrong: 3; warnings: "]
    {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours where nobody sees them");
    assert!(!text.contains(TOKEN));
}

#[tokio::test]
async fn a_gateway_that_checks_no_sign_is_wrong() {
    let gateway = TestGateway::start(&unsigned()).await;
    let with_token = found(&url(&gateway), &["--token", TOKEN]).await;
    assert_eq!(with_token.code, Some(1));
    assert_eq!(with_token.all("wrong"), ["wrong Sign", "missing Sign", "old RequestTime"]);
    with_token.is("wrong Sign", "wrong", "Anybody can send callbacks");

    let without = found(&url(&gateway), &[]).await;
    assert_eq!(without.code, Some(0), "{:#}", without.json);
    without.is("without Sign", "warning", "Switch authentication on");
}

#[tokio::test]
async fn a_wrong_token_is_told_from_a_server_that_is_down() {
    let gateway = TestGateway::start(&config("")).await;
    for arguments in [&["--token", "other"][..], &[]] {
        let found = found(&url(&gateway), arguments).await;
        assert_eq!(found.code, Some(1));
        found.is("empty body", "wrong", "status 403");
        let check = if arguments.is_empty() { "without Sign" } else { "right Sign" };
        found.is(check, "wrong", if arguments.is_empty() { "--token" } else { "Compare token and SdkAppid" });
        assert_eq!(found.all("skipped"), ["time and commands"]);
        assert!(found.json.to_string().matches("allow_from").count() <= 1, "one advice, once: {:#}", found.json);
    }
}

#[tokio::test]
async fn a_wrong_path_is_said_to_be_that() {
    let gateway = TestGateway::start(&config("path = \"/callback\"")).await;
    let found = found(&url(&gateway), &["--token", TOKEN]).await;
    assert_eq!(found.code, Some(1));
    found.is("empty body", "wrong", "callbacks.path");
}

#[tokio::test]
async fn nobody_at_the_port_and_no_such_host_are_told_apart() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    let nobody = found(&url, &[]).await;
    assert_eq!(nobody.code, Some(1));
    nobody.is("connect", "wrong", "Nobody listens there");

    let nowhere = found("http://nowhere.invalid/", &[]).await;
    assert_eq!(nowhere.code, Some(1));
    assert_eq!(nowhere.all("wrong"), ["addresses"], "{:#}", nowhere.json);
}

#[tokio::test]
async fn a_url_that_the_console_does_not_take_is_wrong_before_anybody_is_asked() {
    for url in ["127.0.0.1:8080", "http://127.0.0.1/?a=b", "ftp://127.0.0.1/", "http://user@127.0.0.1/"] {
        let found = found(url, &[]).await;
        assert_eq!((found.code, found.all("wrong")), (Some(1), vec!["url"]), "{url}: {:#}", found.json);
        assert_eq!(found.all("ok"), Vec::<&str>::new(), "{url}");
    }
}

#[tokio::test]
async fn another_machine_is_asked_only_by_its_owner() {
    let found = found("http://203.0.113.7/", &[]).await;
    assert_eq!(found.code, Some(2));
    found.is("arguments", "wrong", "--i-own-this-host");
    assert_eq!(found.all("warning"), ["url", "addresses"], "what was found before is told: {:#}", found.json);
    let lines = doctor("http://203.0.113.7/", &[]).await;
    assert_eq!((lines.status.code(), lines.stderr.len()), (Some(2), 0), "it is said once");
}

/// An authority, one below it, and what that signs.
struct Authorities {
    dir: tempfile::TempDir,
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

impl Authorities {
    fn new() -> Self {
        Self::below("Test Root")
    }

    fn below(root: &str) -> Self {
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let root = CertifiedIssuer::self_signed(authority(root), KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let intermediate = CertifiedIssuer::signed_by(authority("Test Intermediate"), key, &root).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("root.pem"), root.pem()).unwrap();
        Self { dir, root, intermediate }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ca(&self) -> String {
        self.file("root.pem").to_str().unwrap().to_owned()
    }

    /// A gateway with a certificate for `host`, which `change` may change, and the intermediate one where it is sent.
    async fn gateway(&self, host: &str, sends_all: bool, change: impl FnOnce(&mut CertificateParams)) -> TestGateway {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "server");
        change(&mut params);
        let own = params.signed_by(&key, &self.intermediate).unwrap().pem();
        let sent = if sends_all { own + &self.intermediate.pem() } else { own };
        std::fs::write(self.file("tls.crt"), sent).unwrap();
        std::fs::write(self.file("tls.key"), key.serialize_pem()).unwrap();
        TestGateway::start(&with_tls(self.dir.path(), "")).await
    }

    async fn examine(&self, gateway: &TestGateway) -> Found {
        found(&format!("https://{}/", gateway.callbacks), &["--token", TOKEN, "--ca", &self.ca()]).await
    }
}

fn with_tls(dir: &Path, more: &str) -> String {
    let dir = dir.display();
    config(&format!("tls = {{ cert = \"{dir}/tls.crt\", key = \"{dir}/tls.key\"{more} }}"))
}

#[tokio::test]
async fn a_good_certificate_is_good() {
    let authorities = Authorities::new();
    let gateway = authorities.gateway("127.0.0.1", true, |_| {}).await;
    let found = authorities.examine(&gateway).await;
    assert_eq!(found.code, Some(0), "{:#}", found.json);
    assert_eq!(found.all("warning"), ["addresses"], "{:#}", found.json);
    found.is("tls", "ok", "TLS 1.3");
    found.is("chain", "ok", "issued by Test Intermediate, 2 certificates are sent");
    found.is("certificate name", "ok", "for 127.0.0.1");
    assert_eq!((found.of("expiry").0, found.of("wrong Sign").0), ("ok", "ok"));
}

#[tokio::test]
async fn each_fault_of_a_certificate_is_told_by_its_name() {
    let authorities = Authorities::new();
    let expired = authorities
        .gateway("127.0.0.1", true, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
        .await;
    let found = authorities.examine(&expired).await;
    assert_eq!((found.code, found.all("wrong")), (Some(1), vec!["expiry"]), "{:#}", found.json);
    found.is("expiry", "wrong", "expired on 2021-01-01");
    assert_eq!(found.all("skipped"), ["its answers"]);

    let foreign = authorities.gateway("chat.example.com", true, |_| {}).await;
    let found = authorities.examine(&foreign).await;
    assert_eq!((found.code, found.all("wrong")), (Some(1), vec!["certificate name"]), "{:#}", found.json);
    found.is("certificate name", "wrong", "for chat.example.com; not for 127.0.0.1");

    let alone = authorities.gateway("127.0.0.1", false, |_| {}).await;
    let found = authorities.examine(&alone).await;
    assert_eq!((found.code, found.all("wrong")), (Some(1), vec!["chain"]), "{:#}", found.json);
    found.is("chain", "wrong", "issued by Test Intermediate, and no other certificate is sent");
    found.is("chain", "wrong", "fullchain.pem");
}

#[tokio::test]
async fn an_authority_of_ones_own_is_none_of_chats() {
    let (authorities, others) = (Authorities::new(), Authorities::below("Another Root"));
    let gateway = authorities.gateway("127.0.0.1", true, |_| {}).await;
    let url = format!("https://{}/", gateway.callbacks);
    let found = found(&url, &["--token", TOKEN, "--ca", &others.ca()]).await;
    assert_eq!((found.code, found.all("wrong")), (Some(1), vec!["chain"]), "{:#}", found.json);
    found.is("chain", "wrong", "leads to Test Root, whom nobody knows");

    let unreadable = self::found(&url, &["--ca", "/nowhere.pem"]).await;
    assert_eq!(unreadable.code, Some(2));
    unreadable.is("arguments", "wrong", "/nowhere.pem");
}

#[tokio::test]
async fn a_certificate_that_is_signed_by_itself_is_said_to_be() {
    let authorities = Authorities::new();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(authorities.file("tls.crt"), own.pem()).unwrap();
    std::fs::write(authorities.file("tls.key"), key.serialize_pem()).unwrap();
    let gateway = TestGateway::start(&with_tls(authorities.dir.path(), "")).await;
    let found = authorities.examine(&gateway).await;
    found.is("chain", "wrong", "signed by itself");
}

/// What `openssl req -x509` makes, which says of itself that it is an authority, and one that does not.
#[tokio::test]
async fn a_certificate_of_an_authority_is_no_servers_own_and_the_advice_helps() {
    for (is_ca, is_trusted) in [(IsCa::Ca(BasicConstraints::Unconstrained), false), (IsCa::ExplicitNoCa, true)] {
        let authorities = Authorities::new();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let own = params.self_signed(&key).unwrap();
        std::fs::write(authorities.file("tls.crt"), own.pem()).unwrap();
        std::fs::write(authorities.file("tls.key"), key.serialize_pem()).unwrap();
        let gateway = TestGateway::start(&with_tls(authorities.dir.path(), "")).await;
        let (url, crt) = (format!("https://{}/", gateway.callbacks), authorities.file("tls.crt"));
        let crt = crt.to_str().unwrap();

        let stranger = authorities.examine(&gateway).await;
        stranger.is("chain", "wrong", "signed by itself");
        let trusted = found(&url, &["--token", TOKEN, "--ca", crt]).await;
        let mut send = Command::new(binary());
        send.args(["send", "State.StateChange", "--url", &url, "--token", TOKEN, "--ca", crt]);
        let sent = send.args(["--app", &APP.to_string()]).output().await.unwrap();
        let said = String::from_utf8(sent.stderr).unwrap();
        assert_eq!(sent.status.success(), is_trusted, "{said}");
        match is_trusted {
            true => assert_eq!(trusted.of("chain").0, "ok", "{:#}", trusted.json),
            false => {
                trusted.is("chain", "wrong", "signed by itself");
                trusted.is("chain", "wrong", "basicConstraints=critical,CA:FALSE");
                assert!(said.contains("CA:TRUE") && said.contains("basicConstraints=critical,CA:FALSE"), "{said}");
                assert!(!trusted.json.to_string().contains("OtherError"), "{:#}", trusted.json);
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_of_chat_is_found_out() {
    let authorities = Authorities::new();
    let with_clients = authorities.gateway("127.0.0.1", true, |_| {}).await;
    drop(with_clients);
    std::fs::write(authorities.file("clients.pem"), authorities.root.pem()).unwrap();
    let more = format!(", client_ca = \"{}\"", authorities.file("clients.pem").display());
    let gateway = TestGateway::start(&with_tls(authorities.dir.path(), &more)).await;
    let found = authorities.examine(&gateway).await;
    assert_eq!(found.code, Some(1));
    let wrong = found.json.to_string();
    assert!(wrong.contains("asks its clients for a certificate"), "{:#}", found.json);
}

/// What a server of one's own says to everybody, after a while.
async fn server(status: &str, headers: &str, body: &str, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer.clone(), delay));
        }
    });
    address
}

/// Answers each request once it is whole; ends the connection where the answer says so.
async fn serve(mut stream: TcpStream, answer: String, delay: Duration) -> std::io::Result<()> {
    let mut read = Vec::new();
    loop {
        while let Some(length) = whole(&read) {
            read.drain(..length);
            tokio::time::sleep(delay).await;
            stream.write_all(answer.as_bytes()).await?;
            if answer.contains("Connection: close") {
                return Ok(());
            }
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
}

/// The length of the first request, once it is whole.
fn whole(read: &[u8]) -> Option<usize> {
    let head = read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&read[..head]).ok()?;
    let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: "))?;
    let end = head + length.parse::<usize>().ok()?;
    (read.len() >= end).then_some(end)
}

#[tokio::test]
async fn a_redirect_is_nothing_that_chat_follows() {
    let location = "Location: https://chat.example.com/callback\r\n";
    let address = server("301 Moved Permanently", location, "", Duration::ZERO).await;
    let found = found(&format!("http://{address}/"), &["--token", TOKEN]).await;
    assert_eq!((found.code, found.all("wrong")), (Some(1), vec!["empty body"]), "{:#}", found.json);
    found.is("empty body", "wrong", "redirects to https://chat.example.com/callback");
    found.is("empty body", "wrong", "not known to follow redirects");
}

#[tokio::test]
async fn an_answer_that_is_not_json_is_shown_by_its_beginning() {
    let address = server("200 OK", "", "<html>\n<h1>It works!</h1>", Duration::ZERO).await;
    let found = found(&format!("http://{address}/"), &["--token", TOKEN]).await;
    assert_eq!(found.code, Some(1));
    found.is("empty body", "wrong", "not a JSON object: <html> <h1>It works!</h1>");
    assert_eq!(found.of("right Sign").0, "wrong");
}

#[tokio::test]
async fn a_clock_that_is_wrong_and_a_connection_that_is_not_kept_are_seen() {
    let headers = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n";
    let address = server("200 OK", headers, OK, Duration::ZERO).await;
    let found = found(&format!("http://{address}/"), &["--commands", "Group.*"]).await;
    assert_eq!((found.code, found.all("wrong")), (Some(1), vec!["clock"]), "{:#}", found.json);
    found.is("clock", "wrong", "behind this machine's");
    found.is("kept connection", "warning", "closes it after an answer");
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_two_seconds_is_wrong() {
    let address = server("200 OK", "", OK, Duration::from_millis(2100)).await;
    let found = found(&format!("http://{address}/"), &["--commands", "State.StateChange"]).await;
    assert_eq!((found.code, found.all("wrong")), (Some(1), vec!["first answer", "answer time"]), "{:#}", found.json);
    found.is("first answer", "wrong", "two seconds");
}

#[tokio::test]
async fn who_takes_connections_and_says_nothing_does_not_hold_it_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let began = Instant::now();
    let (plain, tls) = (format!("http://{address}/"), format!("https://{address}/"));
    let authorities = Authorities::new();
    let ca = authorities.ca();
    let trusting = ["--ca", &ca];
    let (plain, tls) = tokio::join!(found(&plain, &[]), found(&tls, &trusting));
    plain.is("empty body", "wrong", "no answer within 5s");
    tls.is("tls", "wrong", "no TLS within 5s");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn https_at_a_port_without_tls_is_said_to_be_that() {
    let authorities = Authorities::new();
    let gateway = TestGateway::start(&config("")).await;
    let found = authorities.examine(&gateway).await;
    assert_eq!(found.code, Some(1));
    found.is("tls", "wrong", "does not speak TLS");
}
