//! Reason codes: their numbers, names, and the packets each may stand in (MQTT v5 section 2.4).

use std::fmt;

use crate::PacketType::{self, *};

macro_rules! reason_codes {
    ($($name:ident = $number:literal, $text:literal, $($packet:ident)|+;)*) => {
        /// A v5 reason code (MQTT v5 section 2.4). The return codes of v3.1.1 are mapped to these.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $(#[doc = $text] $name = $number,)*
        }

        impl ReasonCode {
            #[cfg(test)]
            pub(crate) const ALL: &[ReasonCode] = &[$(ReasonCode::$name),*];

            /// The code of its number, if there is one.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(ReasonCode::$name),)*
                    _ => None,
                }
            }

            /// MQTT's name for it. Number 0 has three; this is "Success".
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(ReasonCode::$name => $text,)*
                }
            }

            /// Whether MQTT lets it stand in that packet.
            pub const fn is_valid_in(self, packet: PacketType) -> bool {
                match self {
                    $(ReasonCode::$name => matches!(packet, $($packet)|+),)*
                }
            }
        }
    };
}

reason_codes! {
    Success = 0x00, "Success", ConnAck | PubAck | PubRec | PubRel | PubComp | SubAck | UnsubAck | Disconnect | Auth;
    GrantedQoS1 = 0x01, "Granted QoS 1", SubAck;
    GrantedQoS2 = 0x02, "Granted QoS 2", SubAck;
    DisconnectWithWill = 0x04, "Disconnect with Will Message", Disconnect;
    NoMatchingSubscribers = 0x10, "No matching subscribers", PubAck | PubRec;
    NoSubscriptionExisted = 0x11, "No subscription existed", UnsubAck;
    ContinueAuthentication = 0x18, "Continue authentication", Auth;
    ReAuthenticate = 0x19, "Re-authenticate", Auth;
    UnspecifiedError = 0x80, "Unspecified error", ConnAck | PubAck | PubRec | SubAck | UnsubAck | Disconnect;
    MalformedPacket = 0x81, "Malformed Packet", ConnAck | Disconnect;
    ProtocolError = 0x82, "Protocol Error", ConnAck | Disconnect;
    ImplementationSpecificError = 0x83, "Implementation specific error",
        ConnAck | PubAck | PubRec | SubAck | UnsubAck | Disconnect;
    UnsupportedProtocolVersion = 0x84, "Unsupported Protocol Version", ConnAck;
    ClientIdentifierNotValid = 0x85, "Client Identifier not valid", ConnAck;
    BadUserNameOrPassword = 0x86, "Bad User Name or Password", ConnAck;
    NotAuthorized = 0x87, "Not authorized", ConnAck | PubAck | PubRec | SubAck | UnsubAck | Disconnect;
    ServerUnavailable = 0x88, "Server unavailable", ConnAck;
    ServerBusy = 0x89, "Server busy", ConnAck | Disconnect;
    Banned = 0x8A, "Banned", ConnAck;
    ServerShuttingDown = 0x8B, "Server shutting down", Disconnect;
    BadAuthenticationMethod = 0x8C, "Bad authentication method", ConnAck | Disconnect;
    KeepAliveTimeout = 0x8D, "Keep Alive timeout", Disconnect;
    SessionTakenOver = 0x8E, "Session taken over", Disconnect;
    TopicFilterInvalid = 0x8F, "Topic Filter invalid", SubAck | UnsubAck | Disconnect;
    TopicNameInvalid = 0x90, "Topic Name invalid", ConnAck | PubAck | PubRec | Disconnect;
    PacketIdentifierInUse = 0x91, "Packet Identifier in use", PubAck | PubRec | SubAck | UnsubAck;
    PacketIdentifierNotFound = 0x92, "Packet Identifier not found", PubRel | PubComp;
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded", Disconnect;
    TopicAliasInvalid = 0x94, "Topic Alias invalid", Disconnect;
    PacketTooLarge = 0x95, "Packet too large", ConnAck | Disconnect;
    MessageRateTooHigh = 0x96, "Message rate too high", Disconnect;
    QuotaExceeded = 0x97, "Quota exceeded", ConnAck | PubAck | PubRec | SubAck | Disconnect;
    AdministrativeAction = 0x98, "Administrative action", Disconnect;
    PayloadFormatInvalid = 0x99, "Payload format invalid", ConnAck | PubAck | PubRec | Disconnect;
    RetainNotSupported = 0x9A, "Retain not supported", ConnAck | Disconnect;
    QoSNotSupported = 0x9B, "QoS not supported", ConnAck | Disconnect;
    UseAnotherServer = 0x9C, "Use another server", ConnAck | Disconnect;
    ServerMoved = 0x9D, "Server moved", ConnAck | Disconnect;
    SharedSubscriptionsNotSupported = 0x9E, "Shared Subscriptions not supported", SubAck | Disconnect;
    ConnectionRateExceeded = 0x9F, "Connection rate exceeded", ConnAck | Disconnect;
    MaximumConnectTime = 0xA0, "Maximum connect time", Disconnect;
    SubscriptionIdentifiersNotSupported = 0xA1, "Subscription Identifiers not supported", SubAck | Disconnect;
    WildcardSubscriptionsNotSupported = 0xA2, "Wildcard Subscriptions not supported", SubAck | Disconnect;
}

impl ReasonCode {
    /// Whether it says that something failed: 0x80 and above.
    pub const fn is_failure(self) -> bool {
        self as u8 >= 0x80
    }

    /// The CONNACK return code of v3.1.1 (section 3.2.2.3). None where no code fits: the connection is then closed
    /// without a CONNACK.
    pub const fn v311_return_code(self) -> Option<u8> {
        match self {
            ReasonCode::Success => Some(0),
            ReasonCode::UnsupportedProtocolVersion => Some(1),
            ReasonCode::ClientIdentifierNotValid => Some(2),
            ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::QuotaExceeded
            | ReasonCode::UseAnotherServer
            | ReasonCode::ServerMoved
            | ReasonCode::ConnectionRateExceeded => Some(3),
            ReasonCode::BadUserNameOrPassword => Some(4),
            ReasonCode::NotAuthorized | ReasonCode::Banned => Some(5),
            _ => None,
        }
    }

    /// The reason code a v3.1.1 CONNACK return code stands for.
    pub const fn from_v311_return_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(ReasonCode::Success),
            1 => Some(ReasonCode::UnsupportedProtocolVersion),
            2 => Some(ReasonCode::ClientIdentifierNotValid),
            3 => Some(ReasonCode::ServerUnavailable),
            4 => Some(ReasonCode::BadUserNameOrPassword),
            5 => Some(ReasonCode::NotAuthorized),
            _ => None,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_map_there_and_back() {
        for code in ReasonCode::ALL {
            assert_eq!(ReasonCode::from_number(*code as u8), Some(*code));
        }
        assert_eq!(ReasonCode::from_number(0x03), None);
        assert_eq!(ReasonCode::from_number(0xA3), None);
        assert_eq!(ReasonCode::ALL.len(), 43);
    }

    #[test]
    fn return_codes_of_v311_map_there_and_back() {
        for code in 0..=5 {
            let reason = ReasonCode::from_v311_return_code(code).expect("codes 0 to 5 exist");
            assert_eq!(reason.v311_return_code(), Some(code));
        }
        assert_eq!(ReasonCode::from_v311_return_code(6), None);
        assert_eq!(ReasonCode::ProtocolError.v311_return_code(), None);
    }
}
