use chathook_router::{DispatchError, FallbackReason};

use crate::http_client::{NoUrl, root_cause};

/// Why a service gave no decision. The names of the variants are the reasons in metrics. None says what users wrote, or
/// what the service did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Failure {
    /// There is no connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke, or what came is not HTTP.
    #[error("no answer: {0}")]
    Io(String),
    /// It answered with another status than 200.
    #[error("it answered {0} and not 200")]
    Status(u16),
    /// Its answer is not JSON.
    #[error("its answer is not JSON, from line {line}, column {column}")]
    NotJson { line: usize, column: usize },
    /// Its answer is none that the command allows.
    #[error("its answer is not allowed: {0}")]
    Illegal(String),
    /// Its answer is longer than the limit.
    #[error("its answer is longer than {0} bytes")]
    TooLarge(usize),
    /// The callback does not fit into a request.
    #[error("it cannot be asked: {0}")]
    Decode(&'static str),
    /// It has enough to do.
    #[error("as many requests as it may have are at work")]
    Overload,
    /// It failed too often of late.
    #[error("it failed too often, and is left alone")]
    Breaker,
}

impl Failure {
    /// `error` without its text, which may quote the answer.
    pub(super) fn of_json(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        match error.is_data() {
            true => Self::Illegal(format!("what stands at line {line}, column {column} does not belong there")),
            false => Self::NotJson { line, column },
        }
    }

    pub(super) fn of_client(error: &hyper_util::client::legacy::Error) -> Self {
        match error.is_connect() {
            true => Self::Connect(root_cause(error)),
            false => Self::Io(root_cause(error)),
        }
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self::Io(root_cause(&error))
    }
}

impl From<NoUrl> for Failure {
    fn from(_: NoUrl) -> Self {
        Self::Decode(NoUrl::WHY)
    }
}

impl From<Failure> for DispatchError {
    fn from(failure: Failure) -> Self {
        let counts_as = match failure {
            Failure::Overload | Failure::Breaker => FallbackReason::Overload,
            Failure::Decode(_) => FallbackReason::Decode,
            _ => FallbackReason::Error,
        };
        Self::Decider { reason: (&failure).into(), counts_as, source: failure.into() }
    }
}

#[cfg(test)]
mod tests {
    use chathook_router::{DispatchError, FallbackReason};

    use super::Failure;

    #[test]
    fn each_failure_has_its_reason_and_its_place_among_fallbacks() {
        let text = String::new;
        for (failure, word, fallback) in [
            (Failure::Connect(text()), "connect", FallbackReason::Error),
            (Failure::Io(text()), "io", FallbackReason::Error),
            (Failure::Status(204), "status", FallbackReason::Error),
            (Failure::NotJson { line: 1, column: 0 }, "not_json", FallbackReason::Error),
            (Failure::Illegal(text()), "illegal", FallbackReason::Error),
            (Failure::TooLarge(1), "too_large", FallbackReason::Error),
            (Failure::Decode(""), "decode", FallbackReason::Decode),
            (Failure::Overload, "overload", FallbackReason::Overload),
            (Failure::Breaker, "breaker", FallbackReason::Overload),
        ] {
            let error = DispatchError::from(failure);
            assert_eq!((error.reason(), FallbackReason::from(&error)), (word, fallback));
        }
    }
}
