//! Endpoints and records for tests, and how to wait for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_connect::{Context, Credentials, FlowIdentity, LocalBroker};
use tidegate_core::{Ack, Record, Secret, Sink, Source, SourceError};
use tidegate_identity::{AmbientTokens, Surroundings};
use tidegate_model::endpoint::{
    Authentication, CloudEventAttributes, Compression, Endpoint, Kafka, KafkaAcks, KafkaBatching,
    PartitionStrategy, Settings, Tls,
};
use tidegate_model::names::{HostPort, ResourceName};

/// Nothing a test waits for takes this long, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that must come.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes")
}

/// Plain Kafka, with AIO's defaults.
pub(crate) fn kafka(host: &str) -> Kafka {
    Kafka {
        host: HostPort::parse(host.split(',').next().unwrap()).unwrap(),
        authentication: Authentication::Anonymous,
        tls: Tls::Disabled,
        consumer_group_id: Some("group".into()),
        compression: Compression::None,
        batching: Some(KafkaBatching::default()),
        partition_strategy: PartitionStrategy::Default,
        acks: KafkaAcks::All,
        copy_mqtt_properties: true,
        cloud_event_attributes: CloudEventAttributes::Propagate,
    }
}

struct Nothing;

impl Credentials for Nothing {
    fn secret(&self, _: &str, _: &str, _: &str) -> Option<Secret<Vec<u8>>> {
        None
    }

    fn config_map(&self, _: &str, _: &str) -> Option<Vec<String>> {
        None
    }
}

pub(crate) fn context() -> Context {
    Context {
        flow: FlowIdentity {
            namespace: "ns".into(),
            profile: "default".into(),
            dataflow: "flow".into(),
            instance_index: 1,
            instance_count: 2,
        },
        request_disk_persistence: false,
        local_broker: LocalBroker::Remote { address: HostPort::parse("localhost:1").unwrap(), tls: false },
        credentials: Arc::new(Nothing),
        tokens: Arc::new(AmbientTokens::new(Surroundings::of_process())),
    }
}

fn endpoint(kafka: &Kafka) -> Endpoint {
    let name = ResourceName::parse("peer").unwrap();
    Endpoint { name, namespace: "ns".into(), host_type: None, settings: Settings::Kafka(kafka.clone()) }
}

pub(crate) fn sink(kafka: &Kafka, context: &Context) -> Box<dyn Sink> {
    tidegate_connect_kafka::open_sink(&endpoint(kafka), kafka, "topic", &[], context)
}

pub(crate) async fn try_source(kafka: &Kafka) -> Result<Box<dyn Source>, SourceError> {
    let (endpoint, context) = (endpoint(kafka), context());
    let topics = ["topic".to_owned()];
    soon(tidegate_connect_kafka::open_source(&endpoint, kafka, &topics, "group", &context)).await
}

pub(crate) async fn source(kafka: &Kafka) -> Box<dyn Source> {
    try_source(kafka).await.unwrap()
}

/// Records whose payloads are the numbers.
pub(crate) fn records(numbers: std::ops::Range<u32>) -> Vec<Record> {
    numbers.map(|n| Record::new("in/a", n.to_string(), Instant::now())).collect()
}

/// The number that is a record's payload.
pub(crate) fn number(record: &Record) -> u32 {
    std::str::from_utf8(&record.payload).unwrap().parse().unwrap()
}

/// The numbers of the next records, at least this many, and the right to acknowledge them.
pub(crate) async fn numbers(source: &mut dyn Source, count: usize) -> (Vec<u32>, Vec<Ack>) {
    let (mut numbers, mut acks) = (Vec::new(), Vec::new());
    while numbers.len() < count {
        let batch = soon(source.next()).await.unwrap().unwrap();
        numbers.extend(batch.records.iter().map(number));
        acks.push(batch.ack);
    }
    (numbers, acks)
}
