//! A `DataflowProfile`: how many instances run the data flows that name it.

use tidegate_core::Span;

use crate::codes;
use crate::field::object;
use crate::names::ResourceName;
use crate::node::{Node, Text};
use crate::problems::{Problems, warning};
use crate::value::{Int, Raw};

/// A group of data flows that run together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `metadata.name`.
    pub name: ResourceName,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `instanceCount`, 1 to 20: how many copies of each data flow there are.
    pub instance_count: u32,
    /// `diagnostics.logs.level`, as written.
    pub log_level: String,
    /// `diagnostics.metrics.prometheusPort`.
    pub prometheus_port: u16,
}

const INSTANCES: i64 = 1;
const PROMETHEUS_PORT: i64 = 9600;
const LOG_LEVEL: &str = "info";
const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Profile {
    /// The profile `default` that exists without being written.
    pub fn default_in(namespace: &str) -> Self {
        Self {
            name: ResourceName::default_name(),
            namespace: namespace.to_owned(),
            instance_count: Int::<1, 20>::from(INSTANCES).to(),
            log_level: LOG_LEVEL.to_owned(),
            prometheus_port: Int::<0, 65535>::from(PROMETHEUS_PORT).to(),
        }
    }
}

object! {
    /// A `DataflowProfile`.
    pub(crate) struct ProfileFields {
        /// How many copies of each of its data flows run.
        instance_count "instanceCount": default Int<1, 20> = INSTANCES;
        /// Logs and metrics.
        diagnostics "diagnostics": optional DiagnosticsFields;
        ignored "provisioningState", "healthState", "status";
    }
}

object! {
    /// `diagnostics`.
    pub(crate) struct DiagnosticsFields {
        /// Logs.
        logs "logs": optional LogsFields;
        /// Metrics.
        metrics "metrics": optional MetricsFields;
        /// Graph debugging of a preview API, which means nothing here.
        _debugging "debuggingSettings": optional Node;
    }
}

object! {
    /// `diagnostics.logs`.
    pub(crate) struct LogsFields {
        /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or pairs `<module>=<level>` with commas between; `info`
        /// without it.
        level "level": optional Raw;
        /// Export of the 2024 previews, gone since.
        export "openTelemetryExportConfig" | "opentelemetryExportConfig": optional Node;
    }
}

object! {
    /// `diagnostics.metrics`.
    pub(crate) struct MetricsFields {
        /// Where Prometheus finds the metrics of the product's pods.
        prometheus_port "prometheusPort": default Int<0, 65535> = PROMETHEUS_PORT;
        /// Export of the 2024 previews, gone since.
        export "openTelemetryExportConfig" | "opentelemetryExportConfig": optional Node;
    }
}

/// Pods are called after their profile, and names of pods are limited.
const NAME_CHARACTERS_MAX: usize = 39;

pub(crate) fn parse(
    fields: ProfileFields,
    name: ResourceName,
    name_at: Span,
    namespace: String,
    problems: &mut Problems,
) -> Profile {
    if name.as_str().len() > NAME_CHARACTERS_MAX {
        let message =
            format!("the product's pods want profile names of at most {NAME_CHARACTERS_MAX} characters");
        problems.push(warning(codes::LONG_PROFILE_NAME, name_at, message));
    }
    let (logs, metrics) = fields.diagnostics.map_or((None, None), |d| (d.logs, d.metrics));
    let exports =
        [logs.as_ref().and_then(|l| l.export.as_ref()), metrics.as_ref().and_then(|m| m.export.as_ref())];
    for export in exports.into_iter().flatten() {
        let message = "this export was removed from the product and does nothing";
        problems.push(warning(codes::LEGACY, export.head(), message).help("remove it"));
    }
    let level = logs.and_then(|l| l.level).map(|l| l.0);
    if let Some(level) = level.as_ref().filter(|l| !is_log_filter(l)) {
        let message = format!("`{}` is no log level", level.as_str());
        let problem = warning(codes::NO_EFFECT, level.span(), message);
        problems.push(problem.help(format!("the levels are {}", LOG_LEVELS.join(", "))));
    }
    Profile {
        name,
        namespace,
        instance_count: fields.instance_count.to(),
        log_level: level.map_or_else(|| LOG_LEVEL.to_owned(), |l| l.as_str().to_owned()),
        prometheus_port: metrics.map_or(PROMETHEUS_PORT.into(), |m| m.prometheus_port).to(),
    }
}

fn is_log_filter(text: &Text) -> bool {
    text.as_str().split(',').all(|part| {
        let level = part.rsplit('=').next().unwrap_or(part).trim();
        LOG_LEVELS.iter().any(|l| l.eq_ignore_ascii_case(level))
    })
}
