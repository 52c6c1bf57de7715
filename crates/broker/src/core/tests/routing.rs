//! Who gets a message, and what of it.

use tidegate_mqtt::RetainHandling;

use super::*;

#[test]
fn a_message_goes_to_every_session_that_subscribed_at_the_lower_qos() {
    let mut world = World::new(Limits::default());
    let mut clients: Vec<_> = ["a", "b", "c", "d"].iter().map(|id| world.connect(id)).collect();
    for (client, (filter, qos)) in clients.iter().zip([("t/+", Q0), ("t/#", Q1), ("t/x", Q2), ("u", Q2)]) {
        world.subscribe(client, filter, qos);
    }
    world.send("t/x", "1", Q1);
    let got: Vec<_> = clients.iter_mut().map(|client| world.take(client)).collect();
    assert_eq!(got.iter().map(payloads).collect::<Vec<_>>(), [vec!["1"], vec!["1"], vec!["1"], vec![]]);
    assert_eq!(got[..3].iter().map(|copies| copies[0].qos).collect::<Vec<_>>(), [Q0, Q1, Q1]);

    assert_eq!(world.publish(message("nobody/there", "2", Q1)), Verdict::Accepted { matched: false });
}

#[test]
fn overlapping_subscriptions_make_one_copy_with_every_identifier() {
    let mut world = World::new(Limits::default());
    let mut client = world.connect("a");
    for (filter, qos, id) in
        [("t/+", Q2, Some(7)), ("t/#", Q1, Some(8)), ("t/x", Q0, None), ("u", Q2, Some(9))]
    {
        world.subscribe_with(&client, &Subscription::new(filter, qos), id);
    }
    world.send("t/x", "1", Q2);
    let copies = world.take(&mut client);
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].qos, Q2);
    let mut ids: Vec<_> = copies[0].subscription_ids.as_slice().iter().map(|id| id.get()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [7, 8]);
}

#[test]
fn a_subscription_again_replaces_the_one_before() {
    let mut world = World::new(Limits::default());
    let mut client = world.connect("a");
    world.subscribe_with(&client, &Subscription::new("t", Q2), Some(7));
    world.subscribe_with(&client, &Subscription::new("t", Q1), Some(8));
    world.send("t", "1", Q2);
    let copies = world.take(&mut client);
    assert_eq!((copies.len(), copies[0].qos), (1, Q1));
    assert_eq!(copies[0].subscription_ids.as_slice(), [8.try_into().unwrap()]);

    assert_eq!(world.core.unsubscribe(client.at, "t"), Ok(ReasonCode::Success));
    assert_eq!(world.core.unsubscribe(client.at, "t"), Ok(ReasonCode::NoSubscriptionExisted));
    assert_eq!(world.publish(message("t", "2", Q1)), Verdict::Accepted { matched: false });
}

#[test]
fn no_local_keeps_a_clients_own_messages_away() {
    let mut world = World::new(Limits::default());
    let (mut a, mut b) = (world.connect("a"), world.connect("b"));
    for client in [&a, &b] {
        let subscription = Subscription { no_local: true, ..Subscription::new("t", Q1) };
        world.subscribe_with(client, &subscription, None);
    }
    assert_eq!(world.publish_as(&a, message("t", "1", Q1)), Verdict::Accepted { matched: true });
    assert_eq!((world.receive(&mut a), world.receive(&mut b)), (vec![], vec!["1".to_owned()]));
}

#[test]
fn the_retain_flag_is_passed_on_if_asked_for() {
    let mut world = World::new(Limits::default());
    let (mut a, mut b) = (world.connect("a"), world.connect("b"));
    world.subscribe(&a, "t", Q1);
    let as_published = Subscription { retain_as_published: true, ..Subscription::new("t", Q1) };
    world.subscribe_with(&b, &as_published, None);
    for retain in [false, true] {
        world.publish(Message { retain, ..message("t", "1", Q1) });
    }
    let flags = |copies: Vec<Queued>| copies.iter().map(|copy| copy.retain).collect::<Vec<_>>();
    assert_eq!(flags(world.take(&mut a)), [false, false]);
    assert_eq!(flags(world.take(&mut b)), [false, true]);
}

#[test]
fn retained_messages_come_with_a_subscription_as_it_asks() {
    let mut world = World::new(Limits::default());
    for (topic, payload, qos) in [("t/0", "0", Q0), ("t/2", "2", Q2), ("t/gone", "x", Q1), ("t/gone", "", Q1)]
    {
        world.publish(Message { retain: true, ..message(topic, payload, qos) });
    }
    let mut client = world.connect("a");
    let subscribe = |world: &mut World, client: &mut Client, filter: &str, retain_handling| {
        let subscription = Subscription { retain_handling, ..Subscription::new(filter, Q1) };
        world.subscribe_with(client, &subscription, Some(5));
        let mut copies = world.take(client);
        world.answer(client);
        copies.sort_by_key(|copy| copy.publication.message.topic.clone());
        assert!(copies.iter().all(|copy| copy.retain && copy.subscription_ids.as_slice().len() == 1));
        copies.into_iter().map(|copy| copy.qos).collect::<Vec<_>>()
    };
    assert_eq!(subscribe(&mut world, &mut client, "t/+", RetainHandling::DoNotSend), []);
    assert_eq!(subscribe(&mut world, &mut client, "t/+", RetainHandling::SendIfNew), []);
    assert_eq!(subscribe(&mut world, &mut client, "t/+", RetainHandling::Send), [Q0, Q1]);
    assert_eq!(subscribe(&mut world, &mut client, "#", RetainHandling::SendIfNew), [Q0, Q1]);
    assert_eq!(subscribe(&mut world, &mut client, "$share/g/#", RetainHandling::Send), []);
}

#[test]
fn retained_messages_for_a_new_subscription_need_no_room_but_have_a_limit() {
    let limits = Limits { queue_messages_max: 1, retained_messages_max: 3, ..Limits::default() };
    let mut world = World::new(limits);
    for topic in ["t/1", "t/2", "t/3"] {
        world.publish(Message { retain: true, ..message(topic, topic, Q1) });
    }
    let mut client = world.connect("a");
    world.subscribe(&client, "t/#", Q1);
    assert_eq!(
        world.subscribe_with(&client, &Subscription::new("t/+", Q1), None),
        ReasonCode::QuotaExceeded,
        "the same again would be more than the store holds",
    );
    world.send("t/new", "live", Q1);
    assert_eq!(world.receive(&mut client).len(), 4);
    assert_eq!(world.core.stats().queued_messages, 0);
}

#[test]
fn a_full_retained_store_refuses_qos_1_and_lets_qos_0_through() {
    let mut world = World::new(Limits { retained_messages_max: 1, ..Limits::default() });
    let mut client = world.connect("a");
    world.subscribe(&client, "#", Q1);
    let retained = |topic, qos| Message { retain: true, ..message(topic, topic, qos) };
    assert_eq!(world.publish(retained("1", Q1)), Verdict::Accepted { matched: true });
    assert_eq!(world.publish(retained("2", Q1)), Verdict::Refused(ReasonCode::QuotaExceeded));
    assert_eq!(world.publish(retained("3", Q0)), Verdict::Accepted { matched: true });
    assert_eq!(world.receive(&mut client), ["1", "3"]);
    assert_eq!((world.core.counters.publishes_refused, world.core.counters.retained_refused), (1, 1));
}

#[test]
fn expired_messages_are_not_sent_and_are_counted() {
    let mut world = World::new(Limits::default());
    let mut client = world.connect("a");
    world.subscribe(&client, "t", Q1);
    for (payload, expiry_interval) in [("short", Some(2)), ("long", Some(10)), ("for ever", None)] {
        world.publish(Message { expiry_interval, ..message("t", payload, Q1) });
    }
    world.advance(Duration::from_secs(2));
    let copies = world.take(&mut client);
    assert_eq!(payloads(&copies), ["long", "for ever"]);
    let left: Vec<_> =
        copies.iter().map(|c| tidegate_mqtt::Outgoing::parts(c, world.now).message_expiry).collect();
    assert_eq!(left, [Some(8), None]);
    assert_eq!(world.dropped().expired, 1);
}

#[test]
fn filters_have_limits() {
    let limits = Limits { subscriptions_per_client_max: 2, topic_levels_max: 3, ..Limits::default() };
    let mut world = World::new(limits);
    let client = world.connect("a");
    for (filter, reason) in [
        ("1", ReasonCode::GrantedQoS1),
        ("1/2/3/4", ReasonCode::TopicFilterInvalid),
        ("1/2/3", ReasonCode::GrantedQoS1),
        ("2", ReasonCode::QuotaExceeded),
        ("1", ReasonCode::GrantedQoS1),
    ] {
        assert_eq!(world.subscribe_with(&client, &Subscription::new(filter, Q1), None), reason, "{filter}");
    }
}

#[test]
fn a_client_is_called_once_until_it_has_taken_everything() {
    let mut world = World::new(Limits::default());
    let mut client = world.connect("a");
    world.subscribe(&client, "t", Q1);
    for _ in 0..3 {
        world.send("t", "x", Q1);
    }
    assert_eq!(client.calls.take(), 1);
    let mut some = Vec::new();
    world.core.take(client.at, 1, usize::MAX, world.now, &mut some).unwrap();
    world.send("t", "x", Q1);
    assert_eq!((some.len(), client.calls.take()), (1, 0), "it left something behind, so it comes again");
    world.take(&mut client);
    world.send("t", "x", Q1);
    assert_eq!(client.calls.take(), 1);
}
