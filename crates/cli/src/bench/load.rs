//! What a run is made of: who publishes what to which topic, and what has become of it so far.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tidegate_model::names::HostPort;
use tidegate_model::topic::TopicFilter;
use tidegate_mqtt::QoS;
use tokio::sync::Notify;

use super::payload::{Marks, Payloads};
use super::tally::Seen;
use crate::args::{BenchMqttArgs, Pattern};

/// Stands for the number of a client in a topic.
const NUMBER: &str = "{i}";

/// One run.
pub(crate) struct Load {
    /// Where publishers publish.
    pub(crate) broker: HostPort,
    /// Where subscribers subscribe.
    pub(crate) subscribe_broker: HostPort,
    pub(crate) pattern: Pattern,
    pub(crate) publishers: u16,
    pub(crate) subscribers: u16,
    /// Of each publisher.
    pub(crate) messages: u32,
    pub(crate) qos: QoS,
    pub(crate) window: u16,
    /// Of all publishers together, per second; 0 for no limit.
    rate: u32,
    pub(crate) topic: String,
    pub(crate) subscribe_topic: String,
    pub(crate) seed: u64,
    /// Tells this run's messages from those of another.
    pub(crate) run: u32,
    pub(crate) marks: Marks,
    pub(crate) payloads: Payloads,

    started: OnceLock<Instant>,
    pub(crate) seen: Seen,
    pub(crate) published: AtomicU64,
    /// By QoS; a QoS 0 publish is its own acknowledgement.
    pub(crate) acknowledged: AtomicU64,
    /// Acknowledged with a reason that says no.
    pub(crate) refused: AtomicU64,
    /// Each message once, or once for each subscriber if all get it.
    pub(crate) received: AtomicU64,
    pub(crate) all_received: Notify,
    /// When the last acknowledgement came, in nanoseconds since the start.
    pub(crate) publishing_ended: AtomicU64,
}

impl Load {
    pub(crate) fn new(args: &BenchMqttArgs) -> anyhow::Result<Self> {
        let subscribers = match args.pattern {
            Pattern::Pairs => args.publishers,
            Pattern::FanIn | Pattern::FanOut => args.subscribers.unwrap_or(1),
        };
        let numbered = args.topic.contains(NUMBER);
        let subscribe_topic = match (&args.subscribe_topic, args.pattern) {
            (Some(topic), _) => topic.clone(),
            (None, Pattern::Pairs) => args.topic.clone(),
            (None, Pattern::FanIn | Pattern::FanOut) => args.topic.replace(NUMBER, "+"),
        };
        if args.pattern == Pattern::Pairs && args.publishers > 1 {
            ensure!(
                numbered && subscribe_topic.contains(NUMBER),
                "pairs need topics of their own: put {NUMBER} into --topic and --subscribe-topic"
            );
        }
        if args.topic.contains(['+', '#']) {
            bail!("--topic {:?}: one can't publish to wildcards", args.topic);
        }
        for (option, topic) in [("--topic", &args.topic), ("--subscribe-topic", &subscribe_topic)] {
            if let Err(error) = TopicFilter::parse(&topic.replace(NUMBER, "65535")) {
                bail!("{option} {topic:?}: {}", error.message);
            }
        }
        let run = rand::random();
        let seed = args.seed.unwrap_or_else(rand::random);
        let marks = Marks::new(run);
        let payloads =
            Payloads::new(args.payload, args.payload_bytes, &marks, &mut SmallRng::seed_from_u64(seed))?;
        let copies = if args.pattern == Pattern::FanOut { subscribers } else { 1 };
        Ok(Self {
            broker: args.url.clone(),
            subscribe_broker: args.subscribe_url.as_ref().unwrap_or(&args.url).clone(),
            pattern: args.pattern,
            publishers: args.publishers,
            subscribers,
            messages: args.messages,
            qos: QoS::from_number(args.qos).unwrap_or_default(),
            window: args.window,
            rate: args.rate,
            topic: args.topic.clone(),
            subscribe_topic,
            seed,
            run,
            marks,
            payloads,
            started: OnceLock::new(),
            seen: Seen::new(copies, args.publishers, args.messages)?,
            published: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            received: AtomicU64::new(0),
            all_received: Notify::new(),
            publishing_ended: AtomicU64::new(0),
        })
    }

    /// Where publisher `n` publishes to.
    pub(crate) fn publish_topic(&self, n: u16) -> String {
        self.topic.replace(NUMBER, &n.to_string())
    }

    /// What subscriber `n` subscribes to.
    pub(crate) fn filter(&self, n: u16) -> String {
        let filter = self.subscribe_topic.replace(NUMBER, &n.to_string());
        if self.pattern == Pattern::FanIn && self.subscribers > 1 {
            format!("$share/tidegate-bench-{:08x}/{filter}", self.run)
        } else {
            filter
        }
    }

    /// How often each message is to arrive.
    pub(crate) fn copies(&self) -> u64 {
        if self.pattern == Pattern::FanOut { self.subscribers.into() } else { 1 }
    }

    /// Which of the copies subscriber `n` gets.
    pub(crate) fn copy_of(&self, subscriber: u16) -> u16 {
        if self.pattern == Pattern::FanOut { subscriber } else { 0 }
    }

    /// Deliveries that the broker has promised and that have not come.
    pub(crate) fn missing(&self) -> u64 {
        let promised = self.acknowledged.load(Ordering::Relaxed) * self.copies();
        promised.saturating_sub(self.received.load(Ordering::Relaxed))
    }

    /// Notes deliveries that had not come before.
    pub(crate) fn count_received(&self, n: u64) {
        let received = self.received.fetch_add(n, Ordering::Relaxed) + n;
        if received >= u64::from(self.messages) * u64::from(self.publishers) * self.copies() {
            self.all_received.notify_one();
        }
    }

    /// The clock starts.
    pub(crate) fn begin(&self) {
        self.started.get_or_init(Instant::now);
    }

    /// Nanoseconds since the start; 0 before it.
    pub(crate) fn now(&self) -> u64 {
        self.started.get().map_or(0, |started| nanos(started.elapsed()))
    }

    /// When publisher `n` is to send its message `sequence`, in nanoseconds since the start: the messages of all
    /// publishers are evenly spread.
    pub(crate) fn due(&self, n: u16, sequence: u32) -> u64 {
        if self.rate == 0 {
            return 0;
        }
        let before = u64::from(sequence) * u64::from(self.publishers) + u64::from(n);
        (before as f64 * 1e9 / f64::from(self.rate)) as u64
    }

    /// Whether there is a limit to the rate.
    pub(crate) fn is_paced(&self) -> bool {
        self.rate > 0
    }

    /// The moment that many nanoseconds after the start.
    pub(crate) fn moment(&self, nanos: u64) -> Instant {
        self.started.get().copied().unwrap_or_else(Instant::now) + Duration::from_nanos(nanos)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
