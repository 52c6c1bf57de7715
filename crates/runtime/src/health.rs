use std::time::SystemTime;

use tidegate_core::Trouble;

/// `status.healthState.status` (dataflows: "Provisioning and health status").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthStatus {
    /// It works.
    Available,
    /// It works in part: some instances do, others don't.
    Degraded,
    /// Nothing is delivered.
    Unavailable,
    /// Not known yet.
    Unknown,
}

impl HealthStatus {
    /// AIO's word.
    pub fn as_str(self) -> &'static str {
        match self {
            HealthStatus::Available => "Available",
            HealthStatus::Degraded => "Degraded",
            HealthStatus::Unavailable => "Unavailable",
            HealthStatus::Unknown => "Unknown",
        }
    }
}

/// `status.healthState` of a data flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How it is.
    pub status: HealthStatus,
    /// AIO's reason code; none when it is well or unknown.
    pub reason_code: Option<&'static str>,
    /// A sentence for people.
    pub message: String,
    /// Last change of `status`.
    pub last_transition: SystemTime,
}

/// How the two ends of one instance are. The state of an instance follows from it, and that of the flow from its
/// instances.
#[derive(Clone, Debug, Default)]
pub(crate) struct InstanceHealth {
    pub(crate) source: End,
    pub(crate) target: End,
    /// Between the two, if there is one.
    pub(crate) spool: End,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// Not tried yet.
    #[default]
    Unknown,
    Well,
    Troubled(Trouble),
}

impl InstanceHealth {
    /// The end that keeps it from working, if one does.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        [&self.target, &self.spool, &self.source].into_iter().find_map(|end| match end {
            End::Troubled(trouble) => Some(trouble),
            End::Unknown | End::Well => None,
        })
    }

    /// Whether both ends have been tried, for better or worse.
    pub(crate) fn is_known(&self) -> bool {
        self.trouble().is_some() || (self.source == End::Well && self.target == End::Well)
    }
}

/// Status, reason and message of a flow: all good is Available, some bad Degraded, all bad Unavailable.
pub(crate) fn aggregate<'a>(
    instances: impl Iterator<Item = &'a InstanceHealth> + Clone,
) -> (HealthStatus, Option<Trouble>) {
    let trouble = instances.clone().find_map(InstanceHealth::trouble).cloned();
    let count = instances.clone().count();
    let bad = instances.clone().filter(|i| i.trouble().is_some()).count();
    let status = if bad > 0 {
        if bad == count { HealthStatus::Unavailable } else { HealthStatus::Degraded }
    } else if instances.clone().all(InstanceHealth::is_known) {
        HealthStatus::Available
    } else {
        HealthStatus::Unknown
    };
    (status, trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_as_its_instances_are() {
        let well = InstanceHealth { source: End::Well, target: End::Well, ..InstanceHealth::default() };
        let bad = InstanceHealth {
            source: End::Well,
            target: End::Troubled(Trouble::new("DataflowMqttTargetConnectionFailed", "no")),
            ..InstanceHealth::default()
        };
        let new = InstanceHealth::default();
        for (instances, status) in [
            (vec![well.clone(), well.clone()], HealthStatus::Available),
            (vec![well.clone(), bad.clone()], HealthStatus::Degraded),
            (vec![bad.clone(), bad.clone()], HealthStatus::Unavailable),
            (vec![bad.clone(), new.clone()], HealthStatus::Degraded),
            (vec![well, new], HealthStatus::Unknown),
        ] {
            assert_eq!(aggregate(instances.iter()).0, status);
        }
    }
}
