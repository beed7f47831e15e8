use crate::callback::Phase;
use crate::reply::{AnyDecision, Choice, Decision, Form, Reply, sealed};
use crate::types::UserId;

/// The answer to a call out of a bot's task. Only *done* is documented: it neither refuses nor sends values back.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Invoked;

impl Invoked {
    /// The call was carried out.
    #[must_use]
    pub fn done() -> Self {
        Self
    }
}

impl sealed::Sealed for Invoked {}

impl Reply for Invoked {
    const PHASE: Phase = Phase::Before;
    const NAME: &'static str = "Invoked";
    const FORM: Form = Form::Invoked;

    fn into_decision(self) -> AnyDecision {
        AnyDecision::new(Self::FORM, Choice::Allow)
    }
}

impl Decision for Invoked {
    fn allowing(_asked: &[UserId]) -> Self {
        Self::done()
    }
}
