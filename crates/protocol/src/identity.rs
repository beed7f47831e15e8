//! What makes an event the same as another, and what puts events in order.

use std::fmt::{self, Write as _};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::types::{CallId, GroupId, MsgKey, OfficialAccountId, RoomId, SessionId, TopicId, UserId};

/// What would make two joined parts look like two others, or a header illegal.
const SEPARATORS: &AsciiSet = &CONTROLS.add(b'/').add(b'%').add(b' ');

/// Joins `parts` with `/`, so that different parts never give the same text.
fn join<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut joined = String::new();
    for part in parts {
        if !joined.is_empty() {
            joined.push('/');
        }
        joined.extend(utf8_percent_encode(part, SEPARATORS));
    }
    joined
}

/// The fields that tell one event of a command from another.
///
/// Docs: the keys are those of the protocol overview: `MsgKey` of a message, group and sequence number, and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity(Vec<String>);

impl Identity {
    /// An identity of `fields`, in their order.
    pub fn of(fields: &[&dyn fmt::Display]) -> Self {
        Self(fields.iter().map(ToString::to_string).collect())
    }

    /// The identity of a one-to-one message; none without its key.
    pub(crate) fn of_message(key: Option<&MsgKey>) -> Option<Self> {
        key.filter(|key| !key.as_str().is_empty()).map(|key| Self::of(&[key]))
    }

    /// The identity together with its application and the name of its command: two applications may have groups of
    /// the same name.
    pub(crate) fn id(&self, sdk_app_id: Option<u64>, command: &str) -> EventId {
        let app = sdk_app_id.map(|app| app.to_string());
        EventId::named(join(app.as_deref().into_iter().chain([command]).chain(self.0.iter().map(String::as_str))))
    }
}

/// The identity of an event, for discarding duplicates.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventId {
    text: String,
    of_content: bool,
}

impl EventId {
    /// The identity as text: printable, without blanks.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is only a hash of what arrived: two callbacks with the same content may then be two events, such as a
    /// user who is blocked, released, and blocked again.
    #[must_use]
    pub fn is_of_content(&self) -> bool {
        self.of_content
    }

    fn named(text: String) -> Self {
        Self { text, of_content: false }
    }

    /// The sender's own identifier of this callback.
    pub(crate) fn of_request(request_id: &str) -> Self {
        Self::named(join([request_id]))
    }

    /// The last resort: what arrived, hashed.
    pub(crate) fn of_content(sdk_app_id: Option<u64>, command: &str, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(sdk_app_id.unwrap_or_default().to_be_bytes());
        // The length keeps the command and the body apart.
        hash.update((command.len() as u64).to_be_bytes());
        hash.update(command);
        hash.update(body);
        let mut id = String::with_capacity(71);
        id.push_str("sha256:");
        for byte in hash.finalize() {
            let _ = write!(id, "{byte:02x}");
        }
        Self { text: id, of_content: true }
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.text
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The conversation that an event belongs to. Events with the same key reach a target one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OrderingKey(Option<String>);

impl OrderingKey {
    /// Order does not matter: an alarm of the application as a whole.
    pub const NONE: Self = Self(None);

    /// A group.
    #[must_use]
    pub fn group(group: &GroupId) -> Self {
        Self(Some(join(["group", group.as_str()])))
    }

    /// A topic of a group. Several callbacks carry an empty topic for ordinary groups.
    #[must_use]
    pub fn topic(group: &GroupId, topic: Option<&TopicId>) -> Self {
        match topic.filter(|topic| !topic.as_str().is_empty()) {
            Some(topic) => Self(Some(join(["group", group.as_str(), topic.as_str()]))),
            None => Self::group(group),
        }
    }

    /// Two users; the same for both directions.
    #[must_use]
    pub fn pair(one: &UserId, other: &UserId) -> Self {
        let (first, second) = if one <= other { (one, other) } else { (other, one) };
        Self(Some(join(["pair", first.as_str(), second.as_str()])))
    }

    /// An official account.
    #[must_use]
    pub fn official_account(account: &OfficialAccountId) -> Self {
        Self(Some(join(["official-account", account.as_str()])))
    }

    /// One user.
    #[must_use]
    pub fn user(user: &UserId) -> Self {
        Self(Some(join(["user", user.as_str()])))
    }

    /// A room of the sister products.
    #[must_use]
    pub fn room(room: &RoomId) -> Self {
        Self(Some(join(["room", room.as_str()])))
    }

    /// A call.
    #[must_use]
    pub fn call(call: &CallId) -> Self {
        Self(Some(join(["call", call.as_str()])))
    }

    /// A customer-service session.
    #[must_use]
    pub fn session(session: &SessionId) -> Self {
        Self(Some(join(["session", session.as_str()])))
    }

    /// The key as text, if the event has one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::{EventId, Identity, OrderingKey};

    #[test]
    fn different_fields_never_give_the_same_identity() {
        let one = Identity::of(&[&"a/b", &"c"]).id(None, "X");
        let other = Identity::of(&[&"a", &"b/c"]).id(None, "X");
        assert_eq!(one.as_str(), "X/a%2Fb/c");
        assert_ne!(one, other);
    }

    #[test]
    fn a_pair_has_one_key_in_both_directions() {
        let key = OrderingKey::pair(&"u_2".into(), &"u_1".into());
        assert_eq!(key, OrderingKey::pair(&"u_1".into(), &"u_2".into()));
        assert_eq!(key.as_str(), Some("pair/u_1/u_2"));
    }

    #[test]
    fn the_content_hash_tells_applications_and_commands_apart() {
        let id = |app, command: &str, body: &str| EventId::of_content(Some(app), command, body.as_bytes());
        assert_eq!(id(1, "a", "b"), id(1, "a", "b"));
        assert_ne!(id(1, "a", "b"), id(2, "a", "b"));
        assert_ne!(id(1, "a", "bc"), id(1, "ab", "c"));
    }
}
