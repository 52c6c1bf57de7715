use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use tidegate_broker::Stats;

type Gauge = (IntGauge, fn(&Stats) -> usize);
type Counter = (IntCounter, fn(&Stats) -> u64);

/// The local broker's numbers as metrics.
pub(crate) struct BrokerMetrics {
    gauges: Vec<Gauge>,
    counters: Vec<Counter>,
}

impl BrokerMetrics {
    /// Registers them.
    pub(crate) fn new(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str, of| -> Gauge {
            let gauge = IntGauge::new(name, help).expect("a constant, valid name");
            registry.register(Box::new(gauge.clone())).expect("one BrokerMetrics to a registry");
            (gauge, of)
        };
        let counter = |name: &str, help: &str, of| -> Counter {
            let counter = IntCounter::new(name, help).expect("a constant, valid name");
            registry.register(Box::new(counter.clone())).expect("one BrokerMetrics to a registry");
            (counter, of)
        };
        let dropped = IntCounterVec::new(
            Opts::new(
                "tidegate_broker_messages_dropped",
                "Copies of messages that did not reach a subscriber",
            ),
            &["reason"],
        )
        .expect("a constant, valid name");
        registry.register(Box::new(dropped.clone())).expect("one BrokerMetrics to a registry");
        let mut counters: Vec<Counter> = vec![
            counter("tidegate_broker_messages_received", "Messages published to the local broker", |s| {
                s.counters.messages_received
            }),
            counter("tidegate_broker_messages_sent", "Messages sent to subscribers", |s| {
                s.counters.messages_sent
            }),
            counter("tidegate_broker_bytes_received", "Bytes read from network connections", |s| {
                s.counters.bytes_received
            }),
            counter("tidegate_broker_bytes_sent", "Bytes written to network connections", |s| {
                s.counters.bytes_sent
            }),
            counter(
                "tidegate_broker_publishes_refused",
                "QoS 1 and 2 publishes refused for want of room",
                |s| s.counters.publishes_refused,
            ),
            counter("tidegate_broker_connections_refused", "Connections that were not accepted", |s| {
                s.counters.connections_refused
            }),
        ];
        let because = |reason| dropped.with_label_values(&[reason]);
        counters.extend::<[Counter; 6]>([
            (because("queue full"), |s| s.counters.dropped.queue_full),
            (because("expired"), |s| s.counters.dropped.expired),
            (because("too large"), |s| s.counters.dropped.too_large),
            (because("session ended"), |s| s.counters.dropped.session_ended),
            (because("not authorized"), |s| s.counters.dropped.not_authorized),
            (because("will refused"), |s| s.counters.dropped.will_refused),
        ]);
        Self {
            gauges: vec![
                gauge(
                    "tidegate_broker_connections",
                    "Clients of the local broker, data flows included",
                    |s| s.connections,
                ),
                gauge("tidegate_broker_sessions", "Sessions, connected or not", |s| s.sessions),
                gauge("tidegate_broker_subscriptions", "Subscriptions of all sessions", |s| s.subscriptions),
                gauge("tidegate_broker_retained_messages", "Retained messages", |s| s.retained_messages),
                gauge("tidegate_broker_queued_messages", "Messages that wait in sessions", |s| {
                    s.queued_messages
                }),
                gauge("tidegate_broker_queued_bytes", "Bytes of those", |s| s.queued_bytes),
            ],
            counters,
        }
    }

    /// Brings them up to date.
    pub(crate) fn show(&self, stats: &Stats) {
        for (gauge, of) in &self.gauges {
            gauge.set(i64::try_from(of(stats)).unwrap_or(i64::MAX));
        }
        for (counter, of) in &self.counters {
            counter.inc_by(of(stats).saturating_sub(counter.get()));
        }
    }
}
