//! The argument picks the command, and a command has one handler.

use bytes::Bytes;
use chathook_protocol::{Command, Event, Raw, bot, c2c, group, sns};
use chathook_router::{BoxError, BuildError, Ctx, Fallbacks, Router};
use tokio::time::Instant;

use crate::{BLACK_LIST, Count, DEADLINE, GROUP_MSG, NOBODY, decide, event, observe, question};

/// What the handlers share.
#[derive(Default)]
struct App {
    seen: Count,
}

async fn allow(_cx: Ctx, _msg: group::BeforeSendMsg) -> Result<group::SendDecision, BoxError> {
    Ok(group::SendDecision::allow())
}

async fn allow_raw(_cx: Ctx, _msg: Raw<group::BeforeSendMsg>) -> Result<group::SendDecision, BoxError> {
    Ok(group::SendDecision::allow())
}

async fn note(_cx: Ctx, _added: sns::BlackListAdd) -> Result<(), BoxError> {
    Ok(())
}

async fn allow_and_count(cx: Ctx<App>, _msg: group::BeforeSendMsg) -> Result<group::SendDecision, BoxError> {
    cx.seen.up();
    Ok(group::SendDecision::allow())
}

async fn count(cx: Ctx<App>, _added: sns::BlackListAdd) -> Result<(), BoxError> {
    cx.seen.up();
    Ok(())
}

fn handled<S: Send + Sync + 'static>(router: &Router<S>) -> Vec<Command> {
    router.handled().collect()
}

#[test]
fn without_handlers_nothing_is_handled() {
    assert_eq!(handled(&Router::<()>::builder().build(()).unwrap()), []);
}

#[test]
fn the_argument_of_a_closure_picks_the_command() {
    let router = Router::builder()
        .before(|_cx: Ctx, msg: group::BeforeSendMsg| async move {
            let _whole: u32 = msg.group_id.as_str().parse()?;
            Ok(group::SendDecision::allow())
        })
        .before(async |_cx: Ctx, _request: sns::PrevFriendAdd| Ok(chathook_protocol::Decision::allowing(&[])))
        .after(|_cx: Ctx, _added: sns::BlackListAdd| async { Ok(()) })
        .build(())
        .unwrap();
    assert_eq!(handled(&router), [Command::SnsPrevFriendAdd, Command::SnsBlackListAdd, Command::GroupBeforeSendMsg]);
}

#[test]
fn the_argument_of_a_function_picks_the_command() {
    let router = Router::builder().before(allow).after(note).build(()).unwrap();
    assert_eq!(handled(&router), [Command::SnsBlackListAdd, Command::GroupBeforeSendMsg]);
}

#[tokio::test(start_paused = true)]
async fn functions_and_closures_share_the_state() {
    let app = App::default();
    let seen = app.seen.clone();
    let router = Router::builder()
        .before(allow_and_count)
        .after(count)
        .after(|cx: Ctx<App>, _removed: sns::BlackListDelete| async move {
            cx.seen.up();
            Ok(())
        })
        .unhandled(|cx: Ctx<App>, _body: Bytes| async move {
            cx.seen.up();
            Ok(())
        })
        .build(app)
        .unwrap();
    decide(&router, Command::GroupBeforeSendMsg, GROUP_MSG, &Fallbacks::default()).await;
    for command in ["Sns.CallbackBlackListAdd", "Sns.CallbackBlackListDelete", "Sns.CallbackOfTomorrow"] {
        observe(&router, command, BLACK_LIST).await.unwrap().unwrap();
    }
    assert_eq!(seen.get(), 4);
}

#[test]
fn raw_stands_for_its_payload() {
    let router = Router::builder()
        .before(allow_raw)
        .before(|_cx: Ctx, _msg: Raw<c2c::BeforeSendMsg>| async { Ok(c2c::SendDecision::allow()) })
        .after(|_cx: Ctx, _added: Raw<sns::BlackListAdd>| async { Ok(()) })
        .build(())
        .unwrap();
    assert_eq!(handled(&router), [Command::SnsBlackListAdd, Command::C2cBeforeSendMsg, Command::GroupBeforeSendMsg]);
}

#[tokio::test(start_paused = true)]
async fn an_alias_reaches_the_handler_of_the_command() {
    let seen = Count::default();
    let told = seen.clone();
    let router = Router::builder()
        .after(move |cx: Ctx, _msg: Raw<bot::OnC2cMessage>| {
            let told = told.clone();
            async move {
                assert_eq!(cx.command().as_str(), "Bot.OnC2CMessage");
                told.up();
                Ok(())
            }
        })
        .build(())
        .unwrap();
    for name in ["Bot.OnC2CMessage", "Bot.OnC2cMessage"] {
        observe(&router, name, "{}").await.unwrap().unwrap();
    }
    assert_eq!(seen.get(), 2);
}

/// The start of a place as people read it, without the column.
fn at(line: u32) -> String {
    format!("{}:{line}:", file!())
}

#[test]
fn two_handlers_for_one_command_are_an_error_with_both_places() {
    let (builder, first) = (Router::builder().before(allow), line!());
    let builder = builder.after(note);
    let (builder, second) = (builder.before(allow_raw), line!());
    let error = builder.build(()).err().unwrap();

    let message = error.to_string();
    assert!(message.starts_with("Group.CallbackBeforeSendMsg has two handlers"), "{message}");
    let places = message.find(&at(first)).zip(message.find(&at(second)));
    assert!(places.is_some_and(|(first, second)| first < second), "{message}");
    let BuildError::Duplicate { command, first: place, .. } = error else { panic!("{error:?}") };
    assert_eq!(command, Command::GroupBeforeSendMsg);
    assert_eq!((place.file(), place.line()), (file!(), first));
}

#[test]
fn two_handlers_for_one_after_callback_are_an_error_too() {
    let (builder, first) = (Router::builder().after(note), line!());
    let (builder, second) = (builder.after(|_cx: Ctx, _added: sns::BlackListAdd| async { Ok(()) }), line!());
    let message = builder.build(()).err().unwrap().to_string();
    assert!(message.starts_with("Sns.CallbackBlackListAdd has two handlers"), "{message}");
    assert!(message.contains(&at(first)) && message.contains(&at(second)), "{message}");
}

#[test]
fn unhandled_given_twice_is_an_error_with_both_places() {
    let builder = Router::builder();
    let (builder, first) = (builder.unhandled(|_cx: Ctx, _body: Bytes| async { Ok(()) }), line!());
    let (builder, second) = (builder.unhandled(|_cx: Ctx, _body: Bytes| async { Ok(()) }), line!());
    let error = builder.build(()).err().unwrap();
    assert!(matches!(error, BuildError::DuplicateUnhandled { .. }));
    let message = error.to_string();
    assert!(message.starts_with("`unhandled` was given twice"), "{message}");
    assert!(message.contains(&at(first)) && message.contains(&at(second)), "{message}");
}

#[test]
fn of_several_errors_the_first_is_told() {
    let builder = Router::builder().before(allow).after(note).after(note).before(allow);
    let BuildError::Duplicate { command, .. } = builder.build(()).err().unwrap() else { panic!() };
    assert_eq!(command, Command::SnsBlackListAdd);
}

/// Whatever runs the router may move its work between threads.
#[test]
fn routers_and_their_futures_can_be_sent() {
    fn sent<T: Send>(value: T) -> T {
        value
    }
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Router<App>>();
    shared::<Ctx<App>>();
    shared::<Fallbacks>();

    let router = Router::builder().before(allow_and_count).after(count).build(App::default()).unwrap();
    let deadline = Instant::now() + DEADLINE;
    let asked = question(Command::GroupBeforeSendMsg, GROUP_MSG, deadline);
    let told: Event = event("Sns.CallbackBlackListAdd", BLACK_LIST);
    drop(sent(router.decide(asked, NOBODY, &Fallbacks::default())));
    let observed = sent(router.observe(told, deadline));
    // It outlives the router.
    drop(router);
    drop(observed);
}
