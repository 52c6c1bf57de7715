//! The sessions of a data flow change with it, and nothing that waits in them is lost or comes twice.

use super::*;

fn link(world: &mut World, client_id: &str) -> Client {
    let (mut attach, calls) = world.ask(client_id, false, u32::MAX);
    attach.address = None;
    attach.owner = Some("flow".into());
    match world.attach(&attach, calls) {
        Poll::Ready(Ok(client)) => client,
        other => panic!("{other:?}"),
    }
}

/// The links of a flow come, subscribe and go again.
fn flow_was_there(world: &mut World, clients: &[&str], filter: &str) {
    for client_id in clients {
        let client = link(world, client_id);
        world.subscribe(&client, filter, Q1);
        world.disconnect(client);
    }
}

fn reassign(world: &mut World, clients: &[&str], filter: &str) {
    let clients: Vec<_> = clients.iter().map(|client| (*client).into()).collect();
    world.core.reassign("flow", &clients, &[Subscription::new(filter, Q1)], world.now);
    world.wake();
}

/// What a link is given, and acknowledges.
fn hand_out(world: &mut World, client_id: &str) -> Vec<String> {
    let client = link(world, client_id);
    let mut copies = Vec::new();
    world.core.hand_out(client.at, usize::MAX, Waker::noop(), world.now, &mut copies).unwrap();
    world.core.acknowledge(client.at, copies.len()).unwrap();
    world.disconnect(client);
    payloads(&copies)
}

#[test]
fn with_fewer_instances_one_session_gets_what_the_others_held() {
    let mut world = World::new(Limits { queue_messages_max: 2, ..Limits::default() });
    flow_was_there(&mut world, &["f", "f.1", "f.2"], "$share/f/t");
    for payload in ["1", "2", "3", "4", "5", "6"] {
        world.send("t", payload, Q1);
    }
    reassign(&mut world, &["f", "f.1"], "$share/f/t");
    assert_eq!(world.core.stats().sessions, 2);
    reassign(&mut world, &["f"], "t");
    assert_eq!((world.core.stats().sessions, world.core.stats().subscriptions), (1, 1));
    let mut all = hand_out(&mut world, "f");
    world.send("t", "7", Q1);
    all.extend(hand_out(&mut world, "f"));
    all.sort();
    assert_eq!(all, ["1", "2", "3", "4", "5", "6", "7"], "whatever the room, and once");
    assert_eq!(world.dropped().session_ended, 0);
}

#[test]
fn more_instances_share_from_then_on() {
    let mut world = World::new(Limits::default());
    flow_was_there(&mut world, &["f"], "t");
    world.send("t", "1", Q1);
    reassign(&mut world, &["f", "f.1"], "$share/f/t");
    world.send("t", "2", Q1);
    flow_was_there(&mut world, &["f.1"], "$share/f/t");
    world.send("t", "3", Q1);
    let got = ["f", "f.1"].map(|client_id| hand_out(&mut world, client_id)).concat();
    assert_eq!(got, ["1", "2", "3"]);
}

#[test]
fn under_another_name_the_session_is_the_same() {
    let mut world = World::new(Limits::default());
    flow_was_there(&mut world, &["f"], "t");
    world.send("t", "1", Q1);
    reassign(&mut world, &["g"], "t");
    world.send("t", "2", Q1);
    assert_eq!(world.core.stats().sessions, 1);
    assert_eq!(hand_out(&mut world, "g"), ["1", "2"]);
}

#[test]
fn a_deleted_flow_leaves_no_session_behind() {
    let mut world = World::new(Limits::default());
    flow_was_there(&mut world, &["f", "f.1"], "$share/f/t");
    let _client = world.resume("somebody");
    world.send("t", "1", Q1);
    world.core.end_sessions_of(|owner| owner != "flow", world.now);
    assert_eq!(world.core.stats().sessions, 3);
    world.core.end_sessions_of(|owner| owner == "flow", world.now);
    assert_eq!((world.core.stats().sessions, world.core.stats().queued_messages), (1, 0));
    assert_eq!(world.publish(message("t", "2", Q1)), Verdict::Accepted { matched: false });
    assert_eq!(world.dropped().session_ended, 1);
}

#[test]
fn a_session_that_another_client_took_over_is_left_alone() {
    let mut world = World::new(Limits::default());
    flow_was_there(&mut world, &["f"], "t");
    let client = world.resume("f");
    world.disconnect(client);
    reassign(&mut world, &["g"], "t");
    world.core.end_sessions_of(|_| true, world.now);
    assert!(world.resume("f").session_present);
}
