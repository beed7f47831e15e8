//! What callback servers answer, who answer as they would answer Chat.

use chathook_protocol::{Command, Phase};
use serde::Deserialize;
use serde_json::Value;

/// The two fields that say whether it went well, whatever type they have.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "ActionStatus", default)]
    status: Value,
    #[serde(rename = "ErrorCode", default)]
    code: Value,
}

/// What `answer` says went wrong, if it says so. To a before-callback a code is a decision, and no failure; what is
/// neither JSON nor an object says nothing.
pub(super) fn failure(command: &str, answer: &[u8]) -> Option<String> {
    let is_before = command.parse::<Command>().is_ok_and(|command| command.phase() == Phase::Before);
    if is_before {
        return None;
    }
    let Answer { status, code } = serde_json::from_slice(answer).ok()?;
    let code = code.as_i64().or_else(|| code.as_str()?.trim().parse().ok()).unwrap_or(0);
    let is_fail = status.as_str().is_some_and(|status| status.eq_ignore_ascii_case("FAIL"));
    match (code, is_fail) {
        (0, false) => None,
        (0, true) => Some("it answered FAIL".to_owned()),
        (code, _) => Some(format!("it answered ErrorCode {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::failure;

    #[test]
    fn an_after_callback_is_not_taken_where_the_answer_says_so() {
        for (answer, says) in [
            (r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#, None),
            (r#"{"ActionStatus":"FAIL","ErrorInfo":"u_1","ErrorCode":1}"#, Some("it answered ErrorCode 1")),
            (r#"{"ActionStatus":"OK","ErrorInfo":"u_1","ErrorCode":10101}"#, Some("it answered ErrorCode 10101")),
            (r#"{"ActionStatus":"FAIL","ErrorInfo":"u_1","ErrorCode":"-5"}"#, Some("it answered ErrorCode -5")),
            (r#"{"ActionStatus":"fail"}"#, Some("it answered FAIL")),
            (r#"{"ActionStatus":7,"ErrorCode":{"u_1":1}}"#, None),
            ("{}", None),
            ("[]", None),
            ("7", None),
            ("ok", None),
            ("", None),
        ] {
            assert_eq!(failure("Group.CallbackAfterSendMsg", answer.as_bytes()).as_deref(), says, "{answer}");
            assert_eq!(failure("New.Command", answer.as_bytes()).as_deref(), says, "{answer}");
            assert_eq!(failure("Group.CallbackBeforeSendMsg", answer.as_bytes()), None, "{answer}: it is a decision");
        }
    }
}
