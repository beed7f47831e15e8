#![doc = include_str!("../README.md")]

mod builder;
mod ctx;
mod error;
mod fallback;
mod router;

pub use builder::RouterBuilder;
pub use ctx::{Client, Ctx};
pub use error::{BoxError, BuildError, DispatchError};
pub use fallback::{FallbackError, FallbackReason, Fallbacks};
pub use router::{Decided, Router};
