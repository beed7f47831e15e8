#![doc = include_str!("../README.md")]

mod builder;
mod ctx;
mod decider;
mod error;
mod fallback;
mod router;

pub use builder::RouterBuilder;
pub use ctx::{Client, Ctx};
pub use decider::{Decider, Deciding, NoDecider, Outcome, Question, Running, Said, Step};
pub use error::{BoxError, BuildError, DispatchError};
pub use fallback::{FallbackError, FallbackReason, Fallbacks};
pub use router::{Decided, Router};
