use std::fmt;

/// An operating error as the operator sees it: AIO's health reason code and a sentence that names the thing, the cause
/// and, where there is one, the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A health reason code of AIO, such as `DataflowMqttTargetConnectionFailed`.
    pub reason: &'static str,
    /// One sentence, lower case, without a full stop.
    pub message: String,
}

impl Trouble {
    /// A trouble of that reason.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Trouble {}
