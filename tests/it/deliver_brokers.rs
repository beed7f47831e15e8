//! Brokers as targets, each a real server: what they get, and that nothing is lost when they die.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream;
use chathook_tests::{
    CHANGE, Certificates, Figures, Leaderless, MESSAGE, Name, Network, Server, Tally, TestGateway, change, config,
    eventually, message, target,
};
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use lapin::options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{OffsetAt, UnknownTopicHandling};
use serde_json::Value;
use tokio::time::timeout;

/// Nothing that a test waits for takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A gateway with the target `broker`; `to` are the lines that say where events go.
async fn gateway_to(to: &str) -> TestGateway {
    TestGateway::start(&(config("") + &target("broker", to))).await
}

/// Waits until the target has everything, and so many events.
async fn delivered(gateway: &TestGateway, count: usize) {
    gateway.deliveries("broker", "delivered", count).await;
    gateway.is_drained("broker").await;
}

/// Sends 320 messages of several groups, while what `breaks` the target goes on.
async fn under_load(gateway: &TestGateway, breaks: impl Future<Output = ()>) -> Tally {
    let tally = Tally::default();
    let (sent, ()) = tokio::join!(tally.send_groups(gateway, ("@TGS#", 8), 0..40), breaks);
    assert_eq!(sent, 320);
    tally
}

/// Whether these CloudEvents are everything that was acknowledged, each group in its order. What was sent again after a
/// failure may be there twice.
async fn are_all(gateway: &TestGateway, tally: &Tally, events: &[Value]) -> Figures {
    let came = events.iter().map(|event| Name::of(&event["data"]));
    let figures = tally.nothing_is_lost(came, gateway.dead_messages("broker").await);
    assert_eq!((figures.delivered, figures.dead, figures.late), (figures.acknowledged, 0, 0), "{figures}");
    figures
}

#[track_caller]
fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Whether it is the CloudEvent of a [`message`].
#[track_caller]
fn is_message(event: &Value, group: &str, n: u64) {
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
    let gateway = gateway_to(&to_nats(&server, ", subject = \"chat.{app}.{command}.{key}\"")).await;
    gateway.keeps(MESSAGE, &message("@TGS#1.a", 7)).await;
    delivered(&gateway, 1).await;
    gateway.keeps(CHANGE, "no JSON").await;
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
    gateway.keeps(CHANGE, &change(&"u".repeat(5000), 1)).await;
    gateway.dead_letters("broker", 1).await;
}

#[tokio::test]
async fn subscribers_of_nats_get_cloudevents_without_a_stream() {
    let server = Server::nats("").await;
    let client = async_nats::connect(server.nats_url()).await.unwrap();
    let mut subscriber = client.subscribe("chat.Group.>").await.unwrap();
    client.flush().await.unwrap();
    let gateway = gateway_to(&to_nats(&server, ", jetstream = false")).await;
    gateway.keeps(CHANGE, &change("u_1", 1)).await;
    gateway.keeps(MESSAGE, &message("@TGS#1", 7)).await;
    let message = timeout(LIMIT, subscriber.next()).await.unwrap().unwrap();
    assert_eq!(message.subject.as_str(), format!("chat.{MESSAGE}"));
    is_message(&json(&message.payload), "@TGS#1", 7);
    delivered(&gateway, 2).await;
}

/// The server goes on, and its subscriber with it: what does not come to it is what the server has not read.
#[tokio::test]
async fn what_nats_has_not_read_is_sent_again_without_a_stream_too() {
    let server = Server::nats("").await;
    let client = async_nats::connect(server.nats_url()).await.unwrap();
    let mut subscriber = client.subscribe("chat.>").await.unwrap();
    client.flush().await.unwrap();
    let network = Network::to(server.address()).await;
    let url = format!("nats://{}", network.address);
    let gateway = gateway_to(&format!("nats = {{ url = {url:?}, timeout = \"2s\", jetstream = false }}")).await;
    let tally = Tally::default();
    // First when it connects, and then while it is connected.
    for round in 0..5 {
        let sent = tally.send_groups(&gateway, ("@TGS#", 8), round * 20..(round + 1) * 20);
        tokio::join!(sent, network.loses_something_and_is_cut());
        delivered(&gateway, tally.acknowledged()).await;
    }
    client.publish("chat.end", "".into()).await.unwrap();
    let mut events = Vec::new();
    loop {
        let message = timeout(LIMIT, subscriber.next()).await.unwrap().unwrap();
        if message.subject.as_str() == "chat.end" {
            break;
        }
        events.push(json(&message.payload));
    }
    are_all(&gateway, &tally, &events).await;
}

#[tokio::test]
async fn nothing_is_lost_when_nats_has_no_stream_dies_and_comes_back() {
    let mut server = Server::nats("").await;
    let gateway = gateway_to(&to_nats(&server, "")).await;
    gateway.keeps(MESSAGE, &message("@TGS#0", 0)).await;
    gateway.retries("broker").await;
    drop(stream(&server).await);
    let tally = under_load(&gateway, async {
        server.kill().await;
        server.start_again().await;
    })
    .await;
    delivered(&gateway, 320).await;
    let events: Vec<Value> = all_of(&stream(&server).await).await.iter().map(|it| json(&it.payload)).collect();
    let figures = are_all(&gateway, &tally, &events).await;
    assert_eq!(figures.duplicates, 0, "the stream knows them by their identity");
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
    let gateway = gateway_to(&to_redis(&server, ", stream = \"chat:{app}\", max_len = 100")).await;
    gateway.keeps(MESSAGE, &message("@TGS#1", 7)).await;
    delivered(&gateway, 1).await;
    let entry = &entries(&server, "chat:1400000001").await[0];
    let names: Vec<&str> = entry.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["id", "command", "key", "event"]);
    assert_eq!((entry[1].1.as_str(), entry[2].1.as_str()), (MESSAGE, "group/@TGS#1"));
    let event = json(entry[3].1.as_bytes());
    assert_eq!(event["id"], entry[0].1);
    is_message(&event, "@TGS#1", 7);

    for n in 0..150 {
        gateway.keeps(CHANGE, &change("u_1", n)).await;
    }
    delivered(&gateway, 151).await;
    let left = entries(&server, "chat:1400000001").await.len();
    assert!((100..=110).contains(&left), "{left}");
}

#[tokio::test]
async fn nothing_is_lost_when_redis_is_down_dies_and_comes_back() {
    let mut server = Server::redis(&[]).await;
    server.kill().await;
    let gateway = gateway_to(&to_redis(&server, "")).await;
    gateway.keeps(MESSAGE, &message("@TGS#0", 0)).await;
    gateway.retries("broker").await;
    server.start_again().await;
    let tally = under_load(&gateway, async {
        server.kill().await;
        server.start_again().await;
    })
    .await;
    delivered(&gateway, 320).await;
    let entries = entries(&server, "chat").await;
    let events: Vec<Value> = entries.iter().map(|fields| json(fields.last().unwrap().1.as_bytes())).collect();
    are_all(&gateway, &tally, &events).await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_left_and_one_that_wants_a_password_gets_it() {
    let server = Server::redis(&["--requirepass", "k3y"]).await;
    let gateway = gateway_to(&to_redis(&server, ", password = \"k3y\"").replace("2s", "300ms")).await;
    gateway.keeps(MESSAGE, &message("@TGS#1", 1)).await;
    delivered(&gateway, 1).await;
    server.freeze(true);
    gateway.keeps(MESSAGE, &message("@TGS#1", 2)).await;
    gateway.retries("broker").await;
    server.freeze(false);
    delivered(&gateway, 2).await;
}

#[tokio::test]
async fn redis_and_nats_with_tls_get_events_from_whom_trusts_them_and_from_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::write(dir.path());
    let Certificates { ca, cert, key } = &certificates;
    let nats = format!("tls {{ cert_file: {cert:?}, key_file: {key:?} }}");
    let (redis, nats) = tokio::join!(Server::redis_tls(&certificates), Server::nats(&nats));
    for (table, url, more) in [
        ("redis", format!("rediss://{}", redis.address()), ""),
        ("nats", format!("tls://{}", nats.address()), ", jetstream = false"),
    ] {
        let trusts = gateway_to(&format!("{table} = {{ url = {url:?}, ca = {ca:?}{more} }}")).await;
        trusts.keeps(MESSAGE, &message("@TGS#1", 1)).await;
        delivered(&trusts, 1).await;
        let does_not = gateway_to(&format!("{table} = {{ url = {url:?}{more} }}")).await;
        does_not.keeps(MESSAGE, &message("@TGS#1", 1)).await;
        does_not.retries("broker").await;
        does_not.logged("invalid peer certificate").await;
    }
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
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::write(dir.path());
    let (mut server, tls_port) = Server::rabbitmq(&certificates).await;
    let gateway = gateway_to(&format!("rabbitmq = {{ url = {:?}, timeout = \"2s\" }}", server.rabbitmq_url())).await;

    // There is no exchange, and then no queue: it waits for both.
    gateway.keeps(MESSAGE, &message("@TGS#0", 0)).await;
    gateway.retries("broker").await;
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

    let tally = under_load(&gateway, async {
        server.kill().await;
        server.start_again().await;
    })
    .await;
    // The first of them was kept before, and has been read.
    delivered(&gateway, 320).await;
    let (_connection, exchange) = channel(&server).await;
    let is_whole = |messages: &[lapin::message::Delivery]| {
        let names: BTreeSet<Name> = messages.iter().map(|it| Name::of(&json(&it.data)["data"])).collect();
        names.len() == 319
    };
    let events = messages(&exchange, is_whole).await;
    let events: Vec<Value> = std::iter::once(event).chain(events.iter().map(|it| json(&it.data))).collect();
    are_all(&gateway, &tally, &events).await;

    // The same with TLS, for whom it trusts.
    let url = format!("amqps://guest:guest@127.0.0.1:{tls_port}/%2f");
    let trusts = gateway_to(&format!("rabbitmq = {{ url = {url:?}, ca = {:?} }}", certificates.ca)).await;
    trusts.keeps(MESSAGE, &message("@TGS#tls", 1)).await;
    delivered(&trusts, 1).await;
    let does_not = gateway_to(&format!("rabbitmq = {{ url = {url:?} }}")).await;
    does_not.keeps(MESSAGE, &message("@TGS#tls", 2)).await;
    does_not.retries("broker").await;
    assert_eq!(messages(&exchange, |messages| messages.len() == 1).await.len(), 1);
}

/// RabbitMQ returns what no queue takes, and says of each message that it has it: not which one it returned.
#[tokio::test]
async fn what_no_queue_of_rabbitmq_takes_waits_and_is_no_other_message() {
    let dir = tempfile::tempdir().unwrap();
    let (server, _) = Server::rabbitmq(&Certificates::write(dir.path())).await;
    let (_connection, exchange) = channel(&server).await;
    queue(&exchange, MESSAGE).await;
    let gateway = gateway_to(&format!("rabbitmq = {{ url = {:?} }}", server.rabbitmq_url())).await;
    let tally = Tally::default();
    let changes: Vec<String> = (0..40).map(|n| change(&format!("u_{n}"), n)).collect();
    let unbound = join_all(changes.iter().map(|change| gateway.keeps(CHANGE, change)));
    let (sent, _) = tokio::join!(tally.send_groups(&gateway, ("@TGS#", 8), 0..40), unbound);
    assert_eq!(sent, 320);
    gateway.deliveries("broker", "delivered", 320).await;
    gateway.logged("no queue is bound").await;
    assert_eq!(waiting(&exchange).await, 320);
    gateway.metric_becomes(r#"chathook_delivery_backlog{target="broker"}"#, 40.0).await;

    queue(&exchange, CHANGE).await;
    delivered(&gateway, 360).await;
    assert_eq!(waiting(&exchange).await, 360, "none came twice");
    let events = messages(&exchange, |messages| messages.len() == 360).await;
    let (messages, changes): (Vec<Value>, Vec<Value>) =
        events.iter().map(|event| json(&event.data)).partition(|event| event["data"]["GroupId"].is_string());
    are_all(&gateway, &tally, &messages).await;
    let users: BTreeSet<&str> = changes.iter().map(|it| it["data"]["Info"]["To_Account"].as_str().unwrap()).collect();
    assert_eq!(users.len(), 40);

    let log = gateway.stop().await.log;
    for word in ["Server returned us", "@TGS#", "u_1"] {
        assert!(!log.contains(word), "{word}");
    }
}

/// How many messages wait in the queue.
async fn waiting(channel: &Channel) -> u32 {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("events".into(), options, FieldTable::default()).await.unwrap().message_count()
}

#[tokio::test]
async fn while_rabbitmq_lacks_memory_events_wait_and_come_once_and_in_order_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let (server, _) = Server::rabbitmq(&Certificates::write(dir.path())).await;
    let (_connection, exchange) = channel(&server).await;
    queue(&exchange, MESSAGE).await;
    let gateway = gateway_to(&format!("rabbitmq = {{ url = {:?}, timeout = \"1s\" }}", server.rabbitmq_url())).await;
    let tally = Tally::default();
    tally.send(&gateway, "@TGS#0", [0]).await;
    delivered(&gateway, 1).await;

    server.rabbitmq_lacks_memory(true).await;
    // It takes in the first of what is sent, and says then that it does not go on.
    let retried = r#"chathook_deliveries_total{outcome="retried",target="broker"}"#;
    let mut groups = 0;
    eventually("an attempt that is not made", async || {
        groups += 1;
        tally.send(&gateway, &format!("@TGS#{groups}"), 0..5).await;
        gateway.metric(retried).await >= 1.0
    })
    .await;
    gateway.logged("the broker has blocked us").await;
    // Longer than an attempt may take otherwise.
    tokio::time::sleep(Duration::from_secs(2)).await;
    gateway.deliveries("broker", "delivered", 1).await;
    assert_eq!(connections(&gateway), 1);

    server.rabbitmq_lacks_memory(false).await;
    delivered(&gateway, tally.acknowledged()).await;
    assert_eq!(waiting(&exchange).await as usize, tally.acknowledged(), "none came twice");
    let events = messages(&exchange, |messages| messages.len() == tally.acknowledged()).await;
    let events: Vec<Value> = events.iter().map(|event| json(&event.data)).collect();
    are_all(&gateway, &tally, &events).await;
    assert_eq!(connections(&gateway), 1);
}

/// How many connections to RabbitMQ the gateway has: each has a thread.
fn connections(gateway: &TestGateway) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap();
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "lapin-io-loop").count()
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

fn to_kafka(broker: &str) -> String {
    format!("kafka = {{ brokers = [{broker:?}], timeout = \"2s\" }}")
}

#[tokio::test]
async fn a_topic_of_kafka_gets_each_conversation_in_one_partition_and_in_order() {
    let server = Server::kafka("chat", 3).await;
    let gateway = gateway_to(&to_kafka(&server.kafka_broker())).await;
    let tally = under_load(&gateway, async {}).await;
    for n in 0..6 {
        gateway
            .keeps("Alert.RequestOverLimit", &format!(r#"{{"CallbackCommand":"Alert.RequestOverLimit","n":{n}}}"#))
            .await;
    }
    delivered(&gateway, 320 + 6).await;
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
    let figures = are_all(&gateway, &tally, &events).await;
    assert_eq!(figures.duplicates, 0);
}

/// Of `group/@TGS#0` among three.
const FIRST_PARTITION: usize = 0;

#[tokio::test]
async fn a_partition_of_kafka_without_a_leader_concerns_its_events_only() {
    let server = Server::kafka("chat", 3).await;
    let leaderless = Leaderless::before(&server).await;
    let gateway = gateway_to(&to_kafka(&leaderless.kafka_broker())).await;
    let tally = under_load(&gateway, async {}).await;
    // Three of the eight groups belong to the first partition.
    gateway.deliveries("broker", "delivered", 5 * 40).await;
    gateway.retries("broker").await;
    assert!(records(&server, "chat", 1).await[0].is_empty());
    leaderless.elect();
    delivered(&gateway, 320).await;
    let events: Vec<Value> = records(&server, "chat", 3).await.into_iter().flatten().map(|it| it.1).collect();
    assert_eq!(are_all(&gateway, &tally, &events).await.duplicates, 0);
}

#[tokio::test]
async fn nothing_is_lost_while_kafka_is_down_has_no_topic_or_hangs() {
    let mut server = Server::kafka("another", 1).await;
    server.kill().await;
    let gateway = gateway_to(&to_kafka(&server.kafka_broker())).await;
    gateway.keeps(MESSAGE, &message("@TGS#0", 0)).await;
    gateway.retries("broker").await;
    server.start_again().await;
    gateway.logged("there is no topic chat").await;
    server.kafka_topic("chat", 2).await;
    let tally = under_load(&gateway, async {
        server.freeze(true);
        tokio::time::sleep(Duration::from_secs(3)).await;
        server.freeze(false);
    })
    .await;
    delivered(&gateway, 320).await;
    let events: Vec<Value> = records(&server, "chat", 2).await.into_iter().flatten().map(|it| it.1).collect();
    are_all(&gateway, &tally, &events).await;
}
