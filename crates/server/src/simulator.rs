//! A simulated asset, so that a fresh machine has data to move.

use std::time::{Duration, SystemTime};

use tidegate_broker::{Broker, LinkError, LinkOptions, Message};
use tidegate_core::{PropertiesBuilder, Property};
use tidegate_model::simulator::Simulator;
use tokio_util::sync::CancellationToken;

use crate::api::rfc3339;

/// A thermostat whose temperature wanders, in the shape in which AIO's OPC UA connector publishes an asset: a member
/// for each data point with `SourceTimestamp` and `Value`. Equal seeds give equal values.
#[derive(Clone, Debug)]
pub struct Thermostat {
    state: u64,
    temperature: f64,
    count: u64,
}

impl Thermostat {
    /// A thermostat at 21 degrees Celsius.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, temperature: 21.0, count: 0 }
    }

    /// The next message, measured at `at`.
    pub fn next(&mut self, at: SystemTime) -> String {
        // a step of the splitmix64 generator: enough for a wandering temperature
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let noise = ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
        // pulled back towards 21, so that it stays a room
        self.temperature += noise + (21.0 - self.temperature) * 0.05;
        self.count += 1;
        let at = rfc3339(at);
        format!(
            r#"{{"temperature":{{"SourceTimestamp":"{at}","Value":{:.2}}},"Tag 10":{{"SourceTimestamp":"{at}","Value":{}}}}}"#,
            self.temperature, self.count
        )
    }
}

/// Publishes to the local broker until told to stop.
pub(crate) async fn run(simulator: Simulator, broker: Broker, stopping: CancellationToken) {
    let options = LinkOptions {
        clean_start: true,
        session_expiry: Some(Duration::ZERO),
        ..LinkOptions::new(format!("simulator-{}", simulator.name))
    };
    let publish = async {
        let link = broker.attach(options).await?;
        let mut thermostat = Thermostat::new(simulator.seed);
        let mut content_type = PropertiesBuilder::default();
        content_type.push(Property::ContentType("application/json"));
        let properties = content_type.build().expect("one property, once");
        let mut ticks = tokio::time::interval(simulator.interval);
        loop {
            ticks.tick().await;
            let payload = thermostat.next(SystemTime::now());
            let message =
                Message { properties: properties.clone(), ..Message::new(simulator.topic.as_str(), payload) };
            link.publish(&[message]).await?;
        }
    };
    let ended: Option<Result<(), LinkError>> = stopping.run_until_cancelled(publish).await;
    if let Some(Err(error)) = ended
        && error != LinkError::Closed
    {
        tracing::warn!(simulator = %simulator.name, %error, "the simulator has stopped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_messages_in_the_asset_shape() {
        let (mut a, mut b) = (Thermostat::new(7), Thermostat::new(7));
        for n in 1..1000u64 {
            let message = a.next(SystemTime::UNIX_EPOCH);
            assert_eq!(message, b.next(SystemTime::UNIX_EPOCH));
            let value: serde_json::Value = serde_json::from_str(&message).unwrap();
            assert_eq!(value["temperature"]["SourceTimestamp"], "1970-01-01T00:00:00.000Z");
            assert!((0.0..50.0).contains(&value["temperature"]["Value"].as_f64().unwrap()));
            assert_eq!(value["Tag 10"]["Value"], n);
        }
    }
}
