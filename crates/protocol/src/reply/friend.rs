use super::{AnyDecision, Choice, Decision, Form, FriendCode, Reply, sealed};
use crate::callback::Phase;
use crate::types::UserId;

/// The decision on friend requests or on answers to them: one verdict for each user asked about.
///
/// Made by `decide` of the payload, which walks its own items: none is left out and none is invented.
///
/// ```
/// use chathook_protocol::{reply::FriendCode, sns};
/// fn decide(wish: &sns::PrevFriendAdd) -> sns::FriendDecision {
///     wish.decide(|item| match &item.add_wording {
///         Some(_) => sns::Verdict::Allow,
///         None => sns::Verdict::reject(FriendCode::of::<38_001>(), "say hello first"),
///     })
/// }
/// ```
///
/// ```compile_fail,E0624
/// # use chathook_protocol::{UserId, sns};
/// sns::FriendDecision::of([(UserId::from("u_1"), sns::Verdict::Allow)]);
/// ```
///
/// ```compile_fail,E0423
/// # use chathook_protocol::{UserId, sns};
/// sns::FriendDecision(vec![(UserId::from("u_1"), sns::Verdict::Allow)]);
/// ```
#[derive(Debug, Clone)]
pub struct FriendDecision(Vec<(UserId, Verdict)>);

/// The verdict on one user.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Let it happen.
    Allow,
    /// Refuse it; the client sees the code and the text.
    Reject(FriendCode, String),
}

impl Verdict {
    /// A refusal with `code` and `info`.
    #[must_use]
    pub fn reject(code: FriendCode, info: impl Into<String>) -> Self {
        Self::Reject(code, info.into())
    }
}

impl FriendDecision {
    /// One verdict for each of `asked`.
    pub(crate) fn of(asked: impl IntoIterator<Item = (UserId, Verdict)>) -> Self {
        Self(asked.into_iter().collect())
    }
}

impl sealed::Sealed for FriendDecision {}

impl Reply for FriendDecision {
    const PHASE: Phase = Phase::Before;
    const NAME: &'static str = "FriendDecision";
    const FORM: Form = Form::Friends;

    fn into_decision(self) -> AnyDecision {
        AnyDecision::new(Self::FORM, Choice::Verdicts(self.0))
    }
}

impl Decision for FriendDecision {
    fn allowing(asked: &[UserId]) -> Self {
        Self::of(asked.iter().map(|user| (user.clone(), Verdict::Allow)))
    }
}
