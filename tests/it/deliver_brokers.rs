//! Brokers as targets, each a real server: what they get, and that nothing is lost when they die.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream;
use chathook_tests::{OK, Server, TestGateway, config};
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use lapin::options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{OffsetAt, UnknownTopicHandling};
use serde_json::Value;
use tokio::time::timeout;

const CHANGE: &str = "State.StateChange";
const MESSAGE: &str = "Group.CallbackAfterSendMsg";
/// Nothing that a test waits for takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A change of state of a user.
fn change(user: &str, n: usize) -> String {
    format!(
        r#"{{"CallbackCommand":"{CHANGE}","EventTime":{n},"Info":{{"Action":"Login","To_Account":"{user}","Reason":"Register"}}}}"#
    )
}

/// The n-th message of a group.
fn message(group: &str, n: usize) -> String {
    format!(
        r#"{{"CallbackCommand":"{MESSAGE}","GroupId":"{group}","From_Account":"u_501","MsgSeq":{n},"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"n {n}"}}}}]}}"#
    )
}

/// A gateway with one target; `to` are the lines that say where events go, `more` those of the configuration.
async fn gateway(to: &str) -> TestGateway {
    let target = format!(
        "[[target]]\nname = \"broker\"\nretry = {{ first = \"20ms\", max = \"200ms\", attempts = 10000 }}\n{to}\n"
    );
    TestGateway::start(&(config("") + &target)).await
}

async fn keeps(gateway: &TestGateway, command: &str, body: &str) {
    let response = gateway.post(command, body).await;
    assert_eq!((response.status, response.body.as_str()), (200, OK), "{body}");
}

/// Waits until the target has everything, and so many events.
async fn delivered(gateway: &TestGateway, count: usize) {
    let deliveries = r#"chathook_deliveries_total{outcome="delivered",target="broker"}"#;
    gateway.metric_becomes(deliveries, count as f64).await;
    gateway.metric_becomes(r#"chathook_delivery_backlog{target="broker"}"#, 0.0).await;
}

async fn retried(gateway: &TestGateway) {
    let retries = r#"chathook_deliveries_total{outcome="retried",target="broker"}"#;
    let seen = async {
        while gateway.metric(retries).await < 1.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, seen).await.expect("an attempt fails");
}

/// Sends messages of several groups, while what `breaks` the target goes on.
async fn under_load(gateway: &TestGateway, breaks: impl Future<Output = ()>) -> BTreeSet<(String, u64)> {
    const GROUPS: usize = 8;
    const EACH: usize = 40;
    let group = |g: usize| async move {
        for n in 0..EACH {
            keeps(gateway, MESSAGE, &message(&format!("@TGS#{g}"), n)).await;
        }
    };
    tokio::join!(join_all((0..GROUPS).map(group)), breaks);
    (0..GROUPS).flat_map(|g| (0..EACH).map(move |n| (format!("@TGS#{g}"), n as u64))).collect()
}

/// Group and number of a message.
fn named(event: &Value) -> (String, u64) {
    (event["data"]["GroupId"].as_str().unwrap().to_owned(), event["data"]["MsgSeq"].as_u64().unwrap())
}

/// Whether `events` have everything that was acknowledged, and each group in its order. What was sent again after a
/// failure may be there twice.
#[track_caller]
fn are_all_in_order(events: &[Value], acknowledged: &BTreeSet<(String, u64)>) {
    let came: Vec<(String, u64)> = events.iter().map(named).collect();
    assert_eq!(came.iter().cloned().collect::<BTreeSet<_>>(), *acknowledged);
    let mut last = std::collections::BTreeMap::new();
    for (group, n) in came {
        let before = last.insert(group.clone(), n);
        assert!(before.is_none_or(|before| n == before || n == before + 1), "{group}: {n} after {before:?}");
    }
}

#[track_caller]
fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Whether it is the CloudEvent of a [`message`].
#[track_caller]
fn is_message(event: &Value, group: &str, n: usize) {
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], format!("com.tencentcloud.chat.{MESSAGE}"));
    assert_eq!(event["source"], "/chat/1400000001");
    assert_eq!(event["subject"], format!("group/{group}"));
    assert_eq!(event["data"], json(message(group, n).as_bytes()));
}

// NATS.

/// Everything of a stream.
async fn stream(server: &Server) -> jetstream::stream::Stream {
    let client = async_nats::connect(server.nats_url()).await.unwrap();
    let config = jetstream::stream::Config {
        name: "CHAT".to_owned(),
        subjects: vec!["chat.>".to_owned()],
        ..jetstream::stream::Config::default()
    };
    jetstream::new(client).get_or_create_stream(config).await.unwrap()
}

async fn all_of(stream: &jetstream::stream::Stream) -> Vec<jetstream::message::StreamMessage> {
    let state = stream.get_info().await.unwrap().state;
    let mut messages = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        messages.push(stream.get_raw_message(sequence).await.unwrap());
    }
    messages
}

fn to_nats(server: &Server, more: &str) -> String {
    format!("nats = {{ url = {:?}, timeout = \"2s\"{more} }}", server.nats_url())
}

#[tokio::test]
async fn a_stream_of_nats_gets_cloudevents_by_subject() {
    let server = Server::nats("max_payload: 4096").await;
    let stream = stream(&server).await;
    let gateway = gateway(&to_nats(&server, ", subject = \"chat.{app}.{command}.{key}\"")).await;
    keeps(&gateway, MESSAGE, &message("@TGS#1.a", 7)).await;
    delivered(&gateway, 1).await;
    keeps(&gateway, CHANGE, "no JSON").await;
    delivered(&gateway, 2).await;
    let messages = all_of(&stream).await;
    assert_eq!(messages[0].subject.as_str(), format!("chat.1400000001.{MESSAGE}.group/@TGS%231%2Ea"));
    assert_eq!(messages[0].headers.get("Content-Type").unwrap().as_str(), "application/cloudevents+json");
    let event = json(&messages[0].payload);
    assert_eq!(messages[0].headers.get("Nats-Msg-Id").unwrap().as_str(), event["id"]);
    is_message(&event, "@TGS#1.a", 7);
    assert_eq!(messages[1].subject.as_str(), format!("chat.1400000001.{CHANGE}.-"));
    assert_eq!(json(&messages[1].payload)["data_base64"], "bm8gSlNPTg==");

    // Larger than the server takes: nothing that another attempt could change.
    keeps(&gateway, CHANGE, &change(&"u".repeat(5000), 1)).await;
    gateway.metric_becomes(r#"chathook_dead_letters{target="broker"}"#, 1.0).await;
}

#[tokio::test]
async fn subscribers_of_nats_get_cloudevents_without_a_stream() {
    let server = Server::nats("").await;
    let client = async_nats::connect(server.nats_url()).await.unwrap();
    let mut subscriber = client.subscribe("chat.Group.>").await.unwrap();
    client.flush().await.unwrap();
    let gateway = gateway(&to_nats(&server, ", jetstream = false")).await;
    keeps(&gateway, CHANGE, &change("u_1", 1)).await;
    keeps(&gateway, MESSAGE, &message("@TGS#1", 7)).await;
    let message = timeout(LIMIT, subscriber.next()).await.unwrap().unwrap();
    assert_eq!(message.subject.as_str(), format!("chat.{MESSAGE}"));
    is_message(&json(&message.payload), "@TGS#1", 7);
    delivered(&gateway, 2).await;
}

#[tokio::test]
async fn nothing_is_lost_when_nats_has_no_stream_dies_and_comes_back() {
    let mut server = Server::nats("").await;
    let gateway = gateway(&to_nats(&server, "")).await;
    keeps(&gateway, MESSAGE, &message("@TGS#0", 0)).await;
    retried(&gateway).await;
    drop(stream(&server).await);
    let acknowledged = under_load(&gateway, async {
        server.kill().await;
        server.start_again().await;
    })
    .await;
    delivered(&gateway, acknowledged.len()).await;
    let events: Vec<Value> = all_of(&stream(&server).await).await.iter().map(|it| json(&it.payload)).collect();
    are_all_in_order(&events, &acknowledged);
    assert_eq!(events.len(), acknowledged.len(), "the stream knows duplicates by their identity");
}

// Redis.

/// The entries of a stream: names and values.
async fn entries(server: &Server, stream: &str) -> Vec<Vec<(String, String)>> {
    let client = redis::Client::open(server.redis_url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let entries: Vec<(String, Vec<(String, String)>)> =
        redis::cmd("XRANGE").arg(stream).arg("-").arg("+").query_async(&mut connection).await.unwrap();
    entries.into_iter().map(|(_, fields)| fields).collect()
}

fn to_redis(server: &Server, more: &str) -> String {
    format!("redis = {{ url = {:?}, timeout = \"2s\"{more} }}", server.redis_url())
}

#[tokio::test]
async fn a_stream_of_redis_gets_entries_and_keeps_as_many_as_it_may() {
    let server = Server::redis(&["--stream-node-max-entries", "10"]).await;
    let gateway = gateway(&to_redis(&server, ", stream = \"chat:{app}\", max_len = 100")).await;
    keeps(&gateway, MESSAGE, &message("@TGS#1", 7)).await;
    delivered(&gateway, 1).await;
    let entry = &entries(&server, "chat:1400000001").await[0];
    let names: Vec<&str> = entry.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["id", "command", "key", "event"]);
    assert_eq!((entry[1].1.as_str(), entry[2].1.as_str()), (MESSAGE, "group/@TGS#1"));
    let event = json(entry[3].1.as_bytes());
    assert_eq!(event["id"], entry[0].1);
    is_message(&event, "@TGS#1", 7);

    for n in 0..150 {
        keeps(&gateway, CHANGE, &change("u_1", n)).await;
    }
    delivered(&gateway, 151).await;
    let left = entries(&server, "chat:1400000001").await.len();
    assert!((100..=110).contains(&left), "{left}");
}

#[tokio::test]
async fn nothing_is_lost_when_redis_is_down_dies_and_comes_back() {
    let mut server = Server::redis(&[]).await;
    server.kill().await;
    let gateway = gateway(&to_redis(&server, "")).await;
    keeps(&gateway, MESSAGE, &message("@TGS#0", 0)).await;
    retried(&gateway).await;
    server.start_again().await;
    let acknowledged = under_load(&gateway, async {
        server.kill().await;
        server.start_again().await;
    })
    .await;
    delivered(&gateway, acknowledged.len()).await;
    let entries = entries(&server, "chat").await;
    let events: Vec<Value> = entries.iter().map(|fields| json(fields.last().unwrap().1.as_bytes())).collect();
    are_all_in_order(&events, &acknowledged);
}

#[tokio::test]
async fn a_redis_that_hangs_is_left_and_one_that_wants_a_password_gets_it() {
    let server = Server::redis(&["--requirepass", "k3y"]).await;
    let gateway = gateway(&to_redis(&server, ", password = \"k3y\"").replace("2s", "300ms")).await;
    keeps(&gateway, MESSAGE, &message("@TGS#1", 1)).await;
    delivered(&gateway, 1).await;
    server.freeze(true);
    keeps(&gateway, MESSAGE, &message("@TGS#1", 2)).await;
    retried(&gateway).await;
    server.freeze(false);
    delivered(&gateway, 2).await;
}

// RabbitMQ.

/// A channel with the exchange `chat`.
async fn channel(server: &Server) -> (Connection, Channel) {
    let connection = Connection::connect(&server.rabbitmq_url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare("chat".into(), ExchangeKind::Topic, options, FieldTable::default()).await.unwrap();
    (connection, channel)
}

/// A durable queue for what fits `pattern`.
async fn queue(channel: &Channel, pattern: &str) {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("events".into(), options, FieldTable::default()).await.unwrap();
    let bind = QueueBindOptions::default();
    channel.queue_bind("events".into(), "chat".into(), pattern.into(), bind, FieldTable::default()).await.unwrap();
}

/// The next messages of the queue, until `enough`.
async fn messages(
    channel: &Channel,
    enough: impl Fn(&[lapin::message::Delivery]) -> bool,
) -> Vec<lapin::message::Delivery> {
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer = channel.basic_consume("events".into(), "".into(), options, FieldTable::default()).await.unwrap();
    let mut messages = Vec::new();
    while !enough(&messages) {
        messages.push(timeout(LIMIT, consumer.try_next()).await.expect("a message").unwrap().unwrap());
    }
    messages
}

/// One server, for it takes seconds to start.
#[tokio::test]
async fn an_exchange_of_rabbitmq_gets_messages_and_nothing_is_lost_when_it_dies() {
    let mut server = Server::rabbitmq().await;
    let gateway = gateway(&format!("rabbitmq = {{ url = {:?}, timeout = \"2s\" }}", server.rabbitmq_url())).await;

    // There is no exchange, and then no queue: it waits for both.
    keeps(&gateway, MESSAGE, &message("@TGS#0", 0)).await;
    retried(&gateway).await;
    gateway.logged("no exchange 'chat'").await;
    let (connection, exchange) = channel(&server).await;
    gateway.logged("no queue is bound").await;
    queue(&exchange, "#.CallbackAfterSendMsg").await;
    let first = messages(&exchange, |messages| messages.len() == 1).await.remove(0);
    assert_eq!(first.routing_key.as_str(), MESSAGE);
    assert_eq!(*first.properties.delivery_mode(), Some(2));
    assert_eq!(first.properties.content_type().as_ref().unwrap().as_str(), "application/cloudevents+json");
    let event = json(&first.data);
    assert_eq!(first.properties.message_id().as_ref().unwrap().as_str(), event["id"]);
    is_message(&event, "@TGS#0", 0);
    delivered(&gateway, 1).await;
    drop((connection, exchange));

    let mut acknowledged = under_load(&gateway, async {
        server.kill().await;
        server.start_again().await;
    })
    .await;
    // It has been read above.
    acknowledged.remove(&("@TGS#0".to_owned(), 0));
    delivered(&gateway, acknowledged.len() + 1).await;
    let (_connection, exchange) = channel(&server).await;
    let came = messages(&exchange, |messages| {
        messages.iter().map(|it| named(&json(&it.data))).collect::<BTreeSet<_>>().len() == acknowledged.len()
    })
    .await;
    are_all_in_order(&came.iter().map(|it| json(&it.data)).collect::<Vec<_>>(), &acknowledged);
}

// Kafka.

/// All records of a topic, by partition: key and CloudEvent.
async fn records(server: &Server, topic: &str, partitions: i32) -> Vec<Vec<(Option<String>, Value)>> {
    let client = ClientBuilder::new(vec![server.kafka_broker()]).build().await.unwrap();
    let mut all = Vec::new();
    for number in 0..partitions {
        let partition = client.partition_client(topic, number, UnknownTopicHandling::Error).await.unwrap();
        let end = partition.get_offset(OffsetAt::Latest).await.unwrap();
        let (mut records, mut offset) = (Vec::new(), 0);
        while offset < end {
            for record in partition.fetch_records(offset, 1..10_000_000, 1000).await.unwrap().0 {
                offset = record.offset + 1;
                let key = record.record.key.map(|key| String::from_utf8(key).unwrap());
                records.push((key, json(&record.record.value.unwrap())));
            }
        }
        all.push(records);
    }
    all
}

fn to_kafka(server: &Server) -> String {
    format!("kafka = {{ brokers = [{:?}], timeout = \"2s\" }}", server.kafka_broker())
}

#[tokio::test]
async fn a_topic_of_kafka_gets_each_conversation_in_one_partition_and_in_order() {
    let server = Server::kafka("chat", 3).await;
    let gateway = gateway(&to_kafka(&server)).await;
    let acknowledged = under_load(&gateway, async {}).await;
    for n in 0..6 {
        keeps(
            &gateway,
            "Alert.RequestOverLimit",
            &format!(r#"{{"CallbackCommand":"Alert.RequestOverLimit","n":{n}}}"#),
        )
        .await;
    }
    delivered(&gateway, acknowledged.len() + 6).await;
    let partitions = records(&server, "chat", 3).await;
    let mut keys = BTreeSet::new();
    for partition in &partitions {
        let here: BTreeSet<&String> = partition.iter().filter_map(|(key, _)| key.as_ref()).collect();
        keys.extend(here.iter().map(|key| (*key).clone()));
        let without_key = partition.iter().filter(|(key, _)| key.is_none()).count();
        assert_eq!(without_key, 2, "those go round");
        assert!(partition.iter().all(|(key, event)| event["subject"].as_str() == key.as_deref()));
    }
    assert_eq!(keys.len(), 8);
    // Where the Java client would have put it: murmur2, without its sign, modulo 3.
    let of_first = partitions.iter().position(|it| it.iter().any(|(key, _)| key.as_deref() == Some("group/@TGS#0")));
    assert_eq!(of_first, Some(FIRST_PARTITION));
    let events: Vec<Value> = partitions.into_iter().flatten().filter(|it| it.0.is_some()).map(|it| it.1).collect();
    are_all_in_order(&events, &acknowledged);
    assert_eq!(events.len(), acknowledged.len());
}

/// Of `group/@TGS#0` among three.
const FIRST_PARTITION: usize = 0;

#[tokio::test]
async fn nothing_is_lost_while_kafka_is_down_has_no_topic_or_hangs() {
    let mut server = Server::kafka("another", 1).await;
    server.kill().await;
    let gateway = gateway(&to_kafka(&server)).await;
    keeps(&gateway, MESSAGE, &message("@TGS#0", 0)).await;
    retried(&gateway).await;
    server.start_again().await;
    gateway.logged("there is no topic chat").await;
    server.kafka_topic("chat", 2).await;
    let acknowledged = under_load(&gateway, async {
        server.freeze(true);
        tokio::time::sleep(Duration::from_secs(3)).await;
        server.freeze(false);
    })
    .await;
    delivered(&gateway, acknowledged.len()).await;
    let events: Vec<Value> = records(&server, "chat", 2).await.into_iter().flatten().map(|it| it.1).collect();
    are_all_in_order(&events, &acknowledged);
}
