use serde_json::{Value, json};
use tidegate_broker::{Broker, BrokerConfig};
use tidegate_services::schema_registry::{
    GET_TOPIC, PUT_TOPIC, RegistryLimits, SchemaName, SchemaRegistry, SchemaVersion,
};

use crate::client::Client;

const CONTENT: &str =
    r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{}}"#;

async fn ask(client: &mut Client, topic: &str, request: &Value) -> Value {
    let answer = client.ask(topic, request.to_string(), &[]).await;
    assert_eq!(answer.properties.user_property("__stat"), Some("200"));
    assert_eq!(answer.properties.content_type(), Some("application/json"));
    serde_json::from_slice(&answer.payload).unwrap()
}

async fn start(folder: &std::path::Path) -> (SchemaRegistry, Broker, Client) {
    let broker = Broker::new(BrokerConfig::default());
    let registry = SchemaRegistry::open(folder, RegistryLimits::default()).unwrap();
    registry.serve(&broker, "contoso").await.unwrap();
    let client = Client::attach(&broker, "c1").await;
    (registry, broker, client)
}

fn put_request() -> Value {
    json!({
        "format": "JsonSchema/draft-07", "schemaType": "MessageSchema", "schemaContent": CONTENT, "version": "1",
        "displayName": "Press", "tags": {"line": "7"},
    })
}

#[tokio::test]
async fn a_schema_that_was_put_is_there_to_get() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _broker, mut client) = start(folder.path()).await;
    let put = ask(&mut client, PUT_TOPIC, &put_request()).await;
    let name = put["schema"]["name"].as_str().unwrap().to_owned();
    assert_eq!(
        put,
        json!({"schema": {
            "name": name, "namespace": "contoso", "format": "JsonSchema/draft-07", "schemaType": "MessageSchema",
            "version": "1", "schemaContent": CONTENT, "hash": name, "displayName": "Press", "tags": {"line": "7"},
        }})
    );
    // the same content has the same name
    assert_eq!(ask(&mut client, PUT_TOPIC, &put_request()).await, put);
    assert_eq!(ask(&mut client, GET_TOPIC, &json!({"name": name, "version": "1"})).await, put);
    let (name, version) = (SchemaName::parse(&name).unwrap(), SchemaVersion::parse("1").unwrap());
    assert_eq!(&*registry.get(&name, &version).unwrap().content, CONTENT);
}

#[tokio::test]
async fn what_is_wrong_is_said_with_code_and_target() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _broker, mut client) = start(folder.path()).await;
    for (key, value, target) in [
        ("format", json!("JsonSchema/draft-04"), "Format"),
        ("format", json!("Delta/1.0"), "Format"),
        ("schemaType", json!("Other"), "SchemaType"),
        ("version", json!("1.0"), "Version"),
        ("version", json!("12345678901"), "Version"),
        ("schemaContent", json!("{}"), "SchemaContent"),
    ] {
        let mut request = put_request();
        request[key] = value.clone();
        let answer = ask(&mut client, PUT_TOPIC, &request).await;
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["target"]),
            (&json!(400), &json!(target)),
            "{key} {value}"
        );
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(registry.list(), []);

    let put = ask(&mut client, PUT_TOPIC, &put_request()).await;
    for (request, code, target) in [
        (json!({"name": "no-such", "version": "1"}), 404, json!("SchemaArmResource")),
        (json!({"name": put["schema"]["name"], "version": "2"}), 404, json!("SchemaVersionArmResource")),
        (json!({"name": "X", "version": "1"}), 400, json!("Name")),
        (json!({"name": "no-such", "version": ""}), 400, json!("Version")),
        (json!({"version": "1"}), 400, Value::Null),
        (json!([]), 400, Value::Null),
    ] {
        let answer = ask(&mut client, GET_TOPIC, &request).await;
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["target"]),
            (&json!(code), &target),
            "{request}"
        );
    }
}
