use std::marker::PhantomData;

use super::{AnyDecision, Codes, Decision, Form, GroupCode, NoCode, Reply, sealed};
use crate::callback::Phase;
use crate::reply;
use crate::types::UserId;

/// The decision on users who are about to join something: all of them, none, or all but some.
///
/// The payload's `admit` makes the last one, so that only those who were asked about can be left out.
///
/// ```
/// use chathook_protocol::group;
/// fn decide(invitation: &group::BeforeInviteJoinGroup) -> group::JoinDecision {
///     invitation.admit(|user| !user.as_str().starts_with("bot_"))
/// }
/// ```
///
/// ```compile_fail,E0624
/// # use chathook_protocol::{UserId, group};
/// group::JoinDecision::of(&[UserId::from("u_1")], |_| false);
/// ```
#[derive(Debug, Clone)]
pub struct JoinDecision<J: Joiner>(Choice<J::Code>, PhantomData<J>);

#[derive(Debug, Clone)]
enum Choice<C> {
    Admit { refused: Vec<UserId>, asked: usize },
    Refuse,
    Reject { code: C, info: String },
}

/// Who joins what: [`Invited`] to a group, or [`Subscriber`] of an official account.
pub trait Joiner: sealed::Sealed + Send + 'static {
    /// The codes for refusing the whole request.
    type Code: Codes;
    /// Where the answer names those left out.
    #[doc(hidden)]
    const LEFT_OUT: sealed::LeftOut;
}

/// Invited to a group: `RefusedMembers_Account`. Docs: 1047/34371.
#[derive(Debug, Clone)]
pub enum Invited {}

/// About to subscribe to an official account: `RefusedSubscribers_Account`; no codes of one's own. Docs: 1047/60799.
#[derive(Debug, Clone)]
pub enum Subscriber {}

impl sealed::Sealed for Invited {}
impl sealed::Sealed for Subscriber {}

impl Joiner for Invited {
    type Code = GroupCode;
    const LEFT_OUT: sealed::LeftOut = sealed::LeftOut::Members;
}

impl Joiner for Subscriber {
    type Code = NoCode;
    const LEFT_OUT: sealed::LeftOut = sealed::LeftOut::Subscribers;
}

impl<J: Joiner> JoinDecision<J> {
    /// All may join.
    #[must_use]
    pub fn allow() -> Self {
        Self(Choice::Admit { refused: Vec::new(), asked: 0 }, PhantomData)
    }

    /// None may join; the client sees Chat's general refusal.
    #[must_use]
    pub fn refuse() -> Self {
        Self(Choice::Refuse, PhantomData)
    }

    /// None may join; the client sees `code` and `info`.
    #[must_use]
    pub fn reject(code: J::Code, info: impl Into<String>) -> Self {
        Self(Choice::Reject { code, info: info.into() }, PhantomData)
    }

    /// Those of `asked` may join for whom `admit` says so.
    pub(crate) fn of<'a>(asked: impl IntoIterator<Item = &'a UserId>, mut admit: impl FnMut(&UserId) -> bool) -> Self {
        let (mut refused, mut count) = (Vec::new(), 0);
        for user in asked {
            count += 1;
            if !admit(user) {
                refused.push(user.clone());
            }
        }
        Self(Choice::Admit { refused, asked: count }, PhantomData)
    }
}

impl<J: Joiner> sealed::Sealed for JoinDecision<J> {}

impl<J: Joiner> Reply for JoinDecision<J> {
    const PHASE: Phase = Phase::Before;
    const NAME: &'static str = "JoinDecision";
    const FORM: Form = Form::Join(J::LEFT_OUT, <J::Code as Codes>::RANGE);

    fn into_decision(self) -> AnyDecision {
        let choice = match self.0 {
            Choice::Admit { refused, .. } if refused.is_empty() => reply::Choice::Allow,
            Choice::Admit { refused, asked } => reply::Choice::LeaveOut { users: refused, asked },
            Choice::Refuse => reply::Choice::Refuse { code: 1, info: String::new() },
            Choice::Reject { code, info } => reply::Choice::Refuse { code: code.number(), info },
        };
        AnyDecision::new(Self::FORM, choice)
    }
}

impl<J: Joiner> Decision for JoinDecision<J> {
    fn allowing(_asked: &[UserId]) -> Self {
        Self::allow()
    }
}
