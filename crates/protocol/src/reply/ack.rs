use super::{AnyDecision, Form, Reply, sealed};
use crate::callback::Phase;

/// Marks an after-callback. It has no values: the only answer is [`Answer::OK`](super::Answer::OK).
#[derive(Debug)]
pub enum Ack {}

impl sealed::Sealed for Ack {}

impl Reply for Ack {
    const PHASE: Phase = Phase::After;
    const NAME: &'static str = "Ack";
    const FORM: Form = Form::Ack;

    fn into_decision(self) -> AnyDecision {
        match self {}
    }
}
