use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use tidegate_model::endpoint::Endpoint;

use crate::{Ledger, SpoolReport};

/// Upper bounds of the latency histograms, in milliseconds.
const LATENCY_BUCKETS_MS: [f64; 16] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 10_000.0, 60_000.0,
];

/// The metric families of data flows, under AIO's names and labels ("Data flows: metrics"), with a `dataflow` label
/// added. The families that AIO lacks start with `tidegate_`.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    received: IntCounterVec,
    returned: IntCounterVec,
    sent: IntCounterVec,
    retried: IntCounterVec,
    expired: IntCounterVec,
    filtered: IntCounterVec,
    dropped_processing_errors: IntCounterVec,
    dropped_when_busy: IntCounterVec,
    bytes_received: IntCounterVec,
    bytes_sent: IntCounterVec,
    errors: IntCounterVec,
    in_flight: IntGaugeVec,
    spool_messages: IntGaugeVec,
    spool_bytes: IntGaugeVec,
    processing_latency: HistogramVec,
    upload_latency: HistogramVec,
    active_dataflows: IntGauge,
}

impl Metrics {
    /// Registers the families.
    ///
    /// # Panics
    /// When the registry already holds families of these names: there is one `Metrics` to a registry.
    pub fn new(registry: Registry) -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels).expect("a constant, valid name");
            registry.register(Box::new(vec.clone())).expect("one Metrics to a registry");
            vec
        };
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            let opts = HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS_MS.into());
            let vec = HistogramVec::new(opts, labels).expect("a constant, valid name");
            registry.register(Box::new(vec.clone())).expect("one Metrics to a registry");
            vec
        };
        let src = ["dataflow", "source_service_type", "category"];
        let tgt = ["dataflow", "target_service_type", "category"];
        let gauge = |name: &str, help: &str| {
            let vec = IntGaugeVec::new(Opts::new(name, help), &["dataflow"]).expect("a constant, valid name");
            registry.register(Box::new(vec.clone())).expect("one Metrics to a registry");
            vec
        };
        let in_flight =
            gauge("tidegate_messages_in_flight", "Messages taken from the source and not settled yet");
        let spool_messages =
            gauge("tidegate_spool_messages", "Messages in the spools that are not settled yet");
        let spool_bytes = gauge("tidegate_spool_bytes", "Bytes of the spools on disk");
        let active_dataflows = IntGauge::new("aio_dataflow_active_dataflows", "Data flows that are enabled")
            .expect("a constant, valid name");
        registry.register(Box::new(active_dataflows.clone())).expect("one Metrics to a registry");
        Self {
            received: counter("aio_dataflow_messages_received", "Messages taken from the source", &src),
            returned: counter(
                "tidegate_messages_returned",
                "Messages taken from the source and given back to it unacknowledged; they come again",
                &["dataflow"],
            ),
            sent: counter("aio_dataflow_messages_sent", "Messages the destination has confirmed", &tgt),
            retried: counter("aio_dataflow_messages_retried", "Messages written again after a failure", &tgt),
            expired: counter(
                "aio_dataflow_messages_expired",
                "Messages whose expiry interval ran out",
                &tgt[..2],
            ),
            filtered: counter("aio_dataflow_messages_filtered", "Messages dropped by a filter", &tgt[..2]),
            dropped_processing_errors: counter(
                "aio_dataflow_messages_dropped_processing_errors",
                "Messages that could not be processed",
                &tgt[..2],
            ),
            dropped_when_busy: counter(
                "aio_dataflow_messages_dropped_when_busy",
                "QoS 0 messages that the source dropped because the flow was busy",
                &src,
            ),
            bytes_received: counter(
                "aio_dataflow_bytes_received",
                "Payload bytes taken from the source",
                &src,
            ),
            bytes_sent: counter(
                "aio_dataflow_bytes_sent",
                "Payload bytes the destination has confirmed",
                &tgt,
            ),
            errors: counter("aio_dataflow_errors", "Errors by code", &["dataflow", "error_code"]),
            processing_latency: histogram(
                "aio_dataflow_processing_latency",
                "Milliseconds from receipt to the destination's confirmation",
                &src,
            ),
            upload_latency: histogram(
                "aio_dataflow_upload_latency",
                "Milliseconds of one write to the destination",
                &["dataflow", "target_service_type", "success", "category"],
            ),
            in_flight,
            spool_messages,
            spool_bytes,
            active_dataflows,
            registry,
        }
    }

    /// The registry, to gather from.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn active_dataflows(&self) -> &IntGauge {
        &self.active_dataflows
    }

    /// The handles of one flow, looked up once.
    pub(crate) fn of_flow(&self, dataflow: &str, source: &Endpoint, target: &Endpoint) -> FlowMetrics {
        let (src, tgt) = (source.service_type(), target.service_type());
        let received = [dataflow, src, ""];
        let sent = [dataflow, tgt, ""];
        FlowMetrics {
            received: self.received.with_label_values(&received),
            returned: self.returned.with_label_values(&[dataflow]),
            sent: self.sent.with_label_values(&sent),
            retried: self.retried.with_label_values(&sent),
            expired: self.expired.with_label_values(&sent[..2]),
            filtered: self.filtered.with_label_values(&sent[..2]),
            dropped_processing_errors: self.dropped_processing_errors.with_label_values(&sent[..2]),
            dropped_when_busy: self.dropped_when_busy.with_label_values(&received),
            bytes_received: self.bytes_received.with_label_values(&received),
            bytes_sent: self.bytes_sent.with_label_values(&sent),
            in_flight: self.in_flight.with_label_values(&[dataflow]),
            processing_latency: self.processing_latency.with_label_values(&received),
            upload_ok: self.upload_latency.with_label_values(&[dataflow, tgt, "true", ""]),
            upload_failed: self.upload_latency.with_label_values(&[dataflow, tgt, "false", ""]),
            spool_messages: self.spool_messages.clone(),
            spool_bytes: self.spool_bytes.clone(),
            errors: self.errors.clone(),
            dataflow: dataflow.to_owned(),
        }
    }
}

/// The metrics of one flow; all its instances count in the same.
#[derive(Debug)]
pub(crate) struct FlowMetrics {
    received: IntCounter,
    returned: IntCounter,
    sent: IntCounter,
    retried: IntCounter,
    expired: IntCounter,
    filtered: IntCounter,
    dropped_processing_errors: IntCounter,
    dropped_when_busy: IntCounter,
    bytes_received: IntCounter,
    bytes_sent: IntCounter,
    in_flight: IntGauge,
    // only of flows that have spools
    spool_messages: IntGaugeVec,
    spool_bytes: IntGaugeVec,
    pub(crate) processing_latency: Histogram,
    pub(crate) upload_ok: Histogram,
    pub(crate) upload_failed: Histogram,
    errors: IntCounterVec,
    dataflow: String,
}

impl FlowMetrics {
    /// Brings the counters from what they showed to what the ledger says, all of them at one moment of the ledger.
    pub(crate) fn show(&self, ledger: &Ledger, shown: &Ledger) {
        for (counter, now, before) in [
            (&self.received, ledger.received, shown.received),
            (&self.returned, ledger.returned, shown.returned),
            (&self.sent, ledger.delivered, shown.delivered),
            (&self.retried, ledger.retried, shown.retried),
            (&self.expired, ledger.expired, shown.expired),
            (&self.filtered, ledger.filtered, shown.filtered),
            (&self.dropped_processing_errors, ledger.dead_lettered, shown.dead_lettered),
            (&self.dropped_when_busy, ledger.dropped_when_busy, shown.dropped_when_busy),
            (&self.bytes_received, ledger.bytes_received, shown.bytes_received),
            (&self.bytes_sent, ledger.bytes_delivered, shown.bytes_delivered),
        ] {
            counter.inc_by(now - before);
        }
        self.in_flight.set(i64::try_from(ledger.in_flight).unwrap_or(i64::MAX));
    }

    pub(crate) fn show_spool(&self, spool: &SpoolReport) {
        for (gauge, value) in [(&self.spool_messages, spool.messages), (&self.spool_bytes, spool.bytes)] {
            gauge.with_label_values(&[&self.dataflow]).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn error(&self, code: &str) {
        self.errors.with_label_values(&[&self.dataflow, code]).inc();
    }
}
