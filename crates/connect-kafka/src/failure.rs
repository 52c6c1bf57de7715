//! What librdkafka's error codes mean for an operator: which remedy, which of AIO's reason codes, in which words.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tidegate_core::{SourceError, Trouble, WriteError};
use tidegate_model::names::HostPort;

/// What went wrong, as a sentence without the endpoint's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// Only a change of credentials, rights or configuration helps; else trying again may.
    pub(crate) refused: bool,
    pub(crate) message: String,
}

/// AIO's reason codes of a Kafka target tell these apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Configuration,
    Connection,
    Send,
    Unreachable,
}

impl Kind {
    fn target_reason(self) -> &'static str {
        match self {
            Kind::Configuration => "DataflowKafkaTargetConfigurationError",
            Kind::Connection => "DataflowKafkaTargetConnectionFailed",
            Kind::Send => "DataflowKafkaTargetSendFailed",
            Kind::Unreachable => "DataflowKafkaTargetEndpointUnreachable",
        }
    }
}

/// The one reason code AIO has for Kafka sources.
const SOURCE_REASON: &str = "DataflowKafkaSourceConnectionFailed";

impl Failure {
    pub(crate) fn later(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, refused: false, message: message.into() }
    }

    pub(crate) fn refused(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, refused: true, message: message.into() }
    }

    /// A client that librdkafka does not even make.
    pub(crate) fn unusable(error: &KafkaError) -> Self {
        // The value of a setting may be a secret.
        let why = match error {
            KafkaError::ClientConfig(_, description, key, _) => format!("{description} ({key})"),
            error => error.to_string(),
        };
        Self::refused(Kind::Configuration, format!("the settings can't be used: {why}"))
    }

    /// An error of the connection to `to`, or of a record or group there. `detail` is what librdkafka said last.
    pub(crate) fn of(to: &HostPort, code: Code, detail: Option<&str>) -> Self {
        let said = detail.map_or_else(|| in_words(code), str::to_owned);
        match code {
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState => Self::refused(
                Kind::Connection,
                format!(
                    "{to} did not accept the credentials ({said}); check `authentication` and its Secret"
                ),
            ),
            Code::SSL if said.contains("certificate verify failed") => Self::refused(
                Kind::Connection,
                format!(
                    "the certificate of {to} can't be verified ({said}); put its CA's certificate into the ConfigMap \
                     that `tls.trustedCaCertificateConfigMapRef` names, and use a name it is for as the host"
                ),
            ),
            Code::SSL => Self::later(
                Kind::Connection,
                format!("TLS with {to} failed ({said}); check that the port expects TLS"),
            ),
            Code::TopicAuthorizationFailed => Self::refused(
                Kind::Send,
                format!(
                    "{to} does not let this client use the topic; a source needs the right to Read, a destination Write"
                ),
            ),
            Code::GroupAuthorizationFailed => Self::refused(
                Kind::Send,
                format!(
                    "{to} does not let this client join the consumer group; it needs the right to Read of it"
                ),
            ),
            Code::ClusterAuthorizationFailed => Self::refused(
                Kind::Send,
                format!(
                    "{to} does not let this client write with `kafkaAcks: All`; it needs the right to IdempotentWrite"
                ),
            ),
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => Self::refused(
                Kind::Configuration,
                format!("{to} has no such topic; create it, or let the cluster create topics"),
            ),
            Code::InvalidTopic
            | Code::InvalidRequiredAcks
            | Code::PolicyViolation
            | Code::UnsupportedCompressionType
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::UnsupportedForMessageFormat
            | Code::InvalidGroupId
            | Code::InconsistentGroupProtocol
            | Code::InvalidSessionTimeout => {
                Self::refused(Kind::Configuration, format!("{to} does not take these settings ({said})"))
            }
            Code::Resolve => {
                Self::later(Kind::Unreachable, format!("the name of {to} can't be resolved ({said})"))
            }
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::NetworkException => {
                Self::later(Kind::Unreachable, format!("{to} can't be reached ({said})"))
            }
            _ => Self::later(Kind::Send, format!("{to} did not take it ({said})")),
        }
    }

    /// As a source reports it.
    pub(crate) fn of_source(self, endpoint: &str) -> SourceError {
        let trouble = Trouble::new(SOURCE_REASON, format!("endpoint `{endpoint}`: {}", self.message));
        if self.refused { SourceError::Refused(trouble) } else { SourceError::Lost(trouble) }
    }

    /// As a sink reports it, of whose records the first `written` are safe.
    pub(crate) fn of_sink(self, endpoint: &str, written: usize) -> WriteError {
        let trouble =
            Trouble::new(self.kind.target_reason(), format!("endpoint `{endpoint}`: {}", self.message));
        // Where a part was written, it must be said that it was; the next attempt will be the fatal one.
        if self.refused && written == 0 {
            WriteError::Fatal(trouble)
        } else {
            WriteError::Retry { trouble, written }
        }
    }
}

/// What a line of librdkafka's log says went wrong, without who said so and since when.
pub(crate) fn cause(line: &str) -> &str {
    // "[thrd:<broker>]: <broker>: <what happened> (after <n>ms in state <state>, <n> identical error(s) suppressed)"
    let said = line.split_once("]: ").map_or(line, |(_, said)| said);
    let said = match said.split_once(": ") {
        Some((broker, said)) if broker.contains('/') => said,
        _ => said,
    };
    said.rsplit_once(" (after ").map_or(said, |(said, _)| said).trim()
}

/// "UnknownTopic (Local: Unknown topic)" is for programmers.
pub(crate) fn in_words(code: Code) -> String {
    let text = code.to_string();
    let words = text.split_once(" (").and_then(|(_, words)| words.strip_suffix(')'));
    let words = words.unwrap_or(&text);
    ["Broker: ", "Local: "].iter().find_map(|by| words.strip_prefix(by)).unwrap_or(words).to_owned()
}

/// What an error means for the one record it is about.
pub(crate) fn is_record_at_fault(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidRecord
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::InvalidTimestamp
    )
}

/// Whether the error may be about the batch that the record was sent in.
pub(crate) fn is_size(code: Code) -> bool {
    matches!(code, Code::MessageSizeTooLarge | Code::MessageBatchTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_told_the_cause_alone() {
        for (line, said) in [
            (
                "[thrd:sasl_ssl://hub:9093/bootstrap]: sasl_ssl://hub:9093/bootstrap: SASL authentication error: no (after \
                 165ms in state AUTH_REQ, 1 identical error(s) suppressed)",
                "SASL authentication error: no",
            ),
            (
                "[thrd:hub:9092/1]: hub:9092/1: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state \
                 CONNECT)",
                "Connect to ipv4#127.0.0.1:1 failed: Connection refused",
            ),
            ("[thrd:app]: 1/1 brokers are down", "1/1 brokers are down"),
            ("", ""),
        ] {
            assert_eq!(cause(line), said);
        }
        assert_eq!(in_words(Code::UnknownTopicOrPartition), "Unknown topic or partition");
        assert_eq!(in_words(Code::AllBrokersDown), "All broker connections are down");
        assert_eq!(in_words(Code::MessageSizeTooLarge), "Message size too large");
    }
}
