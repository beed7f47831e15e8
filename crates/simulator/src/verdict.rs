//! What Chat does with an answer.
//!
//! Where the documentation does not say what Chat does, this says what is safe to expect: an answer that Chat cannot use
//! counts as failed, and the console's policy for time-outs decides about the event.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use chathook_protocol::reply::AnswerError;
use chathook_protocol::{Answer, AnyCallback, AnyDecision, Command, Effect, Family, IllegalDecision, Phase, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::CHAT_WAITS;
use crate::error::{OwnLimit, SendError};

/// What Chat does with one answer.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It takes note: the event was over already. The code of the answer does not matter.
    Acknowledged,
    /// The event happens as it was asked for.
    Allowed,
    /// A message is delivered as the answer has it.
    Rewritten(Rewrite),
    /// The event happens, but for some of the users.
    Partial {
        /// Those for whom it does not happen.
        refused: Vec<UserId>,
    },
    /// Nothing happens, and whoever caused it is told so.
    Refused {
        /// What the client sees: a code of the command's own range, or Chat's general one for a plain 1. 0 where none is
        /// documented.
        code: u32,
    },
    /// A message is not delivered, and its sender is told that it was.
    Dropped,
    /// The data of the answer is used.
    Responded,
    /// The answer is none: the console's policy decides whether the event happens.
    Failed(Failure),
}

/// What a rewritten message has in place of its own; JSON as it stood in the answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Rewrite {
    /// `MsgBody`
    pub msg_body: Option<Box<RawValue>>,
    /// `CloudCustomData`
    pub cloud_custom_data: Option<Box<RawValue>>,
}

impl Rewrite {
    /// What an answer replaces. What is empty replaces nothing.
    fn of(answer: &[u8]) -> Self {
        let Self { msg_body, cloud_custom_data } = serde_json::from_slice(answer).unwrap_or_default();
        let is_full = |json: &RawValue| {
            let inner = json.get().get(1..json.get().len() - 1);
            inner.is_some_and(|inner| !inner.trim().is_empty())
        };
        Self {
            msg_body: msg_body.filter(|json| is_full(json)),
            cloud_custom_data: cloud_custom_data.filter(|json| is_full(json)),
        }
    }
}

/// Why Chat counts a callback as failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error, strum::IntoStaticStr, strum::EnumDiscriminants)]
#[strum(serialize_all = "snake_case")]
#[strum_discriminants(
    name(FailureKind),
    derive(Hash, PartialOrd, Ord, strum::Display, strum::IntoStaticStr, strum::EnumIter)
)]
#[strum_discriminants(strum(serialize_all = "snake_case"))]
#[strum_discriminants(doc = "A [`Failure`] without its details, for counting.")]
pub enum Failure {
    /// No answer within Chat's two seconds.
    #[error("no answer within two seconds")]
    TimedOut,
    /// It could not even be sent within them: no connection was free.
    #[error("no connection was free within two seconds")]
    Unsent,
    /// Nobody takes connections, or TLS fails.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// This machine has no more open files to give: see `ulimit -n`.
    #[error("{0}")]
    OutOfFiles(String),
    /// This machine has no more local ports to give.
    #[error("{0}")]
    OutOfPorts(String),
    /// The connection ended before the answer was whole.
    #[error("the connection ended before the answer was whole")]
    Closed,
    /// What came is not HTTP/1.1, or too large.
    #[error("the answer is no HTTP that can be read: {0}")]
    NotHttp(String),
    /// A status other than 200.
    #[error("status {0} is not 200")]
    Status(u16),
    /// The body is not a JSON object.
    #[error("the answer is not a JSON object")]
    NotJson,
    /// A field is missing that every answer has, or every answer to this command.
    #[error("{0} is missing")]
    MissingField(&'static str),
    /// `ErrorCode` is none of those that the command's page has.
    #[error("ErrorCode {0} is outside what is documented for this command")]
    UndefinedCode(u32),
    /// It names another command, or has what only other commands' answers have.
    #[error("it is the answer to another command: {0}")]
    OtherCommand(String),
    /// It is not what the command's page allows.
    #[error("it is no answer to this command: {0}")]
    Illegal(String),
}

impl Failure {
    /// The failure without its details.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.into()
    }
}

impl From<&SendError> for Failure {
    fn from(error: &SendError) -> Self {
        match error {
            SendError::TimedOut(_) => Self::TimedOut,
            SendError::Closed(_) => Self::Closed,
            SendError::NotHttp(_) | SendError::TooLarge => Self::NotHttp(error.to_string()),
            SendError::OwnLimit { limit: OwnLimit::Files, .. } => Self::OutOfFiles(error.to_string()),
            SendError::OwnLimit { limit: OwnLimit::Ports, .. } => Self::OutOfPorts(error.to_string()),
            SendError::Resolve { .. } | SendError::Connect { .. } | SendError::Tls { .. } | SendError::TlsSetup(_) => {
                Self::Unreachable(error.to_string())
            }
        }
    }
}

/// A [`Verdict`] without its details, for counting.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    strum::Display,
    strum::IntoStaticStr,
    strum::EnumIter,
    strum::EnumCount,
)]
#[strum(serialize_all = "snake_case")]
pub enum VerdictKind {
    /// [`Verdict::Acknowledged`]
    Acknowledged,
    /// [`Verdict::Allowed`]
    Allowed,
    /// [`Verdict::Rewritten`]
    Rewritten,
    /// [`Verdict::Partial`]
    Partial,
    /// [`Verdict::Refused`]
    Refused,
    /// [`Verdict::Dropped`]
    Dropped,
    /// [`Verdict::Responded`]
    Responded,
    /// [`Verdict::Failed`]
    Failed,
}

/// What is set in the console for callbacks that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Console {
    /// How long Chat waits for an answer.
    pub timeout: Duration,
    /// What becomes of an event whose before-callback failed.
    pub on_timeout: OnTimeout,
    /// How often an after-callback that timed out is sent again. Chat's default is never.
    pub retries: u32,
    /// How long it waits before that.
    pub retry_after: Duration,
}

impl Default for Console {
    fn default() -> Self {
        Self { timeout: CHAT_WAITS, on_timeout: OnTimeout::Allow, retries: 0, retry_after: Duration::from_secs(1) }
    }
}

/// What becomes of an event whose before-callback failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum OnTimeout {
    /// It happens.
    #[default]
    Allow,
    /// It does not; the sender of a message sees 80003.
    Refuse,
}

impl Verdict {
    /// What Chat does with an answer to the callback `command` with the body `sent`: `None` for a command that nobody
    /// knows, which is only acknowledged.
    #[must_use]
    pub fn of(command: Option<Command>, sent: &[u8], status: u16, answer: &[u8]) -> Self {
        if status != 200 {
            return Self::Failed(Failure::Status(status));
        }
        let decided = command.filter(|command| command.phase() == Phase::Before);
        if answer == Answer::OK.body() && !decided.is_some_and(needs_more) {
            return if decided.is_some() { Self::Allowed } else { Self::Acknowledged };
        }
        if let Err(failure) = Basics::check(command, answer) {
            return Self::Failed(failure);
        }
        let Some(command) = decided else { return Self::Acknowledged };
        let callback = AnyCallback::decode(command, sent).callback;
        let asked = callback.map(|callback| callback.payload().asked()).unwrap_or_default();
        match AnyDecision::read(command, answer, &asked) {
            // Chat ignores the ErrorCode here, and takes any ResultCode but 0 for a refusal.
            Ok(_) | Err(AnswerError::Failed(_) | AnswerError::Illegal(IllegalDecision::CodeOutOfRange { .. }))
                if is_asked_of_friends(command) =>
            {
                Self::of_friends(answer, &asked)
            }
            Ok(decision) => Self::decided(command, &decision, answer),
            Err(error) => Self::Failed(error.into()),
        }
    }

    fn decided(command: Command, decision: &AnyDecision, answer: &[u8]) -> Self {
        match decision.effect() {
            Effect::Acknowledge | Effect::Allow => Self::Allowed,
            Effect::Rewrite => Self::Rewritten(Rewrite::of(answer)),
            Effect::Drop => Self::Dropped,
            Effect::Respond => Self::Responded,
            Effect::Partial => Self::Partial { refused: Refused::of(answer) },
            Effect::Reject => Self::Refused {
                code: match decision.code() {
                    Some(1) | None => general_code(command),
                    Some(code) => code,
                },
            },
        }
    }

    /// One verdict for each user asked about, in `ResultItem`.
    fn of_friends(answer: &[u8], asked: &[UserId]) -> Self {
        let items = serde_json::from_slice(answer).ok().and_then(|Friends { result_item }| result_item);
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            return Self::Failed(Failure::MissingField("ResultItem"));
        };
        let is_answered = |user: &UserId| items.iter().any(|item| item.to == *user);
        if items.len() != asked.len() || !asked.iter().all(is_answered) {
            return Self::Failed(AnswerError::Verdicts.into());
        }
        let refusals = || items.iter().filter(|item| item.result_code != 0);
        match refusals().count() {
            0 => Self::Allowed,
            all if all == items.len() => Self::Refused {
                // What the client sees of other codes is not documented.
                code: refusals().map(|item| item.result_code).find(|code| FRIEND_CODES.contains(code)).unwrap_or(0),
            },
            _ => Self::Partial { refused: refusals().map(|item| item.to.clone()).collect() },
        }
    }

    /// Whether the event happens, in whatever form and for whomever.
    #[must_use]
    pub fn happens(&self, command: Option<Command>, on_timeout: OnTimeout) -> bool {
        match self {
            Self::Acknowledged | Self::Allowed | Self::Rewritten(_) | Self::Partial { .. } | Self::Responded => true,
            Self::Refused { .. } | Self::Dropped => false,
            // Docs: 1047/43468. A failing server lets friends through; 647/72210: and stops gifts.
            Self::Failed(_) if command.is_some_and(|command| command.family() == Family::Sns) => true,
            Self::Failed(_) if command == Some(Command::LiveBeforeSendGift) => false,
            Self::Failed(_) => on_timeout == OnTimeout::Allow,
        }
    }

    /// What whoever caused the event sees: `None` for success.
    #[must_use]
    pub fn client_code(&self, command: Option<Command>, on_timeout: OnTimeout) -> Option<u32> {
        match self {
            Self::Refused { code } => Some(*code),
            Self::Failed(_) if !self.happens(command, on_timeout) => Some(80_003),
            _ => None,
        }
    }

    /// The verdict without its details.
    #[must_use]
    pub fn kind(&self) -> VerdictKind {
        match self {
            Self::Acknowledged => VerdictKind::Acknowledged,
            Self::Allowed => VerdictKind::Allowed,
            Self::Rewritten(_) => VerdictKind::Rewritten,
            Self::Partial { .. } => VerdictKind::Partial,
            Self::Refused { .. } => VerdictKind::Refused,
            Self::Dropped => VerdictKind::Dropped,
            Self::Responded => VerdictKind::Responded,
            Self::Failed(_) => VerdictKind::Failed,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledged => f.write_str("takes note: the event has happened already"),
            Self::Allowed => f.write_str("lets it happen"),
            Self::Rewritten(_) => f.write_str("delivers the message as the answer has it"),
            Self::Partial { refused } => write!(f, "lets it happen, but for {} users", refused.len()),
            Self::Refused { code: 0 } => f.write_str("refuses"),
            Self::Refused { code } => write!(f, "refuses with code {code}"),
            Self::Dropped => f.write_str("discards the message, and tells its sender that it was sent"),
            Self::Responded => f.write_str("uses the data of the answer"),
            Self::Failed(failure) => write!(f, "counts it as failed: {failure}"),
        }
    }
}

/// What a client sees where the answer is a plain 1.
fn general_code(command: Command) -> u32 {
    match (command, command.family()) {
        (Command::C2cBeforeSendMsg | Command::OfficialAccountBeforeCreateOfficialAccount, _) => 20_006,
        // Its page names no code.
        (Command::GroupBeforeInviteJoinGroup, _) => 0,
        (Command::OfficialAccountBeforeSendMsg, _) | (_, Family::Group) => 10_016,
        _ => 0,
    }
}

/// Those whose `ResultCode` refuses a friend, and is shown to the client.
const FRIEND_CODES: RangeInclusive<u32> = 38_000..=39_000;

fn is_asked_of_friends(command: Command) -> bool {
    matches!(command, Command::SnsPrevFriendAdd | Command::SnsPrevFriendResponse)
}

/// Whether the plain OK is no answer to it.
fn needs_more(command: Command) -> bool {
    is_asked_of_friends(command) || command == Command::ChatbotOnC2cSignalMessage
}

/// What every answer has, and the one field that every answer to a signal for a bot has.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Basics<'a> {
    #[serde(borrow)]
    action_status: Option<&'a RawValue>,
    #[serde(borrow)]
    error_code: Option<&'a RawValue>,
    #[serde(borrow)]
    error_info: Option<&'a RawValue>,
    #[serde(borrow)]
    rsp_data: Option<&'a RawValue>,
}

impl Basics<'_> {
    fn check(command: Option<Command>, answer: &[u8]) -> Result<(), Failure> {
        // A struct would be read from an array too.
        let is_object = answer.trim_ascii_start().starts_with(b"{");
        let basics: Basics<'_> = serde_json::from_slice(answer).ok().filter(|_| is_object).ok_or(Failure::NotJson)?;
        for (name, field) in
            [("ActionStatus", basics.action_status), ("ErrorCode", basics.error_code), ("ErrorInfo", basics.error_info)]
        {
            if field.is_none() {
                return Err(Failure::MissingField(name));
            }
        }
        // With any other code there is no content.
        let has_content = basics.error_code.is_some_and(|code| code.get() == "0");
        if command == Some(Command::ChatbotOnC2cSignalMessage) && has_content && basics.rsp_data.is_none() {
            return Err(Failure::MissingField("RspData"));
        }
        Ok(())
    }
}

impl From<AnswerError> for Failure {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Failed(code) | AnswerError::Illegal(IllegalDecision::CodeOutOfRange { code, .. }) => {
                Self::UndefinedCode(code)
            }
            AnswerError::OtherCommand | AnswerError::ForeignField(_) => Self::OtherCommand(error.to_string()),
            error => Self::Illegal(error.to_string()),
        }
    }
}

/// Those whom an answer refuses, whichever way it says so.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Refused {
    #[serde(rename = "RefusedMembers_Account")]
    members: Option<Vec<UserId>>,
    #[serde(rename = "RefusedSubscribers_Account")]
    subscribers: Option<Vec<UserId>>,
}

/// The answer about friends.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Friends {
    result_item: Option<Vec<ResultItem>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResultItem {
    #[serde(rename = "To_Account")]
    to: UserId,
    result_code: u32,
}

impl Refused {
    fn of(answer: &[u8]) -> Vec<UserId> {
        let refused: Self = serde_json::from_slice(answer).unwrap_or_default();
        refused.members.or(refused.subscribers).unwrap_or_default()
    }
}
