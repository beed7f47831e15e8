//! More work than the gateway takes: before-callbacks get their fallback at once, after-callbacks are turned away.

use std::sync::Arc;
use std::time::Duration;

use chathook_protocol::{group, state};
use chathook_router::Ctx;
use chathook_tests::{OK, TestGateway, config, request, signed};
use tokio::sync::{Notify, Semaphore};

const BEFORE: &str = "Group.CallbackBeforeSendMsg";
const MESSAGE: &str = r#"{"GroupId":"g","From_Account":"u","MsgBody":[]}"#;

#[tokio::test]
async fn a_full_before_lane_answers_with_the_fallback_at_once() {
    let gate = Arc::new((Notify::new(), Semaphore::new(0)));
    let toml = config("before_lane = 1") + "[decide]\non_failure = \"reject\"\n";
    let gateway = TestGateway::with(&toml, Arc::clone(&gate), |gateway| {
        gateway.before(|cx: Ctx<Arc<(Notify, Semaphore)>>, _msg: group::BeforeSendMsg| async move {
            cx.0.notify_one();
            cx.1.acquire().await?.forget();
            Ok(group::SendDecision::allow())
        })
    })
    .await;
    let mut first = gateway.connect().await;
    first.write(&request(&format!("/?{}", signed(BEFORE)), MESSAGE.as_bytes())).await.unwrap();
    gate.0.notified().await;
    let second = gateway.post(BEFORE, MESSAGE).await;
    assert_eq!((second.status, second.body.as_str()), (200, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}"#));
    let series = format!(r#"chathook_fallbacks_total{{command="{BEFORE}",reason="overload"}}"#);
    assert_eq!(gateway.metric(&series).await, 1.0);
    gate.1.add_permits(1);
    assert_eq!(first.response().await.unwrap().body, OK);
}

#[tokio::test]
async fn a_full_after_lane_turns_away_and_before_callbacks_do_not_suffer() {
    let gate = Arc::new(Semaphore::new(0));
    let gateway = TestGateway::with(&config("after_lane = 1"), Arc::clone(&gate), |gateway| {
        gateway.after(|cx: Ctx<Arc<Semaphore>>, _change: state::StateChange| async move {
            cx.acquire().await?.forget();
            Ok(())
        })
    })
    .await;
    let change = r#"{"Info":{"Action":"Login","To_Account":"u","Reason":"Register"}}"#;
    assert_eq!(gateway.post("State.StateChange", change).await.status, 200);
    let shed = gateway.post("State.StateChange", change).await;
    assert_eq!(
        (shed.status, shed.body.as_str()),
        (503, r#"{"ActionStatus":"FAIL","ErrorInfo":"overloaded","ErrorCode":1}"#)
    );
    assert_eq!(gateway.metric(r#"chathook_callbacks_total{command="State.StateChange",outcome="shed"}"#).await, 1.0);
    assert_eq!(gateway.post(BEFORE, MESSAGE).await.body, OK);
    let unknown = gateway.post("Nobody.Knows", "{}").await;
    assert_eq!((unknown.status, unknown.body.as_str()), (200, OK), "it may be a before-callback");
    gate.add_permits(1);
    let freed = async {
        while gateway.post("State.StateChange", change).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), freed).await.expect("the lane is free again");
}
