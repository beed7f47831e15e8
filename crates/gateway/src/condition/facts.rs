//! What conditions look at.

mod fields;
mod payload;
mod query;

use std::time::{SystemTime, UNIX_EPOCH};

use cel::common::types::CelTimestamp;
use cel::common::value::Val;
use chrono::DateTime;

use self::fields::Fields;
pub(super) use self::query::{DOCUMENTED, HIDDEN};

/// What conditions look at. Made at most once a callback, and shared by all conditions on it: each part is read when one
/// of them looks at it.
pub(crate) struct Facts {
    payload: Fields,
    query: Fields,
    time: CelTimestamp,
}

impl Facts {
    /// `query` is that of the URL, without the question mark, `body` the body as it came, and `time` when it arrived.
    pub(crate) fn new(query: &str, body: &[u8], time: SystemTime) -> Self {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or_default();
        let time = DateTime::from_timestamp(seconds, since_epoch.subsec_nanos()).unwrap_or_default();
        Self {
            payload: Fields::new(body, payload::find, payload::read),
            query: Fields::new(query.as_bytes(), query::find, query::read),
            time: time.fixed_offset().into(),
        }
    }

    pub(super) fn payload(&self) -> &dyn Val {
        &self.payload
    }

    pub(super) fn query(&self) -> &dyn Val {
        &self.query
    }

    pub(super) fn time(&self) -> &dyn Val {
        &self.time
    }
}
