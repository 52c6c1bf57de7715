//! Clients that send anything at any time: the broker goes on, and keeps nothing of theirs.

use proptest::prelude::*;
use tidegate_broker::{Broker, BrokerConfig, Limits};
use tidegate_mqtt::{
    Ack, Connect, Disconnect, Packet, PacketId, Publish, ReasonCode, Subscribe, Subscription, Unsubscribe,
    Version,
};

use crate::client::*;

fn id() -> impl Strategy<Value = PacketId> {
    (1..5u16).prop_map(|id| PacketId::new(id).unwrap())
}

fn filter() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["#", "t/+", "t/1", "$share/g/t/+", "$share/g/#", "u"])
}

fn publish() -> impl Strategy<Value = Packet> {
    let topic = prop::sample::select(vec!["t/1", "t/2", "u", "$x", ""]);
    (topic, 0..3u8, id(), any::<[bool; 2]>(), 0..200usize, prop::option::of(1..3u16)).prop_map(
        |(topic, qos, id, [dup, retain], size, alias)| {
            let qos = tidegate_mqtt::QoS::from_number(qos).unwrap();
            Packet::Publish(Publish {
                dup: dup && qos > Q0,
                qos,
                retain,
                topic: topic.into(),
                packet_id: (qos > Q0).then_some(id),
                message_expiry: None,
                topic_alias: alias.and_then(|alias| alias.try_into().ok()),
                subscription_ids: Vec::new(),
                properties: tidegate_core::Properties::default(),
                payload: vec![b'x'; size].into(),
            })
        },
    )
}

fn packet() -> impl Strategy<Value = Packet> {
    let ack = |packet: fn(Ack) -> Packet| {
        let reason = prop::sample::select(vec![ReasonCode::Success, ReasonCode::QuotaExceeded]);
        (id(), reason).prop_map(move |(id, reason)| packet(Ack::new(id, reason)))
    };
    let done = (id()).prop_map(|id| Packet::PubComp(Ack::new(id, ReasonCode::Success)));
    let release = (id()).prop_map(|id| Packet::PubRel(Ack::new(id, ReasonCode::Success)));
    let subscribe = (id(), filter(), 0..3u8).prop_map(|(packet_id, filter, qos)| {
        let qos = tidegate_mqtt::QoS::from_number(qos).unwrap();
        let subscriptions = vec![Subscription::new(filter, qos)];
        Packet::Subscribe(Subscribe {
            packet_id,
            subscriptions,
            subscription_id: None,
            user_properties: Vec::new(),
        })
    });
    let unsubscribe = (id(), filter()).prop_map(|(packet_id, filter)| {
        Packet::Unsubscribe(Unsubscribe {
            packet_id,
            filters: vec![filter.into()],
            user_properties: Vec::new(),
        })
    });
    let rare = prop::sample::select(vec![
        Packet::PingReq,
        Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success))),
        Packet::Connect(Box::new(Connect::new(V5, "a"))),
        Packet::PingResp,
    ]);
    prop_oneof![
        8 => publish(),
        4 => subscribe,
        1 => unsubscribe,
        4 => ack(Packet::PubAck),
        3 => ack(Packet::PubRec),
        3 => done,
        3 => release,
        1 => rare,
    ]
}

#[derive(Clone, Debug)]
enum Act {
    Send(usize, Packet),
    Garbage(usize, Vec<u8>),
    /// It comes anew, perhaps with the name of another one that is there.
    Come(usize, &'static str, Version),
    Vanish(usize),
}

const CLIENTS: usize = 3;

fn act() -> impl Strategy<Value = Act> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    prop_oneof![
        20 => (0..CLIENTS, packet()).prop_map(|(client, packet)| Act::Send(client, packet)),
        1 => (0..CLIENTS, prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(c, bytes)| Act::Garbage(c, bytes)),
        3 => (0..CLIENTS, name, prop::bool::ANY)
            .prop_map(|(client, name, v5)| Act::Come(client, name, if v5 { V5 } else { V311 })),
        1 => (0..CLIENTS).prop_map(Act::Vanish),
    ]
}

async fn run(acts: Vec<Act>) {
    let limits = Limits { queue_messages_max: 3, read_ahead_bytes_max: 500, ..Limits::default() };
    let broker = Broker::new(BrokerConfig { limits, ..BrokerConfig::default() });
    let mut clients: Vec<Option<TestClient>> = (0..CLIENTS).map(|_| None).collect();
    for act in acts {
        match act {
            Act::Come(client, name, version) => {
                clients[client] = Some(TestClient::connect_with(&broker, resume(version, name)).await);
            }
            Act::Vanish(client) => clients[client] = None,
            Act::Send(client, packet) => {
                if let Some(client) = &mut clients[client] {
                    client.try_send(packet).await;
                }
            }
            Act::Garbage(client, bytes) => {
                if let Some(client) = &mut clients[client] {
                    client.try_send_bytes(&bytes).await;
                }
            }
        }
    }
    drop(clients);
    for name in ["a", "b", "c"] {
        let mut client = TestClient::connect_with(&broker, Connect::new(V5, name)).await;
        client.subscribe("$new", Q1).await;
        client.say("$new", name, Q1).await;
        assert_eq!(payloads([&client.take().await]), [name]);
        client.disconnect().await;
    }
    while broker.stats().connections > 0 {
        tokio::task::yield_now().await;
    }
    let stats = broker.stats();
    assert_eq!(
        (stats.sessions, stats.subscriptions, stats.queued_messages, stats.queued_bytes),
        (0, 0, 0, 0)
    );
    broker.shutdown().await;
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]
    #[test]
    fn clients_that_send_anything_do_not_disturb_the_broker(acts in prop::collection::vec(act(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(acts));
    }
}
