//! Nothing is acknowledged that is not in every queue it belongs in.

use super::*;

const WAIT: Verdict = Verdict::Wait;
const REFUSED: Verdict = Verdict::Refused(ReasonCode::QuotaExceeded);
const ACCEPTED: Verdict = Verdict::Accepted { matched: true };

fn small(queue_messages_max: usize) -> World {
    World::new(Limits { queue_messages_max, ..Limits::default() })
}

#[test]
fn a_publish_goes_into_every_queue_or_none_and_waits_while_a_consumer_drains() {
    let mut world = small(1);
    let (mut fast, mut slow) = (world.connect("fast"), world.connect("slow"));
    let publisher = world.connect("publisher");
    for client in [&fast, &slow] {
        world.subscribe(client, "t", Q1);
    }
    assert_eq!(world.publish_as(&publisher, message("t", "1", Q1)), ACCEPTED);
    assert_eq!(world.receive(&mut fast), ["1"]);
    world.take(&mut slow);
    assert_eq!(
        world.publish_as(&publisher, message("t", "2", Q1)),
        WAIT,
        "sent and not answered is not gone"
    );
    assert_eq!(world.receive(&mut fast), Vec::<String>::new());

    world.answer(&mut slow);
    assert_eq!(publisher.calls.take(), 1);
    assert_eq!(world.publish_as(&publisher, message("t", "2", Q1)), ACCEPTED);
    assert_eq!(
        (world.receive(&mut fast), world.receive(&mut slow)),
        (vec!["2".to_owned()], vec!["2".to_owned()])
    );
}

#[test]
fn a_publish_that_waited_in_vain_is_refused_and_so_are_the_next_until_the_queue_moves() {
    let mut world = small(1);
    let mut client = world.connect("a");
    world.subscribe(&client, "t", Q1);
    world.send("t", "1", Q1);
    assert_eq!(world.publish_at_last(message("t", "2", Q1)), REFUSED);
    assert_eq!(world.publish(message("t", "3", Q1)), REFUSED, "the same wait again would stop the publisher");
    assert_eq!(world.receive(&mut client), ["1"]);
    world.send("t", "4", Q1);
    assert_eq!(world.publish(message("t", "5", Q1)), WAIT);
    assert_eq!(world.receive(&mut client), ["4"]);
    assert_eq!(world.core.counters.publishes_refused, 2);
}

#[test]
fn a_full_queue_of_an_absent_client_refuses_at_once_unless_the_publisher_is_patient() {
    let mut world = small(1);
    let client = world.resume("a");
    world.subscribe(&client, "t", Q1);
    world.disconnect(client);
    world.send("t", "1", Q1);
    assert_eq!(world.publish(message("t", "2", Q1)), REFUSED);

    let calls = Arc::new(Calls::default());
    let waker = calls.clone().into();
    let patient = Publisher::new(&waker, true);
    assert_eq!(world.publish_by(patient, message("t", "3", Q1)), WAIT);
    let mut client = world.resume("a");
    assert_eq!(world.receive(&mut client), ["1"]);
    assert_eq!(calls.take(), 1);
    assert_eq!(world.publish_by(patient, message("t", "3", Q1)), ACCEPTED);
    assert_eq!(world.receive(&mut client), ["3"]);
}

#[test]
fn a_waiting_publisher_is_called_when_the_full_session_ends_or_its_client_goes() {
    let mut world = small(1);
    let publisher = world.connect("publisher");
    for expiry_interval in [0, 60] {
        let client = world.connect_with("a", true, expiry_interval);
        world.subscribe(&client, "t", Q1);
        world.send("t", "1", Q1);
        assert_eq!(world.publish_as(&publisher, message("t", "2", Q1)), WAIT);
        world.disconnect(client);
        assert_eq!(publisher.calls.take(), 1);
        let expected = if expiry_interval == 0 { Verdict::Accepted { matched: false } } else { REFUSED };
        assert_eq!(world.publish_as(&publisher, message("t", "2", Q1)), expected);
    }
}

#[test]
fn publishers_are_called_when_there_is_much_room_not_for_every_message() {
    let mut world = small(16);
    let client = world.connect("a");
    let publisher = world.connect("publisher");
    world.subscribe(&client, "t", Q1);
    for _ in 0..16 {
        world.send("t", "x", Q1);
    }
    assert_eq!(world.publish_as(&publisher, message("t", "y", Q1)), WAIT);
    let mut copies = Vec::new();
    world.core.take(client.at, 16, usize::MAX, world.now, &mut copies).unwrap();
    let woken_at = copies.iter().position(|copy| {
        world.core.release(client.at, copy.load()).unwrap();
        world.wake();
        publisher.calls.take() > 0
    });
    assert_eq!(woken_at, Some(1));
}

#[test]
fn qos_0_for_a_full_queue_is_dropped_and_counted() {
    let mut world = small(1);
    let (mut full, mut free) = (world.connect("full"), world.connect("free"));
    world.subscribe(&full, "t/#", Q1);
    world.subscribe(&free, "t/0", Q1);
    world.send("t/1", "1", Q1);
    world.send("t/0", "0", Q0);
    assert_eq!(
        (world.receive(&mut full), world.receive(&mut free)),
        (vec!["1".to_owned()], vec!["0".to_owned()])
    );
    assert_eq!(world.dropped().queue_full, 1);
}

#[test]
fn bytes_count_and_an_empty_queue_takes_any_message() {
    let mut world = World::new(Limits { queue_bytes_max: 10, ..Limits::default() });
    let mut client = world.connect("a");
    world.subscribe(&client, "t", Q1);
    world.send("t", "more than ten bytes", Q1);
    assert_eq!(world.publish(message("t", "", Q1)), WAIT);
    assert_eq!(world.receive(&mut client).len(), 1);
    world.send("t", "12345", Q1);
    world.send("t", "123", Q1);
    assert_eq!(world.publish(message("t", "", Q1)), WAIT);
    assert_eq!(world.core.stats().queued_bytes, 10);
}

#[test]
fn expired_messages_make_room() {
    let mut world = small(2);
    let client = world.resume("a");
    world.subscribe(&client, "t", Q1);
    world.disconnect(client);
    world.publish(Message { expiry_interval: Some(5), ..message("t", "1", Q1) });
    world.send("t", "2", Q1);
    assert_eq!(world.publish(message("t", "3", Q1)), REFUSED);
    world.advance(Duration::from_secs(5));
    world.send("t", "3", Q1);
    let mut client = world.resume("a");
    assert_eq!(world.receive(&mut client), ["2", "3"]);
    assert_eq!(world.dropped().expired, 1);
}

#[test]
fn a_will_waits_for_room_and_is_counted_if_there_is_none() {
    let mut world = small(1);
    let mut client = world.connect("a");
    world.subscribe(&client, "will", Q1);
    let die = |world: &mut World| {
        let (mut attach, calls) = world.ask("dying", true, 0);
        attach.will = Some(will("will", "gone", 0));
        let Poll::Ready(Ok(dying)) = world.attach(&attach, calls) else { panic!("nobody else is there") };
        world.part(dying, false);
    };
    for _ in 0..2 {
        die(&mut world);
    }
    let clock = Arc::new(Calls::default());
    let give_up_at = world.core.tick(&clock.clone().into(), world.now).unwrap();
    assert_eq!(give_up_at, world.now + Limits::default().publish_wait_max);
    assert_eq!(world.receive(&mut client), ["gone"]);
    assert_eq!(clock.take(), 1, "the clock tries again when there is room");
    assert_eq!(world.core.tick(&clock.clone().into(), world.now), None);
    die(&mut world);
    world.advance(Limits::default().publish_wait_max);
    assert_eq!(world.receive(&mut client), ["gone"]);
    assert_eq!((world.dropped().will_refused, world.receive(&mut client).len()), (1, 0));
}

fn will(topic: &str, payload: &str, delay: u32) -> Will {
    Will {
        topic: topic.into(),
        payload: payload.to_owned().into(),
        qos: Q1,
        retain: false,
        delay,
        message_expiry: None,
        properties: tidegate_core::Properties::default(),
    }
}
