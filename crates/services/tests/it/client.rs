//! A client of the broker that asks and waits for the answer, as the SDKs do.

use bytes::Bytes;
use tidegate_broker::{Broker, Delivery, Link, LinkError, LinkOptions, Message, QoS};
use tidegate_core::{Properties, PropertiesBuilder, Property};

pub(crate) struct Client {
    pub(crate) link: Link,
    pub(crate) id: String,
    asked: u32,
}

impl Client {
    /// Attaches a client, subscribed to its response topic. The session outlives the link.
    pub(crate) async fn attach(broker: &Broker, id: &str) -> Self {
        let link = broker.attach(LinkOptions::new(id)).await.unwrap();
        let client = Self { link, id: id.into(), asked: 0 };
        client.link.subscribe(&client.response_topic(), QoS::AtLeastOnce).unwrap();
        client
    }

    pub(crate) fn response_topic(&self) -> String {
        format!("clients/{}/response", self.id)
    }

    /// Asks, and gives the answer, which must be the next message there is.
    pub(crate) async fn ask(
        &mut self,
        topic: &str,
        payload: impl Into<Bytes>,
        more: &[(&str, &str)],
    ) -> Delivery {
        let correlation = self.send(topic, payload, more).await;
        let answer = self.next().await;
        assert_eq!(answer.topic, self.response_topic());
        assert!(answer.properties.iter().any(|p| p == Property::CorrelationData(&correlation)));
        answer
    }

    /// Asks. Gives the correlation data.
    pub(crate) async fn send(
        &mut self,
        topic: &str,
        payload: impl Into<Bytes>,
        more: &[(&str, &str)],
    ) -> [u8; 4] {
        self.asked += 1;
        let correlation = self.asked.to_be_bytes();
        let properties = request_properties(Some(&self.response_topic()), Some(&correlation), more);
        self.link.publish(&[Message { properties, ..Message::new(topic, payload) }]).await.unwrap();
        correlation
    }

    pub(crate) async fn next(&mut self) -> Delivery {
        self.try_next().await.unwrap()
    }

    pub(crate) async fn try_next(&mut self) -> Result<Delivery, LinkError> {
        let message = self.link.next(1).await?.remove(0);
        self.link.ack(1)?;
        Ok(message)
    }
}

pub(crate) fn request_properties(
    response_topic: Option<&str>,
    correlation_data: Option<&[u8]>,
    more: &[(&str, &str)],
) -> Properties {
    let mut properties = PropertiesBuilder::default();
    let given = response_topic.map(Property::ResponseTopic).into_iter();
    let given = given.chain(correlation_data.map(Property::CorrelationData));
    for property in given.chain(more.iter().map(|(name, value)| Property::UserProperty(name, value))) {
        assert!(properties.push(property));
    }
    properties.build().unwrap()
}
