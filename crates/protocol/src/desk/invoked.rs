use crate::callback::Phase;
use crate::reply::{Answer, Decision, Policy, PolicyError, Reply, allowance, sealed};
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

    fn into_answer(self) -> Answer {
        allowance()
    }

    fn by_policy(policy: &Policy, _asked: &[UserId]) -> Result<Answer, PolicyError> {
        match policy {
            Policy::Allow => Ok(allowance()),
            Policy::Reject { .. } => Err(PolicyError::NoRefusal),
            Policy::Drop => Err(PolicyError::NoDrop),
        }
    }
}

impl Decision for Invoked {
    fn allowing(_asked: &[UserId]) -> Self {
        Self::done()
    }
}
