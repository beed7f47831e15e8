use super::{AnyDecision, Codes, Decision, Form, IllegalDecision, Reply, sealed};
use crate::callback::Phase;
use crate::message::MsgElement;
use crate::reply;
use crate::types::UserId;

/// The decision on a message before it is delivered, with codes of the kind `C` for refusals.
///
/// A rewrite goes out with `ErrorCode` 0 only, and a refusal carries no message: neither can be written otherwise.
///
/// ```
/// use chathook_protocol::{MsgElement, group, reply::GroupCode};
/// let changed = group::SendDecision::rewrite(vec![MsgElement::text("****")]);
/// let rejected = group::SendDecision::reject(GroupCode::of::<10_101>(), "be nice");
/// ```
///
/// No constructor takes both, and none follows another:
///
/// ```compile_fail,E0061
/// # use chathook_protocol::{MsgElement, group, reply::GroupCode};
/// group::SendDecision::reject(GroupCode::of::<10_101>(), "be nice", vec![MsgElement::text("****")]);
/// ```
///
/// ```compile_fail,E0599
/// # use chathook_protocol::{MsgElement, group, reply::GroupCode};
/// let changed = group::SendDecision::rewrite(vec![MsgElement::text("****")]);
/// changed.reject(GroupCode::of::<10_101>(), "be nice");
/// ```
///
/// There are no fields to set either, and a code is of the command's own family:
///
/// ```compile_fail,E0616
/// # use chathook_protocol::group;
/// group::SendDecision::allow().0;
/// ```
///
/// ```compile_fail,E0308
/// # use chathook_protocol::{group, reply::MessageCode};
/// group::SendDecision::reject(MessageCode::FIRST, "be nice");
/// ```
#[derive(Debug, Clone)]
pub struct SendDecision<C>(Choice<C>);

#[derive(Debug, Clone)]
enum Choice<C> {
    Allow,
    Rewrite(Edits),
    Refuse,
    Reject { code: C, info: String },
    Drop,
}

/// What a rewrite replaces: the elements, the custom data or both.
#[derive(Debug, Clone)]
pub struct Edits {
    pub(crate) body: Option<Vec<MsgElement>>,
    pub(crate) cloud_custom_data: Option<String>,
}

impl Edits {
    /// Replaces `MsgBody`.
    #[must_use]
    pub fn body(body: Vec<MsgElement>) -> Self {
        Self { body: Some(body), cloud_custom_data: None }
    }

    /// Replaces `CloudCustomData`.
    #[must_use]
    pub fn cloud_custom_data(data: impl Into<String>) -> Self {
        Self { body: None, cloud_custom_data: Some(data.into()) }
    }

    /// Replaces `CloudCustomData` as well.
    #[must_use]
    pub fn and_cloud_custom_data(self, data: impl Into<String>) -> Self {
        Self { cloud_custom_data: Some(data.into()), ..self }
    }

    /// Whether nothing is replaced.
    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_none() && self.cloud_custom_data.is_none()
    }

    /// Whether both put the same in place, however it is spelt.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_same_body = match (&self.body, &other.body) {
            (Some(one), Some(other)) => is_same_json(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        is_same_body && self.cloud_custom_data == other.cloud_custom_data
    }

    /// The edits, if each new element has a type, and content that is an object: what a service may have got wrong. An
    /// element that came from a user and is sent back need not.
    ///
    /// # Errors
    /// When one has not.
    pub fn whole(self) -> Result<Self, IllegalDecision> {
        match self.body.iter().flatten().all(MsgElement::is_whole) {
            true => Ok(self),
            false => Err(IllegalDecision::BrokenElement),
        }
    }

    /// These edits, and then those of `next`.
    pub(crate) fn then(self, next: Self) -> Self {
        Self { body: next.body.or(self.body), cloud_custom_data: next.cloud_custom_data.or(self.cloud_custom_data) }
    }
}

/// Whether both are the same JSON. Where half a surrogate pair keeps it from being read, the same spelling is asked for.
fn is_same_json(one: &[MsgElement], other: &[MsgElement]) -> bool {
    match (serde_json::to_value(one), serde_json::to_value(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => matches!((serde_json::to_vec(one), serde_json::to_vec(other)), (Ok(one), Ok(other)) if one == other),
    }
}

impl From<Vec<MsgElement>> for Edits {
    fn from(body: Vec<MsgElement>) -> Self {
        Self::body(body)
    }
}

impl<C: Codes> SendDecision<C> {
    /// Deliver it as it is.
    #[must_use]
    pub fn allow() -> Self {
        Self(Choice::Allow)
    }

    /// Deliver it changed. Takes new elements, or [`Edits`].
    #[must_use]
    pub fn rewrite(edits: impl Into<Edits>) -> Self {
        Self(Choice::Rewrite(edits.into()))
    }

    /// Do not deliver it; the sender sees Chat's general refusal.
    #[must_use]
    pub fn refuse() -> Self {
        Self(Choice::Refuse)
    }

    /// Do not deliver it; the sender sees `code` and `info`.
    #[must_use]
    pub fn reject(code: C, info: impl Into<String>) -> Self {
        Self(Choice::Reject { code, info: info.into() })
    }

    /// Do not deliver it; the sender is told that it was sent.
    #[must_use]
    pub fn drop_silently() -> Self {
        Self(Choice::Drop)
    }
}

impl<C> sealed::Sealed for SendDecision<C> {}

impl<C: Codes> Reply for SendDecision<C> {
    const PHASE: Phase = Phase::Before;
    const NAME: &'static str = "SendDecision";
    const FORM: Form = Form::Message(C::RANGE);

    fn into_decision(self) -> AnyDecision {
        let choice = match self.0 {
            Choice::Allow => reply::Choice::Allow,
            Choice::Rewrite(edits) => reply::Choice::Rewrite(edits),
            Choice::Refuse => reply::Choice::Refuse { code: 1, info: String::new() },
            Choice::Reject { code, info } => reply::Choice::Refuse { code: code.number(), info },
            Choice::Drop => reply::Choice::Drop,
        };
        AnyDecision::new(Self::FORM, choice)
    }
}

impl<C: Codes> Decision for SendDecision<C> {
    fn allowing(_asked: &[UserId]) -> Self {
        Self::allow()
    }
}
