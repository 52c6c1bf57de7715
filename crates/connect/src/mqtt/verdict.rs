//! What a server's reason codes mean for an operator: which remedy, in which words.

use tidegate_model::names::HostPort;
use tidegate_mqtt::{ConnAck, Disconnect, ReasonCode};

use crate::failure::Failure;

/// A CONNACK that is no success.
pub(super) fn connect_refused(to: &HostPort, client_id: &str, ack: &ConnAck) -> Failure {
    let said = said(ack.reason, ack.reason_string.as_deref());
    match ack.reason {
        ReasonCode::UnsupportedProtocolVersion => Failure::Refused(format!(
            "{to} does not speak MQTT v5 ({said}), which data flows need; use a broker that does"
        )),
        ReasonCode::ClientIdentifierNotValid => Failure::Refused(format!(
            "{to} does not accept the client identifier `{client_id}` ({said}); change `clientIdPrefix` or the rules \
             of the broker"
        )),
        ReasonCode::BadUserNameOrPassword => Failure::Refused(format!(
            "{to} did not accept the credentials ({said}); an MQTT endpoint has no user name and password: use \
             X509Certificate, or let the broker accept this client without"
        )),
        ReasonCode::NotAuthorized | ReasonCode::Banned => Failure::Refused(format!(
            "{to} does not let the client `{client_id}` in ({said}); give it the right to connect, or check \
             `authentication`"
        )),
        ReasonCode::BadAuthenticationMethod => Failure::Refused(format!(
            "{to} does not know the authentication method ({said}); choose another in `authentication.method`"
        )),
        ReasonCode::UseAnotherServer | ReasonCode::ServerMoved => {
            let reference = ack.server_reference.as_deref().unwrap_or("one it does not name");
            Failure::Refused(format!("{to} wants another server used ({said}): {reference}; change `host`"))
        }
        // Server unavailable, busy, quota exceeded, rate exceeded and the unspecific ones may pass.
        ReasonCode::ServerUnavailable
        | ReasonCode::ServerBusy
        | ReasonCode::QuotaExceeded
        | ReasonCode::ConnectionRateExceeded
        | ReasonCode::UnspecifiedError
        | ReasonCode::ImplementationSpecificError => {
            Failure::Connection(format!("{to} takes no connection now ({said})"))
        }
        _ => Failure::Refused(format!("{to} refused the connection ({said})")),
    }
}

/// A DISCONNECT from the server.
pub(super) fn disconnected(to: &HostPort, client_id: &str, packet: &Disconnect) -> Failure {
    let said = said(packet.reason, packet.reason_string.as_deref());
    match packet.reason {
        ReasonCode::SessionTakenOver => Failure::Connection(format!(
            "another client connected to {to} as `{client_id}` ({said}); if it is another installation, give this one \
             another `clientIdPrefix`"
        )),
        ReasonCode::NotAuthorized | ReasonCode::BadAuthenticationMethod => Failure::Refused(format!(
            "{to} sent the client `{client_id}` away ({said}); check its rights there"
        )),
        ReasonCode::UseAnotherServer | ReasonCode::ServerMoved => {
            let reference = packet.server_reference.as_deref().unwrap_or("one it does not name");
            Failure::Refused(format!("{to} wants another server used ({said}): {reference}; change `host`"))
        }
        ReasonCode::RetainNotSupported => Failure::Refused(format!(
            "{to} takes no retained messages ({said}); set `retain: Never` on the endpoint"
        )),
        ReasonCode::QoSNotSupported => {
            Failure::Refused(format!("{to} does not take this QoS ({said}); set `qos: 0` on the endpoint"))
        }
        _ => Failure::Connection(format!("{to} ended the connection ({said})")),
    }
}

/// A reason code of 0x80 or above in a SUBACK.
pub(super) fn subscribe_refused(
    to: &HostPort,
    filter: &str,
    reason: ReasonCode,
    words: Option<&str>,
) -> Failure {
    let said = said(reason, words);
    match reason {
        ReasonCode::QuotaExceeded
        | ReasonCode::UnspecifiedError
        | ReasonCode::ImplementationSpecificError
        | ReasonCode::PacketIdentifierInUse => {
            Failure::Connection(format!("{to} does not take the subscription `{filter}` now ({said})"))
        }
        ReasonCode::SharedSubscriptionsNotSupported => Failure::Subscription(format!(
            "{to} has no shared subscriptions ({said}), so it does not take `{filter}`; set `instanceCount: 1` in the \
             profile"
        )),
        _ => Failure::Subscription(format!(
            "{to} does not take the subscription `{filter}` ({said}); check the filter and the rights of the client"
        )),
    }
}

/// What a reason code of 0x80 or above in a PUBACK means for its message.
pub(super) enum PublishRefused {
    /// The same message may be taken later.
    Later(Failure),
    /// This message never will be.
    Never(String),
}

/// A PUBACK that is no success, or what a PUBLISH is not even sent for.
pub(super) fn publish_refused(to: &HostPort, topic: &str, reason: ReasonCode) -> PublishRefused {
    let said = said(reason, None);
    match reason {
        ReasonCode::NotAuthorized => PublishRefused::Later(Failure::Refused(format!(
            "{to} does not let this client publish to `{topic}` ({said}); give it the right"
        ))),
        ReasonCode::QoSNotSupported => PublishRefused::Later(Failure::Refused(format!(
            "{to} does not take this QoS ({said}); set `qos: 0` on the endpoint"
        ))),
        ReasonCode::TopicNameInvalid => {
            PublishRefused::Never(format!("{to} does not accept the topic `{topic}` ({said})"))
        }
        ReasonCode::PayloadFormatInvalid => PublishRefused::Never(format!(
            "{to} does not accept the payload, which is not what its Payload Format Indicator says ({said})"
        )),
        ReasonCode::PacketTooLarge => {
            PublishRefused::Never(format!("the message is too large for {to} ({said})"))
        }
        ReasonCode::RetainNotSupported => PublishRefused::Never(format!(
            "{to} takes no retained messages ({said}); set `retain: Never` on the endpoint"
        )),
        _ => PublishRefused::Later(Failure::Connection(format!(
            "{to} did not take a message on `{topic}` ({said})"
        ))),
    }
}

/// MQTT's words for the reason, and the server's own.
fn said(reason: ReasonCode, words: Option<&str>) -> String {
    match words {
        Some(words) => format!("0x{:02X} {reason}: {words}", reason as u8),
        None => format!("0x{:02X} {reason}", reason as u8),
    }
}
