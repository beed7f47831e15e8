//! The load: the simulator, which sends from one thread of this process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chathook_protocol::Command;
use chathook_simulator::report::Name;
use chathook_simulator::{
    App, Console, Ending, Extent, Flow, Population, Rate, Report, Run, Scenario, Thresholds, VerdictKind,
};

use crate::server::{APP, Server, TOKEN};

/// What is sent, and how fast.
pub(crate) struct Load {
    pub(crate) app: App,
    /// Commands with their weights.
    pub(crate) mix: Vec<(Command, u32)>,
    pub(crate) rate: Rate,
    pub(crate) connections: usize,
}

impl Load {
    /// Signed callbacks of one command, on 64 connections, as many as are answered.
    pub(crate) fn of(command: Command) -> Self {
        Self { app: App::signed(APP, TOKEN), mix: vec![(command, 1)], rate: Rate::Max, connections: 64 }
    }

    /// Sends it for some time.
    pub(crate) fn send_for(&self, time: Duration, server: &Server) -> Report {
        self.send(Extent::Duration(time), server)
    }

    /// Sends so many callbacks.
    pub(crate) fn send_many(&self, count: u64, server: &Server) -> Report {
        self.send(Extent::Count(count), server)
    }

    fn send(&self, extent: Extent, server: &Server) -> Report {
        let scenario = Scenario {
            name: "benchmark".to_owned(),
            description: String::new(),
            seed: 1,
            extent,
            warm_up: Duration::ZERO,
            rate: self.rate,
            connections: self.connections,
            request_id: false,
            population: Population::default(),
            mix: self.mix.iter().map(|(command, weight)| (Flow::Command(*command), *weight)).collect(),
            console: Console::default(),
            thresholds: Thresholds::default(),
        };
        let url = format!("http://{}/", server.address).parse().unwrap();
        let run = Run::new(scenario, [url], self.app.clone()).epoch(epoch());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let report = runtime.block_on(run.until(std::future::pending())).unwrap();
        check(&report);
        report
    }
}

/// The time that the next run's callbacks begin to bear. Sequence numbers count from there: no callback comes twice.
fn epoch() -> Duration {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now + Duration::from_secs(10) * u32::try_from(RUNS.fetch_add(1, Ordering::Relaxed)).unwrap()
}

/// Every callback was let through or acknowledged.
fn check(report: &Report) {
    let count = |kind| report.all.verdicts.get(&Name(kind)).copied().unwrap_or_default();
    let good = count(VerdictKind::Allowed) + count(VerdictKind::Acknowledged);
    let all_good = good > 0 && good == report.callbacks && report.ending == Ending::Completed;
    assert!(all_good, "there were wrong answers:\n{report}");
}
