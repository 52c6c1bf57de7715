//! What went wrong with the storage, by remedy.

use tidegate_core::{Trouble, WriteError};

/// What went wrong, as a sentence without the endpoint's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// Only a change of credentials, rights or configuration helps; else trying again may.
    pub(crate) refused: bool,
    pub(crate) message: String,
}

/// AIO's reason codes of storage targets tell these apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Authentication,
    Configuration,
    /// There is no such container or workspace.
    Missing,
    Timeout,
    Send,
}

/// What is written, which AIO's reason codes also tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Delta,
}

impl Failure {
    /// Trying again may help.
    pub(crate) fn later(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, refused: false, message: message.into() }
    }

    /// Only a change helps.
    pub(crate) fn refused(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, refused: true, message: message.into() }
    }

    pub(crate) fn of_sink(self, endpoint: &str, format: Format) -> WriteError {
        let refused = self.refused;
        let trouble = self.trouble(endpoint, format);
        if refused { WriteError::Fatal(trouble) } else { WriteError::Retry { trouble, written: 0 } }
    }

    pub(crate) fn trouble(self, endpoint: &str, format: Format) -> Trouble {
        let reason = match (format, self.kind) {
            (Format::Parquet, Kind::Authentication) => "DataflowObjectStoreTargetAuthenticationFailed",
            (Format::Parquet, Kind::Configuration | Kind::Missing) => {
                "DataflowObjectStoreTargetConfigurationError"
            }
            (Format::Parquet, Kind::Timeout | Kind::Send) => "DataflowObjectStoreTargetSendFailed",
            (Format::Delta, Kind::Authentication) => "DataflowDeltaLakeTargetAuthenticationFailed",
            (Format::Delta, Kind::Configuration | Kind::Missing) => {
                "DataflowDeltaLakeTargetConfigurationError"
            }
            (Format::Delta, Kind::Timeout) => "DataflowDeltaLakeTargetConnectionTimeout",
            (Format::Delta, Kind::Send) => "DataflowDeltaLakeTargetSendFailed",
        };
        Trouble::new(reason, format!("endpoint `{endpoint}`: {}", self.message))
    }
}
