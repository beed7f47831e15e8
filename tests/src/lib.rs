//! Starts the gateway as a process or as a library on free ports, talks to it over real sockets, and reads its metrics
//! and its log.

mod certificates;
mod clock;
mod corpus;
mod decider;
mod delivery;
mod gateway;
mod network;
mod servers;
mod wire;

pub use certificates::Certificates;
pub use clock::Clock;
pub use corpus::{Sample, samples, shapes};
pub use decider::{Behaviour, Down, Gate, Request, TestDecider, http_decider};
pub use delivery::{CHANGE, Figures, MESSAGE, Name, Tally, change, eventually, http_target, message, target};
pub use gateway::{Exit, TestGateway, binary, config, example, journal_in};
pub use network::Network;
pub use servers::{Leaderless, Server};
pub use wire::{Connection, Response, request};

/// The application of all tests.
pub const APP: u64 = 1_400_000_001;
/// Its token.
pub const TOKEN: &str = "k3y-Example_01";
/// The answer that allows and acknowledges.
pub const OK: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#;
/// The answer to whom nothing is said.
pub const REFUSED: &str = r#"{"ActionStatus":"FAIL","ErrorInfo":"refused","ErrorCode":1}"#;

/// Unix seconds.
#[must_use]
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The query of a callback as Chat writes it, signed with [`TOKEN`].
#[must_use]
pub fn signed(command: &str) -> String {
    signed_at(command, now())
}

/// The same, signed at `time`.
#[must_use]
pub fn signed_at(command: &str, time: u64) -> String {
    let sign = chathook_protocol::signature::sign(TOKEN, time);
    format!("{}&Sign={sign}&RequestTime={time}", unsigned(command))
}

/// The same without a signature.
#[must_use]
pub fn unsigned(command: &str) -> String {
    format!("SdkAppid={APP}&CallbackCommand={command}&contenttype=json&ClientIP=203.0.113.7&OptPlatform=RESTAPI")
}
