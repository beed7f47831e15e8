//! Operations of the application as a whole.

mod request_over_limit;

pub use self::request_over_limit::RequestOverLimit;
