use super::{AnyDecision, Codes, Decision, Form, Reply, sealed};
use crate::callback::Phase;
use crate::reply;
use crate::types::UserId;

/// A plain yes or no, with codes of the kind `C` for the no.
///
/// Nothing is dropped in silence, other than a [message](super::SendDecision::drop_silently):
///
/// ```compile_fail,E0599
/// # use chathook_protocol::group;
/// group::Permission::drop_silently();
/// ```
#[derive(Debug, Clone)]
pub struct Permission<C>(Choice<C>);

#[derive(Debug, Clone)]
enum Choice<C> {
    Allow,
    Refuse,
    Reject { code: C, info: String },
}

impl<C: Codes> Permission<C> {
    /// Yes.
    #[must_use]
    pub fn allow() -> Self {
        Self(Choice::Allow)
    }

    /// No; the client sees Chat's general refusal.
    #[must_use]
    pub fn refuse() -> Self {
        Self(Choice::Refuse)
    }

    /// No; the client sees `code` and `info`.
    #[must_use]
    pub fn reject(code: C, info: impl Into<String>) -> Self {
        Self(Choice::Reject { code, info: info.into() })
    }
}

impl<C> sealed::Sealed for Permission<C> {}

impl<C: Codes> Reply for Permission<C> {
    const PHASE: Phase = Phase::Before;
    const NAME: &'static str = "Permission";
    const FORM: Form = Form::Permission(C::RANGE);

    fn into_decision(self) -> AnyDecision {
        let choice = match self.0 {
            Choice::Allow => reply::Choice::Allow,
            Choice::Refuse => reply::Choice::Refuse { code: 1, info: String::new() },
            Choice::Reject { code, info } => reply::Choice::Refuse { code: code.number(), info },
        };
        AnyDecision::new(Self::FORM, choice)
    }
}

impl<C: Codes> Decision for Permission<C> {
    fn allowing(_asked: &[UserId]) -> Self {
        Self::allow()
    }
}
