//! The state store's messages: requests from the broker, responses and notifications to it (AIO: State store protocol).

use std::time::Duration;

use bytes::Bytes;
use tidegate_broker::{Broker, ClientRef, Delivery, Link, LinkError, LinkOptions, Message, QoS, ReasonCode};
use tidegate_core::{PropertiesBuilder, Property};
use tidegate_mqtt::topic;
use uuid::Uuid;

use super::reply::{Change, encode};
use super::request::{Request, RequestError};
use super::store::Outcome;
use crate::rpc::ReplyTo;

/// Where requests come in.
pub const REQUEST_TOPIC: &str = "statestore/v1/FA9AE35F-2F64-47CD-9BFF-08E2B32A0FE8/command/invoke";

/// Where notifications go out, and nothing else may.
const NOTIFICATION_PREFIX: &str = "clients/statestore/v1/FA9AE35F-2F64-47CD-9BFF-08E2B32A0FE8";

/// How many requests wait to be carried out, or for their commit.
const UNACKED_MAX: usize = 4096;

/// Attaches the state store to a broker. Requests that nobody has answered are not kept: who asks waits for the answer.
pub(super) async fn attach(broker: &Broker) -> Result<Link, LinkError> {
    let link = broker
        .attach(LinkOptions {
            clean_start: true,
            session_expiry: Some(Duration::ZERO),
            unacked_max: UNACKED_MAX,
            // nobody else comes with this client identifier by accident
            ..LinkOptions::new(format!("tidegate-state-store-{}", Uuid::new_v4()))
        })
        .await?;
    link.subscribe(REQUEST_TOPIC, QoS::AtLeastOnce)?;
    Ok(link)
}

/// A request that can be answered.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) reply_to: ReplyTo,
    /// Who asks, unless that is not known.
    pub(super) client: Option<ClientRef>,
    pub(super) request: Result<Request, RequestError>,
}

impl Incoming {
    /// `None` for a message that can't be answered; it is logged, or its sender disconnected.
    pub(super) fn read(link: &Link, message: &Delivery) -> Option<Self> {
        let reply_to = match ReplyTo::of(message) {
            Ok(reply_to) => reply_to,
            Err(reason) => {
                let client = message.publisher.and_then(|client| link.client_id(client));
                tracing::warn!(client = client.as_deref(), "a state store request is ignored: {reason}");
                return None;
            }
        };
        if is_forbidden(reply_to.topic()) {
            if let Some(client) = message.publisher {
                let id = link.client_id(client);
                tracing::warn!(
                    client = id.as_deref(),
                    "disconnected: its response topic is the state store's own"
                );
                link.disconnect(client, ReasonCode::TopicNameInvalid);
            }
            return None;
        }
        let property = |name| message.properties.user_property(name);
        Some(Self {
            reply_to,
            client: message.publisher,
            request: Request::parse(&message.payload, property("__ts"), property("__ft")),
        })
    }
}

/// Whether a response topic is one that only the store itself publishes to, or reads from.
fn is_forbidden(response_topic: &str) -> bool {
    let below = response_topic.strip_prefix(NOTIFICATION_PREFIX);
    response_topic == REQUEST_TOPIC || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The answer to a request that was carried out, or refused.
pub(super) fn response(reply_to: &ReplyTo, outcome: &Outcome) -> Message {
    let version = outcome.version.as_ref().map(ToString::to_string);
    let timestamp = version.as_deref().map(|version| ("__ts", version));
    reply_to.answer(200, "application/octet-stream", encode(&outcome.reply), timestamp.as_slice())
}

/// The answer to a request that failed through no fault of its sender's.
pub(super) fn failure(reply_to: &ReplyTo, reason: &str) -> Message {
    let more = [("__apErr", "true"), ("__stMsg", reason)];
    reply_to.answer(500, "application/octet-stream", Bytes::new(), &more)
}

/// What a client that observes a key is told; `None` if its identifier and the key are too long for a topic.
pub(super) fn notification(client_id: &str, change: &Change) -> Option<Message> {
    let (client, key) = (hex(client_id.as_bytes()), hex(&change.key));
    let name = format!("{NOTIFICATION_PREFIX}/{client}/command/notify/{key}");
    topic::check_name(&name).ok()?;
    let mut properties = PropertiesBuilder::default();
    properties.push(Property::ContentType("application/octet-stream"));
    properties.push(Property::UserProperty("__ts", &change.version.to_string()));
    let properties = properties.build().expect("each was pushed once");
    Some(Message { properties, ..Message::new(name, change.encode()) })
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_go_to_the_topic_of_client_and_key() {
        let change =
            Change { key: "SOMEKEY".into(), value: None, version: "1:2:StateStore".parse().unwrap() };
        let message = notification("client-id1", &change).unwrap();
        assert_eq!(
            message.topic,
            "clients/statestore/v1/FA9AE35F-2F64-47CD-9BFF-08E2B32A0FE8/636C69656E742D696431/command/notify/534F4D454B4559"
        );
        assert_eq!(message.properties.user_property("__ts"), Some("000000000000001:00002:StateStore"));
        assert_eq!(notification(&"x".repeat(40_000), &change), None);
    }

    #[test]
    fn a_response_topic_is_not_the_stores_own() {
        for (topic, forbidden) in [
            (REQUEST_TOPIC, true),
            (NOTIFICATION_PREFIX, true),
            ("clients/statestore/v1/FA9AE35F-2F64-47CD-9BFF-08E2B32A0FE8/x", true),
            ("clients/statestore/v1/FA9AE35F-2F64-47CD-9BFF-08E2B32A0FE89", false),
            ("clients/c1/services/statestore/_any_/command/invoke/response", false),
            (
                "clients/c1/services/statestore/v1/FA9AE35F-2F64-47CD-9BFF-08E2B32A0FE8/command/invoke/response",
                false,
            ),
        ] {
            assert_eq!(is_forbidden(topic), forbidden, "{topic}");
        }
    }
}
