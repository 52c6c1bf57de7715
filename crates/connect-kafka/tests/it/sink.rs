use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Answer};
use tidegate_core::WriteError;
use tidegate_model::endpoint::{Kafka, KafkaAcks, PartitionStrategy};

use crate::support::{context, kafka, numbers, records, sink, soon, source};

#[tokio::test]
async fn overlapping_writes_keep_the_order_of_the_calls() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("topic", 1, 1).unwrap();
    for acks in [KafkaAcks::All, KafkaAcks::One, KafkaAcks::Zero] {
        let sink = sink(&Kafka { acks, ..kafka(&cluster.bootstrap_servers()) }, &context());
        soon(sink.prepare()).await.unwrap();
        let chunks: Vec<_> = (0..8).map(|n| records(n * 100..(n + 1) * 100)).collect();
        let mut writes = Vec::new();
        for chunk in &chunks {
            let mut write = sink.write(chunk);
            assert!(futures_util::poll!(&mut write).is_pending());
            writes.push(write);
        }
        for write in writes {
            soon(write).await.unwrap();
        }
        sink.close().await;
    }
    let mut source = source(&kafka(&cluster.bootstrap_servers())).await;
    let (got, _) = numbers(&mut *source, 2400).await;
    for part in got.chunks(800) {
        assert_eq!(part, (0..800).collect::<Vec<_>>());
    }
    source.close().await;
}

#[tokio::test]
async fn a_static_strategy_writes_to_the_partition_of_the_instance() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("topic", 3, 1).unwrap();
    let mut kafka = kafka(&cluster.bootstrap_servers());
    kafka.partition_strategy = PartitionStrategy::Static;
    let mut context = context();
    context.flow.instance_index = 4;
    let sink = sink(&kafka, &context);
    soon(sink.write(&records(0..100))).await.unwrap();
    // in one partition, so in order
    let mut source = source(&kafka).await;
    assert_eq!(numbers(&mut *source, 100).await.0, (0..100).collect::<Vec<_>>());
    source.close().await;
}

#[tokio::test]
async fn an_answer_of_the_cluster_decides_what_becomes_of_the_records() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("topic", 1, 1).unwrap();
    let mut kafka = kafka(&cluster.bootstrap_servers());
    kafka.batching = None;
    let sink = sink(&kafka, &context());
    soon(sink.prepare()).await.unwrap();

    cluster.request_errors(Api::Produce, &[Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS]);
    soon(sink.write(&records(0..1))).await.unwrap();

    cluster.request_errors(Api::Produce, &[Answer::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let Err(WriteError::Reject(rejected)) = soon(sink.write(&records(1..2))).await else {
        panic!("it is rejected")
    };
    assert_eq!((rejected.len(), rejected[0].index), (1, 0));
    assert!(rejected[0].reason.contains("too large"), "{}", rejected[0].reason);

    cluster.request_errors(Api::Produce, &[Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let Err(WriteError::Fatal(trouble)) = soon(sink.write(&records(1..2))).await else {
        panic!("only a change helps")
    };
    assert_eq!(trouble.reason, "DataflowKafkaTargetSendFailed");
    assert!(trouble.message.contains("does not let this client use the topic"), "{trouble}");

    // and it goes on where it was
    soon(sink.write(&records(1..3))).await.unwrap();
    let mut source = source(&kafka).await;
    assert_eq!(numbers(&mut *source, 3).await.0, [0, 1, 2]);
    source.close().await;
}

#[tokio::test]
async fn an_expired_record_is_not_sent() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("topic", 1, 1).unwrap();
    let sink = sink(&kafka(&cluster.bootstrap_servers()), &context());
    let mut records = records(0..2);
    records[0].expiry_interval = Some(0);
    let Err(WriteError::Reject(rejected)) = soon(sink.write(&records)).await else {
        panic!("it is rejected")
    };
    assert!(rejected.len() == 1 && rejected[0].index == 0 && rejected[0].expired);
}

#[tokio::test]
async fn a_cluster_out_of_reach_is_no_fault_of_the_records() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("topic", 1, 1).unwrap();
    let sink = sink(&kafka(&cluster.bootstrap_servers()), &context());
    soon(sink.write(&records(0..10))).await.unwrap();
    cluster.broker_down(1).unwrap();
    let Err(WriteError::Retry { trouble, written: 0 }) = soon(sink.write(&records(10..20))).await else {
        panic!("it is to be tried again")
    };
    assert_eq!(trouble.reason, "DataflowKafkaTargetEndpointUnreachable");
    cluster.broker_up(1).unwrap();
    soon(sink.write(&records(10..20))).await.unwrap();
}

#[tokio::test]
async fn nobody_at_the_address_is_trouble_before_there_is_data() {
    let port = tidegate_testkit::free_port();
    let sink = sink(&kafka(&format!("127.0.0.1:{port}")), &context());
    let Err(WriteError::Retry { trouble, written: 0 }) = soon(sink.prepare()).await else {
        panic!("it is to be tried again")
    };
    assert_eq!(trouble.reason, "DataflowKafkaTargetEndpointUnreachable");
    assert!(trouble.message.contains("refused"), "{trouble}");
}
