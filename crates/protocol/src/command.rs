//! Names of commands: the known ones, and whatever else arrives.

use std::fmt;

use strum::IntoEnumIterator;

use crate::Command;

/// The part of the product that a command belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::IntoStaticStr, strum::EnumIter)]
pub enum Family {
    /// Operations of the application as a whole.
    Ops,
    /// Online state.
    State,
    /// User profiles.
    Profile,
    /// Friends and block lists.
    Sns,
    /// Following.
    Follow,
    /// One-to-one messages.
    C2C,
    /// Groups, communities and topics.
    Group,
    /// Bots.
    Bot,
    /// Content moderation.
    Moderation,
    /// Official accounts (channels).
    OfficialAccount,
    /// The push service.
    Push,
    /// Customer service.
    Desk,
    /// Calls.
    Call,
    /// Live rooms.
    Live,
    /// Seats of live rooms.
    Mic,
    /// Conference rooms.
    Room,
}

impl Family {
    /// Whether the command belongs to Chat itself, not to one of its sister products.
    #[must_use]
    pub fn is_chat(self) -> bool {
        !matches!(self, Self::Desk | Self::Call | Self::Live | Self::Mic | Self::Room)
    }
}

/// The name of a command as it arrived. New ones appear every few months, so an unknown one is no error.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CommandName {
    /// A command of the table, under its name or an alias.
    Known(Command),
    /// Any other name.
    Unknown(Box<str>),
}

impl CommandName {
    /// The name as it is shown to people and targets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(command) => command.as_str(),
            Self::Unknown(name) => name,
        }
    }

    /// The command, if it is known.
    #[must_use]
    pub fn known(&self) -> Option<Command> {
        match self {
            Self::Known(command) => Some(*command),
            Self::Unknown(_) => None,
        }
    }
}

impl From<&str> for CommandName {
    fn from(name: &str) -> Self {
        name.parse().map_or_else(|_| Self::Unknown(name.into()), Self::Known)
    }
}

impl From<Command> for CommandName {
    fn from(command: Command) -> Self {
        Self::Known(command)
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Command {
    /// The commands of Chat itself, without those of the sister products.
    pub fn chat() -> impl Iterator<Item = Self> {
        Self::iter().filter(|command| command.family().is_chat())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
