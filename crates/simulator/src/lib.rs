#![doc = include_str!("../README.md")]

pub mod app;
pub mod target;
pub mod request;
pub mod client;
pub mod connection;
pub mod error;
pub mod verdict;
pub mod samples;
pub mod shapes;
pub mod flow;
pub mod scenario;
pub mod run;
pub mod report;
mod plan;
mod rng;

pub use app::App;
pub use client::{CHAT_WAITS, Client, Exchange, Response, Settings};
pub use connection::{Connection, Tls};
pub use error::{OwnLimit, SendError};
pub use flow::{Flow, UnknownFlow};
pub use report::{Ending, Figures, Latency, Report, Threshold, Thresholds};
pub use request::Request;
pub use run::{Progress, Run, RunError};
pub use scenario::{Extent, Population, Rate, Scenario, ScenarioError};
pub use shapes::Shapes;
pub use target::{Target, TargetError};
pub use verdict::{Console, Failure, FailureKind, OnTimeout, Rewrite, Verdict, VerdictKind};
