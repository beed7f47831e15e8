//! `deploy/systemd`: the unit as systemd sees it, and as the gateway needs it.

use std::process::Command;

use chathook_gateway::Config;
use chathook_tests::binary;

use crate::prometheus::read;

fn unit() -> String {
    read("systemd/chathook.service")
}

/// The values of a key, in their order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn systemd_takes_the_unit_and_finds_it_safe() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chathook.service");
    // Systemd looks whether the program is there.
    let program = binary().to_str().unwrap();
    std::fs::write(&file, unit().replace("/usr/local/bin/chathook", program)).unwrap();
    // The exposure is from 0 to 10, times ten here.
    for call in [&["verify", "--man=no"][..], &["security", "--offline=yes", "--threshold=15", "--no-pager"]] {
        let output = Command::new("systemd-analyze").args(call).arg(&file).output();
        let output = output.expect("systemd-analyze is installed by tests/run");
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && complained.is_empty(), "{call:?}: {said}{complained}");
    }
}

#[test]
fn it_has_the_time_to_stop_that_the_gateway_may_take() {
    let unit = unit();
    let app = "[[app]]\nsdk_app_id = 1\nunsigned = true\n";
    let shutdown = Config::parse(app, "chathook.toml".as_ref(), Vec::new()).unwrap().shutdown;
    let stop: u64 = values(&unit, "TimeoutStopSec")[0].parse().unwrap();
    // Callbacks and then deliveries have the grace each, and the journal is closed after that.
    assert!(stop >= (shutdown.delay + 2 * shutdown.grace).as_secs() + 5);
    assert!(values(&unit, "ExecReload").is_empty(), "SIGHUP ends it");
    assert_eq!(values(&unit, "KillSignal"), ["SIGTERM"]);
}

#[test]
fn the_token_is_where_the_unit_puts_it() {
    let unit = unit();
    let credential = values(&unit, "LoadCredential")[0];
    let (name, _) = credential.split_once(':').unwrap();
    let file = format!("/run/credentials/chathook.service/{name}");
    assert!(unit.contains(&file) && read("README.md").contains(&file), "{file}");
    // A wrong configuration ends with 2, and is not tried again and again.
    assert_eq!(values(&unit, "RestartPreventExitStatus"), ["2"]);
}
