//! A broker for everybody on this machine: `cargo run -p tidegate-broker --example broker -- 1883`.

use std::net::{Ipv4Addr, SocketAddr};

use tidegate_broker::{Broker, BrokerConfig, Listener};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(1883), |port| port.parse())?;
    let broker = Broker::new(BrokerConfig::default());
    broker.listen(Listener::tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))?;
    tokio::signal::ctrl_c().await?;
    broker.shutdown().await;
    Ok(())
}
