use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use tidegate_core::{Batch, Source, SourceError};
use tidegate_model::endpoint::{Kafka, PartitionStrategy};

use crate::support::{context, kafka, number, numbers, records, sink, soon, source, try_source};

#[tokio::test]
async fn what_was_acknowledged_is_committed_and_nothing_else() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("topic", 1, 1).unwrap();
    let kafka = kafka(&cluster.bootstrap_servers());
    let sink = sink(&kafka, &context());
    soon(sink.write(&records(0..1200))).await.unwrap();

    let mut first = source(&kafka).await;
    let batch = soon(first.next()).await.unwrap().unwrap();
    let safe = u32::try_from(batch.records.len()).unwrap();
    soon(first.next()).await.unwrap().unwrap();
    first.ack(batch.ack).await.unwrap();
    soon(first.close()).await;

    let mut second = source(&kafka).await;
    let (got, acks) = numbers(&mut *second, (1200 - safe) as usize).await;
    assert_eq!(got, (safe..1200).collect::<Vec<_>>());
    for ack in acks {
        second.ack(ack).await.unwrap();
    }
    soon(second.close()).await;

    soon(sink.write(&records(1200..1201))).await.unwrap();
    let mut third = source(&kafka).await;
    assert_eq!(numbers(&mut *third, 1).await.0, [1200]);
    soon(third.close()).await;
}

#[tokio::test]
async fn a_source_that_cannot_connect_says_why() {
    let port = tidegate_testkit::free_port();
    let opened = try_source(&kafka(&format!("127.0.0.1:{port}"))).await;
    let Err(SourceError::Lost(trouble)) = opened else { panic!("there is nobody") };
    assert_eq!(trouble.reason, "DataflowKafkaSourceConnectionFailed");
    assert!(trouble.message.contains("refused"), "{trouble}");
}

/// A topic of two partitions with this many numbers each, those of the second after those of the first.
async fn two_partitions(count: u32) -> (MockCluster<'static, DefaultProducerContext>, Kafka) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("topic", 2, 1).unwrap();
    let kafka =
        Kafka { partition_strategy: PartitionStrategy::Static, ..kafka(&cluster.bootstrap_servers()) };
    for instance in 0..2 {
        let mut context = context();
        context.flow.instance_index = instance;
        let first = instance * count;
        soon(sink(&kafka, &context).write(&records(first..first + count))).await.unwrap();
    }
    (cluster, kafka)
}

/// Who does not poll holds up the whole group; so a source that nobody takes from must go on polling.
#[tokio::test]
async fn a_member_with_a_slow_destination_does_not_hold_up_the_group() {
    let (_cluster, kafka) = two_partitions(10_000).await;
    let mut slow = source(&kafka).await;
    let early = soon(slow.next()).await.unwrap().unwrap();

    let mut other = source(&kafka).await;
    let (of_other, _) = numbers(&mut *other, 10_000).await;
    let first = of_other[0];
    assert_eq!(of_other, (first..first + 10_000).collect::<Vec<_>>(), "one partition, from its beginning");

    // It may be for a partition that is the other's by now.
    slow.ack(early.ack).await.unwrap();
    let rest = if first == 0 { 10_000..20_000 } else { 0..10_000 };
    let mut left: BTreeSet<u32> = rest.collect();
    for record in &early.records {
        left.remove(&number(record));
    }
    while !left.is_empty() {
        for n in numbers(&mut *slow, 1).await.0 {
            left.remove(&n);
        }
    }
    soon(other.close()).await;
    soon(slow.close()).await;
}

/// A destination that gets going again while the group shares out its partitions anew: what was paused is read on.
#[tokio::test]
async fn a_pause_ends_with_the_assignment_it_was_for() {
    let (_cluster, kafka) = two_partitions(5_000).await;
    let mut slow = source(&kafka).await;
    let first = soon(slow.next()).await.unwrap().unwrap();
    // The pauses only make it likely that the partitions are paused, and then that they are about to be taken away; the
    // test holds without them.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let mut other = source(&kafka).await;
    tokio::time::sleep(Duration::from_secs(5)).await;

    let left = Mutex::new((0..10_000).collect::<BTreeSet<u32>>());
    let drain = async |source: &mut dyn Source, mut first: Option<Batch>| {
        while !left.lock().unwrap().is_empty() {
            let batch = match first.take() {
                Some(batch) => batch,
                // the other one may have the last of them
                None => match tokio::time::timeout(Duration::from_secs(1), source.next()).await {
                    Ok(batch) => batch.unwrap().unwrap(),
                    Err(_) => continue,
                },
            };
            for record in &batch.records {
                left.lock().unwrap().remove(&number(record));
            }
            source.ack(batch.ack).await.unwrap();
        }
    };
    soon(async { tokio::join!(drain(&mut *slow, Some(first)), drain(&mut *other, None)) }).await;
    soon(other.close()).await;
    soon(slow.close()).await;
}
