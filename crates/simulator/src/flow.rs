//! What happens in an application, as the callbacks that tell of it.

use std::fmt;
use std::str::FromStr;

use chathook_protocol::Command;
use strum::IntoEnumIterator;

/// One thing that users do. Most are two callbacks: one before, and one after where the verdict lets it happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flow {
    /// A message from one user to another.
    OneToOne,
    /// A message in a group.
    GroupMessage,
    /// A message in a topic of a community.
    TopicMessage,
    /// A message in a live room.
    LiveMessage,
    /// A message of an official account to its subscribers.
    ChannelMessage,
    /// A user asks to join a group.
    Join,
    /// Users are invited to a group; the answer may leave some of them out.
    Invite,
    /// A member leaves a group.
    Leave,
    /// Members of a live room come and go.
    Presence,
    /// A user's connection comes up or ends.
    StateChange,
    /// A batch of push events.
    Push,
    /// A user asks others to be friends, who may have to agree.
    FriendRequest,
    /// A user puts others on the block list, or takes them off it.
    Block,
    /// The result of content moderation.
    Moderation,
    /// One callback of any command, and no other after it.
    Command(Command),
}

impl Flow {
    /// The flows that have names of their own, with the names.
    pub const NAMED: [(&'static str, Self); 14] = [
        ("one-to-one", Self::OneToOne),
        ("group-message", Self::GroupMessage),
        ("topic-message", Self::TopicMessage),
        ("live-message", Self::LiveMessage),
        ("channel-message", Self::ChannelMessage),
        ("join", Self::Join),
        ("invite", Self::Invite),
        ("leave", Self::Leave),
        ("presence", Self::Presence),
        ("state-change", Self::StateChange),
        ("push", Self::Push),
        ("friend-request", Self::FriendRequest),
        ("block", Self::Block),
        ("moderation", Self::Moderation),
    ];

    /// Every name that a mix may have: the flows, then the commands.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMED.iter().map(|(name, _)| *name).chain(Command::iter().map(Command::as_str))
    }
}

/// No flow has that name, and no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no flow and no command `{name}`{}", did_you_mean(.nearest.as_deref()))]
pub struct UnknownFlow {
    /// The name.
    pub name: String,
    /// The name that looks most like it.
    pub nearest: Option<String>,
}

impl FromStr for Flow {
    type Err = UnknownFlow;

    fn from_str(name: &str) -> Result<Self, UnknownFlow> {
        let named = Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, flow)| *flow);
        named.or_else(|| name.parse().ok().map(Self::Command)).ok_or_else(|| UnknownFlow {
            name: name.to_owned(),
            nearest: nearest(name, Self::names()).map(str::to_owned),
        })
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => f.write_str(command.as_str()),
            flow => f.write_str(Self::NAMED.iter().find(|(_, named)| named == flow).map_or("", |(name, _)| *name)),
        }
    }
}

/// The name that looks most like `name`, if any looks like it at all.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase()), known))
        .filter(|(likeness, _)| *likeness > 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

pub(crate) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}
