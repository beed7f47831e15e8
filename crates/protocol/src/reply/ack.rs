use super::{Answer, Policy, PolicyError, Reply, sealed};
use crate::callback::Phase;
use crate::types::UserId;

/// Marks an after-callback. It has no values: the only answer is [`Answer::OK`].
#[derive(Debug)]
pub enum Ack {}

impl sealed::Sealed for Ack {}

impl Reply for Ack {
    const PHASE: Phase = Phase::After;
    const NAME: &'static str = "Ack";

    fn into_answer(self) -> Answer {
        match self {}
    }

    fn by_policy(policy: &Policy, _asked: &[UserId]) -> Result<Answer, PolicyError> {
        match policy {
            Policy::Allow => Ok(Answer::OK),
            Policy::Reject { .. } => Err(PolicyError::NoRefusal),
            Policy::Drop => Err(PolicyError::NoDrop),
        }
    }
}
