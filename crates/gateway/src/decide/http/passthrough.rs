//! What Chat sent, for a callback server that knows nothing of chathook.

use std::borrow::Cow;

use chathook_protocol::reply::AnswerError;
use chathook_protocol::{AnyDecision, Event};
use chathook_router::Question;

use super::failure::Failure;

/// The query as it came; signed again where there is a `token`.
pub(super) fn query<'a>(event: &'a Event, token: Option<&str>, time: u64) -> Cow<'a, str> {
    match token {
        Some(token) => event.query().signed_again(token, time).into(),
        None => event.query().as_str().into(),
    }
}

/// Reads what callback servers answer to Chat.
pub(super) fn read(question: &Question, answer: &[u8]) -> Result<AnyDecision, Failure> {
    AnyDecision::read(question.command(), answer, question.users()).map_err(|error| match error {
        AnswerError::Json(error) => Failure::of_json(&error),
        error => Failure::Illegal(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use chathook_protocol::{Command, Effect, signature};

    use super::super::tests::question;
    use super::{Failure, query, read};

    #[test]
    fn the_query_stays_as_it_came_unless_it_is_signed_again() {
        let question = question(Command::GroupBeforeSendMsg, "a=%41&Sign=00&b='&RequestTime=1&", "{}");
        assert_eq!(query(question.event(), None, 7), "a=%41&Sign=00&b='&RequestTime=1&");
        let sign = signature::sign("k3y", 7);
        assert_eq!(query(question.event(), Some("k3y"), 7), format!("a=%41&b='&&Sign={sign}&RequestTime=7"));
    }

    #[test]
    fn what_an_answer_says_is_not_repeated() {
        let question = question(Command::GroupBeforeSendMsg, "", "{}");
        assert_eq!(read(&question, br#"{"ActionStatus":"OK","ErrorCode":0}"#).unwrap().effect(), Effect::Allow);
        for (answer, is_json) in [
            (r#"{"ActionStatus":"OK","ErrorCode":"u_1"}"#, true),
            (r#"{"ActionStatus":"u_1","ErrorCode":0}"#, true),
            (r#"{"ActionStatus":"OK","ErrorCode":0,"CallbackCommand":"u_1"}"#, true),
            (r#"{"ActionStatus":"OK","ErrorCode":0,"MsgBody":"u_1"}"#, true),
            (r#"{"ActionStatus":"OK","ErrorCode":3}"#, true),
            ("u_1", false),
            (r#"{"ActionStatus":"OK","ErrorCode":0"#, false),
            ("", false),
        ] {
            let failure = read(&question, answer.as_bytes()).unwrap_err();
            assert_eq!(matches!(failure, Failure::Illegal(_)), is_json, "{answer}: {failure}");
            assert_eq!(matches!(failure, Failure::NotJson { .. }), !is_json, "{answer}: {failure}");
            assert!(!failure.to_string().contains("u_1"), "{failure}");
        }
    }
}
