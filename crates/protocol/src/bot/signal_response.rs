use crate::callback::Phase;
use crate::reply::{self, AnyDecision, Decision, Form, Reply, Response, sealed};
use crate::types::UserId;

/// The answer to `Chatbot.OnC2CSignalMessage`: content for the bot, or a failure, which has none.
#[derive(Debug, Clone)]
pub struct SignalResponse(Choice);

#[derive(Debug, Clone)]
enum Choice {
    Respond(String),
    Fail(String),
}

impl SignalResponse {
    /// The bot answers with `data`: text of one's own, often JSON. May be empty.
    #[must_use]
    pub fn respond(data: impl Into<String>) -> Self {
        Self(Choice::Respond(data.into()))
    }

    /// There is no content, because of `info`.
    #[must_use]
    pub fn fail(info: impl Into<String>) -> Self {
        Self(Choice::Fail(info.into()))
    }
}

impl sealed::Sealed for SignalResponse {}

impl Reply for SignalResponse {
    const PHASE: Phase = Phase::Before;
    const NAME: &'static str = "SignalResponse";
    const FORM: Form = Form::Signal;

    fn into_decision(self) -> AnyDecision {
        let choice = match self.0 {
            Choice::Respond(data) if data.is_empty() => reply::Choice::Allow,
            Choice::Respond(data) => reply::Choice::Respond(Response::Data(data)),
            Choice::Fail(info) => reply::Choice::Refuse { code: 1, info },
        };
        AnyDecision::new(Self::FORM, choice)
    }
}

impl Decision for SignalResponse {
    /// An empty content.
    fn allowing(_asked: &[UserId]) -> Self {
        Self::respond("")
    }
}

#[cfg(test)]
mod tests {
    use super::SignalResponse;
    use crate::reply::{Effect, Reply};

    #[test]
    fn content_and_failure_both_name_rsp_data() {
        let answer = SignalResponse::respond(r#"{"a":1}"#).into_answer();
        assert_eq!(answer.effect(), Effect::Respond);
        assert_eq!(answer.body(), r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RspData":"{\"a\":1}"}"#);
        let answer = SignalResponse::fail("down").into_answer();
        assert_eq!(answer.effect(), Effect::Reject);
        assert_eq!(answer.body(), r#"{"ActionStatus":"FAIL","ErrorInfo":"down","ErrorCode":1,"RspData":""}"#);
    }
}
