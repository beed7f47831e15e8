use super::{Answer, Codes, Decision, Effect, FriendCode, Policy, PolicyError, Reply, ResultItem, Wire, sealed};
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

    fn into_answer(self) -> Answer {
        let refused = self.0.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Reject(..))).count();
        let effect = match refused {
            0 => Effect::Allow,
            all if all == self.0.len() => Effect::Reject,
            _ => Effect::Partial,
        };
        let items = self.0.iter().map(|(to, verdict)| match verdict {
            Verdict::Allow => ResultItem { to, result_code: 0, result_info: "" },
            Verdict::Reject(code, info) => ResultItem { to, result_code: code.get(), result_info: info },
        });
        Wire { result_item: Some(items.collect()), ..Wire::default() }.answer(effect)
    }

    /// A body that does not decode names nobody, and so can only be allowed.
    fn by_policy(policy: &Policy, asked: &[UserId]) -> Result<Answer, PolicyError> {
        let verdict = match policy {
            Policy::Allow => Verdict::Allow,
            Policy::Reject { code: None, info } => Verdict::reject(FriendCode::FIRST, info),
            Policy::Reject { code: Some(code), info } => Verdict::reject(FriendCode::from_number(*code)?, info),
            Policy::Drop => return Err(PolicyError::NoDrop),
        };
        Ok(Self::of(asked.iter().map(|user| (user.clone(), verdict.clone()))).into_answer())
    }
}

impl Decision for FriendDecision {
    fn allowing(asked: &[UserId]) -> Self {
        Self::of(asked.iter().map(|user| (user.clone(), Verdict::Allow)))
    }
}
