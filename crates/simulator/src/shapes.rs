//! Bodies of every command with values that vary as in life.

mod facts;
mod members;
mod messages;
mod messaging;
mod moderation;
mod names;
mod object;
mod push;
mod relations;
mod state;
mod template;

use std::time::Duration;

use chathook_protocol::{Command, UserId};
use strum::{EnumCount, IntoEnumIterator};

pub(crate) use self::facts::{Facts, Society};
use self::messages::Messages;
pub(crate) use self::names::uuid;
use self::template::Template;
use crate::flow::Flow;
use crate::request::Request;
use crate::rng::Rng;
use crate::scenario::Population;
use crate::verdict::Rewrite;

/// Makes callbacks of any command: users and groups of a population, ascending sequence numbers, elements of every type,
/// several languages, sizes from under 200 bytes to 12 KiB. The same seed and epoch make the same callbacks.
#[derive(Debug)]
pub struct Shapes {
    stock: Stock,
    society: Society,
    rng: Rng,
    epoch: u64,
    count: u64,
}

impl Shapes {
    /// Callbacks among `population`. Their times and sequence numbers count from `epoch`, the time since 1970.
    #[must_use]
    pub fn new(seed: u64, population: Population, epoch: Duration) -> Self {
        Self {
            stock: Stock::new(seed),
            society: Society::new(population, epoch),
            rng: Rng::of(seed, 2),
            epoch: u64::try_from(epoch.as_millis()).unwrap_or_default(),
            count: 0,
        }
    }

    /// The next callback of `command`, a millisecond after the last one.
    pub fn request(&mut self, command: Command) -> Request {
        self.count += 1;
        let facts = self.society.facts(Flow::Command(command), self.rng.next(), self.epoch + self.count);
        self.stock.request(command, &facts, &SoFar::default())
    }
}

/// What earlier answers of a flow have changed.
#[derive(Debug, Default)]
pub(crate) struct SoFar {
    /// The message, as it is delivered.
    pub(crate) rewrite: Rewrite,
    /// Those for whom the event does not happen.
    pub(crate) refused: Vec<UserId>,
}

impl SoFar {
    /// Whether the user of that number is left out.
    fn refuses(&self, user: u32) -> bool {
        if self.refused.is_empty() {
            return false;
        }
        let mut name = Vec::new();
        names::user(&mut name, user);
        self.refused.iter().any(|refused| refused.as_str().as_bytes() == name)
    }
}

/// What bodies are made of.
#[derive(Debug)]
pub(crate) struct Stock {
    messages: Messages,
    templates: Vec<Template>,
}

impl Stock {
    pub(crate) fn new(seed: u64) -> Self {
        debug_assert_eq!(Command::iter().count(), Command::COUNT);
        Self { messages: Messages::new(seed), templates: Command::iter().map(Template::of).collect() }
    }

    /// Writes the body of `command` in the flow that has these `facts`.
    pub(crate) fn write(&self, command: Command, facts: &Facts, so_far: &SoFar, out: &mut Vec<u8>) {
        match command {
            Command::StateChange => state::change(facts, out),
            Command::C2cBeforeSendMsg => messaging::c2c(false, facts, &self.messages, so_far, out),
            Command::C2cAfterSendMsg => messaging::c2c(true, facts, &self.messages, so_far, out),
            Command::GroupBeforeSendMsg => messaging::group(false, facts, &self.messages, so_far, out),
            Command::GroupAfterSendMsg => messaging::group(true, facts, &self.messages, so_far, out),
            Command::OfficialAccountBeforeSendMsg => messaging::channel(false, facts, &self.messages, so_far, out),
            Command::OfficialAccountAfterSendMsg => messaging::channel(true, facts, &self.messages, so_far, out),
            Command::GroupBeforeApplyJoinGroup => members::before_apply(facts, out),
            Command::GroupBeforeInviteJoinGroup => members::before_invite(facts, out),
            Command::GroupAfterNewMemberJoin => members::joined(facts, so_far, out),
            Command::GroupAfterMemberExit => members::exit(facts, out),
            Command::GroupOnMemberStateChange => members::presence(facts, out),
            Command::SnsPrevFriendAdd => relations::before_add(facts, out),
            Command::SnsPrevFriendResponse => relations::before_response(facts, so_far, out),
            Command::SnsFriendAdd => relations::added(facts, so_far, out),
            Command::SnsBlackListAdd | Command::SnsBlackListDelete => relations::block(command, facts, out),
            Command::PushAllMemberPush => push::all_members(facts, out),
            Command::PushOfflinePush => push::offline(facts, out),
            Command::ContentResultNotify => moderation::result(facts, out),
            command => {
                if let Some(template) = self.templates.get(command as usize) {
                    template.write(facts, &self.messages, out);
                }
            }
        }
    }

    /// The whole callback.
    pub(crate) fn request(&self, command: Command, facts: &Facts, so_far: &SoFar) -> Request {
        let mut body = Vec::with_capacity(1024);
        self.write(command, facts, so_far, &mut body);
        let mut request = Request::new(command, body);
        request.client_ip = request.client_ip.map(|_| facts.client_ip());
        request.platform = request.platform.map(|_| facts.platform().into());
        request
    }
}
