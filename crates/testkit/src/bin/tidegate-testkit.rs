//! Doubles of services that run in the cloud only, for people who try and test what uses them.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tidegate_testkit::{Azurite, Kusto, KustoFault};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Doubles of cloud services, for tests.
#[derive(Parser)]
#[command(name = "tidegate-testkit")]
enum Args {
    /// An Azure Data Explorer cluster, with blobs and queues in Azurite (install it with tests/peers/azurite.sh).
    ///
    /// Each line of the standard input is a command or a query in the database; the rows are printed as JSON lines.
    Kusto {
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// The database that the commands are about.
        #[arg(long, default_value = "db")]
        database: String,
        /// A command to begin with, such as '.create table T (a:long)'; may be given more than once.
        #[arg(long = "command")]
        commands: Vec<String>,
        /// What goes wrong with requests.
        #[arg(long)]
        fault: Option<Fault>,
        /// With how many requests it does, the first ones.
        #[arg(long, default_value_t = 1)]
        fault_requests: usize,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Fault {
    Throttle,
    Unauthorized,
    Forbidden,
    StreamingOff,
    Slow,
    LostResponse,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a command-line tool")]
async fn main() -> anyhow::Result<()> {
    let Args::Kusto { listen, database, commands, fault, fault_requests } = Args::parse();
    let azurite = Azurite::start().await;
    let kusto = Kusto::listen(listen, azurite.accounts()).await;
    for command in &commands {
        kusto.execute(&database, command).map_err(anyhow::Error::msg)?;
    }
    if let Some(fault) = fault {
        let fault = match fault {
            Fault::Throttle => KustoFault::Throttle,
            Fault::Unauthorized => KustoFault::Unauthorized,
            Fault::Forbidden => KustoFault::Forbidden,
            Fault::StreamingOff => KustoFault::StreamingOff,
            Fault::Slow => KustoFault::Slow(Duration::from_secs(10)),
            Fault::LostResponse => KustoFault::LostResponse,
        };
        kusto.set_fault(fault, fault_requests);
    }
    println!("{}", kusto.url());
    let mut end = signal(SignalKind::terminate())?;
    let mut lines = lines_of_input();
    loop {
        tokio::select! {
            Some(line) = lines.recv() => match kusto.execute(&database, &line) {
                Ok(rows) => rows.into_iter().for_each(|row| println!("{}", serde_json::Value::Array(row))),
                Err(error) => println!("error: {error}"),
            },
            // without input it serves until it is ended
            _ = tokio::signal::ctrl_c() => return Ok(()),
            _ = end.recv() => return Ok(()),
        }
    }
}

/// The lines of the standard input. Tokio's own reader would keep the process from ending.
fn lines_of_input() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        lines.map(|line| sender.blocking_send(line)).take_while(Result::is_ok).for_each(drop);
    });
    receiver
}
