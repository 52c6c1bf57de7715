//! TLS settings from PEM texts, the handshake, and what TLS errors mean for an operator.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tidegate_model::names::HostPort;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ByteStream;
use crate::failure::Failure;

/// A client certificate with its chain, and its key.
pub(crate) struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientCertificate {
    /// From PEM texts; `name` says in errors where they come from.
    pub(crate) fn parse(
        name: &str,
        certificate: &[u8],
        key: &[u8],
        intermediates: Option<&[u8]>,
    ) -> Result<Self, Failure> {
        let mut chain = parse_certificates(certificate).map_err(|e| {
            Failure::Configuration(format!("the certificate in {name} is not valid PEM: {e}"))
        })?;
        if chain.is_empty() {
            return Err(Failure::Configuration(format!("there is no PEM certificate in {name}")));
        }
        if let Some(intermediates) = intermediates {
            chain.extend(parse_certificates(intermediates).map_err(|e| {
                Failure::Configuration(format!("an intermediate certificate in {name} is not valid PEM: {e}"))
            })?);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| match e {
            pem::Error::NoItemsFound => Failure::Configuration(format!(
                "there is no PEM private key in {name}, or it is protected by a password, which is not supported"
            )),
            e => Failure::Configuration(format!("the private key in {name} is not valid PEM: {e}")),
        })?;
        Ok(Self { chain, key })
    }
}

fn parse_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(pem).collect()
}

/// The CAs a server's certificate may come from.
pub(crate) struct TrustedCa {
    roots: RootCertStore,
}

impl TrustedCa {
    /// From PEM texts; `name` says in errors where they come from.
    pub(crate) fn parse(name: &str, texts: &[String]) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        for text in texts {
            let certificates = parse_certificates(text.as_bytes()).map_err(|e| {
                Failure::Configuration(format!("a certificate in {name} is not valid PEM: {e}"))
            })?;
            for certificate in certificates {
                roots.add(certificate).map_err(|e| {
                    Failure::Configuration(format!("a certificate in {name} can't serve as a CA: {e}"))
                })?;
            }
        }
        if roots.is_empty() {
            return Err(Failure::Configuration(format!("there is no PEM certificate in {name}")));
        }
        Ok(Self { roots })
    }
}

/// Settings that check the server against `trusted`, or else against the public trust store and the machine's own.
pub(crate) async fn client_config(
    trusted: Option<TrustedCa>,
    certificate: Option<ClientCertificate>,
) -> Result<Arc<ClientConfig>, Failure> {
    let roots = match trusted {
        Some(TrustedCa { roots }) => roots,
        None => public_roots().await,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default TLS versions")
        .with_root_certificates(roots);
    let config = match certificate {
        None => config.with_no_client_auth(),
        Some(ClientCertificate { chain, key }) => config.with_client_auth_cert(chain, key).map_err(|e| {
            Failure::Configuration(format!("the client certificate and its key can't be used: {e}"))
        })?,
    };
    Ok(Arc::new(config))
}

async fn public_roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // A machine without certificates of its own is common in containers and no trouble.
    if let Ok(native) = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await {
        roots.add_parsable_certificates(native.certs);
    }
    roots
}

/// Makes a TLS connection of `stream`.
pub(super) async fn handshake<S: ByteStream>(
    to: &HostPort,
    config: Arc<ClientConfig>,
    stream: S,
) -> Result<TlsStream<S>, Failure> {
    let name = ServerName::try_from(to.host().to_owned())
        .map_err(|_| Failure::Configuration(format!("`{}` can't be the name of a TLS server", to.host())))?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| {
        failure_in(to, &error).unwrap_or_else(|| {
            Failure::Connection(format!(
                "{to} broke off the TLS handshake ({error}); check that the port expects TLS"
            ))
        })
    })
}

/// What an I/O error means, if TLS is behind it. With TLS 1.3 the server's verdict on the client certificate comes
/// after the handshake, with the first read.
pub(super) fn failure_in(to: &HostPort, error: &io::Error) -> Option<Failure> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match error {
        rustls::Error::InvalidCertificate(error) => Failure::Refused(bad_certificate(to, error)),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => Failure::Refused(format!(
                "{to} wants a client certificate; use the authentication method X509Certificate"
            )),
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => Failure::Refused(format!(
                "{to} did not accept the client certificate (TLS alert {alert:?}); check that its CA is known there \
                 and that it has not expired"
            )),
            alert => Failure::Connection(format!("{to} ended the TLS connection with the alert {alert:?}")),
        },
        rustls::Error::InvalidMessage(_) => Failure::Refused(format!(
            "{to} does not answer in TLS; set `tls.mode: Disabled` or use the server's TLS port"
        )),
        error => Failure::Connection(format!("TLS with {to} failed: {error}")),
    })
}

fn bad_certificate(to: &HostPort, error: &CertificateError) -> String {
    let host = to.host();
    match error {
        CertificateError::UnknownIssuer => format!(
            "the certificate of {to} is not signed by a trusted CA; put the CA's certificate into the ConfigMap that \
             `tls.trustedCaCertificateConfigMapRef` names"
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {to} has expired; have it renewed, or check this machine's clock")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {to} is not valid yet; check this machine's clock")
        }
        CertificateError::NotValidForName => {
            format!("the certificate of {to} is not for the name `{host}`; use a name it is for as the host")
        }
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "the certificate of {to} is for {}, not for `{host}`; use a name it is for as the host",
            if presented.is_empty() { "no name at all".into() } else { presented.join(", ") }
        ),
        CertificateError::Revoked => format!("the certificate of {to} has been revoked"),
        error => format!("the certificate of {to} is not acceptable: {error}"),
    }
}
