use crate::callback::Phase;
use crate::reply::{Answer, Decision, Effect, Policy, PolicyError, Reply, Wire, sealed};
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

    fn into_answer(self) -> Answer {
        match self.0 {
            Choice::Respond(data) => {
                let effect = if data.is_empty() { Effect::Allow } else { Effect::Respond };
                Wire { rsp_data: Some(&data), ..Wire::default() }.answer(effect)
            }
            Choice::Fail(info) => Wire { status: "FAIL", info: &info, code: 1, rsp_data: Some(""), ..Wire::default() }
                .answer(Effect::Reject),
        }
    }

    fn by_policy(policy: &Policy, asked: &[UserId]) -> Result<Answer, PolicyError> {
        match policy {
            Policy::Allow => Ok(Self::allowing(asked).into_answer()),
            Policy::Reject { code: None, info } => Ok(Self::fail(info).into_answer()),
            Policy::Reject { code: Some(_), .. } => Err(PolicyError::NoCodes),
            Policy::Drop => Err(PolicyError::NoDrop),
        }
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
    use crate::reply::{Effect, Policy, PolicyError, Reply};

    #[test]
    fn content_and_failure_both_name_rsp_data() {
        let answer = SignalResponse::respond(r#"{"a":1}"#).into_answer();
        assert_eq!(answer.effect(), Effect::Respond);
        assert_eq!(answer.body(), r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RspData":"{\"a\":1}"}"#);
        let answer = SignalResponse::fail("down").into_answer();
        assert_eq!(answer.effect(), Effect::Reject);
        assert_eq!(answer.body(), r#"{"ActionStatus":"FAIL","ErrorInfo":"down","ErrorCode":1,"RspData":""}"#);
    }

    #[test]
    fn a_policy_has_neither_codes_nor_a_drop() {
        let by_policy = |policy| SignalResponse::by_policy(&policy, &[]);
        let answer = by_policy(Policy::Allow).unwrap();
        assert_eq!(answer.effect(), Effect::Allow);
        assert_eq!(answer.body(), r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RspData":""}"#);
        assert_eq!(by_policy(Policy::reject()).unwrap().effect(), Effect::Reject);
        let with_code = Policy::Reject { code: Some(120_001), info: String::new() };
        assert_eq!(by_policy(with_code), Err(PolicyError::NoCodes));
        assert_eq!(by_policy(Policy::Drop), Err(PolicyError::NoDrop));
    }
}
