//! How long it takes to read a body: the sample of every command, and a message of 1 KiB.
//!
//! `cargo bench -p chathook-protocol -- Group.CallbackBeforeSendMsg`

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use chathook_protocol::{AnyCallback, Command};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use strum::IntoEnumIterator;

fn sample(command: Command) -> String {
    let wire = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire");
    let file = wire.join(command.as_str()).join("sample.json");
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// A group message with a text so long that the whole body has 1024 bytes.
fn kibibyte() -> String {
    let body = |text: &str| {
        format!(
            r#"{{"CallbackCommand":"Group.CallbackBeforeSendMsg","GroupId":"@TGS#2KX7QWPLM","Type":"Public","From_Account":"u_501","Operator_Account":"u_501","Random":2987654321,"OnlineOnlyFlag":0,"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"{text}"}}}}],"CloudCustomData":"","EventTime":1764812230456}}"#
        )
    };
    body(&"a".repeat(1024 - body("").len()))
}

fn decode(criterion: &mut Criterion) {
    fn one(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, command: Command, body: &str) {
        assert!(AnyCallback::decode(command, body.as_bytes()).callback.is_ok(), "{name} is not read");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| AnyCallback::decode(command, black_box(body.as_bytes()))));
    }
    let mut group = criterion.benchmark_group("decode");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for command in Command::iter() {
        one(&mut group, command.as_str(), command, &sample(command));
    }
    one(&mut group, "1KiB", Command::GroupBeforeSendMsg, &kibibyte());
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
