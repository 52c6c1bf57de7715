//! Endpoint types that this version does not run yet say so.

use std::sync::Arc;

use tidegate_core::SourceError;
use tidegate_model::endpoint::{
    Authentication, Compression, Endpoint, Kafka, KafkaAcks, LocalStorage, PartitionStrategy, Settings, Tls,
};
use tidegate_model::names::ResourceName;
use tidegate_model::plan::{DataDestination, DataSources, DestinationSpec, SourceSpec};

use crate::support::{address, context};

fn endpoint(settings: Settings) -> Arc<Endpoint> {
    let (name, namespace) = (ResourceName::parse("later").unwrap(), "ns".into());
    Arc::new(Endpoint { name, namespace, host_type: None, settings })
}

fn kafka() -> Arc<Endpoint> {
    endpoint(Settings::Kafka(Kafka {
        host: address("kafka.example", 9092),
        authentication: Authentication::Anonymous,
        tls: Tls::Disabled,
        consumer_group_id: Some("group".into()),
        compression: Compression::None,
        batching: None,
        partition_strategy: PartitionStrategy::Default,
        acks: KafkaAcks::All,
        copy_mqtt_properties: true,
        cloud_event_attributes: Default::default(),
    }))
}

#[tokio::test]
async fn a_kafka_source_is_refused() {
    let data_sources = DataSources::Kafka { topics: vec!["t".into()], consumer_group_id: "group".into() };
    let spec = SourceSpec { endpoint: kafka(), data_sources, schema: None };
    let Err(SourceError::Refused(trouble)) = tidegate_connect::open_source(&spec, &context()).await else {
        panic!("it is refused")
    };
    assert_eq!(trouble.reason, "DataflowKafkaSourceConnectionFailed");
    assert!(
        trouble.message.contains("endpoint `later`") && trouble.message.contains("type Kafka"),
        "{trouble}"
    );
}

#[tokio::test]
async fn other_destinations_are_refused_with_the_reason_code_of_their_kind() {
    let storage = endpoint(Settings::LocalStorage(LocalStorage { volume: "disk".into() }));
    for (endpoint, reason) in [
        (kafka(), "DataflowKafkaTargetConfigurationError"),
        (storage, "DataflowObjectStoreTargetConfigurationError"),
    ] {
        let data_destination = DataDestination::Name("t".into());
        let spec = DestinationSpec { endpoint, data_destination, headers: vec![] };
        let Err(trouble) = tidegate_connect::open_sink(&spec, &context()).await else {
            panic!("it is refused")
        };
        assert_eq!(trouble.reason, reason);
    }
}
