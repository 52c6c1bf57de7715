//! A broker with the services, for AIO's own clients to talk to.

use std::net::SocketAddr;
use std::path::Path;

use tidegate_broker::{Broker, BrokerConfig, Listener};
use tidegate_services::schema_registry::{RegistryLimits, SchemaRegistry};
use tidegate_services::state_store::{Disk, Options, StateStore};

/// A broker with a state store and a schema registry, as long as the value lives.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    _state_store: StateStore,
}

impl Server {
    /// Starts all three; state and schemas are in a folder.
    pub async fn start(address: SocketAddr, folder: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let broker = Broker::new(BrokerConfig::default());
        let storage = Disk::open(&folder.join("state"))?;
        let state_store = StateStore::start(storage, Options::default()).await?;
        state_store.serve(&broker).await?;
        let registry = SchemaRegistry::open(&folder.join("schemas"), RegistryLimits::default())?;
        registry.serve(&broker, "contoso").await?;
        Ok(Self { address: broker.listen(Listener::tcp(address))?, _state_store: state_store })
    }
}
