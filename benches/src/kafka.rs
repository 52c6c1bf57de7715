//! A data flow to a Kafka and one from it, beside what librdkafka does alone: with the same payloads, settings, topic and
//! Kafka, in turns. Alone it only writes, or reads; the data flow is an MQTT broker as well. So librdkafka's messages per
//! CPU second are a ceiling, and tidegate's share of it says what everything else costs.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use serde::{Deserialize, Serialize};
use tidegate_mqtt::QoS;
use tidegate_testkit::{Kafka, KafkaOptions};

use crate::Contest;
use crate::client::Client;
use crate::peers::{self, Resources, flow};
use crate::process::{Server, cpu};

const MESSAGES: u64 = 500_000;
const PAYLOAD_BYTES: usize = 1024;
const PARTITIONS: u32 = 16;
/// Unacknowledged publishes of the client that publishes to tidegate.
const WINDOW: u16 = 1000;

/// The share of the messages that warms up, in percent.
const WARM_UP_PERCENT: u64 = 10;

/// Between two looks at how far Kafka is.
const TICK: Duration = Duration::from_millis(20);

/// Time for one message to get to Kafka, many times over.
const SETTLE: Duration = Duration::from_millis(250);

/// How long Kafka may take for one more message.
const STALL_MAX: Duration = Duration::from_secs(30);

/// Topics. `tidegate bench`'s load is not used here: it would hear its own messages, at the broker's cost.
const UP: &str = "up";
const DOWN: &str = "down";

/// One run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) messages: u64,
    /// Of the process that is measured, all its threads.
    pub(crate) cpu: Duration,
    pub(crate) took: Duration,
}

impl Sample {
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.messages as f64 / self.cpu.as_secs_f64()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }
}

pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) tidegate: Vec<Sample>,
    pub(crate) alone: Vec<Sample>,
}

impl Outcome {
    /// How much of librdkafka's messages per CPU second tidegate has, round by round.
    pub(crate) fn shares(&self) -> Vec<f64> {
        let pairs = self.tidegate.iter().zip(&self.alone);
        pairs.map(|(ours, alone)| ours.per_cpu_second() / alone.per_cpu_second()).collect()
    }
}

pub(crate) fn run(tidegate: &Path, args: &Contest) -> anyhow::Result<Vec<Outcome>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let messages = MESSAGES * u64::from(args.messages) / 100;
    let kafka =
        runtime.block_on(Kafka::start(KafkaOptions { partitions: PARTITIONS, ..KafkaOptions::default() }));
    for topic in [UP, DOWN] {
        runtime.block_on(kafka.create_topic(topic, PARTITIONS));
    }
    let port = kafka.port();
    let mut outcomes = Vec::new();
    for (name, measure) in [
        ("MQTT to Kafka", to_kafka as fn(&Path, u16, u64, u32) -> anyhow::Result<_>),
        ("Kafka to MQTT", from_kafka),
    ] {
        if name.contains(&args.only) {
            let (tidegate, alone) = measure(tidegate, port, messages, args.rounds).context(name)?;
            let name = format!(
                "{name}: {messages} messages of {PAYLOAD_BYTES} bytes, QoS 1, acks all, {PARTITIONS} partitions"
            );
            outcomes.push(Outcome { name, tidegate, alone });
        }
    }
    Ok(outcomes)
}

fn payload() -> Bytes {
    (0..PAYLOAD_BYTES).map(|i| b'a' + u8::try_from(i % 26).expect("it is below 26")).collect()
}

fn to_kafka(
    tidegate: &Path,
    port: u16,
    messages: u64,
    rounds: u32,
) -> anyhow::Result<(Vec<Sample>, Vec<Sample>)> {
    let resources = endpoint(port) + &flow(("default", UP), ("kafka", UP));
    let (mut command, mqtt, dir) = peers::tidegate(tidegate, Resources::Text(resources))?;
    let server = Server::start(&mut command, mqtt, dir)?;
    let mut publisher = Client::connect(mqtt, "publisher")?;
    let mut topic = Topic::look(port, UP)?;
    until_connected(&mut publisher, &mut topic)?;
    let mut ours = |messages: u64| {
        let before = server.cpu()?;
        let started = Instant::now();
        publisher.publish_all(UP, &[payload()], messages, WINDOW)?;
        topic.until_grown(messages)?;
        anyhow::Ok(Sample { messages, cpu: server.cpu()?.saturating_sub(before), took: started.elapsed() })
    };
    let mut samples = (Vec::new(), Vec::new());
    ours(messages * WARM_UP_PERCENT / 100)?;
    for _ in 0..rounds {
        samples.0.push(ours(messages)?);
        samples
            .1
            .push(Alone { side: Side::Produce, port, topic: "alone".into(), messages }.start()?.finish()?);
    }
    Ok(samples)
}

/// What is published before the data flow has subscribed is not for it.
fn until_connected(publisher: &mut Client, topic: &mut Topic) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut published = 0;
    while topic.messages()? == 0 {
        ensure!(started.elapsed() < STALL_MAX, "the data flow does not connect");
        publisher.publish_all(UP, &[payload()], 1, 1)?;
        published += 1;
        sleep(SETTLE);
    }
    // the last ones are on their way
    sleep(SETTLE);
    topic.seen = topic.messages()?;
    ensure!(topic.seen <= published, "there are more messages in Kafka than were sent");
    Ok(())
}

/// Both wait for what a librdkafka alone then writes.
fn from_kafka(
    tidegate: &Path,
    port: u16,
    messages: u64,
    rounds: u32,
) -> anyhow::Result<(Vec<Sample>, Vec<Sample>)> {
    let resources = endpoint(port) + &flow(("kafka", DOWN), ("default", DOWN));
    let (mut command, mqtt, dir) = peers::tidegate(tidegate, Resources::Text(resources))?;
    let server = Server::start(&mut command, mqtt, dir)?;
    let mut subscriber = Client::connect(mqtt, "subscriber")?;
    subscriber.subscribe(DOWN, QoS::AtLeastOnce)?;
    let write = |topic: &str, messages| {
        Alone { side: Side::Produce, port, topic: topic.to_owned(), messages }.start()
    };
    let mut ours = |messages: u64| {
        let before = server.cpu()?;
        let started = Instant::now();
        let writer = write(DOWN, messages)?;
        // and what it warms up with
        subscriber.receive_all(messages + Alone::warm_up(messages))?;
        writer.finish()?;
        let cpu = server.cpu()?.saturating_sub(before);
        anyhow::Ok(Sample { messages: messages + Alone::warm_up(messages), cpu, took: started.elapsed() })
    };
    let mut samples = (Vec::new(), Vec::new());
    ours(messages * WARM_UP_PERCENT / 100)?;
    for round in 0..rounds {
        samples.0.push(ours(messages)?);
        let topic = format!("read-{round}");
        write(&topic, messages)?.finish()?;
        samples.1.push(Alone { side: Side::Consume, port, topic, messages }.start()?.finish()?);
    }
    Ok(samples)
}

/// A Kafka endpoint with everything at its default.
fn endpoint(port: u16) -> String {
    format!(
        "
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata: {{ name: kafka, namespace: azure-iot-operations }}
spec:
  endpointType: Kafka
  kafkaSettings:
    host: localhost:{port}
    consumerGroupId: bench
    authentication: {{ method: Anonymous, anonymousSettings: {{}} }}
    tls: {{ mode: Disabled }}
"
    )
}

/// How many messages there are in a topic.
struct Topic {
    consumer: BaseConsumer,
    name: &'static str,
    seen: u64,
}

impl Topic {
    fn look(port: u16, name: &'static str) -> anyhow::Result<Self> {
        let consumer = client(port).set("group.id", "look").create()?;
        Ok(Self { consumer, name, seen: 0 })
    }

    fn messages(&self) -> anyhow::Result<u64> {
        let partitions = 0..i32::try_from(PARTITIONS)?;
        partitions
            .map(|partition| {
                let (low, high) = self.consumer.fetch_watermarks(self.name, partition, STALL_MAX)?;
                Ok(u64::try_from(high - low)?)
            })
            .sum()
    }

    fn until_grown(&mut self, by: u64) -> anyhow::Result<()> {
        let due = self.seen + by;
        let (mut moved, mut last) = (Instant::now(), 0);
        loop {
            let now = self.messages()?;
            if now >= due {
                ensure!(now == due, "{} more than were sent", now - due);
                self.seen = due;
                return Ok(());
            }
            if now != last {
                (moved, last) = (Instant::now(), now);
            }
            ensure!(moved.elapsed() < STALL_MAX, "{now} of {due} messages are in Kafka, and no more come");
            sleep(TICK);
        }
    }
}

fn client(port: u16) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", format!("localhost:{port}"));
    config
}

/// librdkafka by itself.
#[derive(Args)]
pub(crate) struct Alone {
    side: Side,
    port: u16,
    topic: String,
    messages: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Side {
    Produce,
    Consume,
}

impl Alone {
    /// What it writes first, to be connected and warm.
    fn warm_up(messages: u64) -> u64 {
        messages * WARM_UP_PERCENT / 100
    }

    /// In a process of its own.
    fn start(&self) -> anyhow::Result<Running> {
        let side = self.side.to_possible_value().context("every side has a name")?;
        let child = Command::new(std::env::current_exe()?)
            .args([
                "librdkafka",
                side.get_name(),
                &self.port.to_string(),
                &self.topic,
                &self.messages.to_string(),
            ])
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Running(child))
    }

    /// Prints a [`Sample`].
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let sample = match self.side {
            Side::Produce => self.produce()?,
            Side::Consume => self.consume()?,
        };
        Ok(serde_json::to_writer(std::io::stdout(), &sample)?)
    }

    /// With the settings of a Kafka endpoint that has its defaults.
    fn produce(&self) -> anyhow::Result<Sample> {
        let producer: ThreadedProducer<DefaultProducerContext> = client(self.port)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("batch.num.messages", "100000")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.kbytes", "65536")
            .set("queue.buffering.max.messages", "100000")
            .set("partitioner", "murmur2_random")
            .create()?;
        let payload = payload();
        let send = |messages| {
            for _ in 0..messages {
                loop {
                    match producer.send(BaseRecord::<[u8], [u8]>::to(&self.topic).payload(&payload)) {
                        Ok(()) => break,
                        Err((KafkaError::MessageProduction(Code::QueueFull), _)) => {
                            sleep(Duration::from_millis(1));
                        }
                        Err((error, _)) => return Err(error),
                    }
                }
            }
            producer.flush(STALL_MAX)
        };
        send(Self::warm_up(self.messages))?;
        let (started, before) = (Instant::now(), cpu("self")?);
        send(self.messages)?;
        Ok(Sample { messages: self.messages, cpu: cpu("self")? - before, took: started.elapsed() })
    }

    fn consume(&self) -> anyhow::Result<Sample> {
        let consumer: BaseConsumer = client(self.port)
            .set("group.id", format!("alone-{}", self.topic))
            .set("auto.offset.reset", "earliest")
            .set("queued.max.messages.kbytes", "16384")
            .create()?;
        consumer.subscribe(&[&self.topic])?;
        let take = |messages: u64| {
            let mut taken = 0;
            let mut moved = Instant::now();
            while taken < messages {
                // nothing is also what it says after the group has shared out its partitions
                match consumer.poll(TICK) {
                    Some(message) => {
                        message?;
                        (taken, moved) = (taken + 1, Instant::now());
                    }
                    None => ensure!(moved.elapsed() < STALL_MAX, "no more messages come"),
                }
            }
            Ok(())
        };
        take(Self::warm_up(self.messages))?;
        let (started, before) = (Instant::now(), cpu("self")?);
        take(self.messages)?;
        Ok(Sample { messages: self.messages, cpu: cpu("self")? - before, took: started.elapsed() })
    }
}

struct Running(Child);

impl Running {
    fn finish(self) -> anyhow::Result<Sample> {
        let output = self.0.wait_with_output()?;
        ensure!(output.status.success(), "librdkafka alone fails");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
