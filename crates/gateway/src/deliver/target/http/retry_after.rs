//! `Retry-After`: when a service wants to be asked again.

use std::time::{Duration, SystemTime};

use hyper::header::{HeaderMap, RETRY_AFTER};

/// How long from `now`: seconds, or a date. None where it is missing or neither.
pub(super) fn read(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are a long time.
        true if !value.is_empty() => Some(value.parse().map_or(Duration::MAX, Duration::from_secs)),
        _ => Some(httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER};

    #[test]
    fn seconds_and_dates_are_read() {
        let now = UNIX_EPOCH + Duration::from_secs(1_718_000_000);
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("3600", Some(3600)),
            ("86400", Some(86_400)),
            ("Mon, 10 Jun 2024 06:14:20 GMT", Some(60)),
            ("Monday, 10-Jun-24 06:14:20 GMT", Some(60)),
            ("Mon, 10 Jun 2024 05:00:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            assert_eq!(super::read(&headers, now), seconds.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(super::read(&HeaderMap::new(), now), None);
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("99999999999999999999999"))]);
        assert_eq!(super::read(&headers, now), Some(Duration::MAX));
    }
}
