use chathook_protocol::{Answer, AnyDecision, Command, IllegalDecision, Policy, UserId};
use strum::{EnumCount, IntoEnumIterator};

/// Why the fallback was answered and not a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::IntoStaticStr, strum::EnumIter, EnumCount)]
#[strum(serialize_all = "snake_case")]
pub enum FallbackReason {
    /// Nobody decided in time.
    Timeout,
    /// Who was to decide failed.
    Error,
    /// A handler panicked.
    Panic,
    /// The body was not read.
    Decode,
    /// There was more to decide than could be.
    Overload,
    /// The body is larger than the limit.
    TooLarge,
}

/// The answers to before-callbacks that nobody decided: one policy a command.
#[derive(Debug, Clone)]
pub struct Fallbacks(Box<[Policy]>);

/// A policy that a command cannot carry out.
#[derive(Debug, thiserror::Error)]
#[error("{command}: {source}")]
pub struct FallbackError {
    /// The command.
    pub command: Command,
    /// Why not.
    pub source: IllegalDecision,
}

impl Default for Fallbacks {
    /// Everything is allowed: who does not decide must not stand in the way.
    fn default() -> Self {
        Self(vec![Policy::Allow; Command::COUNT].into())
    }
}

impl Fallbacks {
    /// One policy for all commands. A command that cannot drop refuses, and one that cannot refuse allows.
    #[must_use]
    pub fn all(policy: &Policy) -> Self {
        let nearest = |command: Command| {
            [policy, &Policy::reject()]
                .into_iter()
                .find(|policy| AnyDecision::of(command, *policy, &[]).is_ok())
                .cloned()
                .unwrap_or(Policy::Allow)
        };
        Self(Command::iter().map(nearest).collect())
    }

    /// The policy of one command.
    ///
    /// # Errors
    /// When Chat has no such answer to this command, or it asks for none.
    pub fn set(&mut self, command: Command, policy: Policy) -> Result<(), FallbackError> {
        AnyDecision::of(command, &policy, &[]).map_err(|source| FallbackError { command, source })?;
        self.0[command as usize] = policy;
        Ok(())
    }

    /// The policy of `command`.
    #[must_use]
    pub fn policy(&self, command: Command) -> &Policy {
        &self.0[command as usize]
    }

    /// The answer to `command`; `asked` are the users with a verdict of their own.
    #[must_use]
    pub fn answer(&self, command: Command, asked: &[UserId]) -> Answer {
        // Only possible policies get in; OK is what remains to be said if one did not.
        AnyDecision::of(command, self.policy(command), asked).map_or(Answer::OK, AnyDecision::into_answer)
    }
}
