//! The clock of a run, on a thread of its own: timers of a runtime count in milliseconds, which is more than many an answer
//! takes.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::Shared;

/// More often nobody is woken: flows that are due within this come together, this much late at most.
const SHORTEST: Duration = Duration::from_micros(50);

/// At least as often it looks what has changed.
const LONGEST: Duration = Duration::from_millis(5);

/// Wakes connections when something is due, until nothing is any more.
pub(super) fn run(shared: &Shared) {
    loop {
        let now = Instant::now();
        let (due, next) = {
            let mut agenda = shared.agenda();
            if agenda.is_over() {
                break;
            }
            agenda.release(now)
        };
        for _ in 0..due.min(shared.waiting.load(Ordering::SeqCst)) {
            shared.ready.notify_one();
        }
        let pause = next.map_or(LONGEST, |next| next.saturating_duration_since(now));
        thread::sleep(pause.clamp(SHORTEST, LONGEST));
    }
    shared.ready.notify_waiters();
}
