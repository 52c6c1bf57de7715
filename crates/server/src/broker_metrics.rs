use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use tidegate_broker::{LogUsage, Stats};

type Gauge = (IntGauge, fn(&Stats) -> usize);
type LogGauge = (IntGauge, fn(&LogUsage) -> u64);
type Counter = (IntCounter, fn(&Stats) -> u64);

/// The local broker's numbers as metrics.
pub(crate) struct BrokerMetrics {
    gauges: Vec<Gauge>,
    log_gauges: Vec<LogGauge>,
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
        let log_gauge = |name: &str, help: &str, of| -> LogGauge {
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
            log_gauges: vec![
                log_gauge("tidegate_broker_log_bytes", "Bytes of the log under the sessions", |u| u.bytes),
                log_gauge("tidegate_broker_log_live_bytes", "Bytes of what is alive in it", |u| u.live_bytes),
                log_gauge("tidegate_broker_log_live_bytes_max", "Of those, at most", |u| u.live_bytes_max),
                log_gauge(
                    "tidegate_broker_log_records_unsynced",
                    "Records that are not on disk yet; while the disk fails they wait",
                    |u| u.records_unsynced,
                ),
                log_gauge(
                    "tidegate_broker_log_full",
                    "1 while publishers wait or are refused because the log or the disk is full",
                    |u| u64::from(u.pushes_back()),
                ),
                log_gauge(
                    "tidegate_broker_log_full_in_seconds",
                    "When it will be full at the rate of the last minute; -1 for never",
                    |u| u.full_in.map_or(u64::MAX, |full_in| full_in.as_secs()),
                ),
            ],
            counters,
        }
    }

    /// Brings those of the log up to date, if there is one.
    pub(crate) fn show_log(&self, usage: Option<&LogUsage>) {
        let Some(usage) = usage else { return };
        for (gauge, of) in &self.log_gauges {
            gauge.set(i64::try_from(of(usage)).unwrap_or(-1));
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
