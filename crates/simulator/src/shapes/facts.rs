//! What the callbacks of one flow have in common.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use chathook_protocol::Command;

use super::messages::Messages;
use crate::flow::Flow;
use crate::request::write_number;
use crate::rng::mix;
use crate::scenario::Population;

/// The facts of one flow. Everything else about it follows from them, so that its callbacks agree with each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) flow: Flow,
    /// What chance has decided: see [`Facts::roll`].
    pub(crate) dice: u64,
    /// When it happens, in milliseconds since 1970.
    pub(crate) time: u64,
    /// The sequence number in its conversation.
    pub(super) seq: u32,
    pub(super) group: u32,
    pub(super) topic: u32,
    /// Who causes it.
    pub(super) from: u32,
    /// Whom it is about.
    pub(super) to: u32,
    /// What changes, where something does.
    pub(super) change: Change,
    users: u32,
}

/// What changes about a connection or a presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Login,
    Disconnect,
    Logout,
    CustomStatus,
    Enter,
    Leave,
}

/// What chance decides; each has numbers of its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Roll {
    From,
    To,
    Group,
    Topic,
    Message,
    Random,
    Platform,
    Address,
    Shape,
    Count,
    Change,
    Custom,
    Optional,
    Item,
}

/// Where the users of a flow are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Group,
    Topic,
    LiveRoom,
}

impl Facts {
    /// A number below `end`, the same whenever it is asked for.
    pub(super) fn roll(&self, roll: Roll, i: u32, end: u32) -> u32 {
        let random = mix(self.dice ^ (roll as u64) << 56 ^ u64::from(i) << 24);
        (((random >> 32) * u64::from(end.max(1))) >> 32) as u32
    }

    /// Whether something happens that happens `parts` times in a thousand.
    pub(super) fn happens(&self, roll: Roll, i: u32, parts: u32) -> bool {
        self.roll(roll, i, 1000) < parts
    }

    /// One of `items`.
    pub(super) fn one_of<'a, const N: usize>(&self, roll: Roll, i: u32, items: &[&'a str; N]) -> &'a str {
        items.get(self.roll(roll, i, N as u32) as usize).copied().unwrap_or_default()
    }

    /// The others whom it is about, `to` first: all different, and none of them the one who causes it, as long as there are
    /// so many users.
    pub(super) fn other(&self, i: u32) -> u32 {
        let others = u64::from(self.users.max(2) - 1);
        let distance =
            (u64::from(self.to) + u64::from(self.users) - u64::from(self.from)) % u64::from(self.users.max(1));
        let distance = (distance.saturating_sub(1) + u64::from(i)) % others + 1;
        ((u64::from(self.from) + distance) % u64::from(self.users.max(1))) as u32
    }

    /// How many others it is about: `most` at most.
    pub(super) fn others(&self, most: u32) -> u32 {
        (1 + self.roll(Roll::Count, 0, most)).min(self.users.max(2) - 1)
    }

    /// What the client drew for the message, or for the `i`th.
    pub(super) fn random(&self, i: u32) -> u32 {
        self.roll(Roll::Random, i, u32::MAX)
    }

    /// Which of the stock of messages it is.
    pub(super) fn message(&self) -> u32 {
        self.roll(Roll::Message, 0, Messages::count())
    }

    /// `MsgKey` of the `i`th message.
    pub(super) fn key(&self, i: u32, out: &mut Vec<u8>) {
        write_number(out, u64::from(self.seq.wrapping_add(i)));
        out.push(b'_');
        write_number(out, u64::from(self.random(i)));
        out.push(b'_');
        write_number(out, self.time / 1000);
    }

    pub(super) fn place(&self) -> Place {
        match self.flow {
            Flow::TopicMessage => Place::Topic,
            Flow::LiveMessage | Flow::Presence => Place::LiveRoom,
            _ => Place::Group,
        }
    }

    /// Addresses of the networks that are set aside for documentation.
    pub(crate) fn client_ip(&self) -> IpAddr {
        let [_, _, high, low] = self.roll(Roll::Address, 0, u32::MAX).to_be_bytes();
        match self.roll(Roll::Address, 1, 100) {
            0..2 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, u16::from(high), u16::from(low))),
            2..40 => IpAddr::V4(Ipv4Addr::new(198, 51, 100, low)),
            _ => IpAddr::V4(Ipv4Addr::new(203, 0, 113, low)),
        }
    }

    /// `OptPlatform`, but for the spelling that state changes have.
    pub(crate) fn platform(&self) -> &'static str {
        match self.roll(Roll::Platform, 0, 100) {
            0..38 => "Android",
            38..76 => "iOS",
            76..86 => "Web",
            86..91 => "Windows",
            91..94 => "Mac",
            94..97 => "iPad",
            _ => "RESTAPI",
        }
    }

    pub(super) fn is_over_rest(&self) -> bool {
        self.platform() == "RESTAPI"
    }

    /// The command that a flow begins with.
    pub(crate) fn first(&self) -> Command {
        match self.flow {
            Flow::OneToOne => Command::C2cBeforeSendMsg,
            Flow::GroupMessage | Flow::TopicMessage | Flow::LiveMessage => Command::GroupBeforeSendMsg,
            Flow::ChannelMessage => Command::OfficialAccountBeforeSendMsg,
            Flow::Join => Command::GroupBeforeApplyJoinGroup,
            Flow::Invite => Command::GroupBeforeInviteJoinGroup,
            Flow::Leave => Command::GroupAfterMemberExit,
            Flow::Presence => Command::GroupOnMemberStateChange,
            Flow::StateChange => Command::StateChange,
            Flow::Push if self.happens(Roll::Shape, 0, 700) => Command::PushOfflinePush,
            Flow::Push => Command::PushAllMemberPush,
            Flow::FriendRequest => Command::SnsPrevFriendAdd,
            Flow::Block if self.happens(Roll::Shape, 0, 250) => Command::SnsBlackListDelete,
            Flow::Block => Command::SnsBlackListAdd,
            Flow::Moderation => Command::ContentResultNotify,
            Flow::Command(command) => command,
        }
    }

    /// The command that follows `command`, where what it asked for happens.
    pub(crate) fn after(&self, command: Command) -> Option<Command> {
        match (self.flow, command) {
            (Flow::Command(_), _) => None,
            (_, Command::C2cBeforeSendMsg) => Some(Command::C2cAfterSendMsg),
            (_, Command::GroupBeforeSendMsg) => Some(Command::GroupAfterSendMsg),
            (_, Command::OfficialAccountBeforeSendMsg) => Some(Command::OfficialAccountAfterSendMsg),
            (_, Command::GroupBeforeApplyJoinGroup | Command::GroupBeforeInviteJoinGroup) => {
                Some(Command::GroupAfterNewMemberJoin)
            }
            (_, Command::SnsPrevFriendAdd) if self.needs_consent() => Some(Command::SnsPrevFriendResponse),
            (_, Command::SnsPrevFriendAdd | Command::SnsPrevFriendResponse) => Some(Command::SnsFriendAdd),
            _ => None,
        }
    }

    /// Whether the other user has to agree to a friendship.
    pub(super) fn needs_consent(&self) -> bool {
        self.happens(Roll::Shape, 1, 500)
    }
}

/// What changes from flow to flow: sequence numbers, and who is where.
#[derive(Debug)]
pub(crate) struct Society {
    population: Population,
    /// One-to-one messages have one counter, as if all came from one client.
    seq: u32,
    groups: Vec<u32>,
    topics: Vec<u32>,
    live_rooms: Vec<u32>,
    /// A bit a user: who has a connection.
    online: Vec<u64>,
    /// Who is in each live room, and who has joined each group.
    present: Vec<Vec<u32>>,
    joined: Vec<Vec<u32>>,
}

/// No live room and no group has more who came in the course of a run.
const MAX_PRESENT: usize = 5_000;

impl Society {
    /// Sequence numbers begin where another run, a few seconds earlier, is unlikely to have been: messages with the same
    /// numbers would be taken for the same.
    pub(crate) fn new(population: Population, epoch: Duration) -> Self {
        let first = ((epoch.as_secs() % 20_000) as u32).wrapping_mul(200_000) + 1;
        let counters = |count: u32| vec![first; count.max(1) as usize];
        Self {
            seq: first,
            groups: counters(population.groups),
            topics: counters(population.communities.max(1).saturating_mul(population.topics.max(1))),
            live_rooms: counters(population.live_rooms),
            online: vec![0; population.users as usize / 64 + 1],
            present: vec![Vec::new(); population.live_rooms.max(1) as usize],
            joined: vec![Vec::new(); population.groups.max(1) as usize],
            population,
        }
    }

    /// The facts of a flow that happens at `time`.
    pub(crate) fn facts(&mut self, flow: Flow, dice: u64, time: u64) -> Facts {
        let users = self.population.users.max(2);
        let mut facts =
            Facts { flow, dice, time, seq: 0, group: 0, topic: 0, from: 0, to: 0, change: Change::Login, users };
        // Some users and some groups are busier than others.
        let skewed = |roll, end: u32| {
            let (one, other) = (facts.roll(roll, 0, end), facts.roll(roll, 1, end));
            one.min(other)
        };
        let from = skewed(Roll::From, users);
        let distance = 1 + u64::from(facts.roll(Roll::To, 0, users - 1));
        let to = ((u64::from(from) + distance) % u64::from(users)) as u32;
        let places = match flow {
            Flow::TopicMessage => self.population.communities,
            Flow::LiveMessage | Flow::Presence | Flow::Command(Command::GroupOnMemberStateChange) => {
                self.population.live_rooms
            }
            Flow::ChannelMessage => self.population.channels,
            _ => self.population.groups,
        };
        let group = skewed(Roll::Group, places.max(1));
        let topic = facts.roll(Roll::Topic, 0, self.population.topics.max(1));
        facts.seq = self.next_seq(flow, group, topic);
        facts = Facts { from, to, group, topic, ..facts };
        self.change(&mut facts);
        facts
    }

    fn next_seq(&mut self, flow: Flow, group: u32, topic: u32) -> u32 {
        let counter = match flow {
            Flow::GroupMessage => self.groups.get_mut(group as usize),
            Flow::TopicMessage => {
                let topics = self.population.topics.max(1) as usize;
                self.topics.get_mut(group as usize * topics + topic as usize)
            }
            Flow::LiveMessage => self.live_rooms.get_mut(group as usize),
            _ => None,
        };
        let counter = counter.unwrap_or(&mut self.seq);
        let seq = *counter;
        *counter = counter.wrapping_add(1);
        seq
    }

    /// What changes about a user, given what has changed before.
    fn change(&mut self, facts: &mut Facts) {
        match facts.flow {
            Flow::StateChange | Flow::Command(Command::StateChange) => {
                facts.change = self.connection(facts);
            }
            Flow::Presence | Flow::Command(Command::GroupOnMemberStateChange) => {
                let stays = facts.happens(Roll::Change, 0, 550);
                if let Some(room) = self.present.get_mut(facts.group as usize) {
                    (facts.from, facts.change) = moved(room, facts, stays);
                }
            }
            Flow::Join => {
                if let Some(group) = self.joined.get_mut(facts.group as usize) {
                    (facts.from, facts.change) = moved(group, facts, true);
                }
            }
            Flow::Leave => {
                if let Some(group) = self.joined.get_mut(facts.group as usize) {
                    (facts.from, facts.change) = moved(group, facts, group.is_empty());
                }
            }
            _ => {}
        }
    }

    /// Logins and disconnects alternate, as they do for a user with one device.
    fn connection(&mut self, facts: &Facts) -> Change {
        let Some(word) = self.online.get_mut(facts.from as usize / 64) else { return Change::Login };
        let bit = 1_u64 << (facts.from % 64);
        let is_online = *word & bit != 0;
        if is_online && facts.happens(Roll::Change, 0, 80) {
            return Change::CustomStatus;
        }
        *word ^= bit;
        match is_online {
            false => Change::Login,
            true if facts.happens(Roll::Change, 1, 300) => Change::Logout,
            true => Change::Disconnect,
        }
    }
}

/// Who comes into `room`, or goes: only those go who came.
fn moved(room: &mut Vec<u32>, facts: &Facts, comes: bool) -> (u32, Change) {
    if (comes || room.is_empty()) && room.len() < MAX_PRESENT {
        room.push(facts.from);
        return (facts.from, Change::Enter);
    }
    let index = facts.roll(Roll::Change, 2, room.len() as u32) as usize;
    (room.swap_remove(index.min(room.len() - 1)), Change::Leave)
}
