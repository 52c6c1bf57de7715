//! The services beside the local broker: state store and schema registry, and the datasets that flows take from the one.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use parking_lot::Mutex;
use tidegate_broker::Broker;
use tidegate_expr::Dataset;
use tidegate_model::Catalog;
use tidegate_runtime::DatasetState;
use tidegate_services::schema_registry::{
    RegistryLimits, SchemaDescription, SchemaName, SchemaRegistry, SchemaVersion,
};
use tidegate_services::state_store::{Disk, Options, StateStore};
use tokio::sync::watch;

/// What the registry calls its namespace.
const REGISTRY_NAMESPACE: &str = "tidegate";

/// State store and schema registry, served on the local broker.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) state_store: StateStore,
    pub(crate) schema_registry: SchemaRegistry,
}

impl Services {
    /// Opens what the data directory holds, adds the schemas of the catalog, and serves both on the broker.
    ///
    /// # Errors
    /// A sentence that names the file or the schema.
    pub(crate) async fn start(data_dir: &Path, catalog: &Catalog, broker: &Broker) -> Result<Self, String> {
        let storage = Disk::open(&data_dir.join("state")).map_err(|e| format!("the state store: {e}"))?;
        let state_store = StateStore::start(storage, Options::default())
            .await
            .map_err(|e| format!("the state store: {e}"))?;
        state_store.serve(broker).await.map_err(|e| format!("the state store: {e}"))?;
        let schema_registry = SchemaRegistry::open(&data_dir.join("schemas"), RegistryLimits::default())
            .map_err(|e| format!("the schema registry: {e}"))?;
        schema_registry
            .serve(broker, REGISTRY_NAMESPACE)
            .await
            .map_err(|e| format!("the schema registry: {e}"))?;
        let services = Self { state_store, schema_registry };
        services.add_schemas(catalog)?;
        Ok(services)
    }

    /// Adds the schemas of a catalog.
    ///
    /// # Errors
    /// A sentence that names the schema.
    pub(crate) fn add_schemas(&self, catalog: &Catalog) -> Result<(), String> {
        for schema in catalog.schemas() {
            let (Some(name), Some(version)) =
                (SchemaName::parse(&schema.name), SchemaVersion::parse(&schema.version))
            else {
                return Err(format!("schema {}:{}: not a name and a version", schema.name, schema.version));
            };
            self.schema_registry
                .put(&name, &version, &schema.content, SchemaDescription::default())
                .map_err(|e| format!("schema {}:{}: {e}", schema.name, schema.version))?;
        }
        Ok(())
    }
}

/// The datasets that flows watch, each read once for all of them.
pub(crate) struct Datasets {
    state_store: Option<StateStore>,
    watched: Mutex<HashMap<String, watch::Receiver<DatasetState>>>,
}

impl Datasets {
    /// `None` where the local broker, and with it the state store, is in another process.
    pub(crate) fn new(state_store: Option<StateStore>) -> Self {
        Self { state_store, watched: Mutex::default() }
    }

    /// The records under a key, as they change.
    pub(crate) fn watch(&self, key: &str) -> watch::Receiver<DatasetState> {
        let Some(store) = &self.state_store else {
            let why = "the state store is with the other broker, and this version reads its own only";
            return watch::Sender::new(DatasetState::Unavailable(why.into())).subscribe();
        };
        let mut watched = self.watched.lock();
        let receiver = watched.entry(key.to_owned()).or_insert_with(|| {
            let (sender, receiver) = watch::channel(DatasetState::Pending);
            tokio::spawn(follow(store.clone(), key.to_owned(), sender));
            receiver
        });
        receiver.clone()
    }
}

/// Reads a dataset anew whenever its key changes, for as long as the store runs.
async fn follow(store: StateStore, key: String, sender: watch::Sender<DatasetState>) {
    let mut watch = match store.watch(Bytes::from(key.clone().into_bytes())).await {
        Ok(watch) => watch,
        Err(error) => {
            sender.send_replace(DatasetState::Unavailable(error.to_string()));
            return;
        }
    };
    loop {
        let value = watch.value().map(|v| v.value).unwrap_or_default();
        let (dataset, bad_lines) = Dataset::parse(value);
        if let Some(first) = bad_lines.first() {
            tracing::warn!(
                key,
                bad_lines = bad_lines.len(),
                line = first.line,
                reason = first.message,
                "a dataset has lines that are no records"
            );
        }
        sender.send_replace(DatasetState::Ready(dataset));
        if let Err(error) = watch.changed().await {
            sender.send_replace(DatasetState::Unavailable(error.to_string()));
            return;
        }
    }
}
