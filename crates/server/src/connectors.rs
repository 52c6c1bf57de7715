use std::sync::Arc;

use async_trait::async_trait;
use tidegate_connect::{Context, Credentials, FlowIdentity, LocalBroker};
use tidegate_core::{Sink, Source, SourceError, Trouble};
use tidegate_identity::Tokens;
#[cfg(feature = "kafka")]
use tidegate_model::endpoint::Settings;
use tidegate_model::plan::Plan;
#[cfg(feature = "kafka")]
use tidegate_model::plan::{DataDestination, DataSources, DestinationSpec};
use tidegate_runtime::{Connectors, DatasetState, DeadLetter};
use tokio::sync::watch;

use crate::dead_letters::DeadLetters;
use crate::services::Datasets;

/// What all connections of an instance have in common; the rest comes from the plan.
pub(crate) struct Connections {
    pub(crate) local_broker: LocalBroker,
    pub(crate) credentials: Arc<dyn Credentials>,
    pub(crate) tokens: Arc<dyn Tokens>,
    pub(crate) datasets: Datasets,
    /// `None` restores AIO's behaviour: what can't be processed is dropped.
    pub(crate) dead_letters: Option<Arc<DeadLetters>>,
}

impl Connections {
    fn context(&self, plan: &Plan, instance: u32) -> Context {
        Context {
            flow: FlowIdentity {
                namespace: plan.namespace.clone(),
                profile: plan.profile.to_string(),
                dataflow: plan.name.to_string(),
                instance_index: instance,
                instance_count: plan.instance_count,
            },
            request_disk_persistence: plan.request_disk_persistence,
            local_broker: self.local_broker.clone(),
            credentials: self.credentials.clone(),
            tokens: self.tokens.clone(),
        }
    }
}

#[async_trait]
impl Connectors for Connections {
    async fn open_source(&self, plan: &Plan, instance: u32) -> Result<Box<dyn Source>, SourceError> {
        let context = self.context(plan, instance);
        #[cfg(feature = "kafka")]
        if let (Settings::Kafka(kafka), DataSources::Kafka { topics, consumer_group_id }) =
            (&plan.source.endpoint.settings, &plan.source.data_sources)
        {
            let endpoint = &plan.source.endpoint;
            return tidegate_connect_kafka::open_source(endpoint, kafka, topics, consumer_group_id, &context)
                .await;
        }
        tidegate_connect::open_source(&plan.source, &context).await
    }

    fn watch_dataset(&self, key: &str) -> watch::Receiver<DatasetState> {
        self.datasets.watch(key)
    }

    fn bury(&self, plan: &Plan, letter: DeadLetter) {
        tracing::debug!(dataflow = %plan.name, topic = %letter.record.topic, reason = letter.reason, "a dead letter");
        if let Some(dead_letters) = &self.dead_letters {
            dead_letters.put(&format!("{}/{}", plan.namespace, plan.name), letter);
        }
    }

    async fn open_sink(&self, plan: &Plan, instance: u32) -> Result<Arc<dyn Sink>, Trouble> {
        let context = self.context(plan, instance);
        #[cfg(feature = "kafka")]
        if let (Settings::Kafka(kafka), DataDestination::Name(topic)) =
            (&plan.destination.endpoint.settings, &plan.destination.data_destination)
        {
            let DestinationSpec { endpoint, headers, .. } = &plan.destination;
            return Ok(tidegate_connect_kafka::open_sink(endpoint, kafka, topic, headers, &context).into());
        }
        tidegate_connect::open_sink(&plan.destination, &context).await.map(Arc::from)
    }
}
