//! The table: every command, its payload and its answer. Adding one is a row here, the payload's file, and a
//! folder of samples in `tests/wire/`.

use crate::callback::{Callback, Payload, Phase};
use crate::command::{CommandName, Family};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::reply::{Ack, Form, FriendDecision, Reply};
use crate::{
    bot, c2c, call, content, desk, follow, group, live, message, mic, official_account, ops, profile, push, room, sns,
    state, walk,
};

/// Makes everything that follows from the rows: the enum of commands, the one of payloads, and what connects them.
///
/// A row reads `Variant = "Wire.Name" | "Wire.Alias", payload => answer;` and stands under its family.
macro_rules! callbacks {
    ($($family:ident { $($variant:ident = $wire:literal $(| $alias:literal)*, $payload:ty => $reply:ty;)+ })+) => {
        /// A callback command that this version knows.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord,
            strum::EnumString, strum::EnumIter, strum::EnumCount, strum::VariantArray,
        )]
        pub enum Command {$($(
            #[doc = concat!("`", $wire, "`")]
            #[strum(serialize = $wire $(, serialize = $alias)*)]
            $variant,
        )+)+}

        impl Command {
            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$variant => $wire,)+)+ }
            }

            /// Other names that documentation or traffic has for it.
            #[must_use]
            pub const fn aliases(self) -> &'static [&'static str] {
                match self { $($(Self::$variant => &[$($alias),*],)+)+ }
            }

            /// The part of the product that it belongs to.
            #[must_use]
            pub const fn family(self) -> Family {
                match self { $($(Self::$variant => Family::$family,)+)+ }
            }

            /// Whether Chat asks before the event, or tells after it.
            #[must_use]
            pub const fn phase(self) -> Phase {
                match self { $($(Self::$variant => <$reply as Reply>::PHASE,)+)+ }
            }

            /// The name of the type that answers it.
            #[must_use]
            pub const fn answer_type(self) -> &'static str {
                match self { $($(Self::$variant => <$reply as Reply>::NAME,)+)+ }
            }

            /// What Chat accepts as the answer.
            pub(crate) const fn form(self) -> Form {
                match self { $($(Self::$variant => <$reply as Reply>::FORM,)+)+ }
            }
        }

        /// The payload of any command.
        #[derive(Debug, Clone)]
        #[non_exhaustive]
        pub enum AnyCallback {$($(
            #[doc = concat!("`", $wire, "`")]
            $variant(Box<$payload>),
        )+)+}

        impl AnyCallback {
            /// The command that it belongs to.
            #[must_use]
            pub const fn command(&self) -> Command {
                match self { $($(Self::$variant(_) => Command::$variant,)+)+ }
            }

            /// What can be said of every payload.
            #[must_use]
            pub fn payload(&self) -> &dyn Payload {
                match self { $($(Self::$variant(payload) => &**payload,)+)+ }
            }

            fn read(command: Command, body: &[u8]) -> Decoded {
                match command { $($(Command::$variant => {
                    let (value, command) = decode::<$payload>(body);
                    Decoded::of(value.map(|(payload, unread)| (Self::$variant(Box::new(payload)), unread)), command)
                })+)+ }
            }
        }

        impl serde::Serialize for AnyCallback {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $($(Self::$variant(payload) => payload.serialize(serializer),)+)+ }
            }
        }

        $($(
            impl Callback for $payload {
                const COMMAND: Command = Command::$variant;
                type Reply = $reply;

                fn from_any(any: AnyCallback) -> Option<Box<Self>> {
                    match any {
                        AnyCallback::$variant(payload) => Some(payload),
                        _ => None,
                    }
                }
            }
        )+)+
    };
}

callbacks! {
    Ops {
        AlertRequestOverLimit = "Alert.RequestOverLimit", ops::RequestOverLimit => Ack;
    }
    State {
        StateChange = "State.StateChange", state::StateChange => Ack;
    }
    Profile {
        ProfilePortraitSet = "Profile.CallbackPortraitSet", profile::PortraitSet => Ack;
    }
    Sns {
        SnsPrevFriendAdd      = "Sns.CallbackPrevFriendAdd",      sns::PrevFriendAdd      => FriendDecision;
        SnsPrevFriendResponse = "Sns.CallbackPrevFriendResponse", sns::PrevFriendResponse => FriendDecision;
        SnsFriendAdd          = "Sns.CallbackFriendAdd",          sns::FriendAdd          => Ack;
        SnsFriendDelete       = "Sns.CallbackFriendDelete",       sns::FriendDelete       => Ack;
        SnsBlackListAdd       = "Sns.CallbackBlackListAdd",       sns::BlackListAdd       => Ack;
        SnsBlackListDelete    = "Sns.CallbackBlackListDelete",    sns::BlackListDelete    => Ack;
    }
    Follow {
        FollowAfterFollowAdd    = "Follow.CallbackAfterFollowAdd",    follow::AfterFollowAdd    => Ack;
        FollowAfterFollowDelete = "Follow.CallbackAfterFollowDelete", follow::AfterFollowDelete => Ack;
    }
    C2C {
        C2cBeforeSendMsg        = "C2C.CallbackBeforeSendMsg",        c2c::BeforeSendMsg        => c2c::SendDecision;
        C2cAfterSendMsg         = "C2C.CallbackAfterSendMsg",         c2c::AfterSendMsg         => Ack;
        C2cAfterMsgReport       = "C2C.CallbackAfterMsgReport",       c2c::AfterMsgReport       => Ack;
        C2cAfterMsgWithDraw     = "C2C.CallbackAfterMsgWithDraw",     c2c::AfterMsgWithDraw     => Ack;
        C2cAfterC2cMsgExtension = "C2C.CallbackAfterC2CMsgExtension", c2c::AfterC2cMsgExtension => Ack;
        C2cAfterMsgReadReceipt  = "C2C.CallbackAfterMsgReadReceipt",  c2c::AfterMsgReadReceipt  => Ack;
        C2cAfterModifyMsg       = "C2C.CallbackAfterModifyMsg",       c2c::AfterModifyMsg       => Ack;
        C2cAfterMsgReadAll      = "C2C.CallbackAfterMsgReadAll",      c2c::AfterMsgReadAll      => Ack;
    }
    Group {
        GroupBeforeCreateGroup       = "Group.CallbackBeforeCreateGroup",       group::BeforeCreateGroup       => group::Permission;
        GroupAfterCreateGroup        = "Group.CallbackAfterCreateGroup",        group::AfterCreateGroup        => Ack;
        GroupBeforeApplyJoinGroup    = "Group.CallbackBeforeApplyJoinGroup",    group::BeforeApplyJoinGroup    => group::Permission;
        GroupBeforeInviteJoinGroup   = "Group.CallbackBeforeInviteJoinGroup",   group::BeforeInviteJoinGroup   => group::JoinDecision;
        GroupAfterNewMemberJoin      = "Group.CallbackAfterNewMemberJoin",      group::AfterNewMemberJoin      => Ack;
        GroupAfterMemberExit         = "Group.CallbackAfterMemberExit",         group::AfterMemberExit         => Ack;
        GroupBeforeSendMsg           = "Group.CallbackBeforeSendMsg",           group::BeforeSendMsg           => group::SendDecision;
        GroupAfterSendMsg            = "Group.CallbackAfterSendMsg",            group::AfterSendMsg            => Ack;
        GroupAfterGroupFull          = "Group.CallbackAfterGroupFull",          group::AfterGroupFull          => Ack;
        GroupAfterGroupDestroyed     = "Group.CallbackAfterGroupDestroyed",     group::AfterGroupDestroyed     => Ack;
        GroupAfterGroupInfoChanged   = "Group.CallbackAfterGroupInfoChanged",   group::AfterGroupInfoChanged   => Ack;
        GroupOnMemberStateChange     = "Group.CallbackOnMemberStateChange",     group::OnMemberStateChange     => Ack;
        GroupSendMsgException        = "Group.CallbackSendMsgException",        group::SendMsgException        => Ack;
        GroupBeforeCreateTopic       = "Group.CallbackBeforeCreateTopic",       group::BeforeCreateTopic       => group::Permission;
        GroupAfterCreateTopic        = "Group.CallbackAfterCreateTopic",        group::AfterCreateTopic        => Ack;
        GroupAfterTopicDestroyed     = "Group.CallbackAfterTopicDestroyed",     group::AfterTopicDestroyed     => Ack;
        GroupAfterTopicInfoChanged   = "Group.CallbackAfterTopicInfoChanged",   group::AfterTopicInfoChanged   => Ack;
        GroupAfterMemberFieldChanged = "Group.CallbackAfterMemberFieldChanged", group::AfterMemberFieldChanged => Ack;
        GroupAfterGroupAttrChanged   = "Group.CallbackAfterGroupAttrChanged",   group::AfterGroupAttrChanged   => Ack;
        GroupAfterReadReceipt        = "Group.CallbackAfterReadReceipt",        group::AfterReadReceipt        => Ack;
        GroupAfterChangeGroupOwner   = "Group.CallbackAfterChangeGroupOwner",   group::AfterChangeGroupOwner   => Ack;
        GroupOnDailyGroupQuotaAlarm  = "Group.CallbackOnDailyGroupQuotaAlarm",  group::OnDailyGroupQuotaAlarm  => Ack;
        GroupAfterRecallMsg          = "Group.CallbackAfterRecallMsg",          group::AfterRecallMsg          => Ack;
        GroupAfterGroupMsgExtension  = "Group.CallbackAfterGroupMsgExtension",  group::AfterGroupMsgExtension  => Ack;
        GroupAfterModifyMsg          = "Group.CallbackAfterModifyMsg",          group::AfterModifyMsg          => Ack;
    }
    Bot {
        BotOnC2cMessage           = "Bot.OnC2CMessage" | "Bot.OnC2cMessage", bot::OnC2cMessage       => Ack;
        BotOnGroupMessage         = "Bot.OnGroupMessage",                    bot::OnGroupMessage     => Ack;
        ChatbotOnC2cSignalMessage = "Chatbot.OnC2CSignalMessage",            bot::OnC2cSignalMessage => bot::SignalResponse;
    }
    Moderation {
        ContentResultNotify = "ContentCallback.ResultNotify", content::ResultNotify => Ack;
    }
    OfficialAccount {
        OfficialAccountBeforeCreateOfficialAccount        = "OfficialAccount.CallbackBeforeCreateOfficialAccount",     official_account::BeforeCreateOfficialAccount     => official_account::Permission;
        OfficialAccountAfterCreateOfficialAccount         = "OfficialAccount.CallbackAfterCreateOfficialAccount",      official_account::AfterCreateOfficialAccount      => Ack;
        OfficialAccountAfterOfficialAccountInfoChanged    = "OfficialAccount.CallbackAfterOfficialAccountInfoChanged", official_account::AfterOfficialAccountInfoChanged => Ack;
        OfficialAccountAfterOfficialAccountDestroyed      = "OfficialAccount.CallbackAfterOfficialAccountDestroyed",   official_account::AfterOfficialAccountDestroyed   => Ack;
        OfficialAccountBeforeAddSubscriber = "OfficialAccount.CallbackBeforeAddSubscriber",             official_account::BeforeAddSubscriber             => official_account::JoinDecision;
        OfficialAccountAfterAddSubscriber  = "OfficialAccount.CallbackAfterAddSubscriber",              official_account::AfterAddSubscriber              => Ack;
        OfficialAccountAfterOfficialAccountFull           = "OfficialAccount.CallbackAfterOfficialAccountFull",        official_account::AfterOfficialAccountFull        => Ack;
        OfficialAccountAfterDeleteSubscriber = "OfficialAccount.CallbackAfterDeleteSubscriber",         official_account::AfterDeleteSubscriber           => Ack;
        OfficialAccountBeforeSendMsg       = "OfficialAccount.CallbackBeforeSendMsg",                   official_account::BeforeSendMsg                   => official_account::SendDecision;
        OfficialAccountAfterSendMsg        = "OfficialAccount.CallbackAfterSendMsg",                    official_account::AfterSendMsg                    => Ack;
        OfficialAccountAfterMsgWithDraw    = "OfficialAccount.CallbackAfterMsgWithDraw",                official_account::AfterMsgWithDraw                => Ack;
    }
    Push {
        PushAllMemberPush = "Push.AllMemberPush", push::AllMemberPush => Ack;
        PushOfflinePush   = "Push.OfflinePush",   push::OfflinePush   => Ack;
    }
    Desk {
        DeskSessionEventNotify     = "Desk.SessionEventNotify",           desk::SessionEventNotify  => Ack;
        DeskBeforeImContactUser    = "Desk.CallbackBeforeIMContactUser",  desk::BeforeImContactUser => desk::Permission;
        MemberEventNotify          = "Member.EventNotify",                desk::MemberEventNotify   => Ack;
        ChatBotOnAssignHuman       = "ChatBot.OnAssignHuman",             desk::OnAssignHuman       => desk::Assignment;
        ChatBotOnAssignAgent       = "ChatBot.OnAssignAgent",             desk::OnAssignAgent       => desk::Assignment;
        ChatbotInterfaceInvocation = "Chatbot.InterfaceInvocation",       desk::InterfaceInvocation => desk::Invoked;
    }
    Call {
        CallAfterStartCall     = "Call.CallbackAfterStartCall",     call::AfterStartCall     => Ack;
        CallAfterEndCall       = "Call.CallbackAfterEndCall",       call::AfterEndCall       => Ack;
        CallAfterMemberChanged = "Call.CallbackAfterMemberChanged", call::AfterMemberChanged => Ack;
        CallAfterRecordChanged = "Call.CallbackAfterRecordChanged" | "Call.CallbackAfterCloudRecordingChanged", call::AfterRecordChanged => Ack;
    }
    Live {
        LiveAfterCreateRoom          = "Live.CallbackAfterCreateRoom",     live::AfterCreateRoom     => Ack;
        LiveAfterDestroyRoom         = "Live.CallbackAfterDestroyRoom",    live::AfterDestroyRoom    => Ack;
        LiveAfterUpdateRoomInfo      = "Live.CallbackAfterUpdateRoomInfo", live::AfterUpdateRoomInfo => Ack;
        LiveAfterSetMetadata         = "Live.CallbackAfterSetMetadata",    live::AfterSetMetadata    => Ack;
        LiveAfterDelMetadata         = "Live.CallbackAfterDelMetadata",    live::AfterDelMetadata    => Ack;
        LiveAfterCreateRoomReachingThreshold = "Live.CallbackAfterCreateRoomReachingThreshold", live::AfterCreateRoomReachingThreshold => Ack;
        LiveAfterMemberStateChanged  = "Live.CallbackAfterMemberStateChanged" | "Live.CallbackMemberStateChanged", live::AfterMemberStateChanged => Ack;
        LiveAfterChangeOwner         = "Live.CallbackAfterChangeOwner",    live::AfterChangeOwner    => Ack;
        LiveAfterModifyAdmin         = "Live.CallbackAfterModifyAdmin",    live::AfterModifyAdmin    => Ack;
        LiveAfterCreateBattle        = "Live.CallbackAfterCreateBattle",   live::AfterCreateBattle   => Ack;
        LiveAfterStartBattle         = "Live.CallbackAfterStartBattle",    live::AfterStartBattle    => Ack;
        LiveAfterEndBattle           = "Live.CallbackAfterEndBattle",      live::AfterEndBattle      => Ack;
        LiveBeforeSendGift           = "Live.CallbackBeforeSendGift",      live::BeforeSendGift      => live::Permission;
        LiveAfterCloudRecordingChanged = "Live.CallbackAfterCloudRecordingChanged" | "Follow.CallbackAfterCloudRecordingChanged", live::AfterCloudRecordingChanged => Ack;
    }
    Mic {
        MicAfterSeatInfoChanged = "Mic.CallbackAfterSeatInfoChanged", mic::AfterSeatInfoChanged => Ack;
    }
    Room {
        RoomAfterCreateRoom     = "Room.CallbackAfterCreateRoom",  room::AfterCreateRoom  => Ack;
        RoomAfterDestroyRoom    = "Room.CallbackAfterDestroyRoom", room::AfterDestroyRoom => Ack;
        RoomAfterUpdateRoomInfo = "Room.CallbackAfterUpdateRoomInfo" | "Room.CallbackUpdateRoomInfo", room::AfterUpdateRoomInfo => Ack;
        RoomAfterMemberEnter    = "Room.CallbackAfterMemberEnter", room::AfterMemberEnter => Ack;
        RoomAfterMemberLeave    = "Room.CallbackAfterMemberLeave", room::AfterMemberLeave => Ack;
    }
}

/// A body, read as the payload of its command.
#[derive(Debug)]
#[non_exhaustive]
pub struct Decoded {
    /// The payload, or why there is none.
    pub callback: Result<AnyCallback, DecodeError>,
    /// JSON pointers of the fields that no type reads: what the documentation grew, or never had. At most 100 are
    /// listed, each cut after 256 bytes.
    pub unread: Vec<String>,
    /// `CallbackCommand` of the body. Several commands have none.
    pub command: Option<CommandName>,
}

impl Decoded {
    fn of(value: Result<(AnyCallback, Vec<String>), DecodeError>, command: Option<CommandName>) -> Self {
        match value {
            Ok((callback, unread)) => Self { callback: Ok(callback), unread, command },
            Err(error) => Self { callback: Err(error), unread: Vec::new(), command },
        }
    }
}

impl AnyCallback {
    /// Reads `body` as the payload of `command`, once; the fields that no type reads come out on the way.
    #[must_use]
    pub fn decode(command: Command, body: &[u8]) -> Decoded {
        let mut decoded = Self::read(command, body);
        if decoded.callback.is_err() && decoded.command.is_none() {
            // Reading stopped before it got there.
            decoded.command = command_of(body);
        }
        decoded
    }
}

/// The `CallbackCommand` of a body whose payload cannot be read, or is not known.
#[must_use]
pub fn command_of(body: &[u8]) -> Option<CommandName> {
    walk::command_of(body)
}

/// The value with what it did not read, and the body's own `CallbackCommand`.
type Outcome<C> = (Result<(C, Vec<String>), DecodeError>, Option<CommandName>);

/// Reads `body` as a `C`.
pub(crate) fn decode<C: Callback>(body: &[u8]) -> Outcome<C> {
    let failed = |path, source| DecodeError { command: C::COMMAND.into(), path, source };
    let json = match std::str::from_utf8(body) {
        Ok(json) => json,
        Err(error) => return (Err(failed(String::new(), DecodeErrorKind::Utf8(error))), None),
    };
    let walked = walk::read::<C>(json);
    let mut unread = walked.unread;
    let value = walked.value.map_err(|(path, error)| failed(path, DecodeErrorKind::Json(error))).map(|value| {
        let room = walk::MAX_UNREAD - unread.len();
        unread.extend(message::unread_of(value.elements()).take(room));
        (value, unread)
    });
    (value, walked.command)
}
