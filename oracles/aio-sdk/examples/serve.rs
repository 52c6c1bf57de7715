//! Serves the state store and the schema registry until it is killed, for AIO's own test programs:
//! `cargo run --example serve -- 127.0.0.1:1883 FOLDER`

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: serve ADDRESS FOLDER".into());
    };
    let server = aio_sdk_oracle::Server::start(address.parse()?, folder.as_ref()).await?;
    println!("{}", server.address);
    std::future::pending().await
}
