//! How far a run is, on standard error: one line that changes on a terminal, else a line now and then.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use chathook_simulator::Progress;
use tokio::sync::watch::Receiver;

/// Between two lines where there is no terminal.
const NOW_AND_THEN: Duration = Duration::from_secs(5);

/// Shows what comes, until the run is over.
pub(super) async fn show(mut progress: Receiver<Progress>) {
    let is_terminal = std::io::stderr().is_terminal();
    let mut next = NOW_AND_THEN;
    while progress.changed().await.is_ok() {
        let now = progress.borrow_and_update().clone();
        if is_terminal {
            // Nothing wraps meanwhile: on a narrow terminal the line ends at its edge.
            write(&format!("\r\u{1b}[K\u{1b}[?7l{}\u{1b}[?7h", line(&now)));
        } else if now.elapsed >= next {
            write(&format!("{}\n", line(&now)));
            next = now.elapsed + NOW_AND_THEN;
        }
    }
    if is_terminal {
        write("\r\u{1b}[K");
    }
}

/// Who does not look has seen enough.
fn write(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

fn line(now: &Progress) -> String {
    let mut line = clock(now.elapsed);
    if let Some(total) = now.total {
        line = format!("{line} of {}", clock(total));
    }
    let phase = if now.is_warm { "" } else { "  warming up" };
    let p99 = now.p99.as_secs_f64() * 1e3;
    let mut line = format!(
        "{line}{phase}  {} callbacks  {:.0}/s  p99 {p99:.1} ms  {} failed",
        now.callbacks, now.per_second, now.failed
    );
    if now.behind > Duration::from_millis(100) {
        line = format!("{line}  {:.1} s behind", now.behind.as_secs_f64());
    }
    line
}

fn clock(time: Duration) -> String {
    format!("{:02}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chathook_simulator::Progress;

    use super::line;

    #[test]
    fn a_line_says_how_far_it_is() {
        let mut now = Progress::default();
        now.elapsed = Duration::from_secs(61);
        now.total = Some(Duration::from_mins(2));
        now.callbacks = 1200;
        now.per_second = 20.4;
        now.p99 = Duration::from_micros(1260);
        assert_eq!(line(&now), "01:01 of 02:00  warming up  1200 callbacks  20/s  p99 1.3 ms  0 failed");
        now.is_warm = true;
        now.failed = 3;
        now.behind = Duration::from_millis(1500);
        assert_eq!(line(&now), "01:01 of 02:00  1200 callbacks  20/s  p99 1.3 ms  3 failed  1.5 s behind");
    }
}
