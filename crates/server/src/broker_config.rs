//! From the `Broker` resource to the local broker's own settings.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use tidegate_broker::{
    Anonymous, Authentication, Authorization, AuthorizationRule, BrokerConfig, BrokerResource, Limits,
    Listener, ListenerTls, Method, Principals, Protocol, User,
};
use tidegate_connect::Credentials;
use tidegate_core::Secret;
use tidegate_model::Catalog;
use tidegate_model::broker as model;
use tidegate_model::endpoint::{SecretRef, X509_TLS_KEYS};

/// The namespace that a `Broker`'s references are looked up in.
const NAMESPACE: &str = "azure-iot-operations";

/// The settings, and the listeners that the resource asks for.
///
/// # Errors
/// A sentence that names the Secret or ConfigMap that is missing.
pub(crate) fn broker_config(
    catalog: &Catalog,
    credentials: &dyn Credentials,
) -> Result<(BrokerConfig, Vec<Listener>), String> {
    let Some(broker) = catalog.broker() else { return Ok(Default::default()) };
    let users = broker.users.iter().map(|secret| user(secret, credentials)).collect::<Result<_, _>>()?;
    let listeners = broker.listeners.iter().map(|l| listener(l, credentials)).collect::<Result<_, _>>()?;
    let anonymous = match broker.anonymous {
        model::Anonymous::Loopback => Anonymous::Loopback,
        model::Anonymous::Allowed => Anonymous::Allowed,
        model::Anonymous::Denied => Anonymous::Denied,
    };
    let authorization =
        broker.authorization.as_ref().map(|rules| Authorization { rules: rules.iter().map(rule).collect() });
    let config = BrokerConfig {
        authentication: Authentication { users, anonymous },
        authorization,
        limits: limits(&broker.limits),
    };
    Ok((config, listeners))
}

fn secret(secret: &SecretRef, key: &str, credentials: &dyn Credentials) -> Result<Secret<Vec<u8>>, String> {
    credentials
        .secret(NAMESPACE, &secret.0, key)
        .ok_or_else(|| format!("the Broker's secret `{}` has no key `{key}`, or is not given", secret.0))
}

fn user(reference: &SecretRef, credentials: &dyn Credentials) -> Result<User, String> {
    let username = secret(reference, "username", credentials)?;
    let username = String::from_utf8(username.expose().clone())
        .map_err(|_| format!("`username` of the Broker's secret `{}` is no text", reference.0))?;
    Ok(User { username, password: secret(reference, "password", credentials)? })
}

fn listener(listener: &model::Listener, credentials: &dyn Credentials) -> Result<Listener, String> {
    let tls = listener.tls.as_ref().map(|tls| {
        let [certificate, key] = X509_TLS_KEYS;
        let client_ca = tls.client_ca.as_ref().map(|name| {
            let values = credentials.config_map(NAMESPACE, &name.0);
            values
                .map(|values| values.join("\n").into_bytes())
                .ok_or_else(|| format!("the Broker's ConfigMap `{}` is not given", name.0))
        });
        Ok::<_, String>(ListenerTls {
            certificate_chain: secret(&tls.secret, certificate, credentials)?.expose().clone(),
            private_key: secret(&tls.secret, key, credentials)?,
            client_ca: client_ca.transpose()?,
        })
    });
    let protocol = match listener.protocol {
        model::ListenerProtocol::Mqtt => Protocol::Mqtt,
        model::ListenerProtocol::WebSockets => Protocol::WebSockets { path: listener.path.clone() },
    };
    Ok(Listener { address: listener.address, protocol, tls: tls.transpose()? })
}

fn rule(rule: &model::AuthorizationRule) -> AuthorizationRule {
    let resource = |allowed: &model::Allowed| BrokerResource {
        method: match allowed.method {
            model::BrokerMethod::Connect => Method::Connect,
            model::BrokerMethod::Publish => Method::Publish,
            model::BrokerMethod::Subscribe => Method::Subscribe,
        },
        topics: allowed.topics.clone(),
    };
    AuthorizationRule {
        principals: Principals { client_ids: rule.client_ids.clone(), usernames: rule.usernames.clone() },
        broker_resources: rule.allows.iter().map(resource).collect(),
    }
}

fn limits(given: &model::Limits) -> Limits {
    let default = Limits::default();
    let size = |given: Option<u32>, default: usize| given.map_or(default, |n| n as usize);
    Limits {
        connections_max: size(given.connections_max, default.connections_max),
        packet_bytes_max: given
            .packet_bytes_max
            .and_then(NonZeroU32::new)
            .unwrap_or(default.packet_bytes_max),
        queue_messages_max: size(given.queue_messages_max, default.queue_messages_max),
        queue_bytes_max: size(given.queue_bytes_max, default.queue_bytes_max),
        receive_maximum: given.receive_maximum.and_then(NonZeroU16::new).unwrap_or(default.receive_maximum),
        topic_alias_max: given.topic_alias_max.unwrap_or(default.topic_alias_max),
        session_expiry_max: given
            .session_expiry_seconds_max
            .map(|n| Duration::from_secs(n.into()))
            .or(default.session_expiry_max),
        keep_alive_max: given
            .keep_alive_seconds_max
            .map(|n| Duration::from_secs(n.into()))
            .or(default.keep_alive_max),
        retained_messages_max: size(given.retained_messages_max, default.retained_messages_max),
        subscriptions_per_client_max: size(
            given.subscriptions_per_client_max,
            default.subscriptions_per_client_max,
        ),
        ..default
    }
}
