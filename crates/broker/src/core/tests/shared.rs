//! Shared subscriptions: one member gets each message, and what one leaves behind another one gets.

use super::*;

fn members(world: &mut World, ids: &[&str]) -> Vec<Client> {
    let members: Vec<_> = ids.iter().map(|id| world.resume(id)).collect();
    for member in &members {
        world.subscribe(member, "$share/g/t/#", Q2);
    }
    members
}

#[test]
fn members_take_turns() {
    let mut world = World::new(Limits::default());
    let mut all = members(&mut world, &["a", "b", "c"]);
    let mut other = world.connect("other");
    world.subscribe(&other, "$share/other/t/#", Q1);
    for payload in ["1", "2", "3", "4", "5", "6"] {
        world.send("t", payload, Q1);
    }
    let got: Vec<_> = all.iter_mut().map(|member| world.receive(member)).collect();
    assert_eq!(got, [["1", "4"], ["2", "5"], ["3", "6"]]);
    assert_eq!(world.receive(&mut other).len(), 6, "each group gets every message");
}

#[test]
fn a_shared_and_a_plain_subscription_make_two_copies() {
    let mut world = World::new(Limits::default());
    let mut all = members(&mut world, &["a"]);
    world.subscribe(&all[0], "t", Q1);
    world.send("t", "1", Q1);
    assert_eq!(world.receive(&mut all[0]), ["1", "1"]);
}

#[test]
fn members_without_room_and_absent_ones_are_passed_over() {
    let mut world = World::new(Limits { queue_messages_max: 1, ..Limits::default() });
    let mut all = members(&mut world, &["a", "b", "c"]);
    world.send("t", "1", Q1);
    let b = all.remove(1);
    world.disconnect(b);
    world.send("t", "2", Q1);
    assert_eq!(world.publish(message("t", "3", Q1)), Verdict::Wait, "a and c are full, and b is not there");
    assert_eq!(world.receive(&mut all[1]), ["2"]);
    world.send("t", "3", Q1);
    assert_eq!(world.receive(&mut all[1]), ["3"]);
    assert_eq!(world.receive(&mut all[0]), ["1"]);
}

#[test]
fn while_nobody_is_there_one_session_keeps_the_messages() {
    let mut world = World::new(Limits { queue_messages_max: 2, ..Limits::default() });
    for member in members(&mut world, &["a", "b"]) {
        world.disconnect(member);
    }
    assert_eq!(world.publish(message("t", "0", Q0)), Verdict::Accepted { matched: false });
    for payload in ["1", "2", "3", "4"] {
        world.send("t", payload, Q1);
    }
    assert_eq!(world.publish(message("t", "5", Q1)), Verdict::Refused(ReasonCode::QuotaExceeded));
    let mut a = world.resume("a");
    assert_eq!(world.receive(&mut a), ["1", "2"]);
}

#[test]
fn what_a_member_leaves_behind_others_get_except_qos_2_that_was_sent() {
    let mut world = World::new(Limits::default());
    let mut all = members(&mut world, &["a", "b"]);
    for (payload, qos) in [("1", Q1), ("b", Q1), ("2", Q2), ("b", Q1), ("3", Q1), ("b", Q1)] {
        world.send("t", payload, qos);
    }
    assert_eq!(world.receive(&mut all[1]), ["b", "b", "b"]);
    let (mut b, mut a) = (all.pop().unwrap(), all.pop().unwrap());
    let mut sent = Vec::new();
    world.core.take(a.at, 2, usize::MAX, world.now, &mut sent).unwrap();
    for copy in sent {
        let id = a.flow.outbound.next_id().unwrap();
        a.flow.outbound.start(id, copy.qos == Q2, copy);
    }
    b.calls.take();
    world.disconnect(a);
    assert_eq!(b.calls.take(), 1);
    assert_eq!(world.receive(&mut b), ["1", "3"]);
    assert_eq!(world.core.stats().queued_messages, 1);
    let mut a = world.resume("a");
    assert_eq!(a.flow.outbound.len(), 1, "only its client can complete an exchange of QoS 2");
    world.answer(&mut a);
}

#[test]
fn what_nobody_has_room_for_stays_with_the_member_until_its_session_ends() {
    let mut world = World::new(Limits { queue_messages_max: 1, ..Limits::default() });
    let mut a = world.connect_with("a", false, 10);
    let mut b = world.resume("b");
    for member in [&a, &b] {
        world.subscribe(member, "$share/g/t", Q1);
    }
    world.send("t", "1", Q1);
    world.send("t", "2", Q1);
    world.take(&mut a);
    world.disconnect(a);
    world.advance(Duration::from_secs(9));
    assert_eq!(world.take(&mut b).len(), 1);
    world.advance(Duration::from_secs(1));
    world.answer(&mut b);
    assert_eq!(world.receive(&mut b), ["1"], "its publisher was told that it is safe");
    assert_eq!(world.dropped().session_ended, 0);
}

#[test]
fn with_the_last_member_the_group_ends() {
    let mut world = World::new(Limits::default());
    let all = members(&mut world, &["a", "b"]);
    assert_eq!(world.core.unsubscribe(all[0].at, "$share/g/t/#"), Ok(ReasonCode::Success));
    assert_eq!(world.core.unsubscribe(all[0].at, "$share/g/t/#"), Ok(ReasonCode::NoSubscriptionExisted));
    world.send("t", "1", Q1);
    assert_eq!(world.core.unsubscribe(all[1].at, "$share/g/t/#"), Ok(ReasonCode::Success));
    assert_eq!(world.publish(message("t", "2", Q1)), Verdict::Accepted { matched: false });
    let mut all = all;
    assert_eq!(world.receive(&mut all[1]), ["1"]);
}
