//! `authentication` and `tls`, which the endpoint types share.

use tidegate_core::Span;

use crate::codes;
use crate::endpoint::{EndpointType, Surroundings};
use crate::field::{all_of, choice, object, one_of, settings_key};
use crate::names::ObjectName;
use crate::problems::{Problems, error, warning};
use crate::value::{Filled, Given, Spanned};

/// `tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Plain text.
    Disabled,
    /// TLS; the server is checked against the PEM certificates of this ConfigMap, or the public trust store.
    Enabled {
        /// `trustedCaCertificateConfigMapRef`.
        trusted_ca: Option<ConfigMapRef>,
    },
}

/// The name of a ConfigMap in the resource's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfigMapRef(pub String);

/// The name of a Secret in the resource's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretRef(pub String);

/// `authentication`: the method with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Secret keys: see [`X509_KEYS`] and [`X509_TLS_KEYS`].
    X509Certificate {
        /// The Secret with certificate and key.
        secret: SecretRef,
    },
    /// A Kubernetes service account token, sent by MQTT v5 enhanced authentication (`K8S-SAT`).
    ServiceAccountToken {
        /// Audience of the token.
        audience: String,
    },
    /// The identity of the machine.
    SystemAssignedManagedIdentity {
        /// Overrides the audience that follows from the host.
        audience: Option<String>,
    },
    /// A named identity.
    UserAssignedManagedIdentity {
        /// Application id.
        client_id: String,
        /// Tenant id.
        tenant_id: String,
        /// Overrides the default scope.
        scope: Option<String>,
    },
    /// Kafka SASL; Secret keys `username` and `password`, or `token`.
    Sasl {
        /// Mechanism.
        sasl_type: SaslType,
        /// The Secret.
        secret: SecretRef,
    },
    /// A shared access signature; Secret key `accessToken`.
    AccessToken {
        /// The Secret.
        secret: SecretRef,
    },
    /// No credentials.
    Anonymous,
}

/// Secret keys of an MQTT client certificate: certificate, key, optional intermediates, all PEM.
pub const X509_KEYS: [&str; 3] = ["client_cert.pem", "client_key.pem", "client_intermediate_certs.pem"];
/// The same in a `kubernetes.io/tls` Secret.
pub const X509_TLS_KEYS: [&str; 2] = ["tls.crt", "tls.key"];

/// `saslType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are AIO's")]
pub enum SaslType {
    Plain,
    ScramSha256,
    ScramSha512,
}
choice!(SaslType { Plain, ScramSha256, ScramSha512 });

/// `method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    ServiceAccountToken,
    X509Certificate,
    SystemAssignedManagedIdentity,
    UserAssignedManagedIdentity,
    Sasl,
    AccessToken,
    Anonymous,
}
choice!(Method {
    ServiceAccountToken, X509Certificate, SystemAssignedManagedIdentity, UserAssignedManagedIdentity, Sasl, AccessToken,
    Anonymous
} "Kubernetes" => ServiceAccountToken);

/// `Enabled` or `Disabled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    Enabled,
    Disabled,
}
choice!(Switch { Enabled, Disabled });

object! {
    /// `tls`.
    pub(crate) struct TlsFields {
        /// Whether the connection is encrypted.
        mode "mode": default Given<Switch> = Switch::Enabled;
        /// The ConfigMap with the PEM certificates that the server is checked against; the public trust store without it.
        trusted_ca "trustedCaCertificateConfigMapRef" | "trustedCaCertificateConfigMap": optional Spanned<ObjectName>;
    }
}

object! {
    /// `authentication`.
    pub(crate) struct AuthenticationFields {
        /// How to log in. Which methods there are depends on the endpoint type and the host.
        method "method": required Spanned<Method>;
        /// Settings of method `ServiceAccountToken`.
        service_account_token "serviceAccountTokenSettings": optional ServiceAccountTokenFields;
        /// Settings of method `X509Certificate`.
        x509_certificate "x509CertificateSettings" | "x509CredentialsSettings": optional X509CertificateFields;
        /// Settings of method `SystemAssignedManagedIdentity`.
        system_assigned "systemAssignedManagedIdentitySettings": optional SystemAssignedFields;
        /// Settings of method `UserAssignedManagedIdentity`.
        user_assigned "userAssignedManagedIdentitySettings" | "UserAssignedManagedIdentitySettings": optional UserAssignedFields;
        /// Settings of method `Sasl`.
        sasl "saslSettings": optional SaslFields;
        /// Settings of method `AccessToken`.
        access_token "accessTokenSettings": optional AccessTokenFields;
        /// Settings of method `Anonymous`.
        anonymous "anonymousSettings": optional AnonymousFields;
    }
}

object! {
    /// `serviceAccountTokenSettings`.
    pub(crate) struct ServiceAccountTokenFields {
        /// The audience of the token; the local broker's is `aio-internal` unless another is written.
        audience "audience": depends Filled;
    }
}

object! {
    /// `x509CertificateSettings`.
    pub(crate) struct X509CertificateFields {
        /// The Secret with `client_cert.pem` and `client_key.pem`, or `tls.crt` and `tls.key`.
        secret "secretRef" | "certificateSecretName": required Spanned<ObjectName>;
    }
}

object! {
    /// `systemAssignedManagedIdentitySettings`.
    pub(crate) struct SystemAssignedFields {
        /// Overrides the audience that follows from the host.
        audience "audience": optional Filled;
    }
}

object! {
    /// `userAssignedManagedIdentitySettings`.
    pub(crate) struct UserAssignedFields {
        /// Client (application) id.
        client_id "clientId": required Filled;
        /// Tenant id.
        tenant_id "tenantId": required Filled;
        /// Overrides the default scope; of the form `<resource>/.default`.
        scope "scope": optional Filled;
    }
}

object! {
    /// `saslSettings`.
    pub(crate) struct SaslFields {
        /// The SASL mechanism.
        sasl_type "saslType": required SaslType;
        /// The Secret with `username` and `password`, or with `token`.
        secret "secretRef" | "tokenSecretName": required Spanned<ObjectName>;
    }
}

object! {
    /// `accessTokenSettings`.
    pub(crate) struct AccessTokenFields {
        /// The Secret with `accessToken`, a shared access signature without a leading `?`.
        secret "secretRef" | "tokenSecretName": required Spanned<ObjectName>;
    }
}

object! {
    /// `anonymousSettings`, an object without fields.
    pub(crate) struct AnonymousFields {}
}

/// A Secret or ConfigMap that an endpoint needs.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) to: Referent,
    pub(crate) name: String,
    pub(crate) at: Span,
}

/// What a [`Reference`] points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Referent {
    ConfigMap,
    /// A Secret with all keys of one of these sets.
    Secret(&'static [&'static [&'static str]]),
}

const CERTIFICATE_KEYS: &[&[&str]] = &[&[X509_KEYS[0], X509_KEYS[1]], &X509_TLS_KEYS];
const SASL_KEYS: &[&[&str]] = &[&["username", "password"], &["token"]];
const ACCESS_TOKEN_KEYS: &[&[&str]] = &[&["accessToken"]];

/// Reads `tls`; absent means enabled. Gives with it where TLS is switched off.
pub(super) fn tls(
    fields: Option<TlsFields>,
    with: &mut Surroundings,
    problems: &mut Problems,
) -> (Tls, Option<Span>) {
    let Some(TlsFields { at, mode, trusted_ca, .. }) = fields else {
        return (Tls::Enabled { trusted_ca: None }, None);
    };
    match mode.value {
        Switch::Enabled => {
            let trusted_ca = trusted_ca.map(|ca| {
                let name = ca.value.as_str().to_owned();
                with.references.push(Reference { to: Referent::ConfigMap, name: name.clone(), at: ca.span });
                ConfigMapRef(name)
            });
            (Tls::Enabled { trusted_ca }, None)
        }
        Switch::Disabled => {
            let off_at = mode.span.unwrap_or(at);
            if let Some(ca) = trusted_ca {
                let message = "without TLS no certificate is checked";
                problems.push(warning(codes::NO_EFFECT, ca.span, message).label(off_at, "TLS is off"));
            }
            (Tls::Disabled, Some(off_at))
        }
    }
}

/// The ways to log in that an endpoint type has; some hosts take fewer.
pub(crate) fn offered(endpoint_type: EndpointType) -> &'static [Method] {
    use Method::{
        AccessToken, Anonymous, Sasl, ServiceAccountToken, SystemAssignedManagedIdentity,
        UserAssignedManagedIdentity, X509Certificate,
    };
    match endpoint_type {
        EndpointType::Mqtt => &[
            ServiceAccountToken,
            X509Certificate,
            SystemAssignedManagedIdentity,
            UserAssignedManagedIdentity,
            Anonymous,
        ],
        EndpointType::Kafka => {
            &[X509Certificate, SystemAssignedManagedIdentity, UserAssignedManagedIdentity, Sasl, Anonymous]
        }
        EndpointType::DataLakeStorage => {
            &[SystemAssignedManagedIdentity, UserAssignedManagedIdentity, AccessToken]
        }
        EndpointType::FabricOneLake | EndpointType::DataExplorer => {
            &[SystemAssignedManagedIdentity, UserAssignedManagedIdentity]
        }
        EndpointType::OpenTelemetry => &[ServiceAccountToken, X509Certificate, Anonymous],
        EndpointType::LocalStorage => &[],
    }
}

/// Reads `authentication` of the settings block at `block_at`; what is given with it is where the method stands.
/// `local_broker` allows a service account token without an audience.
pub(super) fn authentication(
    fields: Option<AuthenticationFields>,
    endpoint_type: EndpointType,
    local_broker: bool,
    block_at: Span,
    with: &mut Surroundings,
    problems: &mut Problems,
) -> Option<(Authentication, Spanned<Method>)> {
    let offered = offered(endpoint_type);
    let names: Vec<String> = offered.iter().map(|m| format!("{m:?}")).collect();
    let legacy = with.authentication.take();
    if let (None, Some(legacy)) = (&fields, &legacy) {
        let message = "`authentication` stands in the settings block since v1";
        problems.push(warning(codes::LEGACY, legacy.at, message).help("move it into the settings block"));
    }
    let Some(fields) = fields.or(legacy) else {
        let problem = error(codes::MISSING_FIELD, block_at, "`authentication` is missing");
        problems.push(problem.help(format!("write `authentication:` with a `method`, {}", one_of(&names))));
        return None;
    };
    let method = fields.method.clone()?;
    if !offered.contains(&method.value) {
        let message = format!("an endpoint of type {endpoint_type:?} offers no {:?}", method.value);
        let problem = error(codes::METHOD_NOT_OFFERED, method.span, message);
        problems.push(problem.help(format!("there is {}", all_of(&names))));
        return None;
    }
    check_settings(&fields, &method, endpoint_type, problems);
    let mut secret = |reference: Option<Spanned<ObjectName>>, keys| {
        let reference = reference?;
        let name = reference.value.as_str().to_owned();
        with.references.push(Reference {
            to: Referent::Secret(keys),
            name: name.clone(),
            at: reference.span,
        });
        Some(SecretRef(name))
    };
    let text = |filled: Option<Filled>| filled.map(|f| f.0.as_str().to_owned());
    let read = match method.value {
        Method::ServiceAccountToken => {
            let settings = fields.service_account_token;
            let (at, flawed) = settings.as_ref().map_or((method.span, fields.flawed), |s| (s.at, s.flawed));
            let audience = text(settings.and_then(|s| s.audience));
            let default = local_broker.then(|| LOCAL_AUDIENCE.to_owned());
            if audience.is_none() && default.is_none() && !flawed {
                let problem = error(codes::MISSING_FIELD, at, "`audience` is missing");
                problems
                    .push(problem.help("only the local broker has an audience of its own, `aio-internal`"));
            }
            Authentication::ServiceAccountToken { audience: audience.or(default)? }
        }
        Method::X509Certificate => Authentication::X509Certificate {
            secret: secret(fields.x509_certificate?.secret, CERTIFICATE_KEYS)?,
        },
        Method::SystemAssignedManagedIdentity => Authentication::SystemAssignedManagedIdentity {
            audience: text(fields.system_assigned.and_then(|s| s.audience)),
        },
        Method::UserAssignedManagedIdentity => {
            let settings = fields.user_assigned?;
            Authentication::UserAssignedManagedIdentity {
                client_id: text(settings.client_id)?,
                tenant_id: text(settings.tenant_id)?,
                scope: text(settings.scope),
            }
        }
        Method::Sasl => {
            let settings = fields.sasl?;
            let secret = secret(settings.secret, SASL_KEYS)?;
            Authentication::Sasl { sasl_type: settings.sasl_type?, secret }
        }
        Method::AccessToken => {
            Authentication::AccessToken { secret: secret(fields.access_token?.secret, ACCESS_TOKEN_KEYS)? }
        }
        Method::Anonymous => Authentication::Anonymous,
    };
    Some((read, method))
}

/// The audience of the local broker's service account tokens.
pub(super) const LOCAL_AUDIENCE: &str = "aio-internal";

/// The settings object of the method must be there if it has required fields, and no other may be.
fn check_settings(
    fields: &AuthenticationFields,
    method: &Spanned<Method>,
    endpoint_type: EndpointType,
    problems: &mut Problems,
) {
    let settings = [
        (Method::ServiceAccountToken, fields.service_account_token.as_ref().map(|s| s.at)),
        (Method::X509Certificate, fields.x509_certificate.as_ref().map(|s| s.at)),
        (Method::SystemAssignedManagedIdentity, fields.system_assigned.as_ref().map(|s| s.at)),
        (Method::UserAssignedManagedIdentity, fields.user_assigned.as_ref().map(|s| s.at)),
        (Method::Sasl, fields.sasl.as_ref().map(|s| s.at)),
        (Method::AccessToken, fields.access_token.as_ref().map(|s| s.at)),
        (Method::Anonymous, fields.anonymous.as_ref().map(|s| s.at)),
    ];
    let needed = match method.value {
        Method::X509Certificate
        | Method::UserAssignedManagedIdentity
        | Method::Sasl
        | Method::AccessToken => true,
        // The audience is asked for where there is no default, so only OpenTelemetry insists on the object itself.
        _ => endpoint_type == EndpointType::OpenTelemetry,
    };
    for (of, at) in settings {
        let name = settings_key(of);
        match at {
            None if of == method.value && needed && !fields.flawed => {
                let message = format!("method {of:?} needs `{name}`");
                problems.push(error(codes::METHOD_SETTINGS_MISSING, method.span, message));
            }
            Some(at) if of != method.value => {
                let message = format!("`{name}` doesn't belong to method {:?}", method.value);
                let problem =
                    error(codes::SEVERAL_METHOD_SETTINGS, at, message).label(method.span, "the method");
                problems.push(problem.help("keep the settings of one method only"));
            }
            _ => {}
        }
    }
}
