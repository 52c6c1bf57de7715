//! tidegate's own `Broker` resource: how the local broker listens, whom it lets in, and its limits. AIO has a broker of
//! its own with many more resources; the words here are the same.

use std::net::SocketAddr;

use tidegate_core::Span;

use crate::codes;
use crate::endpoint::{ConfigMapRef, Reference, Referent, SecretRef, X509_TLS_KEYS};
use crate::field::{Read, TEXT, choice, object, text};
use crate::names::ObjectName;
use crate::node::Node;
use crate::problems::{Problems, error};
use crate::topic::TopicFilter;
use crate::value::{Filled, Int, Raw, Spanned};

/// The local broker's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broker {
    /// `listeners`; none leaves the built-in one.
    pub listeners: Vec<Listener>,
    /// `authentication.users`: Secrets with keys `username` and `password`.
    pub users: Vec<SecretRef>,
    /// `authentication.anonymous`.
    pub anonymous: Anonymous,
    /// `authorization.rules`; `None` allows everything to whoever got in.
    pub authorization: Option<Vec<AuthorizationRule>>,
    /// `limits`.
    pub limits: Limits,
}

/// One of `listeners`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `address`.
    pub address: SocketAddr,
    /// `protocol`.
    pub protocol: ListenerProtocol,
    /// `path` of WebSockets, starting with `/`; default `/mqtt`.
    pub path: String,
    /// `tls`; `None` is plain text.
    pub tls: Option<ListenerTls>,
}

/// `protocol` of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum ListenerProtocol {
    #[default]
    Mqtt,
    WebSockets,
}
choice!(ListenerProtocol { Mqtt, WebSockets });

/// `tls` of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// The server's certificate and key, keys `tls.crt` and `tls.key`.
    pub secret: SecretRef,
    /// The authorities of client certificates; with it a verified certificate's common name is the user name.
    pub client_ca: Option<ConfigMapRef>,
}

/// `authentication.anonymous`: who gets in without a user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// Whoever comes from this machine.
    #[default]
    Loopback,
    /// Everybody.
    Allowed,
    /// Nobody.
    Denied,
}
choice!(Anonymous { Loopback, Allowed, Denied });

/// One of `authorization.rules`: what some clients may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationRule {
    /// `principals.clientIds`; empty matches every client id.
    pub client_ids: Vec<String>,
    /// `principals.usernames`; empty matches every user.
    pub usernames: Vec<String>,
    /// `brokerResources`.
    pub allows: Vec<Allowed>,
}

/// One of `brokerResources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// `method`.
    pub method: BrokerMethod,
    /// `topics`: filters in which `{principal.clientId}` and `{principal.username}` stand for the client's own. Empty
    /// for `Connect`.
    pub topics: Vec<String>,
}

/// `method` of a broker resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum BrokerMethod {
    Connect,
    Publish,
    Subscribe,
}
choice!(BrokerMethod { Connect, Publish, Subscribe });

object! {
    /// A `Broker`.
    pub(crate) struct BrokerFields {
        /// Where it listens, beside what the command line says.
        listeners "listeners": optional Vec<ListenerFields>;
        /// Whom it lets in.
        authentication "authentication": optional BrokerAuthenticationFields;
        /// What they may do.
        authorization "authorization": optional AuthorizationFields;
        /// What it bears.
        limits "limits": optional LimitFields;
    }
}

object! {
    /// One of `listeners`.
    pub(crate) struct ListenerFields {
        /// Address and port, such as `0.0.0.0:8883`.
        address "address": required Address;
        /// Whether MQTT comes over TCP or over WebSockets.
        protocol "protocol": default ListenerProtocol = ListenerProtocol::Mqtt;
        /// The path of WebSockets; `/mqtt` without it.
        path "path": optional Raw;
        /// Encryption; without it the listener speaks plain text.
        tls "tls": optional ListenerTlsFields;
    }
}

object! {
    /// `tls` of a listener.
    pub(crate) struct ListenerTlsFields {
        /// The Secret with `tls.crt` and `tls.key`.
        secret "secretRef": required Spanned<ObjectName>;
        /// The ConfigMap with the authorities of client certificates.
        client_ca "clientCaConfigMapRef": optional Spanned<ObjectName>;
    }
}

object! {
    /// `authentication`.
    pub(crate) struct BrokerAuthenticationFields {
        /// Users.
        users "users": optional Vec<UserFields>;
        /// Who gets in without a user name.
        anonymous "anonymous": default Anonymous = Anonymous::Loopback;
    }
}

object! {
    /// One of `users`.
    pub(crate) struct UserFields {
        /// The Secret with `username` and `password`.
        secret "secretRef": required Spanned<ObjectName>;
    }
}

object! {
    /// `authorization`.
    pub(crate) struct AuthorizationFields {
        /// What is allowed; everything else is not.
        rules "rules": required Vec<RuleFields>;
    }
}

object! {
    /// One of `rules`.
    pub(crate) struct RuleFields {
        /// Who; without it everybody.
        principals "principals": optional PrincipalFields;
        /// What they may do.
        broker_resources "brokerResources": required Vec<BrokerResourceFields>;
    }
}

object! {
    /// `principals`.
    pub(crate) struct PrincipalFields {
        /// Client ids.
        client_ids "clientIds": optional Vec<Filled>;
        /// User names.
        usernames "usernames": optional Vec<Filled>;
    }
}

object! {
    /// One of `brokerResources`.
    pub(crate) struct BrokerResourceFields {
        /// What is done.
        method "method": required BrokerMethod;
        /// Topic filters, with `{principal.clientId}` and `{principal.username}`.
        topics "topics": depends Vec<Filled>;
    }
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $field:ident $wire:literal: $Type:ident from $MIN:literal;)*) => {
        object! {
            /// `limits`.
            pub(crate) struct LimitFields {
                $($(#[doc = $doc])+ $field $wire: optional Int<$MIN, { $Type::MAX as i64 }>;)*
            }
        }

        /// `limits`; `None` where the broker's own default holds.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $field: Option<$Type>,)*
        }

        impl From<LimitFields> for Limits {
            fn from(fields: LimitFields) -> Self {
                Self { $($field: fields.$field.map(Int::to),)* }
            }
        }
    };
}

limits! {
    /// Connections at a time.
    connections_max "connectionsMax": u32 from 1;
    /// The size of a packet.
    packet_bytes_max "packetBytesMax": u32 from 1;
    /// Messages that wait for one session.
    queue_messages_max "queueMessagesMax": u32 from 1;
    /// Bytes that wait for one session.
    queue_bytes_max "queueBytesMax": u32 from 1;
    /// Unacknowledged publishes of one client.
    receive_maximum "receiveMaximum": u16 from 1;
    /// Topic aliases of one client.
    topic_alias_max "topicAliasMax": u16 from 0;
    /// How long a session may outlive its connection, in seconds.
    session_expiry_seconds_max "sessionExpirySecondsMax": u32 from 0;
    /// The longest keep alive that is granted, in seconds.
    keep_alive_seconds_max "keepAliveSecondsMax": u16 from 1;
    /// Retained messages.
    retained_messages_max "retainedMessagesMax": u32 from 0;
    /// Subscriptions of one client.
    subscriptions_per_client_max "subscriptionsPerClientMax": u32 from 1;
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Address(SocketAddr);

impl Read for Address {
    fn wants() -> String {
        "an address and a port".into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        let text = text(node, TEXT, problems)?;
        match text.as_str().parse() {
            Ok(address) => Some(Self(address)),
            Err(_) => {
                let message = format!("`{}` is not `<address>:<port>`", text.as_str());
                let problem = error(codes::BAD_LISTENER, text.span(), message);
                problems
                    .push(problem.help("write `127.0.0.1:1883` for this machine, `0.0.0.0:8883` for all"));
                None
            }
        }
    }
}

const USER_KEYS: &[&[&str]] = &[&["username", "password"]];
const SERVER_KEYS: &[&[&str]] = &[&X509_TLS_KEYS];

/// Reads the settings; gives with them the Secrets and ConfigMaps they need.
pub(crate) fn parse(fields: BrokerFields, problems: &mut Problems) -> (Broker, Vec<Reference>) {
    let mut references = Vec::new();
    let (users, anonymous) = match fields.authentication {
        Some(a) => (a.users.unwrap_or_default(), a.anonymous),
        None => (vec![], Anonymous::default()),
    };
    let rules = fields.authorization.and_then(|a| a.rules);
    let listeners = fields.listeners.unwrap_or_default();
    let broker = Broker {
        listeners: listeners.into_iter().filter_map(|l| listener(l, &mut references, problems)).collect(),
        users: users
            .into_iter()
            .filter_map(|u| Some(SecretRef(refer(u.secret?, Referent::Secret(USER_KEYS), &mut references))))
            .collect(),
        anonymous,
        authorization: rules.map(|rules| rules.into_iter().map(|r| rule(r, problems)).collect()),
        limits: fields.limits.map_or_else(Limits::default, Limits::from),
    };
    (broker, references)
}

/// Takes note of what is needed; gives its name.
fn refer(name: Spanned<ObjectName>, to: Referent, references: &mut Vec<Reference>) -> String {
    let text = name.value.as_str().to_owned();
    references.push(Reference { to, name: text.clone(), at: name.span });
    text
}

fn listener(
    fields: ListenerFields,
    references: &mut Vec<Reference>,
    problems: &mut Problems,
) -> Option<Listener> {
    if let Some(Raw(path)) = &fields.path {
        if fields.protocol != ListenerProtocol::WebSockets {
            let problem =
                error(codes::BAD_LISTENER, path.span(), "only a listener for WebSockets has a path");
            problems.push(problem.help("write `protocol: WebSockets`, or leave the path out"));
        } else if !path.as_str().starts_with('/') {
            problems.push(error(codes::BAD_LISTENER, path.span(), "a path starts with `/`"));
        }
    }
    let tls = fields.tls.and_then(|tls| {
        Some(ListenerTls {
            secret: SecretRef(refer(tls.secret?, Referent::Secret(SERVER_KEYS), references)),
            client_ca: tls.client_ca.map(|name| ConfigMapRef(refer(name, Referent::ConfigMap, references))),
        })
    });
    Some(Listener {
        address: fields.address?.0,
        protocol: fields.protocol,
        path: fields.path.map_or_else(|| "/mqtt".into(), |Raw(path)| path.as_str().to_owned()),
        tls,
    })
}

fn rule(fields: RuleFields, problems: &mut Problems) -> AuthorizationRule {
    let names = |list: Option<Vec<Filled>>| -> Vec<String> {
        list.unwrap_or_default().into_iter().map(|n| n.0.as_str().to_owned()).collect()
    };
    let (client_ids, usernames) =
        fields.principals.map_or_else(Default::default, |p| (names(p.client_ids), names(p.usernames)));
    let allows = fields.broker_resources.unwrap_or_default();
    AuthorizationRule {
        client_ids,
        usernames,
        allows: allows.into_iter().filter_map(|a| allowed(a, problems)).collect(),
    }
}

fn allowed(fields: BrokerResourceFields, problems: &mut Problems) -> Option<Allowed> {
    let method = fields.method?;
    let topics = fields.topics.unwrap_or_default();
    if topics.is_empty() && method != BrokerMethod::Connect && !fields.flawed {
        let problem = error(codes::MISSING_FIELD, fields.at, format!("{method:?} needs `topics`"));
        problems.push(problem.help("list topic filters; `#` is every topic"));
    }
    for Filled(topic) in &topics {
        // Whatever a client is called, it fills part of a level.
        let filled = topic.as_str().replace("{principal.clientId}", "x").replace("{principal.username}", "x");
        if let Err(e) = TopicFilter::parse(&filled) {
            problems.push(error(codes::BAD_TOPIC_FILTER, topic.span(), e.message));
        }
    }
    Some(Allowed { method, topics: topics.into_iter().map(|t| t.0.as_str().to_owned()).collect() })
}
