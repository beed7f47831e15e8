use crate::callback::Phase;
use crate::reply::{self, AnyDecision, Decision, Form, Reply, Response, sealed};
use crate::types::UserId;

/// The choice of an agent for a user who wants a human.
#[derive(Debug, Clone)]
pub struct Assignment(Choice);

#[derive(Debug, Clone)]
enum Choice {
    Assign { group: Option<u64>, agents: Vec<Box<str>> },
    Fail { info: String },
}

impl Assignment {
    /// Desk assigns by its own rules.
    #[must_use]
    pub fn by_default() -> Self {
        Self::assign(None, Vec::new())
    }

    /// Any agent of a skill group.
    #[must_use]
    pub fn to_group(group: u64) -> Self {
        Self::assign(Some(group), Vec::new())
    }

    /// One of `agents`, by e-mail address. Nobody to choose from is [`by_default`](Self::by_default).
    #[must_use]
    pub fn to_agents<A: Into<Box<str>>>(agents: impl IntoIterator<Item = A>) -> Self {
        Self::assign(None, agents.into_iter().map(Into::into).collect())
    }

    /// One of `agents` of a skill group. Nobody to choose from is [`to_group`](Self::to_group).
    #[must_use]
    pub fn to_agents_of<A: Into<Box<str>>>(group: u64, agents: impl IntoIterator<Item = A>) -> Self {
        Self::assign(Some(group), agents.into_iter().map(Into::into).collect())
    }

    /// No choice could be made. What Desk does then is not documented.
    #[must_use]
    pub fn failed(info: impl Into<String>) -> Self {
        Self(Choice::Fail { info: info.into() })
    }

    fn assign(group: Option<u64>, agents: Vec<Box<str>>) -> Self {
        Self(Choice::Assign { group, agents })
    }
}

impl sealed::Sealed for Assignment {}

impl Reply for Assignment {
    const PHASE: Phase = Phase::Before;
    const NAME: &'static str = "Assignment";
    const FORM: Form = Form::Assignment;

    fn into_decision(self) -> AnyDecision {
        let choice = match self.0 {
            Choice::Assign { group: None, agents } if agents.is_empty() => reply::Choice::Allow,
            Choice::Assign { group, agents } => reply::Choice::Respond(Response::Agents { group, agents }),
            Choice::Fail { info } => reply::Choice::Refuse { code: 1, info },
        };
        AnyDecision::new(Self::FORM, choice)
    }
}

impl Decision for Assignment {
    fn allowing(_asked: &[UserId]) -> Self {
        Self::by_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Assignment;
    use crate::reply::Reply;

    #[track_caller]
    fn answers(assignment: Assignment, rest: &str) {
        let body = assignment.into_answer().body().to_vec();
        let body = String::from_utf8(body).unwrap();
        assert_eq!(body, format!(r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0{rest}}}"#));
    }

    #[test]
    fn what_was_not_chosen_is_left_out() {
        answers(Assignment::by_default(), "");
        answers(Assignment::to_agents([""; 0]), "");
        answers(Assignment::to_group(7), r#","AgentGroupId":7"#);
        answers(Assignment::to_agents_of(7, [""; 0]), r#","AgentGroupId":7"#);
        answers(Assignment::to_agents_of(7, ["a@b.c"]), r#","AgentGroupId":7,"AgentIdList":["a@b.c"]"#);
    }

    #[test]
    fn a_failure_says_so_twice() {
        let answer = Assignment::failed("roster unavailable").into_answer();
        assert_eq!(answer.body(), r#"{"ActionStatus":"FAIL","ErrorInfo":"roster unavailable","ErrorCode":1}"#);
    }
}
