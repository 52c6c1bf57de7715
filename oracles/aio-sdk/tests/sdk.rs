//! AIO's own clients: what they take for an answer is one.

use std::sync::Arc;
use std::time::Duration;

use azure_iot_operations_mqtt::aio::connection_settings::MqttConnectionSettingsBuilder;
use azure_iot_operations_mqtt::session::{Session, SessionOptionsBuilder};
use azure_iot_operations_protocol::application::ApplicationContextBuilder;
use azure_iot_operations_protocol::common::hybrid_logical_clock::HybridLogicalClock;
use azure_iot_operations_services::leased_lock::lock;
use azure_iot_operations_services::schema_registry::{
    self, ErrorCode, ErrorKind as RegistryErrorKind, Format, GetSchemaRequestBuilder, PutSchemaRequestBuilder,
};
use azure_iot_operations_services::state_store::{
    self, Client, ErrorKind, Operation, ServiceError, SetCondition, SetOptions,
};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A broker with the services.
struct Server {
    inner: aio_sdk_oracle::Server,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inner = aio_sdk_oracle::Server::start(([127, 0, 0, 1], 0).into(), folder.path()).await.unwrap();
        Self { inner, _folder: folder }
    }

    /// A connection of the SDK, kept up in the background.
    fn connect(&self, client_id: &str) -> Session {
        let connection_settings = MqttConnectionSettingsBuilder::default()
            .client_id(client_id)
            .hostname("127.0.0.1")
            .tcp_port(self.inner.address.port())
            .use_tls(false)
            .build()
            .unwrap();
        let options =
            SessionOptionsBuilder::default().connection_settings(connection_settings).build().unwrap();
        Session::new(options).unwrap()
    }

    fn state_store(&self, client_id: &str) -> Client {
        let session = self.connect(client_id);
        let client = Client::new(
            ApplicationContextBuilder::default().build().unwrap(),
            session.create_managed_client(),
            session.create_session_monitor(),
            state_store::ClientOptionsBuilder::default().build().unwrap(),
        );
        tokio::spawn(session.run());
        client.unwrap()
    }

    fn schema_registry(&self, client_id: &str) -> schema_registry::Client {
        let session = self.connect(client_id);
        let context = ApplicationContextBuilder::default().build().unwrap();
        let client = schema_registry::Client::new(context, &session.create_managed_client());
        tokio::spawn(session.run());
        client
    }
}

async fn set(
    client: &Client,
    key: &str,
    value: &[u8],
    options: SetOptions,
) -> (bool, Option<HybridLogicalClock>) {
    let set = client.set(key.into(), value.to_vec(), TIMEOUT, None, options).await.unwrap();
    (set.response, set.version)
}

async fn get(client: &Client, key: &str) -> (Option<Vec<u8>>, Option<HybridLogicalClock>) {
    let got = client.get(key.into(), TIMEOUT).await.unwrap();
    (got.response, got.version)
}

fn on(set_condition: SetCondition) -> SetOptions {
    SetOptions { set_condition, ..SetOptions::default() }
}

#[tokio::test]
async fn values_are_set_got_and_deleted() {
    let server = Server::start().await;
    let client = server.state_store("c1");
    let (done, version) = set(&client, "k", b"a\x00\r\n\xff", SetOptions::default()).await;
    assert!(done && version.is_some());
    assert_eq!(get(&client, "k").await, (Some(b"a\x00\r\n\xff".to_vec()), version));
    assert_eq!(get(&client, "nope").await, (None, None));
    set(&client, "empty", b"", SetOptions { persist: true, ..SetOptions::default() }).await;
    assert_eq!(get(&client, "empty").await.0, Some(Vec::new()));

    set(&client, "k", b"a", SetOptions::default()).await;
    assert!(!set(&client, "k", b"b", on(SetCondition::OnlyIfDoesNotExist)).await.0);
    assert!(!set(&client, "k", b"b", on(SetCondition::OnlyIfEqualOrDoesNotExist)).await.0);
    assert!(set(&client, "k", b"a", on(SetCondition::OnlyIfEqualOrDoesNotExist)).await.0);
    assert!(set(&client, "new", b"b", on(SetCondition::OnlyIfDoesNotExist)).await.0);

    let vdel = |value: &'static str| client.vdel("k".into(), value.into(), None, TIMEOUT);
    assert_eq!(vdel("b").await.unwrap().response, -1);
    assert_eq!(vdel("a").await.unwrap().response, 1);
    assert_eq!(vdel("a").await.unwrap().response, 0);
    assert_eq!(client.del("new".into(), None, TIMEOUT).await.unwrap().response, 1);
    assert_eq!(client.del("new".into(), None, TIMEOUT).await.unwrap().response, 0);
}

#[tokio::test]
async fn keys_are_listed() {
    let server = Server::start().await;
    let client = server.state_store("c1");
    for n in 0..1500 {
        set(&client, &format!("key{n:04}"), b"v", SetOptions::default()).await;
    }
    set(&client, "other", b"v", SetOptions::default()).await;
    let mut pager = client.list_keys(b"key*".to_vec(), TIMEOUT).unwrap();
    let mut keys = Vec::new();
    while let Some(page) = pager.next().await.unwrap() {
        keys.extend(page.into_iter().map(|key| String::from_utf8(key).unwrap()));
    }
    assert_eq!(keys, (0..1500).map(|n| format!("key{n:04}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn fencing_tokens_protect_keys() {
    let server = Server::start().await;
    let client = server.state_store("c1");
    let (_, old) = set(&client, "lock", b"c1", SetOptions::default()).await;
    let (_, new) = set(&client, "lock", b"c2", SetOptions::default()).await;
    let fenced = async |token: Option<&HybridLogicalClock>| {
        let set = client.set("k".into(), "v".into(), TIMEOUT, token.cloned(), SetOptions::default()).await;
        set.map(|set| set.response)
    };
    assert!(fenced(new.as_ref()).await.unwrap());
    let refused = fenced(old.as_ref()).await.unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::ServiceError(ServiceError::FencingTokenLowerVersion)),
        "{refused:?}"
    );
    let refused = fenced(None).await.unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::ServiceError(ServiceError::MissingFencingToken)),
        "{refused:?}"
    );
    let mut ahead = new.clone().unwrap();
    ahead.timestamp += Duration::from_secs(120);
    let refused = fenced(Some(&ahead)).await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::ServiceError(ServiceError::FencingTokenSkew)), "{refused:?}");
    assert_eq!(client.del("k".into(), new, TIMEOUT).await.unwrap().response, 1);
}

#[tokio::test]
async fn observers_are_told_of_changes_and_expiry() {
    let server = Server::start().await;
    let (client, other) = (server.state_store("c1"), server.state_store("c2"));
    assert!(!client.unobserve("k".into(), TIMEOUT).await.unwrap().response);
    let mut observation = client.observe("k".into(), TIMEOUT).await.unwrap().response;
    let expires = SetOptions { expires: Some(Duration::from_millis(200)), ..SetOptions::default() };
    let (_, version) = set(&other, "k", b"a", expires).await;
    let (notice, _) = observation.recv_notification().await.unwrap();
    assert_eq!((notice.key, notice.operation), (b"k".to_vec(), Operation::Set(b"a".to_vec())));
    assert_eq!(Some(notice.version), version);
    let (notice, _) = observation.recv_notification().await.unwrap();
    assert_eq!(notice.operation, Operation::Del);
    assert_eq!(get(&other, "k").await.0, None);
    assert!(client.unobserve("k".into(), TIMEOUT).await.unwrap().response);
}

#[tokio::test]
async fn a_lock_goes_from_one_holder_to_the_next() {
    let server = Server::start().await;
    let holder = |id: &str| {
        let store = Arc::new(server.state_store(id));
        (lock::Client::new(store.clone(), "lock".into(), id.into()).unwrap(), store)
    };
    let ((first, _first_store), (second, _second_store)) = (holder("c1"), holder("c2"));
    let old = first.lock(TIMEOUT, TIMEOUT, None).await.unwrap();
    let waiting = tokio::spawn(async move { second.lock(TIMEOUT, TIMEOUT, None).await });
    first.unlock(TIMEOUT).await.unwrap();
    let new = waiting.await.unwrap().unwrap();
    assert!((new.timestamp, new.counter) > (old.timestamp, old.counter));
}

#[tokio::test]
async fn schemas_are_put_and_got() {
    let server = Server::start().await;
    let client = server.schema_registry("c1");
    let content = r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{}}"#;
    let request = |content: &str| {
        PutSchemaRequestBuilder::default()
            .display_name("Press".to_string())
            .format(Format::JsonSchemaDraft07)
            .schema_content(content)
            .tags(std::collections::HashMap::from([("line".to_string(), "7".to_string())]))
            .build()
            .unwrap()
    };
    let put = client.put(request(content), TIMEOUT).await.unwrap();
    assert_eq!(
        (put.namespace.as_str(), put.version.as_str(), put.schema_content.as_str()),
        ("contoso", "1", content)
    );
    assert_eq!(put.tags["line"], "7");
    let get = |name: &str| GetSchemaRequestBuilder::default().name(name).build().unwrap();
    assert_eq!(client.get(get(&put.name), TIMEOUT).await.unwrap(), put);

    let error = client.get(get("no-such"), TIMEOUT).await.unwrap_err();
    let RegistryErrorKind::ServiceError(error) = error.kind() else { panic!("{error:?}") };
    assert!(matches!(error.code, ErrorCode::NotFound), "{error:?}");
    let error = client.put(request("{}"), TIMEOUT).await.unwrap_err();
    let RegistryErrorKind::ServiceError(error) = error.kind() else { panic!("{error:?}") };
    assert!(matches!(error.code, ErrorCode::BadRequest), "{error:?}");
}
