use std::collections::HashSet;

use super::sealed::LeftOut;
use super::{Answer, Edits, Effect, Form, ResultItem, Verdict, Wire};
use crate::types::UserId;

/// A legal decision on a before-callback whose type is known at run time only: what comes from services and rules, and
/// what several deciders come to together.
///
/// Made of a typed decision ([`Reply::into_decision`](super::Reply::into_decision)), of a [`Proposal`](super::Proposal)
/// ([`AnyDecision::of`]), or of what a callback server answers ([`AnyDecision::read`]).
#[derive(Debug, Clone)]
pub struct AnyDecision {
    pub(super) form: Form,
    pub(super) choice: Choice,
}

/// What is decided; only what the form allows is ever built.
#[derive(Debug, Clone)]
pub(crate) enum Choice {
    Allow,
    /// Code 1, or one of the command's own.
    Refuse {
        code: u32,
        info: String,
    },
    Drop,
    Rewrite(Edits),
    /// Those who may not join, of so many who were asked about.
    LeaveOut {
        users: Vec<UserId>,
        asked: usize,
    },
    Verdicts(Vec<(UserId, Verdict)>),
    Respond(Response),
}

/// Data that Chat uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// The content for a bot: `RspData`.
    Data(String),
    /// The choice of an agent.
    Agents {
        /// `AgentGroupId`: a skill group.
        group: Option<u64>,
        /// `AgentIdList`: e-mail addresses.
        agents: Vec<Box<str>>,
    },
}

impl AnyDecision {
    pub(crate) fn new(form: Form, choice: Choice) -> Self {
        Self { form, choice }
    }

    /// What it does.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match &self.choice {
            Choice::Allow if self.form == Form::Ack => Effect::Acknowledge,
            Choice::Allow => Effect::Allow,
            Choice::Refuse { .. } => Effect::Reject,
            Choice::Drop => Effect::Drop,
            Choice::Rewrite(_) => Effect::Rewrite,
            Choice::LeaveOut { users, asked } if users.len() >= *asked => Effect::Reject,
            Choice::LeaveOut { .. } => Effect::Partial,
            Choice::Verdicts(verdicts) => {
                match verdicts.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Reject(..))).count() {
                    0 => Effect::Allow,
                    all if all == verdicts.len() => Effect::Reject,
                    _ => Effect::Partial,
                }
            }
            Choice::Respond(_) => Effect::Respond,
        }
    }

    /// Whether nobody needs to be asked any more: it is refused, dropped or responded to.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self.effect() {
            Effect::Reject | Effect::Drop | Effect::Respond => true,
            Effect::Acknowledge | Effect::Allow | Effect::Rewrite | Effect::Partial => false,
        }
    }

    /// The code that a refusal hands to the client; for friends, that of the first who is refused.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        match &self.choice {
            Choice::Refuse { code, .. } => Some(*code),
            Choice::Verdicts(verdicts) => verdicts.iter().find_map(|(_, verdict)| match verdict {
                Verdict::Reject(code, _) => Some(code.get()),
                Verdict::Allow => None,
            }),
            _ => None,
        }
    }

    /// What a rewrite replaces.
    #[must_use]
    pub fn edits(&self) -> Option<&Edits> {
        match &self.choice {
            Choice::Rewrite(edits) => Some(edits),
            _ => None,
        }
    }

    /// Takes in the next decider's decision on the same callback. A refusal stands, whoever said it; of what both
    /// replace, the later counts, for it has seen the earlier.
    pub fn then(&mut self, next: Self) {
        self.choice = match (std::mem::replace(&mut self.choice, Choice::Allow), next.choice) {
            (Choice::Verdicts(first), Choice::Verdicts(next)) => Choice::Verdicts(both(first, next)),
            (first, Choice::Allow) => first,
            (Choice::Rewrite(first), Choice::Rewrite(next)) => Choice::Rewrite(first.then(next)),
            (Choice::LeaveOut { mut users, asked }, Choice::LeaveOut { users: next, .. }) => {
                let new: Vec<_> = next.into_iter().filter(|user| !users.contains(user)).collect();
                users.extend(new);
                Choice::LeaveOut { users, asked }
            }
            (_, next) => next,
        };
    }

    /// Whether both come to the same: the same message, the same users, the same code. Texts may differ.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        match (&self.choice, &other.choice) {
            (Choice::Rewrite(one), Choice::Rewrite(other)) => one.is_same(other),
            (Choice::LeaveOut { users: one, .. }, Choice::LeaveOut { users: other, .. }) => {
                one.len() == other.len() && one.iter().collect::<HashSet<_>>() == other.iter().collect()
            }
            (Choice::Verdicts(one), Choice::Verdicts(other)) => codes(one).eq(codes(other)),
            (Choice::Respond(one), Choice::Respond(other)) => one == other,
            _ => (self.effect(), self.code()) == (other.effect(), other.code()),
        }
    }

    /// The bytes to send.
    #[must_use]
    pub fn into_answer(self) -> Answer {
        let effect = self.effect();
        let is_signal = self.form == Form::Signal;
        let wire = match &self.choice {
            Choice::Allow if !is_signal => return Answer { effect, ..Answer::OK },
            Choice::Allow => Wire::default(),
            Choice::Refuse { code, info } => {
                // These two have no codes, and say that something went wrong.
                let is_failure = is_signal || self.form == Form::Assignment;
                Wire { status: if is_failure { "FAIL" } else { "OK" }, info, code: *code, ..Wire::default() }
            }
            Choice::Drop => Wire { code: 2, ..Wire::default() },
            Choice::Rewrite(edits) => Wire {
                msg_body: edits.body.as_deref(),
                cloud_custom_data: edits.cloud_custom_data.as_deref(),
                ..Wire::default()
            },
            Choice::LeaveOut { users, .. } => match self.form {
                Form::Join(LeftOut::Subscribers, _) => Wire { refused_subscribers: Some(users), ..Wire::default() },
                _ => Wire { refused_members: Some(users), ..Wire::default() },
            },
            Choice::Verdicts(verdicts) => {
                let items = verdicts.iter().map(|(to, verdict)| match verdict {
                    Verdict::Allow => ResultItem { to, result_code: 0, result_info: "" },
                    Verdict::Reject(code, info) => ResultItem { to, result_code: code.get(), result_info: info },
                });
                Wire { result_item: Some(items.collect()), ..Wire::default() }
            }
            Choice::Respond(Response::Data(data)) => Wire { rsp_data: Some(data), ..Wire::default() },
            Choice::Respond(Response::Agents { group, agents }) => Wire {
                agent_group_id: *group,
                agent_id_list: (!agents.is_empty()).then_some(agents.as_slice()),
                ..Wire::default()
            },
        };
        let rsp_data = wire.rsp_data.or(is_signal.then_some(""));
        Wire { rsp_data, ..wire }.answer(effect)
    }
}

/// The code for each user; none for those who are not refused.
fn codes(verdicts: &[(UserId, Verdict)]) -> impl Iterator<Item = (&UserId, Option<u32>)> {
    verdicts.iter().map(|(user, verdict)| match verdict {
        Verdict::Allow => (user, None),
        Verdict::Reject(code, _) => (user, Some(code.get())),
    })
}

/// For each user the first refusal, if there is one.
fn both(first: Vec<(UserId, Verdict)>, next: Vec<(UserId, Verdict)>) -> Vec<(UserId, Verdict)> {
    let mut next = next.into_iter();
    first
        .into_iter()
        .map(|(user, verdict)| {
            // Both are about the same users in the same order.
            let then = next.next().map_or(Verdict::Allow, |(_, verdict)| verdict);
            (user, if matches!(verdict, Verdict::Reject(..)) { verdict } else { then })
        })
        .collect()
}
