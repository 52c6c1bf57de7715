//! A broker for the programs of this machine: `cargo run -p tidegate-broker --example broker -- [PORT [KEEP_ALIVE_MAX]]`,
//! the longest keep-alive in seconds.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tidegate_broker::{Broker, BrokerConfig, Limits, Listener};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let port = args.next().map_or(Ok(1883), |port| port.parse())?;
    let keep_alive_max = args.next().map(|seconds| seconds.parse().map(Duration::from_secs)).transpose()?;
    let limits = Limits { keep_alive_max, ..Limits::default() };
    let broker = Broker::new(BrokerConfig { limits, ..BrokerConfig::default() });
    broker.listen(Listener::tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))?;
    tokio::signal::ctrl_c().await?;
    broker.shutdown().await;
    Ok(())
}
