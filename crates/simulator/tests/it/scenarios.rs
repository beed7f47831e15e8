//! Scenarios: what may be written, and that a seed means a run.

use std::collections::BTreeMap;
use std::time::Duration;

use chathook_simulator::{App, Extent, Flow, Rate, Run, Scenario, ScenarioError};
use sha2::{Digest, Sha256};

const EPOCH: Duration = Duration::from_secs(1_764_812_305);

fn error(toml: &str) -> String {
    Scenario::parse(toml).unwrap_err().to_string()
}

/// A scenario with `more`.
fn with(more: &str) -> String {
    format!("name = \"x\"\nrate = 10\n{more}\n[mix]\none-to-one = 1\n")
}

#[test]
fn the_built_in_scenarios_are_what_they_are_called() {
    let names = Scenario::built_in_names();
    assert_eq!(names, ["community", "friend-storm", "live-room", "mixed", "moderation", "one-to-one", "push"]);
    for name in names {
        let scenario = Scenario::load(&name).unwrap();
        assert_eq!(scenario.name, name);
        assert!(!scenario.description.is_empty() && scenario.thresholds.failed.is_some(), "{name}");
        assert_eq!(Scenario::parse(&Scenario::built_in_text(&name).unwrap()).unwrap().name, name);
    }
}

#[test]
fn a_live_room_has_ten_thousand_messages_a_minute() {
    let run = Run::new(Scenario::load("live-room").unwrap(), [], App::unsigned(1)).epoch(EPOCH);
    let minute = |(at, _): &(Duration, _)| *at < Duration::from_mins(1);
    let messages = run
        .preview()
        .take_while(minute)
        .filter(|(_, request)| request.command.as_str() == "Group.CallbackBeforeSendMsg");
    let count = messages.count();
    assert!((9_600..10_400).contains(&count), "{count}");
}

#[test]
fn an_unknown_key_or_name_is_refused_with_the_one_that_was_meant() {
    assert_eq!(error(&with("conections = 3")), "unknown key `conections`; did you mean `connections`?");
    assert_eq!(error(&with("[population]\nuser = 3")), "unknown key `population.user`; did you mean `users`?");
    assert_eq!(error(&with("[console]\nretry = 3")), "unknown key `console.retry`; did you mean `retries`?");
    assert_eq!(error(&with("zzz = 3")), "unknown key `zzz`");
    let mix = |name: &str| error(&format!("name = \"x\"\nrate = 10\n[mix]\n{name} = 1"));
    assert_eq!(mix("one-to-won"), "mix: there is no flow and no command `one-to-won`; did you mean `one-to-one`?");
    let meant = "mix: there is no flow and no command `Group.CallbackBeforeSendMessage`; did you mean `Group.CallbackBeforeSendMsg`?";
    assert_eq!(mix("\"Group.CallbackBeforeSendMessage\""), meant);
    assert_eq!(mix("Group.CallbackBeforeSendMessage"), meant);
    let unknown = Scenario::load("life-room").unwrap_err();
    assert!(matches!(&unknown, ScenarioError::Unknown { nearest: Some(name), .. } if name == "live-room"), "{unknown}");
    assert!(matches!(Scenario::load("nothing/here.toml"), Err(ScenarioError::File { .. })));
}

#[test]
fn what_cannot_be_run_is_refused() {
    for (more, says) in [
        ("count = 0", "count: has to be above 0"),
        ("duration = \"0s\"", "duration: has to be above 0"),
        ("connections = 0", "connections: has to be from 1 to 50000"),
        ("count = 1\nduration = \"1s\"", "count: stands beside `duration`; a run ends after one of them"),
        ("[population]\nusers = 1", "population.users: has to be at least 2: one sends, one receives"),
        ("[population]\nusers = 4294967295", "population.users: has to be at most 1000000"),
        ("[population]\ngroups = 4294967295", "population.groups: has to be at most 1000000"),
        ("[population]\nlive_rooms = 1000001", "population.live_rooms: has to be at most 1000000"),
        (
            "[population]\ncommunities = 1000\ntopics = 1001",
            "population.topics: have to be at most 1000000 in all communities",
        ),
        ("count = 25920001", "count: 25920001 flows take longer than 30 days at this rate"),
        ("count = 9223372036854775807", "count: 9223372036854775807 flows take longer than 30 days at this rate"),
        ("[thresholds]\nfailed = nan", "thresholds.failed: is a share, from 0 to 1"),
        ("[thresholds]\ntimed_out = -0.1", "thresholds.timed_out: is a share, from 0 to 1"),
        ("[thresholds]\nrate = inf", "thresholds.rate: is a share, from 0 to 1"),
        ("[thresholds]\nrate = 99", "thresholds.rate: is a share, from 0 to 1"),
        ("[console]\ntimeout = \"0s\"", "console.timeout: has to be above 0 and at most 10 minutes"),
    ] {
        assert_eq!(error(&with(more)), says);
    }
    assert!(error("name = \"x\"\nrate = 10\n[mix]\none-to-one = 0").starts_with("mix: needs a flow"));
    assert!(error("name = \"x\"\nrate = 10\n[mix]\none-to-one = -1").starts_with("mix: the weight of `one-to-one`"));
    for rate in ["0", "-3", "\"fast\"", "\"3/day\"", "1e9", "nan", "{ poisson = 0 }"] {
        assert!(error(&format!("name = \"x\"\nrate = {rate}\n[mix]\none-to-one = 1")).contains("rate"), "{rate}");
    }
    for (more, says) in [("duration = \"soon\"", "soon"), ("rate = 3", "duplicate key"), ("seed = \"a\"", "seed")] {
        assert!(error(&with(more)).contains(says), "{}", error(&with(more)));
    }
}

#[test]
fn everything_that_may_be_written_is_read() {
    let scenario = Scenario::parse(
        r#"
        name = "all"
        description = "of it"
        seed = 3
        count = 100
        warm_up = "1s"
        rate = { from = 1, to = "600/min", over = "20s" }
        connections = 3
        request_id = true
        population = { users = 3, groups = 1, communities = 1, topics = 1, live_rooms = 1, channels = 1 }
        console = { timeout = "1s", on_timeout = "refuse", retries = 2, retry_after = "5s" }
        thresholds = { p99 = "1s", p99_before = "2s", p99_after = "3s", failed = 0.1, timed_out = 0.2, rate = 0.9 }
        [mix]
        block = 2
        Sns.CallbackFriendDelete = 1
        "#,
    )
    .unwrap();
    assert_eq!(scenario.extent, Extent::Count(100));
    assert_eq!(scenario.rate, Rate::Ramp { from: 1.0, to: 10.0, over: Duration::from_secs(20) });
    assert_eq!(scenario.mix.len(), 2);
    assert!(scenario.mix.contains(&(Flow::Command(chathook_protocol::Command::SnsFriendDelete), 1)));
    assert_eq!(scenario.thresholds.p99_after, Some(Duration::from_secs(3)));
    assert_eq!((scenario.console.retries, scenario.console.retry_after), (2, Duration::from_secs(5)));
    let shortest = Scenario::parse(&with("")).unwrap();
    assert_eq!((shortest.extent, shortest.connections), (Extent::Duration(Duration::from_mins(1)), 64));
}

#[test]
fn a_run_that_would_never_end_is_refused_whatever_its_rate() {
    let slow = |rate| Scenario { rate, extent: Extent::Count(10), ..Scenario::load("mixed").unwrap() };
    for rate in [
        Rate::Constant(1e-300),
        Rate::Poisson(1e-300),
        Rate::Ramp { from: 1e-300, to: 1e-300, over: Duration::from_secs(1) },
    ] {
        assert!(slow(rate).check().unwrap_err().to_string().contains("30 days"), "{rate:?}");
    }
    slow(Rate::Ramp { from: 1e-300, to: 10.0, over: Duration::from_secs(1) }).check().unwrap();
    slow(Rate::Max).check().unwrap();
}

#[test]
fn a_large_population_is_no_trouble() {
    let most = 1_000_000;
    let population = chathook_simulator::Population { users: u32::MAX, ..Default::default() };
    let mut shapes = chathook_simulator::Shapes::new(1, population, EPOCH);
    for _ in 0..100 {
        shapes.request(chathook_protocol::Command::C2cBeforeSendMsg);
    }
    let population = chathook_simulator::Population { users: most, groups: most, live_rooms: most, ..population };
    Scenario { population, ..Scenario::load("mixed").unwrap() }.check().unwrap();
}

#[test]
fn what_is_wrong_in_a_file_is_said_with_its_line() {
    let time = "invalid type: integer `3`, expected a time in quotes, such as \"3s\"";
    assert_eq!(error(&with("duration = 3")), format!("line 3: duration: {time}"));
    assert_eq!(error(&with("[console]\ntimeout = 3")), format!("line 4: timeout: {time}"));
    assert!(error(&with("warm_up = \"soon\"")).starts_with("line 3: warm_up: `soon` is no time, such as \"3s\""));
    assert!(error(&with("seed = \"a\"")).starts_with("line 3: seed: invalid type: string \"a\""));
    assert_eq!(error("name = \"x\"\n[mix]\nblock = 1\n"), "rate: is missing");
    assert_eq!(error("rate = 3\n"), "mix: is missing");
    assert!(error(&with("seed = ")).starts_with("not TOML: line 3: "), "{}", error(&with("seed = ")));
}

#[test]
fn a_file_without_a_name_is_called_as_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("evening.toml");
    std::fs::write(&file, "rate = 10\n[mix]\nblock = 1\n").unwrap();
    assert_eq!(Scenario::load(file.to_str().unwrap()).unwrap().name, "evening");
}

/// When the first `n` flows arrive.
fn arrivals(rate: &str, more: &str, n: usize) -> Vec<Duration> {
    let toml = format!("name = \"x\"\nrate = {rate}\n{more}\nduration = \"24h\"\n[mix]\nblock = 1\n");
    let run = Run::new(Scenario::parse(&toml).unwrap(), [], App::unsigned(1)).epoch(EPOCH);
    run.preview().take(n).map(|(at, _)| at).collect()
}

#[test]
fn flows_arrive_evenly_ever_more_often_or_at_random() {
    let seconds = |times: Vec<Duration>| times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
    assert_eq!(seconds(arrivals("4", "", 3)), [0.0, 0.25, 0.5]);
    assert_eq!(seconds(arrivals("\"120/min\"", "", 3)), [0.0, 0.5, 1.0]);

    // From 10 to 30 a second over 10 seconds: 200 in them, then 30 a second.
    let ramp = seconds(arrivals("{ from = 10, to = 30, over = \"10s\" }", "warm_up = \"2s\"", 400));
    let between = |from: f64, to: f64| ramp.iter().filter(|at| (from..to).contains(*at)).count();
    assert!(ramp.is_sorted());
    assert_eq!(between(0.0, 2.0), 20);
    assert!((199..=201).contains(&between(2.0, 12.0)), "{}", between(2.0, 12.0));
    assert!((29..=31).contains(&between(13.0, 14.0)));

    let poisson = seconds(arrivals("{ poisson = 100 }", "", 10_000));
    assert!(poisson.is_sorted() && (95.0..105.0).contains(poisson.last().unwrap()));
    let gaps: Vec<_> = poisson.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let longer = gaps.iter().filter(|gap| **gap > 0.02).count() as f64 / gaps.len() as f64;
    assert!((0.12..0.15).contains(&longer), "e^-2 of the gaps are longer than two means: {longer}");
}

/// A hash of when the first thousand flows begin and what they begin with.
fn hash(scenario: Scenario) -> String {
    let run = Run::new(scenario, [], App::unsigned(1_400_000_001)).epoch(EPOCH);
    let mut hash = Sha256::new();
    for (at, request) in run.preview().take(1_000) {
        hash.update(at.as_micros().to_le_bytes());
        hash.update(request.query(&App::unsigned(1_400_000_001)));
        hash.update(&request.body);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let mixed = |seed, rate| Scenario { seed, rate, ..Scenario::load("mixed").unwrap() };
    let constant = Rate::Constant(500.0);
    assert_eq!(
        hash(mixed(1, constant)),
        "f9a19a9a3059cf3ada2125bcd74cb5619ffe515260e1bc0225e497ad08bd3295",
        "a seed means another run than before: say so in the changelog"
    );
    let poisson = Rate::Poisson(500.0);
    assert_eq!(hash(mixed(1, poisson)), hash(mixed(1, poisson)));
    assert_ne!(hash(mixed(1, constant)), hash(mixed(2, constant)));
}

#[test]
fn flows_come_as_often_as_their_weights_say() {
    let toml = "name = \"x\"\nrate = 10\nduration = \"24h\"\n[mix]\nblock = 1\nmoderation = 3\npush = 0\n";
    let run = Run::new(Scenario::parse(toml).unwrap(), [], App::unsigned(1)).epoch(EPOCH);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (_, request) in run.preview().take(10_000) {
        *counts.entry(request.command.as_str().split('.').next().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["ContentCallback", "Sns"]);
    assert!((2_300..2_700).contains(&counts["Sns"]), "{counts:?}");
}
