//! Callbacks per second over real sockets: the gateway against an actix-web handler that reads the body and returns a
//! constant, in turns in one run, with the load from the same machine. Then memory after a million callbacks, and the
//! time from start to ready.
//!
//! `cargo bench --bench sockets [-- SECONDS_PER_ROUND ROUNDS]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and ends when something is wrong")]

#[path = "shared/load.rs"]
#[expect(dead_code, reason = "not every benchmark needs all of it")]
mod load;
#[path = "shared/server.rs"]
#[expect(dead_code, reason = "not every benchmark needs all of it")]
mod server;

use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use chathook_gateway::Gateway;
use chathook_protocol::group;
use chathook_router::Ctx;

use load::Side;
use server::{Server, config, listens, median, numbers, role};

const COMMAND: &str = "Group.CallbackBeforeSendMsg";

fn main() {
    let [seconds, rounds] = numbers([3, 7]);
    match role().as_deref() {
        Some("bare") => serve_bare(),
        Some(_) => serve_gateway(),
        None => compare(Duration::from_secs(seconds), rounds),
    }
}

/// Reads the body, returns a constant: the ceiling.
#[actix_web::main]
async fn serve_bare() {
    let server = HttpServer::new(|| {
        App::new().route(
            "/",
            web::post().to(async |_body: web::Bytes| {
                HttpResponse::Ok()
                    .content_type("application/json")
                    .body(r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#)
            }),
        )
    })
    .workers(std::thread::available_parallelism().unwrap().get())
    .bind("127.0.0.1:0")
    .unwrap();
    listens(server.addrs()[0], server.addrs()[0]);
    server.run().await.unwrap();
}

/// Signature check, typed decode, a handler that looks at the text.
#[tokio::main]
async fn serve_gateway() {
    let gateway = Gateway::builder(config(""))
        .before(|_cx: Ctx, msg: group::BeforeSendMsg| async move {
            let spam = msg.body.iter().filter_map(|element| element.as_text()).any(|text| text.contains("casino"));
            Ok(if spam { group::SendDecision::refuse() } else { group::SendDecision::allow() })
        })
        .build()
        .await
        .unwrap();
    listens(gateway.callbacks_address(), gateway.admin_address());
    gateway.run().await.unwrap();
}

/// A signed callback of 1 KiB, as bytes.
fn request() -> Vec<u8> {
    let body = format!(
        r#"{{"CallbackCommand":"{COMMAND}","GroupId":"@TGS#2KX7QWPLM","Type":"Public","From_Account":"u_501","Operator_Account":"u_501","Random":2804799576,"MsgId":"144115240871234567-1731400213-2987654321","OnlineOnlyFlag":0,"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"TEXT"}}}}],"CloudCustomData":"{{\"badge\":2}}","EventTime":1740731300456}}"#
    );
    server::request(COMMAND, &body)
}

fn compare(round: Duration, rounds: u64) {
    let request = request();
    let next = |into: &mut Vec<u8>| into.extend_from_slice(&request);
    let (bare, gateway) = (Server::start("bare"), Server::start("gateway"));
    let sides = [("bare", &bare), ("gateway", &gateway)];
    let (rate, cost) = load::compare(sides.map(|(name, server)| Side { name, server, next: &next }), round, rounds);
    println!("callbacks per second, gateway / bare, median of {rounds}: {:.1} %", 100.0 * rate);
    println!("CPU time per callback, gateway / bare, median: {cost:.2}");

    let fresh = Server::start("gateway");
    let at_start = fresh.resident();
    load::closed(fresh.address, &next, Duration::from_secs(600), 1_000_000);
    println!("resident memory: {at_start:.1} MiB at start, {:.1} MiB after a million callbacks", fresh.resident());

    let starts = (0..20).map(|_| {
        let started = Instant::now();
        let server = Server::start("gateway");
        loop {
            if server.get("/readyz").starts_with("HTTP/1.1 200 ") {
                break started.elapsed().as_secs_f64() * 1e3;
            }
        }
    });
    println!("start to ready, median of 20: {:.1} ms", median(starts.collect()));
}
