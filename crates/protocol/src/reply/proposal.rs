use std::collections::HashSet;

use super::decision::{Choice, Response};
use super::{AnyDecision, CodeRange, Edits, Form, FriendCode, Policy, RejectCode, Verdict};
use crate::callbacks::Command;
use crate::types::UserId;

/// A decision in words that fit every command. What a certain command allows of it is [`AnyDecision::of`].
#[derive(Debug, Clone)]
pub enum Proposal {
    /// Let the event happen.
    Allow,
    /// Refuse it, perhaps with a code and a text for the client.
    Reject {
        /// A code of the command's own range; without one the client sees Chat's general refusal.
        code: Option<u32>,
        /// A text, handed to the client together with a code.
        info: String,
    },
    /// Discard a message while its sender is told that it was sent.
    Drop,
    /// Deliver a message changed.
    Rewrite(Edits),
    /// Let it happen for all but some of those concerned.
    Partial {
        /// Those for whom it does not happen.
        refused: Vec<UserId>,
        /// A code for friends; who joins has none.
        code: Option<u32>,
        /// A text, together with a code.
        info: String,
    },
    /// Answer with data that Chat uses.
    Respond(Response),
}

impl From<&Policy> for Proposal {
    fn from(policy: &Policy) -> Self {
        match policy {
            Policy::Allow => Self::Allow,
            Policy::Reject { code, info } => Self::Reject { code: *code, info: info.clone() },
            Policy::Drop => Self::Drop,
        }
    }
}

/// Why Chat would not take a decision as the answer to a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IllegalDecision {
    /// Chat has no silent drop here.
    #[error("this command has no silent drop")]
    NoDrop,
    /// Chat has no refusal here.
    #[error("this command cannot be refused")]
    NoRefusal,
    /// There is no message to change.
    #[error("this command has no message to rewrite")]
    NoRewrite,
    /// A rewrite has to replace something.
    #[error("a rewrite replaces neither the message nor its custom data")]
    NothingRewritten,
    /// An element of a new message has no type, or content that is no object.
    #[error("an element of the message has no MsgType, or no object as MsgContent")]
    BrokenElement,
    /// It is for all or for nobody.
    #[error("this command cannot be refused for some only")]
    NoPartial,
    /// Chat takes no data here, or other data.
    #[error("this command takes no such response")]
    NoResponse,
    /// Somebody is refused who is not part of the event.
    #[error("a user is named who was not asked about")]
    NotAsked,
    /// The code is not one that Chat passes on.
    #[error("code {code} is outside the range of this command, {range}")]
    CodeOutOfRange {
        /// The code.
        code: u32,
        /// What would be allowed, as `first-last`.
        range: String,
    },
    /// The command has no range of codes at all.
    #[error("this command has no codes of one's own")]
    NoCodes,
}

impl AnyDecision {
    /// The decision on `command` that `proposal` comes to; `asked` are the users that the answer may single out
    /// ([`Payload::asked`](crate::Payload::asked)).
    ///
    /// # Errors
    /// When Chat has no such answer to this command.
    pub fn of(command: Command, proposal: impl Into<Proposal>, asked: &[UserId]) -> Result<Self, IllegalDecision> {
        let form = command.form();
        let choice = match proposal.into() {
            Proposal::Allow => allow(form, asked),
            Proposal::Reject { code, info } => reject(form, code, info, asked)?,
            Proposal::Drop if matches!(form, Form::Message(_)) => Choice::Drop,
            Proposal::Drop => return Err(IllegalDecision::NoDrop),
            Proposal::Rewrite(edits) => rewrite(form, edits)?,
            Proposal::Partial { refused, code, info } => partial(form, refused, code, &info, asked)?,
            Proposal::Respond(response) => respond(form, response)?,
        };
        Ok(Self { form, choice })
    }

    /// The decision that lets the event happen; `asked` as in [`AnyDecision::of`].
    #[must_use]
    pub fn allow(command: Command, asked: &[UserId]) -> Self {
        let form = command.form();
        Self { form, choice: allow(form, asked) }
    }

    /// Stands where nothing was to be decided.
    #[must_use]
    pub fn acknowledge() -> Self {
        Self { form: Form::Ack, choice: Choice::Allow }
    }
}

pub(super) fn allow(form: Form, asked: &[UserId]) -> Choice {
    match form {
        Form::Friends => Choice::Verdicts(asked.iter().map(|user| (user.clone(), Verdict::Allow)).collect()),
        _ => Choice::Allow,
    }
}

fn reject(form: Form, code: Option<u32>, info: String, asked: &[UserId]) -> Result<Choice, IllegalDecision> {
    match form {
        Form::Ack | Form::Invoked => Err(IllegalDecision::NoRefusal),
        Form::Message(range) | Form::Permission(range) | Form::Join(_, range) => refuse(code, info, range),
        Form::Signal | Form::Assignment => refuse(code, info, None),
        Form::Friends => {
            let verdict = Verdict::Reject(friend_code(code)?, info);
            Ok(Choice::Verdicts(asked.iter().map(|user| (user.clone(), verdict.clone())).collect()))
        }
    }
}

/// A refusal of the whole, with 1 or with a code of the command's own.
pub(super) fn refuse(code: Option<u32>, info: String, range: Option<CodeRange>) -> Result<Choice, IllegalDecision> {
    match (code, range) {
        (None, _) => Ok(Choice::Refuse { code: 1, info }),
        (Some(code), Some(range)) if range.codes().contains(&code) => Ok(Choice::Refuse { code, info }),
        (Some(code), Some(range)) => Err(IllegalDecision::CodeOutOfRange { code, range: range.to_string() }),
        (Some(_), None) => Err(IllegalDecision::NoCodes),
    }
}

/// The code for one friend: the first of the range where none is given, for there is no general one.
fn friend_code(code: Option<u32>) -> Result<FriendCode, IllegalDecision> {
    code.map_or(Ok(FriendCode::FIRST), RejectCode::from_number)
}

pub(super) fn rewrite(form: Form, edits: Edits) -> Result<Choice, IllegalDecision> {
    match form {
        Form::Message(_) if edits.is_empty() => Err(IllegalDecision::NothingRewritten),
        Form::Message(_) => Ok(Choice::Rewrite(edits)),
        _ => Err(IllegalDecision::NoRewrite),
    }
}

pub(super) fn partial(
    form: Form,
    refused: Vec<UserId>,
    code: Option<u32>,
    info: &str,
    asked: &[UserId],
) -> Result<Choice, IllegalDecision> {
    let left_out: HashSet<&UserId> = refused.iter().collect();
    let known: HashSet<&UserId> = asked.iter().collect();
    if !left_out.is_subset(&known) {
        return Err(IllegalDecision::NotAsked);
    }
    match form {
        Form::Join(..) if code.is_some() || !info.is_empty() => Err(IllegalDecision::NoCodes),
        Form::Join(..) if refused.is_empty() => Ok(Choice::Allow),
        Form::Join(..) => {
            let mut once = HashSet::new();
            let users = refused.iter().filter(|user| once.insert(*user)).cloned().collect();
            Ok(Choice::LeaveOut { users, asked: known.len() })
        }
        Form::Friends => {
            let code = friend_code(code)?;
            let verdict = |user| match left_out.contains(user) {
                true => Verdict::reject(code, info),
                false => Verdict::Allow,
            };
            Ok(Choice::Verdicts(asked.iter().map(|user| (user.clone(), verdict(user))).collect()))
        }
        _ => Err(IllegalDecision::NoPartial),
    }
}

pub(super) fn respond(form: Form, response: Response) -> Result<Choice, IllegalDecision> {
    match (form, response) {
        (Form::Signal, Response::Data(data)) if data.is_empty() => Ok(Choice::Allow),
        (Form::Assignment, Response::Agents { group: None, agents }) if agents.is_empty() => Ok(Choice::Allow),
        (Form::Signal, response @ Response::Data(_)) | (Form::Assignment, response @ Response::Agents { .. }) => {
            Ok(Choice::Respond(response))
        }
        _ => Err(IllegalDecision::NoResponse),
    }
}
