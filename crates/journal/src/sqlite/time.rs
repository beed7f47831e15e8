//! Times as they are in the database: milliseconds since 1970.

use std::time::{Duration, SystemTime};

pub(super) fn to_millis(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}

pub(super) fn from_millis(at: i64) -> SystemTime {
    let distance = Duration::from_millis(at.unsigned_abs());
    let time = match at >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(distance),
        false => SystemTime::UNIX_EPOCH.checked_sub(distance),
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A duration in milliseconds, at most what the database can hold.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
