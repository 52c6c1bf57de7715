//! Kafka endpoints as source and destination of a data flow: Event Hubs, Fabric Real-Time Intelligence, any other
//! Kafka cluster. The protocol is librdkafka's; what is here says what AIO's settings mean to it, keeps the order of
//! records over failures, and acknowledges nothing before it is safe.
//!
//! Knows endpoints and their settings, but no data flow, as `tidegate-connect` does for MQTT.

mod client;
mod failure;
mod partitions;
mod producer;
mod reader;
mod records;
mod sink;
mod source;

use tidegate_connect::Context;
use tidegate_core::{Sink, Source, SourceError};
use tidegate_model::endpoint::{Endpoint, Kafka};
use tidegate_model::plan::HeaderAction;

use self::client::Peer;
use self::sink::KafkaSink;
use self::source::KafkaSource;

/// Opens the source of a Kafka endpoint: connected, its topics seen, its group being joined.
///
/// # Errors
/// [`SourceError`], sorted by what helps.
pub async fn open_source(
    endpoint: &Endpoint,
    kafka: &Kafka,
    topics: &[String],
    consumer_group_id: &str,
    context: &Context,
) -> Result<Box<dyn Source>, SourceError> {
    let peer = Peer::new(endpoint, kafka, context);
    Ok(Box::new(KafkaSource::open(peer, topics, consumer_group_id).await?))
}

/// Makes the sink of a Kafka endpoint. It connects when it is [prepared](Sink::prepare) or written to.
pub fn open_sink(
    endpoint: &Endpoint,
    kafka: &Kafka,
    topic: &str,
    headers: &[HeaderAction],
    context: &Context,
) -> Box<dyn Sink> {
    Box::new(KafkaSink::new(Peer::new(endpoint, kafka, context), topic, headers))
}
