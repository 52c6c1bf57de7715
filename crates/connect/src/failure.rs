//! Why a connection did not come about or broke, sorted by remedy, and how each end of a data flow reports it.

use tidegate_core::{SourceError, Trouble, WriteError};

/// What went wrong, as a sentence without the endpoint's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Trying again may help.
    Connection(String),
    /// The peer said no, or its certificate did: only a change of credentials, rights or configuration helps.
    Refused(String),
    /// What was configured can't be used.
    Configuration(String),
    /// The server does not take a subscription.
    Subscription(String),
}

/// AIO's reason codes for one end of a data flow.
struct Reasons {
    connection: &'static str,
    configuration: &'static str,
    subscription: &'static str,
}

const SOURCE: Reasons = Reasons {
    connection: "DataflowMqttSourceConnectionFailed",
    configuration: "DataflowMqttSourceConfigurationError",
    subscription: "DataflowMqttSourceSubscriptionFailed",
};

const TARGET: Reasons = Reasons {
    connection: "DataflowMqttTargetConnectionFailed",
    configuration: "DataflowMqttTargetConfigurationError",
    subscription: "DataflowMqttTargetConnectionFailed",
};

impl Failure {
    /// As a source reports it.
    pub(crate) fn of_source(self, endpoint: &str) -> SourceError {
        let lost = matches!(self, Failure::Connection(_));
        let trouble = self.trouble(endpoint, &SOURCE);
        if lost { SourceError::Lost(trouble) } else { SourceError::Refused(trouble) }
    }

    /// As a sink reports it, of whose records the first `written` are safe.
    pub(crate) fn of_sink(self, endpoint: &str, written: usize) -> WriteError {
        let lost = matches!(self, Failure::Connection(_));
        let trouble = self.trouble_of_sink(endpoint);
        // Where a part was written, it must be said that it was; the next attempt will be the fatal one.
        if lost || written > 0 { WriteError::Retry { trouble, written } } else { WriteError::Fatal(trouble) }
    }

    /// The trouble alone, for a sink.
    pub(crate) fn trouble_of_sink(self, endpoint: &str) -> Trouble {
        self.trouble(endpoint, &TARGET)
    }

    fn trouble(self, endpoint: &str, reasons: &Reasons) -> Trouble {
        let (reason, message) = match self {
            Failure::Connection(m) | Failure::Refused(m) => (reasons.connection, m),
            Failure::Configuration(m) => (reasons.configuration, m),
            Failure::Subscription(m) => (reasons.subscription, m),
        };
        Trouble::new(reason, format!("endpoint `{endpoint}`: {message}"))
    }
}
