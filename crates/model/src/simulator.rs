//! tidegate's own `Simulator` resource: an asset that publishes to the local broker, so that a fresh machine has data.

use std::time::Duration;

use crate::codes;
use crate::field::object;
use crate::names::ResourceName;
use crate::problems::{Problems, error};
use crate::topic::TopicTemplate;
use crate::value::{Filled, Int};

/// A simulated thermostat, in the shape in which AIO's OPC UA connector publishes an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulator {
    /// `metadata.name`.
    pub name: ResourceName,
    /// The topic on the local broker.
    pub topic: String,
    /// Between two messages.
    pub interval: Duration,
    /// Where the values come from; equal seeds give equal values.
    pub seed: u64,
}

type Milliseconds = Int<1, 3_600_000>;
type Seed = Int<0, { i64::MAX }>;

object! {
    /// A `Simulator`.
    pub(crate) struct SimulatorFields {
        /// The topic on the local broker that it publishes to.
        topic "topic": required Filled;
        /// The time between two messages, in milliseconds.
        interval "intervalMilliseconds": default Milliseconds = 1000;
        /// What the values are made from; equal seeds give equal values.
        seed "seed": default Seed = 0;
    }
}

pub(crate) fn parse(
    name: ResourceName,
    fields: SimulatorFields,
    problems: &mut Problems,
) -> Option<Simulator> {
    let Filled(topic) = fields.topic?;
    match TopicTemplate::parse(topic.as_str()).map(|t| t.as_static().map(str::to_owned)) {
        Ok(Some(topic)) => Some(Simulator {
            name,
            topic,
            interval: Duration::from_millis(fields.interval.to()),
            seed: fields.seed.to(),
        }),
        Ok(None) => {
            problems.push(error(
                codes::BAD_DESTINATION_TOPIC,
                topic.span(),
                "the topic of a simulator holds no variables",
            ));
            None
        }
        Err(e) => {
            problems.push(error(codes::BAD_DESTINATION_TOPIC, topic.span(), e.message));
            None
        }
    }
}
