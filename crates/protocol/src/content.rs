//! Content moderation.

mod result_notify;

pub use self::result_notify::{Contact, ContactType, ContentType, CtxcbResult, Label, ResultNotify, Scene, Suggestion};
