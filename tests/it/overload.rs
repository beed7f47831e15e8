//! More work than the gateway takes: before-callbacks get their fallback at once, after-callbacks are turned away.

use std::sync::Arc;

use chathook_protocol::group;
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
