//! The schema registry's messages: `put` and `get` over MQTT (AIO: the SDKs' model `dtmi:ms:adr:SchemaRegistry;2`).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidegate_broker::{Broker, Delivery, Link, LinkError, LinkOptions, Message, QoS};
use tidegate_model::schema::SchemaFormat;
use uuid::Uuid;

use super::names::{SchemaName, SchemaVersion};
use super::registry::{PutError, Schema, SchemaDescription, SchemaRegistry, hash, parse};
use crate::rpc::ReplyTo;

/// Where requests to add a schema come in.
pub const PUT_TOPIC: &str = "adr/dtmi:ms:adr:SchemaRegistry;2/put";

/// Where requests for a schema come in.
pub const GET_TOPIC: &str = "adr/dtmi:ms:adr:SchemaRegistry;2/get";

/// The one type of schemas there is.
const SCHEMA_TYPE: &str = "MessageSchema";

/// Requests carried out together.
const BATCH_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PutRequest {
    format: String,
    schema_type: String,
    schema_content: String,
    version: String,
    description: Option<String>,
    display_name: Option<String>,
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct GetRequest {
    name: String,
    version: String,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Reply<'a> {
    Schema(SchemaBody<'a>),
    Error(ServiceError),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SchemaBody<'a> {
    name: &'a str,
    namespace: &'a str,
    format: &'static str,
    schema_type: &'static str,
    version: &'a str,
    schema_content: &'a str,
    hash: &'a str,
    #[serde(flatten)]
    described: &'a SchemaDescription,
}

/// What a client is told that asked for something wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct ServiceError {
    code: u16,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'static str>,
}

impl ServiceError {
    fn bad_request(target: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { code: 400, message: message.into(), target }
    }
}

impl From<serde_json::Error> for ServiceError {
    fn from(error: serde_json::Error) -> Self {
        Self::bad_request(None, format!("the request is not what it should be: {error}"))
    }
}

impl From<PutError> for ServiceError {
    fn from(error: PutError) -> Self {
        let (code, target) = match &error {
            PutError::Content(_) | PutError::TooLarge { .. } => (400, Some("SchemaContent")),
            PutError::OtherFormat { .. } => (400, Some("Format")),
            PutError::Exists { .. } => (400, Some("SchemaVersionArmResource")),
            PutError::Full => (500, Some("SchemaRegistryResource")),
            PutError::Io(_) => (500, None),
        };
        Self { code, message: error.to_string(), target }
    }
}

impl SchemaRegistry {
    /// Serves the clients of a broker, in a task, until the broker shuts down. `namespace` is what they are told the
    /// registry's is.
    ///
    /// # Errors
    /// The broker does not take the registry as a client.
    pub async fn serve(&self, broker: &Broker, namespace: &str) -> Result<(), LinkError> {
        let link = broker
            .attach(LinkOptions {
                clean_start: true,
                session_expiry: Some(Duration::ZERO),
                // nobody else comes with this client identifier by accident
                ..LinkOptions::new(format!("tidegate-schema-registry-{}", Uuid::new_v4()))
            })
            .await?;
        for topic in [PUT_TOPIC, GET_TOPIC] {
            link.subscribe(topic, QoS::AtLeastOnce)?;
        }
        let service = Service { registry: self.clone(), namespace: namespace.into() };
        tokio::spawn(async move {
            let Err(error) = service.run(link).await;
            tracing::info!("the schema registry serves the broker no longer: {error}");
        });
        Ok(())
    }
}

#[derive(Clone)]
struct Service {
    registry: SchemaRegistry,
    namespace: Arc<str>,
}

impl Service {
    async fn run(&self, mut link: Link) -> Result<Infallible, LinkError> {
        loop {
            let messages = link.next(BATCH_MAX).await?;
            let count = messages.len();
            let service = self.clone();
            let answers = move || messages.iter().filter_map(|m| service.answer(m)).collect::<Vec<_>>();
            match tokio::task::spawn_blocking(answers).await {
                Ok(answers) => drop(link.publish_now(&answers)?),
                Err(error) => tracing::error!("requests to the schema registry were not answered: {error}"),
            }
            link.ack(count)?;
        }
    }

    /// `None` for a message that can't be answered, which is logged.
    fn answer(&self, message: &Delivery) -> Option<Message> {
        let reply_to = match ReplyTo::of(message) {
            Ok(reply_to) => reply_to,
            Err(reason) => {
                tracing::warn!("a schema registry request is ignored: {reason}");
                return None;
            }
        };
        let result = match &*message.topic {
            PUT_TOPIC => self.put(&message.payload),
            _ => self.get(&message.payload),
        };
        let reply = match &result {
            Ok(schema) => Reply::Schema(SchemaBody {
                name: schema.name.as_str(),
                namespace: &self.namespace,
                format: schema.format().as_str(),
                schema_type: SCHEMA_TYPE,
                version: schema.version.as_str(),
                schema_content: &schema.content,
                hash: &schema.hash,
                described: &schema.described,
            }),
            Err(error) => Reply::Error(error.clone()),
        };
        let payload = serde_json::to_vec(&reply).expect("texts and numbers");
        Some(reply_to.answer(200, "application/json", payload.into(), &[]))
    }

    /// A schema put this way has no name yet. It gets one from its content, so that the same content has the same.
    fn put(&self, payload: &Bytes) -> Result<Schema, ServiceError> {
        let request: PutRequest = serde_json::from_slice(payload)?;
        let invalid = |target, message: &str| Err(ServiceError::bad_request(Some(target), message));
        let formats = [SchemaFormat::JsonSchema, SchemaFormat::Delta];
        let Some(format) = formats.into_iter().find(|format| format.as_str() == request.format) else {
            return invalid("Format", "the format is neither JsonSchema/draft-07 nor Delta/1.0");
        };
        if request.schema_type != SCHEMA_TYPE {
            return invalid("SchemaType", "the schema type is not MessageSchema");
        }
        let Some(version) = SchemaVersion::parse(&request.version) else {
            return invalid("Version", "a version has 1 to 10 digits and nothing else");
        };
        let document = parse(&request.schema_content).map_err(PutError::Content)?;
        if document.format() != format {
            return invalid("Format", "the `$schema` of the content is of another format");
        }
        let name =
            SchemaName::parse(&hash(&request.schema_content)).expect("64 hexadecimal digits are a name");
        let described = SchemaDescription {
            display_name: request.display_name,
            description: request.description,
            tags: request.tags.unwrap_or_default(),
        };
        Ok(self.registry.put(&name, &version, &request.schema_content, described)?)
    }

    fn get(&self, payload: &Bytes) -> Result<Schema, ServiceError> {
        let request: GetRequest = serde_json::from_slice(payload)?;
        let not_found = |target, what: String| ServiceError {
            code: 404,
            message: format!("there is no {what}"),
            target: Some(target),
        };
        let Some(version) = SchemaVersion::parse(&request.version) else {
            return Err(ServiceError::bad_request(
                Some("Version"),
                "a version has 1 to 10 digits and nothing else",
            ));
        };
        let Some(name) = SchemaName::parse(&request.name) else {
            return Err(ServiceError::bad_request(Some("Name"), "a name has 3 to 64 of a-z, 0-9 and -"));
        };
        if !self.registry.contains(&name) {
            return Err(not_found("SchemaArmResource", format!("schema {name}")));
        }
        let schema = self.registry.get(&name, &version);
        schema.ok_or_else(|| {
            not_found("SchemaVersionArmResource", format!("version {version} of schema {name}"))
        })
    }
}
