//! Flows with a spool between source and destination.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_runtime::{Ledger, SpoolOptions};

use crate::world::{Answer, World};

fn spooled(dir: &Path) -> World {
    World::with_spool(Some(SpoolOptions { dir: dir.into(), bytes_max: 16 << 20, drain_rate_max: None }))
}

fn settled(ledger: Ledger) -> (u64, u64, u64) {
    (ledger.accepted(), ledger.delivered + ledger.expired + ledger.dead_lettered, ledger.in_flight)
}

#[tokio::test]
async fn the_source_is_done_before_the_destination_is() {
    let dir = tempfile::tempdir().unwrap();
    let w = spooled(dir.path());
    w.destination.answer([Answer::TakeWhenTold]);
    w.broker.publish(0..1000);
    w.start().await;
    w.until("acknowledged ahead", |w| w.broker.acked().len() == 1000 && w.destination.taken().is_empty())
        .await;
    assert_eq!(settled(w.ledger()), (1000, 0, 1000), "what is in the spool is in flight");
    let report = w.supervisor.report()[0].spool.clone().unwrap();
    assert_eq!(report.messages, 1000);
    w.destination.told.notify_one();
    w.until("delivered", |w| w.ledger().in_flight == 0).await;
    assert_eq!(w.destination.taken(), (0..1000).collect::<Vec<_>>());
    assert_eq!(settled(w.ledger()), (1000, 1000, 0));
}

#[tokio::test]
async fn the_books_go_on_where_they_were() {
    let dir = tempfile::tempdir().unwrap();
    {
        let w = spooled(dir.path());
        w.destination.answer([Answer::Reject(vec![1]), Answer::Never]);
        w.broker.publish(0..10);
        w.start().await;
        w.until("the first are settled", |w| w.ledger().delivered + w.ledger().dead_lettered == 10).await;
        w.broker.publish(10..25);
        w.until("all are in the spool", |w| w.broker.acked().len() == 25).await;
        assert_eq!(settled(w.ledger()), (25, 10, 15));
        // what is under way is not waited for
        w.supervisor.shutdown().await;
    }
    let w = spooled(dir.path());
    w.start().await;
    w.until("delivered", |w| w.ledger().delivered == 24).await;
    assert_eq!(w.destination.taken(), (10..25).collect::<Vec<_>>());
    assert_eq!((settled(w.ledger()), w.ledger().dead_lettered), ((25, 25, 0), 1));
    w.supervisor.shutdown().await;
    // in the same process the books are kept, and nothing is carried over twice
    w.broker.publish(25..30);
    w.start().await;
    w.until("delivered", |w| w.ledger().delivered == 29).await;
    assert_eq!(settled(w.ledger()), (30, 30, 0));
}

#[tokio::test]
async fn a_full_spool_pushes_back_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let options = SpoolOptions { dir: dir.path().into(), bytes_max: 1 << 20, drain_rate_max: None };
    let w = World::with_spool(Some(options));
    w.destination.answer([Answer::TakeWhenTold]);
    let now = tokio::time::Instant::now().into_std();
    let large = |n: u64| tidegate_core::Record::new("in", format!("{n:>10000}"), now);
    w.broker.publish_with(0..300, large);
    w.start().await;
    w.until("full", |w| w.supervisor.report()[0].health.reason_code == Some("TidegateSpoolFull")).await;
    let acked = w.broker.acked().len();
    assert!(acked < 110, "{acked}");
    assert!(w.ledger().in_flight < 300);
    w.destination.told.notify_one();
    w.until("all delivered", |w| w.ledger().delivered == 300).await;
    assert_eq!(settled(w.ledger()), (300, 300, 0));
    w.until("well again", |w| w.supervisor.report()[0].health.reason_code.is_none()).await;
}

#[tokio::test]
async fn what_waited_drains_at_its_pace() {
    let dir = tempfile::tempdir().unwrap();
    let rate = NonZeroU32::new(2000);
    let options = SpoolOptions { dir: dir.path().into(), bytes_max: 16 << 20, drain_rate_max: rate };
    let w = World::with_spool(Some(options));
    w.broker.publish(0..1000);
    let started = std::time::Instant::now();
    w.start().await;
    w.until_acked(1000).await;
    w.until("delivered", |w| w.ledger().delivered == 1000).await;
    assert!(started.elapsed() >= Duration::from_millis(390), "the last of five batches waits for the others");
}

#[tokio::test]
async fn what_is_too_long_for_the_spool_is_a_dead_letter() {
    let dir = tempfile::tempdir().unwrap();
    let options = SpoolOptions { dir: dir.path().into(), bytes_max: 1 << 20, drain_rate_max: None };
    let w = World::with_spool(Some(options));
    let now = tokio::time::Instant::now().into_std();
    w.broker.publish(0..5);
    w.broker.publish_with(5..6, |_| tidegate_core::Record::new("in", vec![b'x'; 100_000], now));
    w.broker.publish(6..10);
    w.start().await;
    w.until("settled", |w| w.ledger().in_flight == 0 && w.broker.acked().len() == 10).await;
    assert_eq!((w.ledger().delivered, w.ledger().dead_lettered), (9, 1));
    assert!(w.buried.lock()[0].reason.contains("longer than"), "{:?}", w.buried.lock()[0].reason);
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => Just(Answer::Take),
        2 => (1u64..20).prop_map(|ms| Answer::TakeAfter(Duration::from_millis(ms))),
        1 => (0usize..10).prop_map(Answer::Retry),
        1 => (0usize..10).prop_map(|i| Answer::Reject(vec![i])),
        1 => Just(Answer::Panic),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// Whatever source and destination do, and however often it all ends in the middle: nothing is lost, and the books
    /// balance at each moment.
    #[test]
    fn nothing_is_lost(
        lives in prop::collection::vec(
            (prop::collection::vec(answers(), 0..8), prop::option::of(0usize..5), 1usize..4, 0u64..40),
            1..4,
        )
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut published = 0;
            let mut unacked: Vec<u64> = Vec::new();
            let mut taken = BTreeSet::new();
            let mut buried = 0;
            for (answers, fails_after, in_flight, run_for) in lives {
                let w = spooled(dir.path());
                w.destination.answer(answers);
                w.destination.in_flight_max.store(in_flight, std::sync::atomic::Ordering::Relaxed);
                *w.broker.fails_after.lock() = fails_after;
                for n in &unacked {
                    w.broker.publish(*n..*n + 1);
                }
                w.broker.publish(published..published + 100);
                published += 100;
                for _ in 0..2 {
                    w.start().await;
                    w.ledger();
                    tokio::time::sleep(Duration::from_millis(run_for)).await;
                    w.ledger();
                    w.supervisor.shutdown().await;
                }
                let acked: BTreeSet<u64> = w.broker.acked().into_iter().collect();
                let mut rest: BTreeSet<u64> = (published - 100..published).chain(unacked).collect();
                rest.retain(|n| !acked.contains(n));
                unacked = rest.into_iter().collect();
                taken.extend(w.destination.taken());
                buried += w.buried.lock().len();
            }
            let w = spooled(dir.path());
            for n in &unacked {
                w.broker.publish(*n..*n + 1);
            }
            w.start().await;
            w.until_acked(unacked.len()).await;
            let is_empty = |w: &World| w.supervisor.report()[0].spool.as_ref().is_some_and(|s| s.messages == 0);
            w.until("settled", |w| is_empty(w) && w.ledger().in_flight == 0).await;
            taken.extend(w.destination.taken());
            let missing: Vec<u64> = (0..published).filter(|n| !taken.contains(n)).collect();
            assert!(missing.len() <= buried, "missing {missing:?}, dead letters {buried}");
        });
    }
}
