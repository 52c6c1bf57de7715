//! Messages on the wire.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use tidegate_broker::{Broker, BrokerConfig, Limits};
use tidegate_core::{PropertiesBuilder, Property};
use tidegate_mqtt::{Ack, Connect, Packet, Publish, QoS, ReasonCode, RetainHandling, Subscription};

use crate::client::*;

#[tokio::test(start_paused = true)]
async fn each_qos_goes_through_in_each_version() {
    let broker = Broker::new(BrokerConfig::default());
    for version in [V311, V5] {
        let mut client = TestClient::connect_with(&broker, Connect::new(version, "a")).await;
        for subscribed in [Q0, Q1, Q2] {
            client.subscribe("t", subscribed).await;
            for published in [Q0, Q1, Q2] {
                assert_eq!(client.say("t", "x", published).await, ReasonCode::Success);
                let got = client.take().await;
                assert_eq!(
                    (&*got.topic, &*got.payload, got.qos),
                    ("t", &b"x"[..], published.min(subscribed))
                );
                assert!(!got.dup && !got.retain);
            }
        }
        assert_eq!(client.all().await, []);
        client.disconnect().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_publish_for_nobody_is_told_so() {
    let broker = Broker::new(BrokerConfig::default());
    let mut client = TestClient::connect(&broker, "a").await;
    assert_eq!(client.say("t", "x", Q1).await, ReasonCode::NoMatchingSubscribers);
    assert_eq!(client.say("t", "x", Q2).await, ReasonCode::NoMatchingSubscribers);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_qos_2_publish_is_one_message() {
    let broker = Broker::new(BrokerConfig::default());
    let mut client = TestClient::connect_with(&broker, resume(V5, "a")).await;
    client.subscribe("t", Q2).await;
    let publish = client.message("t", "x", Q2);
    let id = publish.packet_id.unwrap();
    client.send(Packet::Publish(publish.clone())).await;
    assert_eq!(client.answer().await, Packet::PubRec(Ack::new(id, ReasonCode::Success)));
    client.vanish(&broker, "a").await;

    let mut client = TestClient::connect_with(&broker, resume(V5, "a")).await;
    let got = client.take().await;
    assert_eq!(&*got.payload, b"x");
    client.send(Packet::Publish(Publish { dup: true, ..publish })).await;
    assert_eq!(client.answer().await, Packet::PubRec(Ack::new(id, ReasonCode::Success)));
    client.send(Packet::PubRel(Ack::new(id, ReasonCode::Success))).await;
    assert_eq!(client.answer().await, Packet::PubComp(Ack::new(id, ReasonCode::Success)));
    client.send(Packet::PubRel(Ack::new(id, ReasonCode::Success))).await;
    assert_eq!(client.answer().await, Packet::PubComp(Ack::new(id, ReasonCode::PacketIdentifierNotFound)));
    assert_eq!(client.all().await, []);
}

#[tokio::test(start_paused = true)]
async fn what_travels_with_a_message_arrives_unaltered_and_in_order() {
    let broker = Broker::new(BrokerConfig::default());
    let mut properties = PropertiesBuilder::default();
    for property in [
        Property::UserProperty("b", "2"),
        Property::ContentType("application/json"),
        Property::UserProperty("a", "1"),
        Property::PayloadFormatIndicator(true),
        Property::UserProperty("b", "0"),
        Property::CorrelationData(&[0, 255]),
        Property::ResponseTopic("answers"),
    ] {
        assert!(properties.push(property));
    }
    let properties = properties.build().unwrap();
    let mut publisher = TestClient::connect(&broker, "publisher").await;
    let mut subscriber = TestClient::connect(&broker, "subscriber").await;
    let mut old = TestClient::connect_with(&broker, Connect::new(V311, "old")).await;
    for client in [&mut subscriber, &mut old] {
        client.subscribe("t", Q2).await;
    }
    for qos in [Q0, Q1, Q2] {
        let publish = Publish { properties: properties.clone(), ..publisher.message("t", "x", qos) };
        publisher.publish(publish).await;
        assert_eq!(subscriber.take().await.properties, properties);
        assert!(old.take().await.properties.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn retained_messages_wait_for_their_subscribers() {
    let broker = Broker::new(BrokerConfig::default());
    for version in [V311, V5] {
        let mut client = TestClient::connect_with(&broker, Connect::new(version, "a")).await;
        for (topic, qos) in [("t/0", Q0), ("t/1", Q1), ("t/2", Q2)] {
            let publish = Publish { retain: true, ..client.message(topic, topic, qos) };
            client.publish(publish).await;
        }
        client.subscribe("t/+", Q2).await;
        let mut got = [client.take().await, client.take().await, client.take().await];
        got.sort_by_key(|publish| publish.topic.clone());
        assert_eq!(
            got.each_ref().map(|publish| (publish.qos, publish.retain)),
            [(Q0, true), (Q1, true), (Q2, true)]
        );

        let publish = Publish { retain: true, ..client.message("t/1", "live", Q1) };
        client.publish(publish).await;
        assert!(!client.take().await.retain, "to whom it is no old message");
        for topic in ["t/0", "t/1", "t/2"] {
            let publish = Publish { retain: true, ..client.message(topic, "", Q0) };
            client.publish(publish).await;
            assert!(client.take().await.payload.is_empty());
        }
        client.subscribe("t/+", Q2).await;
        assert_eq!(client.all().await, []);
        assert_eq!(broker.stats().retained_messages, 0);
        client.disconnect().await;
    }
}

#[tokio::test(start_paused = true)]
async fn subscription_options_are_kept() {
    let broker = Broker::new(BrokerConfig::default());
    let mut client = TestClient::connect(&broker, "a").await;
    let subscription = Subscription {
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::SendIfNew,
        ..Subscription::new("t", Q1)
    };
    client.subscribe_with(subscription.clone(), Some(268_435_455)).await;
    client.say("t", "its own", Q1).await;
    let mut other = TestClient::connect(&broker, "b").await;
    let retained = Publish { retain: true, ..other.message("t", "another's", Q1) };
    other.publish(retained).await;
    let got = client.take().await;
    assert_eq!((&*got.payload, got.retain), (&b"another's"[..], true));
    assert_eq!(got.subscription_ids, [NonZeroU32::new(268_435_455).unwrap()]);
    client.subscribe_with(subscription, None).await;
    assert_eq!(client.all().await, []);
}

#[tokio::test(start_paused = true)]
async fn overlapping_subscriptions_bring_one_copy() {
    let broker = Broker::new(BrokerConfig::default());
    let mut client = TestClient::connect(&broker, "a").await;
    client.subscribe_with(Subscription::new("t/#", Q2), Some(2)).await;
    client.subscribe_with(Subscription::new("t/+", Q1), Some(3)).await;
    client.say("t/x", "x", Q2).await;
    let got = client.take().await;
    let mut ids: Vec<_> = got.subscription_ids.iter().map(|id| id.get()).collect();
    ids.sort_unstable();
    assert_eq!((got.qos, ids), (Q2, vec![2, 3]));
    assert_eq!(client.all().await, []);
}

#[tokio::test(start_paused = true)]
async fn leading_wildcards_do_not_match_dollar_topics() {
    let broker = Broker::new(BrokerConfig::default());
    let mut client = TestClient::connect(&broker, "a").await;
    client.subscribe("#", Q1).await;
    client.subscribe("+/x", Q1).await;
    client.say("$t/x", "1", Q1).await;
    assert_eq!(client.all().await, []);
    client.subscribe("$t/+", Q1).await;
    client.say("$t/x", "2", Q1).await;
    assert_eq!(payloads(&client.all().await), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_unsubscribed_does_not_come() {
    let broker = Broker::new(BrokerConfig::default());
    let mut client = TestClient::connect(&broker, "a").await;
    for filter in ["t/1", "t/2"] {
        client.subscribe(filter, Q1).await;
    }
    assert_eq!(client.unsubscribe("t/1").await, [ReasonCode::Success]);
    assert_eq!(client.unsubscribe("t/1").await, [ReasonCode::NoSubscriptionExisted]);
    client.say("t/1", "1", Q1).await;
    client.say("t/2", "2", Q1).await;
    assert_eq!(payloads(&client.all().await), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn message_expiry_counts_down_while_a_message_waits() {
    let broker = Broker::new(BrokerConfig::default());
    let mut subscriber = TestClient::connect_with(&broker, resume(V5, "subscriber")).await;
    subscriber.subscribe("t", Q2).await;
    subscriber.disconnect().await;
    let mut publisher = TestClient::connect(&broker, "publisher").await;
    for (payload, qos, expiry) in [("1", Q1, 1), ("2", Q2, 1), ("3", Q1, 6), ("4", Q2, 7)] {
        let publish = Publish { message_expiry: Some(expiry), ..publisher.message("t", payload, qos) };
        publisher.publish(publish).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut subscriber = TestClient::connect_with(&broker, resume(V5, "subscriber")).await;
    let got = [subscriber.take().await, subscriber.take().await];
    assert_eq!(got.map(|publish| publish.message_expiry), [Some(3), Some(4)]);
    assert_eq!(broker.stats().counters.dropped.expired, 2);
}

#[tokio::test(start_paused = true)]
async fn a_clients_topic_aliases_stand_for_topics_on_its_connection() {
    let broker = Broker::new(BrokerConfig::default());
    let mut client = TestClient::connect_with(&broker, resume(V5, "a")).await;
    client.subscribe("t", Q1).await;
    let alias = NonZeroU16::new(1);
    for topic in ["t", ""] {
        let publish = Publish { topic_alias: alias, ..client.message("t", topic, Q1) };
        client.publish(Publish { topic: topic.into(), ..publish }).await;
    }
    let got = [client.take().await, client.take().await];
    assert_eq!(
        got.map(|publish| (publish.topic, publish.topic_alias)),
        [("t".into(), None), ("t".into(), None)]
    );
    client.disconnect().await;

    let mut client = TestClient::connect_with(&broker, resume(V5, "a")).await;
    let publish = Publish { topic_alias: alias, topic: "".into(), ..client.message("t", "x", Q1) };
    client.send(Packet::Publish(publish)).await;
    assert_eq!(client.dismissed().await, Some(ReasonCode::ProtocolError));

    let mut client = TestClient::connect(&broker, "b").await;
    let publish = Publish { topic_alias: NonZeroU16::new(65), ..client.message("t", "x", Q0) };
    client.send(Packet::Publish(publish)).await;
    assert_eq!(client.dismissed().await, Some(ReasonCode::TopicAliasInvalid));
}

#[tokio::test(start_paused = true)]
async fn the_broker_uses_topic_aliases_if_the_client_takes_them() {
    let broker = Broker::new(BrokerConfig::default());
    let mut client =
        TestClient::connect_with(&broker, Connect { topic_alias_max: 1, ..Connect::new(V5, "a") }).await;
    client.subscribe("#", Q2).await;
    for (topic, expected) in [("t", ("t", Some(1))), ("t", ("", Some(1))), ("u", ("u", None))] {
        client.say(topic, "x", Q1).await;
        let got = client.take().await;
        assert_eq!((&*got.topic, got.topic_alias.map(NonZeroU16::get)), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_client_takes_counts_as_delivered() {
    let broker = Broker::new(BrokerConfig::default());
    let connect = Connect { packet_bytes_max: NonZeroU32::new(64), ..Connect::new(V5, "a") };
    let mut client = TestClient::connect_with(&broker, connect).await;
    let mut publisher = TestClient::connect(&broker, "b").await;
    client.subscribe("t", Q2).await;
    for (payload, qos) in [(32, Q0), (64, Q0), (64, Q1), (64, Q2), (16, Q1)] {
        assert_eq!(publisher.say("t", &"x".repeat(payload), qos).await, ReasonCode::Success);
    }
    assert_eq!(client.all().await.iter().map(|publish| publish.payload.len()).collect::<Vec<_>>(), [32, 16]);
    let stats = broker.stats();
    assert_eq!((stats.counters.dropped.too_large, stats.queued_messages), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_packet_larger_than_the_broker_takes_ends_the_connection() {
    let limits = Limits { packet_bytes_max: NonZeroU32::new(1000).unwrap(), ..Limits::default() };
    let broker = Broker::new(BrokerConfig { limits, ..BrokerConfig::default() });
    let mut client = TestClient::connect(&broker, "a").await;
    client.send_publish("t", &"x".repeat(1000), Q0).await;
    assert_eq!(client.dismissed().await, Some(ReasonCode::PacketTooLarge));
}

#[tokio::test(start_paused = true)]
async fn topics_have_a_limit_of_levels() {
    let limits = Limits { topic_levels_max: 3, ..Limits::default() };
    let broker = Broker::new(BrokerConfig { limits, ..BrokerConfig::default() });
    let mut client = TestClient::connect(&broker, "a").await;
    assert_eq!(client.say("1/2/3", "x", Q1).await, ReasonCode::NoMatchingSubscribers);
    assert_eq!(client.say("1/2/3/4", "x", Q1).await, ReasonCode::TopicNameInvalid);
    client.send_publish("1/2/3/4", "x", Q0).await;
    assert_eq!(client.dismissed().await, Some(ReasonCode::TopicNameInvalid));
}

#[tokio::test(start_paused = true)]
async fn the_broker_keeps_to_the_clients_receive_maximum() {
    let broker = Broker::new(BrokerConfig::default());
    let connect = Connect { receive_max: NonZeroU16::new(2).unwrap(), ..Connect::new(V5, "a") };
    let mut client = TestClient::connect_with(&broker, connect).await;
    let mut publisher = TestClient::connect(&broker, "b").await;
    client.subscribe("t", Q2).await;
    for (payload, qos) in [("1", Q1), ("2", Q2), ("3", Q1), ("4", Q0), ("5", Q1)] {
        publisher.say("t", payload, qos).await;
    }
    let sent = client.all().await;
    assert_eq!(payloads(&sent), ["1", "2"]);
    client.finish(&sent[1]).await;
    assert_eq!(payloads(&client.all().await), ["3", "4"]);
    client.finish(&sent[0]).await;
    assert_eq!(payloads(&client.all().await), ["5"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_exceeds_the_receive_maximum_is_sent_away() {
    let limits = Limits { receive_maximum: NonZeroU16::new(2).unwrap(), ..Limits::default() };
    let broker = Broker::new(BrokerConfig { limits, ..BrokerConfig::default() });
    let mut client = TestClient::connect(&broker, "a").await;
    for _ in 0..3 {
        client.send_publish("t", "x", Q2).await;
    }
    assert_eq!(client.dismissed().await, Some(ReasonCode::ReceiveMaximumExceeded));
}

#[tokio::test(start_paused = true)]
async fn large_messages_arrive_whole() {
    let broker = Broker::new(BrokerConfig::default());
    let mut subscriber = TestClient::connect(&broker, "subscriber").await;
    subscriber.subscribe("t", Q1).await;
    let payload: String = (0..200_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    let sending = {
        let (broker, payload) = (broker.clone(), payload.clone());
        tokio::spawn(async move {
            let mut publisher = TestClient::connect(&broker, "publisher").await;
            for _ in 0..5 {
                publisher.say("t", &payload, Q1).await;
            }
        })
    };
    for _ in 0..5 {
        assert_eq!(subscriber.take().await.payload, payload.as_bytes());
    }
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shared_subscriptions_bring_each_message_once() {
    let broker = Broker::new(BrokerConfig::default());
    let mut members = [TestClient::connect(&broker, "a").await, TestClient::connect(&broker, "b").await];
    for member in &mut members {
        member.subscribe("$share/g/t", Q2).await;
    }
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce] {
        let [first, _] = &mut members;
        first.say("t", "x", qos).await;
    }
    let [first, second] = &mut members;
    assert_eq!((first.all().await.len(), second.all().await.len()), (2, 2));
    let subscription = Subscription { no_local: true, ..Subscription::new("$share/g/t", Q1) };
    let subscribe = tidegate_mqtt::Subscribe {
        packet_id: first.next_id(),
        subscriptions: vec![subscription],
        subscription_id: None,
        user_properties: Vec::new(),
    };
    first.send(Packet::Subscribe(subscribe)).await;
    assert_eq!(first.dismissed().await, Some(ReasonCode::ProtocolError), "No Local makes no sense here");
}
