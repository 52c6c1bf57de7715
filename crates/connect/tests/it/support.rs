//! Endpoints, data flows and records for tests, and how to wait for them.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_connect::{Context, Credentials, FlowIdentity, LocalBroker};
use tidegate_core::{Properties, PropertiesBuilder, Property, Record, Secret, Sink, Source, SourceError};
use tidegate_identity::{Identity, Token, TokenError, Tokens};
use tidegate_model::endpoint::{
    Authentication, CloudEventAttributes, Endpoint, HostType, Mqtt, MqttHost, MqttProtocol, Qos, Settings,
    Tls,
};
use tidegate_model::names::{HostPort, ResourceName};
use tidegate_model::plan::{DataDestination, DataSources, DestinationSpec, HeaderAction, SourceSpec};
use tidegate_model::topic::{TopicFilter, TopicTemplate};

/// Nothing a test waits for takes this long, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that must come.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes")
}

/// Plain MQTT on a port of this machine, with AIO's defaults.
pub(crate) fn mqtt(port: u16) -> Mqtt {
    Mqtt {
        host: MqttHost::Remote { address: address("localhost", port), path: None },
        authentication: Authentication::Anonymous,
        tls: Tls::Disabled,
        protocol: MqttProtocol::Mqtt,
        client_id_prefix: None,
        qos: Qos::One,
        keep_retain: true,
        session_expiry: Duration::from_secs(600),
        keep_alive: Duration::from_secs(60),
        inflight_max: 100,
        cloud_event_attributes: CloudEventAttributes::Propagate,
    }
}

pub(crate) fn address(host: &str, port: u16) -> HostPort {
    HostPort::parse(&format!("{host}:{port}")).unwrap()
}

pub(crate) fn endpoint(mqtt: Mqtt, host_type: Option<HostType>) -> Arc<Endpoint> {
    let (name, namespace) = (ResourceName::parse("peer").unwrap(), "ns".into());
    Arc::new(Endpoint { name, namespace, host_type, settings: Settings::Mqtt(mqtt) })
}

/// Secrets by `name/key`, ConfigMaps by name.
#[derive(Default)]
pub(crate) struct Given {
    secrets: HashMap<String, String>,
    config_maps: HashMap<String, Vec<String>>,
}

impl Given {
    pub(crate) fn secret(mut self, path: &str, value: &str) -> Self {
        self.secrets.insert(path.into(), value.into());
        self
    }

    pub(crate) fn config_map(mut self, name: &str, value: &str) -> Self {
        self.config_maps.entry(name.into()).or_default().push(value.into());
        self
    }
}

impl Credentials for Given {
    fn secret(&self, namespace: &str, name: &str, key: &str) -> Option<Secret<Vec<u8>>> {
        assert_eq!(namespace, "ns");
        self.secrets.get(&format!("{name}/{key}")).map(|value| Secret::new(value.clone().into_bytes()))
    }

    fn config_map(&self, namespace: &str, name: &str) -> Option<Vec<String>> {
        assert_eq!(namespace, "ns");
        self.config_maps.get(name).cloned()
    }
}

/// No tokens at all.
struct NoTokens;

#[async_trait]
impl Tokens for NoTokens {
    async fn token(&self, _: &Identity) -> Result<Token, TokenError> {
        Err(TokenError::Refused("there are no tokens in this test".into()))
    }
}

pub(crate) fn context() -> Context {
    Context {
        flow: FlowIdentity {
            namespace: "ns".into(),
            profile: "default".into(),
            dataflow: "flow".into(),
            instance_index: 0,
            instance_count: 1,
        },
        request_disk_persistence: false,
        local_broker: LocalBroker::Remote { address: address("localhost", 1), tls: false },
        credentials: Arc::new(Given::default()),
        tokens: Arc::new(NoTokens),
    }
}

/// The same for another data flow.
pub(crate) fn of_flow(context: &Context, dataflow: &str) -> Context {
    let mut context = context.clone();
    context.flow.dataflow = dataflow.into();
    context
}

/// The same for one of several instances.
pub(crate) fn of_instance(context: &Context, instance_index: u32, instance_count: u32) -> Context {
    let mut context = context.clone();
    context.flow = FlowIdentity { instance_index, instance_count, ..context.flow };
    context
}

pub(crate) async fn try_open_source(
    context: &Context,
    endpoint: Arc<Endpoint>,
    filters: &[&str],
) -> Result<Box<dyn Source>, SourceError> {
    let Settings::Mqtt(Mqtt { qos, .. }) = endpoint.settings else { panic!("an MQTT endpoint") };
    let filters = filters.iter().map(|f| TopicFilter::parse(f).unwrap()).collect();
    let spec = SourceSpec { endpoint, data_sources: DataSources::Mqtt { filters, qos }, schema: None };
    soon(tidegate_connect::open_source(&spec, context)).await
}

pub(crate) async fn open_source(context: &Context, mqtt: &Mqtt, filters: &[&str]) -> Box<dyn Source> {
    try_open_source(context, endpoint(mqtt.clone(), None), filters).await.unwrap()
}

pub(crate) async fn source_error(context: &Context, mqtt: &Mqtt) -> SourceError {
    match try_open_source(context, endpoint(mqtt.clone(), None), &["in"]).await {
        Ok(_) => panic!("the source opens"),
        Err(error) => error,
    }
}

pub(crate) async fn open_sink(context: &Context, mqtt: &Mqtt, topic: &str) -> Box<dyn Sink> {
    open_sink_with(context, mqtt, topic, vec![]).await
}

pub(crate) async fn open_sink_with(
    context: &Context,
    mqtt: &Mqtt,
    topic: &str,
    headers: Vec<HeaderAction>,
) -> Box<dyn Sink> {
    let data_destination = DataDestination::Topic(TopicTemplate::parse(topic).unwrap());
    let spec = DestinationSpec { endpoint: endpoint(mqtt.clone(), None), data_destination, headers };
    tidegate_connect::open_sink(&spec, context).await.unwrap()
}

pub(crate) fn record(topic: &str, payload: impl Into<Bytes>) -> Record {
    Record::new(topic.to_owned(), payload, now())
}

pub(crate) fn numbered(range: std::ops::Range<usize>) -> Vec<Record> {
    range.map(|n| record("in", n.to_string())).collect()
}

pub(crate) fn properties(list: &[Property<'_>]) -> Properties {
    let mut builder = PropertiesBuilder::default();
    assert!(list.iter().all(|p| builder.push(*p)));
    builder.build().unwrap()
}

pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Reads and acknowledges until there are `count` records.
pub(crate) async fn read(source: &mut dyn Source, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        let batch = soon(source.next()).await.unwrap().expect("an MQTT source never ends");
        records.extend(batch.records);
        source.ack(batch.ack).await.unwrap();
    }
    records
}

pub(crate) fn payloads(records: &[Record]) -> Vec<String> {
    records.iter().map(|r| String::from_utf8(r.payload.to_vec()).unwrap()).collect()
}
