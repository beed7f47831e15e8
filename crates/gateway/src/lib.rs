//! The one gateway for every server callback of Tencent Cloud Chat.
//!
//! The binary `chathook` is one way to run it. The other is this library in a program of one's own, with handlers:
//!
//! ```no_run
//! use chathook_gateway::{Config, Gateway};
//! use chathook_protocol::{group, sns};
//! use chathook_router::{BoxError, Ctx};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     Gateway::builder(Config::load("config/local.toml")?)
//!         .before(|_cx: Ctx, _msg: group::BeforeSendMsg| async move { Ok(group::SendDecision::allow()) })
//!         .after(|_cx: Ctx, added: sns::BlackListAdd| async move {
//!             println!("{} entries", added.pairs.len());
//!             Ok(())
//!         })
//!         .run()
//!         .await
//! }
//! ```
//!
//! A program that sets up a log of its own, in place of [`telemetry::Config::start`], should turn
//! `lapin::returned_messages` off in it: RabbitMQ's client warns there with the bodies of messages that no queue took.

pub mod cli;
mod condition;
pub mod config;
pub mod decide;
pub mod deliver;
mod drift;
mod gateway;
pub mod http;
mod http_client;
pub mod journal;
mod metrics;
mod reload;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod traces;
pub mod verify;

pub use config::{Config, ConfigError, Secret};
pub use gateway::{Gateway, GatewayBuilder, StartError};

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
