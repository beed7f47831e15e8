//! Nothing acknowledged is lost, and everybody else goes on, while a target or the gateway fails: counted in each test.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chathook_tests::{
    Behaviour, Down, Gate, MESSAGE, Name, OK, Request, Tally, TestDecider, TestGateway, binary, config, eventually,
    http_target, message, now, target,
};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, interval, sleep};

use crate::deliver::kept_in;

const BEFORE: &str = "Group.CallbackBeforeSendMsg";

fn is_poison(request: &Request) -> bool {
    request.text().contains(r#""GroupId":"bad","From_Account":"u_501","MsgSeq":2,"#)
}

#[tokio::test]
async fn a_poison_event_holds_up_its_conversation_and_nobody_else() {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let service =
        TestDecider::start(move |request, _| match is_poison(request) && !is_mended.load(Ordering::Relaxed) {
            true => Behaviour::answer(500, &[], ""),
            false => Behaviour::json(OK),
        })
        .await;
    let gateway = TestGateway::start(&(config("") + &http_target("crm", &service.url("/"), ""))).await;
    let tally = Tally::default();
    tokio::join!(tally.send(&gateway, "bad", 1..=20), tally.send(&gateway, "good", 1..=20));
    // All of the good, and the first of the bad.
    gateway.deliveries("crm", "delivered", 21).await;
    mended.store(true, Ordering::Relaxed);
    gateway.deliveries("crm", "delivered", 40).await;
    let figures = tally.nothing_is_lost(service.messages(), gateway.dead_messages("crm").await);
    assert_eq!((figures.acknowledged, figures.delivered, figures.dead, figures.late), (40, 40, 0, 0));
}

#[tokio::test]
async fn a_poison_event_is_a_dead_letter_in_the_end_and_its_conversation_goes_on() {
    let service = TestDecider::start(|request, _| match is_poison(request) {
        true => Behaviour::answer(500, &[], ""),
        false => Behaviour::json(OK),
    })
    .await;
    let target = http_target("crm", &service.url("/"), "").replace("attempts = 10000", "attempts = 5");
    let gateway = TestGateway::start(&(config("") + &target)).await;
    let tally = Tally::default();
    tokio::join!(tally.send(&gateway, "bad", 1..=20), tally.send(&gateway, "good", 1..=20));
    gateway.is_drained("crm").await;
    let taken = service.requests().into_iter().filter(|request| !is_poison(request));
    let taken = Name::all(&taken.collect::<Vec<_>>());
    let figures = tally.nothing_is_lost(taken, gateway.dead_messages("crm").await);
    assert_eq!((figures.acknowledged, figures.delivered, figures.duplicates, figures.dead), (40, 39, 0, 1));
    assert_eq!(service.asked(), 39 + 5);
}

#[tokio::test]
async fn a_target_that_is_down_or_slow_delays_nobody_else_and_gets_all_in_the_end() {
    let (down, slow, good) = (Down::new(), Gate::default(), TestDecider::answering("").await);
    let gate = slow.clone();
    let slow_service = TestDecider::start(move |_, _| Behaviour::json("").once(&gate)).await;
    let toml = config("")
        + &http_target("down", &down.url("/"), "")
        + &http_target("slow", &slow_service.url("/"), "concurrency = 4")
        + &http_target("good", &good.url("/"), "");
    let gateway = TestGateway::start(&toml).await;
    let tally = Tally::default();
    tally.send_groups(&gateway, ("g", 20), 0..5).await;
    gateway.deliveries("good", "delivered", 100).await;
    gateway.metric_becomes(r#"chathook_delivery_backlog{target="down"}"#, 100.0).await;
    assert_eq!(slow_service.asked(), 4);
    let down = down.start(|_, _| Behaviour::json(""));
    slow.open();
    for (target, service) in [("down", &down), ("slow", &slow_service), ("good", &good)] {
        gateway.deliveries(target, "delivered", 100).await;
        gateway.is_drained(target).await;
        let figures = tally.nothing_is_lost(service.messages(), gateway.dead_messages(target).await);
        let expected = (100, 100, 0, 0);
        assert_eq!((figures.acknowledged, figures.delivered, figures.duplicates, figures.dead), expected, "{target}");
    }
}

/// A real file system that is full: a small one in memory, that only the gateway sees. Then a file in it is removed.
#[tokio::test]
async fn a_file_on_a_full_disk_has_whole_lines_and_gets_the_others_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_str().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=1m none {place} && head -c 1000000 /dev/zero > {place}/ballast && exec \"$0\" \"$@\""
    );
    let toml = config("") + &target("archive", &format!("file.path = \"{place}/events.ndjson\""));
    let gateway = TestGateway::program("unshare", &toml, |command, file| {
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        command.arg(binary()).args(["serve", "--config"]).arg(file);
    })
    .await;
    let place = format!("/proc/{}/root{place}", gateway.pid());
    let tally = Tally::default();
    tally.send_groups(&gateway, ("g", 8), 0..40).await;
    gateway.logged("No space left on device").await;
    std::fs::remove_file(format!("{place}/ballast")).unwrap();
    gateway.deliveries("archive", "delivered", 320).await;
    gateway.is_drained("archive").await;
    let text = std::fs::read_to_string(format!("{place}/events.ndjson")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a whole line"));
    let came: Vec<Name> = lines.map(|event| Name::of(&event["data"])).collect();
    let figures = tally.nothing_is_lost(came, gateway.dead_messages("archive").await);
    assert_eq!((figures.delivered, figures.duplicates, figures.dead), (320, 0, 0));
}

#[tokio::test]
async fn a_target_that_is_down_for_a_minute_under_load_gets_everything_in_order_afterwards() {
    const DOWN: Duration = Duration::from_mins(1);
    const GROUPS: usize = 16;
    let service = TestDecider::answering(OK).await;
    // As by default, but for the longest pause: the test does not wait for it.
    let target = format!(
        "[[target]]\nname = \"crm\"\nretry = {{ first = \"1s\", max = \"2s\" }}\nhttp.url = {:?}\n",
        service.url("/")
    );
    let gateway = TestGateway::start(&(config("") + &target)).await;
    let (tally, is_over) = (Tally::default(), AtomicBool::new(false));
    let load = async {
        let mut pace = interval(Duration::from_millis(100));
        for n in 0.. {
            pace.tick().await;
            tally.send_groups(&gateway, ("g", GROUPS), [n]).await;
            if is_over.load(Ordering::Relaxed) {
                break;
            }
        }
    };
    let outage = async {
        tally.has_acknowledged(100).await;
        let before = tally.acknowledged();
        let (down, requests) = service.go_down().await;
        let since = Instant::now();
        sleep(DOWN).await;
        let during = tally.acknowledged() - before;
        assert!(during > 1000, "the load went on: {during} in {:?}", since.elapsed());
        gateway.retries("crm").await;
        let service = down.start(|_, _| Behaviour::json(OK));
        // New events come while the backlog goes.
        tally.has_acknowledged(before + during + 100).await;
        is_over.store(true, Ordering::Relaxed);
        (requests, service)
    };
    let ((), (requests, service)) = tokio::join!(load, outage);
    gateway.is_drained("crm").await;
    let came = Name::all(&requests).into_iter().chain(service.messages());
    let figures = tally.nothing_is_lost(came, gateway.dead_messages("crm").await);
    assert_eq!((figures.delivered, figures.dead, figures.late), (figures.acknowledged, 0, 0), "{figures}");
    // Those that it had when it went down, and had not answered.
    assert!(figures.duplicates <= GROUPS, "{figures}");
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_gateway_is_killed_at_any_moment() {
    const KILLS: usize = 60;
    const GROUPS: usize = 4;
    let dir = tempfile::tempdir().unwrap();
    let service = TestDecider::answering(OK).await;
    let toml = kept_in(dir.path(), &http_target("crm", &service.url("/"), ""));
    let file = dir.path().join("chathook.toml");
    std::fs::write(&file, &toml).unwrap();
    let (tally, seed) = (Tally::default(), u64::from(std::process::id()) ^ now());
    println!("moments by the seed {seed}");
    for (round, moment) in moments(seed).take(KILLS).enumerate() {
        // Each sixth time while it starts: what it finds is what the last one left behind.
        if round % 6 == 5 {
            let mut starting = Command::new(binary());
            starting.args(["serve", "--config"]).arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
            let mut starting = starting.kill_on_drop(true).spawn().unwrap();
            sleep(moment).await;
            starting.kill().await.unwrap();
            continue;
        }
        let gateway = TestGateway::start(&toml).await;
        let killed = async {
            sleep(moment).await;
            gateway.signal("KILL");
        };
        tokio::join!(tally.send_groups(&gateway, ("g", GROUPS), round as u64 * 1_000_000..), killed);
        gateway.ended().await;
    }
    let gateway = TestGateway::start(&toml).await;
    tally.send_groups(&gateway, ("g", GROUPS), [KILLS as u64 * 1_000_000]).await;
    gateway.is_drained("crm").await;
    let figures = tally.nothing_is_lost(service.messages(), gateway.dead_messages("crm").await);
    assert!(figures.acknowledged > KILLS, "{figures}");
    assert_eq!(figures.dead, 0, "{figures}");
    // What was on its way, or not yet noted as delivered: one of each group a time.
    assert!(figures.duplicates <= GROUPS * KILLS, "{figures}");
    gateway.keeps(MESSAGE, &message("new", 0)).await;
}

/// Moments of the first 150 ms, by chance.
fn moments(seed: u64) -> impl Iterator<Item = Duration> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros((state >> 33) % 150_000)
    })
}

/// A real file system that is full: one in memory, that only the gateway sees. Then a large file in it is removed.
#[tokio::test]
async fn on_a_full_disk_decisions_go_on_and_all_that_was_acknowledged_is_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let (place, ballast) = (dir.path().display(), dir.path().join("ballast"));
    let script = format!(
        "mount -t tmpfs -o size=48m none {place} && head -c 47000000 /dev/zero > {place}/ballast && exec \"$0\" \"$@\""
    );
    let service = TestDecider::answering(OK).await;
    let toml = kept_in(dir.path(), &http_target("crm", &service.url("/"), ""));
    let gateway = TestGateway::program("unshare", &toml, |command, file| {
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        command.arg(binary()).args(["serve", "--config"]).arg(file);
    })
    .await;
    let (tally, is_over) = (Tally::default(), AtomicBool::new(false));
    let load = tally.send_groups(&gateway, ("g", 8), (0..).take_while(|_| !is_over.load(Ordering::Relaxed)));
    let full = async {
        eventually("a full disk", async || gateway.get("/readyz").await.status == 503).await;
        let refused = gateway.post(MESSAGE, message("refused", 1)).await;
        assert_eq!(
            (refused.status, refused.body.as_str()),
            (503, r#"{"ActionStatus":"FAIL","ErrorInfo":"cannot be kept","ErrorCode":1}"#)
        );
        for _ in 0..20 {
            let decided = gateway.post(BEFORE, r#"{"GroupId":"g","From_Account":"u","MsgBody":[]}"#).await;
            assert_eq!((decided.status, decided.body.as_str()), (200, OK));
        }
        let ready = gateway.get("/readyz").await;
        assert!(ready.status == 503 && ready.body.contains("full"), "{}", ready.body);
        std::fs::remove_file(format!("/proc/{}/root{}", gateway.pid(), ballast.display())).unwrap();
        eventually("room", async || gateway.get("/readyz").await.status == 200).await;
        tally.has_acknowledged(tally.acknowledged() + 200).await;
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(load, full);
    gateway.is_drained("crm").await;
    let lost = gateway.metric(&format!(r#"chathook_callbacks_total{{command="{MESSAGE}",outcome="lost"}}"#)).await;
    assert!(lost >= 1.0, "{lost} refused");
    let figures = tally.nothing_is_lost(service.messages(), gateway.dead_messages("crm").await);
    assert_eq!((figures.delivered, figures.duplicates, figures.dead), (figures.acknowledged, 0, 0), "{figures}");
}
