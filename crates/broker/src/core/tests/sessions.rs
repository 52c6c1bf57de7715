//! Sessions and their ends, wills, and clients that come while another one is there.

use super::*;

fn will(delay: u32) -> Will {
    Will {
        topic: "will".into(),
        payload: "gone".into(),
        qos: Q1,
        retain: false,
        delay,
        message_expiry: None,
        properties: tidegate_core::Properties::default(),
    }
}

fn connect_with_will(world: &mut World, expiry_interval: u32, delay: u32) -> Client {
    let (mut attach, calls) = world.ask("dying", false, expiry_interval);
    attach.will = Some(will(delay));
    match world.attach(&attach, calls) {
        Poll::Ready(Ok(client)) => client,
        other => panic!("{other:?}"),
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_session_keeps_subscriptions_and_messages_for_its_interval() {
    let mut world = World::new(Limits::default());
    let client = world.connect_with("a", false, 10);
    assert!(!client.session_present);
    world.subscribe(&client, "t", Q1);
    world.disconnect(client);
    world.send("t", "1", Q1);
    assert_eq!(world.publish(message("t", "0", Q0)), Verdict::Accepted { matched: true });
    world.advance(9 * SECOND);
    let waiting = world.core.waiting("a", world.now);
    assert_eq!(waiting, Some(Waiting { messages: 1, oldest_age: Some(9 * SECOND) }));
    assert_eq!(world.core.waiting("b", world.now), None);

    let mut client = world.connect_with("a", false, 10);
    assert!(client.session_present);
    assert_eq!(world.receive(&mut client), ["1"], "QoS 0 does not wait for an absent client");
    world.advance(60 * SECOND);
    world.send("t", "2", Q1);
    world.disconnect(client);
    world.advance(10 * SECOND);

    assert!(!world.connect_with("a", false, 10).session_present);
    assert_eq!(world.publish(message("t", "3", Q1)), Verdict::Accepted { matched: false });
    assert_eq!(world.dropped().session_ended, 1);
}

#[test]
fn the_interval_may_be_for_ever_or_nothing_and_the_last_word_counts() {
    let mut world = World::new(Limits::default());
    let client = world.resume("a");
    world.disconnect(client);
    world.advance(Duration::from_secs(u32::MAX.into()));
    let mut client = world.resume("a");
    assert!(client.session_present);
    client.expiry_interval = 0;
    world.disconnect(client);
    let client = world.resume("a");
    assert!(!client.session_present);
    world.disconnect(client);
    assert!(!world.connect("a").session_present, "a clean start has no session");
    assert_eq!(world.core.stats().sessions, 1);
}

#[test]
fn unanswered_messages_are_the_sessions_after_a_reconnect() {
    let mut world = World::new(Limits::default());
    let mut client = world.resume("a");
    world.subscribe(&client, "t", Q2);
    world.send("t", "1", Q1);
    world.send("t", "2", Q2);
    world.take(&mut client);
    world.disconnect(client);
    assert_eq!(world.core.stats().queued_messages, 2);
    let mut client = world.resume("a");
    assert_eq!(client.flow.outbound.len(), 2);
    world.answer(&mut client);
    assert_eq!(world.core.stats().queued_messages, 0);
}

#[test]
fn who_comes_second_waits_until_the_first_has_gone() {
    let mut world = World::new(Limits::default());
    let mut first = world.resume("a");
    world.subscribe(&first, "t", Q1);
    world.send("t", "1", Q1);
    world.take(&mut first);
    first.calls.take();

    let (attach, calls) = world.ask("a", false, u32::MAX);
    assert!(world.attach(&attach, calls.clone()).is_pending());
    assert_eq!((first.calls.take(), calls.take()), (1, 0));
    assert_eq!(world.core.check(first.at), Err(ReasonCode::SessionTakenOver));
    world.part(first, false);
    assert_eq!(calls.take(), 1);
    let Poll::Ready(Ok(second)) = world.attach(&attach, calls) else { panic!("the first has gone") };
    assert!(second.session_present);
    assert_eq!(second.flow.outbound.len(), 1, "what the first did not answer is the second's");
    assert_eq!(world.core.check(second.at), Ok(()));
}

#[test]
fn a_client_that_went_late_does_not_disturb_its_successor() {
    let mut world = World::new(Limits::default());
    let first = world.resume("a");
    let at = first.at;
    world.disconnect(first);
    let second = world.resume("a");
    world.core.detach(
        at,
        flow::Session::new(),
        Load::default(),
        Leave { without_will: true, expiry_interval: 0 },
        world.now,
    );
    assert_eq!(world.core.check(second.at), Ok(()));
    assert_eq!(world.core.check(at), Err(ReasonCode::SessionTakenOver));
}

#[test]
fn sessions_have_a_limit_that_does_not_keep_known_clients_out() {
    let mut world = World::new(Limits { sessions_max: 1, ..Limits::default() });
    let client = world.resume("a");
    let (attach, calls) = world.ask("b", true, 0);
    let refused = world.attach(&attach, calls);
    assert!(matches!(refused, Poll::Ready(Err(ReasonCode::QuotaExceeded))), "{refused:?}");
    world.disconnect(client);
    assert!(world.resume("a").session_present);
}

#[test]
fn a_will_is_published_when_its_client_goes_without_a_word() {
    let mut world = World::new(Limits::default());
    let mut watcher = world.connect("watcher");
    world.subscribe(&watcher, "will", Q1);
    let client = connect_with_will(&mut world, 0, 0);
    world.part(client, true);
    assert_eq!(world.receive(&mut watcher), Vec::<String>::new());
    for expiry_interval in [0, 60] {
        let client = connect_with_will(&mut world, expiry_interval, 0);
        world.part(client, false);
        assert_eq!(world.receive(&mut watcher), ["gone"]);
    }
}

#[test]
fn a_delayed_will_comes_after_its_delay_or_with_the_end_of_the_session() {
    let mut world = World::new(Limits::default());
    let mut watcher = world.connect("watcher");
    world.subscribe(&watcher, "will", Q1);
    for (expiry_interval, delay, comes_after) in [(10, 3, 3), (3, 10, 3), (3, 3, 3), (u32::MAX, 2, 2)] {
        let client = connect_with_will(&mut world, expiry_interval, delay);
        world.part(client, false);
        world.advance((comes_after - 1) * SECOND);
        assert_eq!(world.receive(&mut watcher), Vec::<String>::new(), "{expiry_interval} {delay}");
        world.advance(SECOND);
        assert_eq!(world.receive(&mut watcher), ["gone"], "{expiry_interval} {delay}");
        world.advance(20 * SECOND);
        assert_eq!(world.receive(&mut watcher), Vec::<String>::new(), "{expiry_interval} {delay}");
    }
}

#[test]
fn a_client_that_comes_back_in_time_takes_its_delayed_will_back() {
    let mut world = World::new(Limits::default());
    let mut watcher = world.connect("watcher");
    world.subscribe(&watcher, "will", Q1);
    let client = connect_with_will(&mut world, 60, 5);
    world.part(client, false);
    world.advance(4 * SECOND);
    let client = world.connect_with("dying", false, 60);
    world.advance(4 * SECOND);
    assert_eq!(world.receive(&mut watcher), Vec::<String>::new());
    world.part(client, false);

    let client = connect_with_will(&mut world, 60, 5);
    world.part(client, false);
    world.connect_with("dying", true, 60);
    assert_eq!(world.receive(&mut watcher), ["gone"], "a clean start ends the session, and so the delay");
}

#[test]
fn the_clock_is_called_when_something_is_due_sooner() {
    let mut world = World::new(Limits::default());
    let clock = Arc::new(Calls::default());
    let next = |world: &mut World, clock: &Arc<Calls>| {
        world.core.tick(&clock.clone().into(), world.now).map(|at| at - world.now)
    };
    assert_eq!(next(&mut world, &clock), None);
    for (client_id, expiry_interval, called, due) in [("a", 60, 1, 60), ("b", 90, 0, 60), ("c", 30, 1, 30)] {
        let client = world.connect_with(client_id, false, expiry_interval);
        world.disconnect(client);
        assert_eq!(clock.take(), called, "{client_id}");
        assert_eq!(next(&mut world, &clock), Some(due * SECOND), "{client_id}");
    }
    world.advance(45 * SECOND);
    assert_eq!(next(&mut world, &clock), Some(15 * SECOND));
    world.advance(60 * SECOND);
    assert_eq!((next(&mut world, &clock), world.core.stats().sessions), (None, 0));
}

#[test]
fn a_link_gets_again_in_order_what_it_did_not_acknowledge() {
    let mut world = World::new(Limits::default());
    let (mut attach, calls) = world.ask("link", false, u32::MAX);
    attach.address = None;
    let Poll::Ready(Ok(link)) = world.attach(&attach, calls.clone()) else { panic!("nobody else is there") };
    world.subscribe(&link, "t", Q1);
    for (payload, qos) in [("1", Q1), ("2", Q1), ("0", Q0), ("3", Q1), ("4", Q1)] {
        world.send("t", payload, qos);
    }
    let hand_out = |world: &mut World, link: &Client, max| {
        let mut copies = Vec::new();
        world.core.hand_out(link.at, max, Waker::noop(), world.now, &mut copies).unwrap();
        payloads(&copies)
    };
    assert_eq!(hand_out(&mut world, &link, 4), ["1", "2", "0", "3"]);
    world.core.acknowledge(link.at, 1).unwrap();
    assert_eq!(world.core.stats().queued_messages, 4);

    // The next one does not wait for the first, which has nothing to give back.
    let Poll::Ready(Ok(again)) = world.attach(&attach, calls) else { panic!("a link is taken over at once") };
    assert_eq!(world.core.check(link.at), Err(ReasonCode::SessionTakenOver));
    assert_eq!(hand_out(&mut world, &again, 10), ["2", "3", "4"]);
    world.core.acknowledge(again.at, 3).unwrap();
    assert_eq!(world.core.stats().queued_messages, 0);
}

#[test]
fn a_session_can_change_between_the_wire_and_a_link() {
    let mut world = World::new(Limits::default());
    let mut client = world.resume("a");
    world.subscribe(&client, "t", Q2);
    for (payload, qos) in [("1", Q1), ("2", Q2), ("3", Q2)] {
        world.send("t", payload, qos);
    }
    let copies = world.take(&mut client);
    assert_eq!(copies.len(), 3);
    let id = std::num::NonZeroU16::new(2).unwrap();
    client.flow.outbound.pubrec(id, false).unwrap();
    world.disconnect(client);

    let (mut attach, calls) = world.ask("a", false, u32::MAX);
    attach.address = None;
    let Poll::Ready(Ok(link)) = world.attach(&attach, calls) else { panic!("nobody else is there") };
    let mut copies = Vec::new();
    world.core.hand_out(link.at, 10, Waker::noop(), world.now, &mut copies).unwrap();
    assert_eq!(payloads(&copies), ["1", "3"], "the client took responsibility for 2 with its PUBREC");
    world.part(link, true);
    let mut client = world.resume("a");
    assert_eq!(world.receive(&mut client), ["1", "3"]);
    assert_eq!(world.core.stats().queued_messages, 0);
}

#[test]
fn a_closed_core_sends_everybody_away() {
    let mut world = World::new(Limits::default());
    let client = world.resume("a");
    world.core.close();
    world.wake();
    assert_eq!(client.calls.take(), 1);
    assert_eq!(world.core.check(client.at), Err(ReasonCode::ServerShuttingDown));
    let (attach, calls) = world.ask("b", true, 0);
    assert!(matches!(world.attach(&attach, calls), Poll::Ready(Err(ReasonCode::ServerUnavailable))));
}
