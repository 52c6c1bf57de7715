//! The pipeline and its supervisor between a scripted source and a scripted destination, on paused time.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod spool;
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_core::{PropertiesBuilder, Property, Record, WriteError};
use tidegate_expr::{Dataset, DatasetRule, FilterRule, MapRule, Rules};
use tidegate_model::plan::{Plan, SourceSpec};
use tidegate_runtime::{DatasetState, FlowState, HealthStatus, Stage};
use world::{Answer, World, number, plan, target_trouble, transforming};

#[tokio::test(start_paused = true)]
async fn acknowledges_only_after_delivery_and_in_order() {
    let w = World::new();
    w.destination.answer([Answer::TakeAfter(Duration::from_secs(3))]);
    w.broker.publish(0..25);
    w.start().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(w.broker.acked(), [0; 0]);
    assert!(w.ledger().in_flight > 0);
    w.until_acked(25).await;
    assert_eq!(w.broker.acked(), (0..25).collect::<Vec<_>>());
    assert_eq!(w.destination.taken(), (0..25).collect::<Vec<_>>());
    assert_eq!((w.ledger().accepted(), w.ledger().delivered, w.ledger().in_flight), (25, 25, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_destination_stops_the_reading() {
    let w = World::new();
    w.broker.unacked_max.store(30, Ordering::Relaxed);
    w.destination.answer([Answer::Never]);
    w.broker.publish(0..1000);
    w.start().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(w.ledger().in_flight, 30);
    assert_eq!(w.broker.unacked_seen.load(Ordering::Relaxed), 30);
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_goes_on_where_it_stopped() {
    let w = World::new();
    w.destination.answer([Answer::Retry(0), Answer::Retry(4), Answer::Retry(3)]);
    w.broker.publish(0..10);
    w.start().await;
    w.until_acked(10).await;
    assert_eq!(w.destination.taken(), (0..10).collect::<Vec<_>>());
    assert_eq!((w.ledger().delivered, w.ledger().retried), (10, 10 + 6 + 3));
}

#[tokio::test(start_paused = true)]
async fn overlapping_writes_keep_their_order_when_one_fails() {
    let w = World::new();
    w.destination.in_flight_max.store(4, Ordering::Relaxed);
    // three writes under way, all cut at once, as when a connection is lost
    let cut = || Answer::Retry(0);
    w.destination.answer([cut(), cut(), cut(), cut(), cut(), cut(), Answer::Retry(5)]);
    w.broker.publish(0..100);
    w.start().await;
    w.until_acked(100).await;
    assert_eq!(w.destination.taken(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn poison_passes() {
    let w = World::new();
    w.destination.answer([Answer::Reject(vec![2, 0])]);
    w.broker.publish(0..10);
    w.start().await;
    w.until_acked(10).await;
    assert_eq!(w.destination.taken(), [1, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!((w.ledger().delivered, w.ledger().dead_lettered), (8, 2));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_expires_while_it_waits_is_not_sent() {
    let w = World::new();
    w.destination.answer([Answer::Retry(0), Answer::Retry(0), Answer::Fatal]);
    let now = tokio::time::Instant::now().into_std();
    w.broker.publish_with(0..4, |n| {
        let mut record = Record::new("in", n.to_string(), now);
        record.expiry_interval = (n % 2 == 0).then_some(1);
        record
    });
    w.start().await;
    w.until_acked(4).await;
    assert_eq!(w.destination.taken(), [1, 3]);
    assert_eq!((w.ledger().delivered, w.ledger().expired), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_lost_source_is_opened_anew_and_nothing_is_missing() {
    let w = World::new();
    *w.broker.fails_after.lock() = Some(3);
    w.destination.answer([Answer::TakeAfter(Duration::from_secs(1))]);
    w.broker.publish(0..100);
    w.start().await;
    w.until_acked(100).await;
    assert_eq!(w.broker.opened.load(Ordering::Relaxed), 2);
    assert_eq!(w.broker.acked(), (0..100).collect::<Vec<_>>());
    let ledger = w.ledger();
    assert_eq!((ledger.accepted(), ledger.received), (100, 130), "the thirty given back came again");
}

#[tokio::test(start_paused = true)]
async fn a_bug_in_a_connector_loses_nothing() {
    let w = World::new();
    w.destination.answer([Answer::Panic]);
    w.broker.publish(0..10);
    w.start().await;
    w.until_acked(10).await;
    assert_eq!(w.destination.taken(), (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn stopping_drains_what_was_taken_over() {
    let w = World::new();
    w.destination.answer([Answer::TakeAfter(Duration::from_secs(5))]);
    w.broker.publish(0..10);
    w.start().await;
    w.until("reading", |w| w.ledger().in_flight == 10).await;
    w.broker.publish(10..20);
    w.supervisor.shutdown().await;
    assert_eq!(w.broker.acked().len() % 10, 0);
    assert_eq!(w.broker.acked(), w.destination.taken(), "what was taken over was delivered and acknowledged");
    assert!(w.broker.acked().len() >= 10);
}

#[tokio::test(start_paused = true)]
async fn stopping_gives_back_what_cannot_be_delivered_in_time() {
    let w = World::new();
    w.destination.answer([Answer::Never]);
    w.broker.publish(0..10);
    w.start().await;
    w.until("reading", |w| w.ledger().in_flight == 10).await;
    w.supervisor.shutdown().await;
    assert_eq!(w.broker.acked(), [0; 0]);
    assert_eq!(w.broker.waiting.lock().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn health_follows_the_destination() {
    let w = World::new();
    w.destination.prepares.lock().push_back(WriteError::Retry { trouble: target_trouble(), written: 0 });
    w.start().await;
    w.supervisor.ready().await;
    let report = &w.supervisor.report()[0];
    assert_eq!((report.state, report.health.status), (FlowState::Troubled, HealthStatus::Unavailable));
    assert_eq!(report.health.reason_code, Some("DataflowMqttTargetConnectionFailed"));
    w.until("well without any message", |w| w.supervisor.report()[0].state == FlowState::Running).await;
    w.destination.answer([Answer::Retry(0), Answer::Retry(0)]);
    w.broker.publish(0..1);
    w.until("troubled again", |w| w.supervisor.report()[0].state == FlowState::Troubled).await;
    w.until_acked(1).await;
    w.until("well", |w| w.supervisor.report()[0].health.status == HealthStatus::Available).await;
}

#[tokio::test(start_paused = true)]
async fn apply_touches_only_what_changed() {
    let w = World::new();
    let opened = || w.broker.opened.load(Ordering::Relaxed);
    w.supervisor.apply(&[plan("one", "out"), plan("two", "out")]).await;
    w.supervisor.ready().await;
    assert_eq!(opened(), 2);
    w.supervisor.apply(&[plan("one", "out"), plan("two", "elsewhere")]).await;
    w.supervisor.ready().await;
    assert_eq!(opened(), 3);
    w.supervisor.apply(&[plan("two", "elsewhere")]).await;
    assert_eq!(opened(), 3);
    assert_eq!(w.supervisor.report().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tap_sees_every_stage_and_survives_a_change() {
    let w = World::new();
    let mut tap = w.supervisor.tap("azure-iot-operations", "flow").watch();
    w.start().await;
    for n in 0..2 {
        w.broker.publish(n..n + 1);
        for stage in [Stage::Source, Stage::Transformed, Stage::Destination] {
            let seen = tap.recv().await.unwrap();
            assert_eq!((seen.stage, number(&seen.record)), (stage, n));
        }
        w.supervisor.apply(&[plan("flow", "changed")]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_show_the_ledger() {
    let w = World::new();
    w.destination.answer([Answer::Reject(vec![0])]);
    w.broker.publish(0..10);
    w.broker.dropped.store(3, Ordering::Relaxed);
    w.start().await;
    w.until_acked(10).await;
    for _ in 0..2 {
        w.supervisor.show_metrics();
        let value = |name: &str| {
            let families = w.supervisor.metrics().registry().gather();
            let family = families.iter().find(|f| f.name() == name).unwrap();
            family.get_metric()[0].get_counter().get_value()
        };
        assert_eq!(value("aio_dataflow_messages_received"), 10.0);
        assert_eq!(value("aio_dataflow_messages_sent"), 9.0);
        assert_eq!(value("aio_dataflow_messages_dropped_processing_errors"), 1.0);
        assert_eq!(value("aio_dataflow_messages_dropped_when_busy"), 3.0);
    }
}

#[tokio::test(start_paused = true)]
async fn steps_filter_map_and_bury_and_the_books_balance() {
    let w = World::new();
    let filter =
        FilterRule { inputs: vec!["n".into()], expression: "$1 % 3 == 0".into(), ..FilterRule::default() };
    let double = MapRule {
        inputs: vec!["n".into()],
        output: "twice".into(),
        expression: Some("$1 * 2".into()),
        ..MapRule::default()
    };
    let plan = transforming(Rules { filters: vec![filter], maps: vec![double], ..Rules::default() });
    let now = tokio::time::Instant::now().into_std();
    // 0, 3 and 6 are filtered; 5 is no JSON
    w.broker.publish_with(0..8, |n| {
        let payload = if n == 5 { "oops".to_owned() } else { format!("{{\"n\":{n}}}") };
        Record::new("in", payload, now)
    });
    w.supervisor.apply(&[plan]).await;
    w.until_acked(8).await;
    assert_eq!(
        *w.destination.payloads.lock(),
        [r#"{"twice":2}"#, r#"{"twice":4}"#, r#"{"twice":8}"#, r#"{"twice":14}"#]
    );
    let ledger = w.ledger();
    assert_eq!((ledger.delivered, ledger.filtered, ledger.dead_lettered), (4, 3, 1));
    let buried = w.buried.lock();
    assert_eq!((buried.len(), &buried[0].record.payload[..]), (1, &b"oops"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_message_of_another_schema_than_the_sources_is_a_dead_letter() {
    let w = World::new();
    let plain = plan("flow", "out");
    let source = SourceSpec { schema: Some("aio-sr://plant/press:1".into()), ..plain.source.clone() };
    w.supervisor.apply(&[Arc::new(Plan { source, ..(*plain).clone() })]).await;
    let said = ["aio-sr://plant/press:1", "aio-sr://press:1", "aio-sr://plant/press:2"];
    let now = tokio::time::Instant::now().into_std();
    w.broker.publish_with(0..4, |n| {
        let mut properties = PropertiesBuilder::default();
        if let Some(said) = said.get(n as usize) {
            properties.push(Property::UserProperty("dataschema", said));
        }
        let properties = properties.build().unwrap();
        Record { properties, ..Record::new("in", n.to_string(), now) }
    });
    w.until_acked(4).await;
    assert_eq!(w.destination.taken(), [0, 1, 3]);
    assert_eq!((w.ledger().delivered, w.ledger().dead_lettered), (3, 1));
    assert!(w.buried.lock()[0].reason.starts_with("conflicting schema: "));
}

#[tokio::test(start_paused = true)]
async fn enrichment_waits_for_its_dataset_and_follows_it() {
    let w = World::new();
    let dataset = DatasetRule {
        key: "machines as m".into(),
        inputs: vec!["$source.id".into(), "$context.id".into()],
        expression: Some("$1 == $2".into()),
    };
    let hall =
        MapRule { inputs: vec!["$context(m).hall".into()], output: "hall".into(), ..MapRule::default() };
    w.supervisor
        .apply(&[transforming(Rules { datasets: vec![dataset], maps: vec![hall], ..Rules::default() })])
        .await;
    let now = tokio::time::Instant::now().into_std();
    let publish = |n: u64| w.broker.publish_with(n..n + 1, |_| Record::new("in", r#"{"id":7}"#, now));
    publish(0);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(w.broker.acked(), [0; 0]);
    for (n, hall) in [(0, "A"), (1, "B")] {
        let (dataset, _) = Dataset::parse(format!("{{\"id\":7,\"hall\":\"{hall}\"}}").into());
        w.dataset.send_replace(DatasetState::Ready(dataset));
        if n > 0 {
            publish(n);
        }
        w.until_acked(n as usize + 1).await;
        assert_eq!(w.destination.payloads.lock()[n as usize], format!("{{\"hall\":\"{hall}\"}}"));
    }
    w.dataset.send_replace(DatasetState::Unavailable("the state store is down".into()));
    publish(2);
    w.until_acked(3).await;
    assert_eq!(w.ledger().dead_lettered, 1);
    assert!(w.buried.lock()[0].reason.contains("the state store is down"));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_goes_through_once_more() {
    let w = World::new();
    w.destination.answer([Answer::Reject(vec![1])]);
    w.broker.publish(0..3);
    w.start().await;
    w.until_acked(3).await;
    let letter = w.buried.lock().pop().unwrap();
    w.supervisor.replay("azure-iot-operations", "flow", vec![letter.record]).await.unwrap();
    assert_eq!(w.destination.taken(), [0, 2, 1]);
    assert_eq!(w.broker.acked(), [0, 1, 2], "the source has nothing to do with it");
    let ledger = w.ledger();
    assert_eq!((ledger.accepted(), ledger.delivered, ledger.dead_lettered), (4, 3, 1));
    assert!(w.supervisor.replay("azure-iot-operations", "nobody", vec![]).await.is_err());
    w.destination.answer([Answer::Never]);
    let record = Record::new("in", "9", tokio::time::Instant::now().into_std());
    let (replayed, ()) =
        tokio::join!(w.supervisor.replay("azure-iot-operations", "flow", vec![record]), async {
            w.until("under way", |w| w.ledger().in_flight == 1).await;
            w.supervisor.shutdown().await;
        });
    assert!(replayed.is_err(), "it was not settled");
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let answer = prop_oneof![
        Just(Answer::Take),
        (0u64..3000).prop_map(|ms| Answer::TakeAfter(Duration::from_millis(ms))),
        (0usize..12).prop_map(Answer::Retry),
        Just(Answer::Fatal),
        prop::collection::vec(0usize..12, 0..4).prop_map(Answer::Reject),
        Just(Answer::Panic),
    ];
    prop::collection::vec(answer, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the destination answers and whenever the source is lost: every message ends delivered or among the dead
    /// letters, nothing is acknowledged before, acknowledgements are in order, and the ledger balances all the time.
    #[test]
    fn nothing_is_lost(
        answers in answers(),
        fails_after in prop::option::of(0usize..10),
        in_flight_max in 1usize..5,
        batch_max in 1usize..12,
        unacked_max in 1usize..40,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let w = World::new();
            let rejects = answers.iter().any(|a| matches!(a, Answer::Reject(_)));
            w.destination.answer(answers);
            w.destination.in_flight_max.store(in_flight_max, Ordering::Relaxed);
            w.broker.batch_max.store(batch_max, Ordering::Relaxed);
            w.broker.unacked_max.store(unacked_max, Ordering::Relaxed);
            *w.broker.fails_after.lock() = fails_after;
            w.broker.publish(0..100);
            w.start().await;
            w.until("all acked", |w| {
                let ledger = w.ledger();
                let acked = w.broker.acked();
                let taken = w.destination.taken();
                assert!(rejects || acked.iter().all(|n| taken.contains(n)), "acked before delivered");
                assert!(acked.is_sorted(), "{acked:?}");
                assert!(ledger.in_flight <= (unacked_max + batch_max) as u64);
                acked.len() == 100
            }).await;
            let ledger = w.ledger();
            let mut taken = w.destination.taken();
            taken.sort_unstable();
            taken.dedup();
            assert_eq!(ledger.in_flight, 0);
            assert!(taken.len() as u64 + ledger.dead_lettered >= 100);
            assert!(rejects || taken.len() == 100);
        });
    }
}
