//! Helpers for tests that need real peers: a mosquitto broker, an Apache Kafka, Azurite, certificates, free
//! ports, a scripted MQTT server, doubles of the token services of Entra ID, of Azure Data Explorer
//! and of Fabric OneLake.
//!
//! Everything panics with a sentence when it can't do its work: a test can't go on then. Never linked into the product.

mod azurite;
mod cache;
mod certificates;
mod entra;
mod kafka;
mod kusto;
mod mosquitto;
mod peer;
mod proxy;
mod small_disk;
mod storage_front;

pub use azurite::{Azurite, StorageAccount};
pub use cache::{azure_kusto_python, schemathesis_python};
pub use certificates::{Authority, Identity, Validity};
pub use entra::{EntraId, Fault};
pub use kafka::{Kafka, KafkaOptions};
pub use kusto::{Kusto, KustoFault};
pub use mosquitto::{Mosquitto, MosquittoOptions};
pub use peer::{PeerConnection, ScriptedPeer};
pub use proxy::FaultProxy;
pub use small_disk::SmallDisk;
pub use storage_front::{StorageFault, StorageFront};

/// A TCP port of 127.0.0.1 that was free a moment ago, for programs that can't choose one themselves.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port is free");
    listener.local_addr().expect("a bound socket has an address").port()
}
