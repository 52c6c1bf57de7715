//! What a listener needs for TLS: certificate, key, the authority of client certificates, and a client's name.

use std::sync::Arc;

use bytestring::ByteString;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tidegate_core::Secret;
use x509_parser::prelude::{FromDer, X509Certificate};

/// TLS for a listener, everything in PEM.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    /// The server's certificate, followed by those of intermediate authorities.
    pub certificate_chain: Vec<u8>,
    /// Its private key.
    pub private_key: Secret<Vec<u8>>,
    /// The authorities that client certificates must come from. Clients may still come without one; whether that gets
    /// them in is [`Authentication`](crate::Authentication)'s to say. `None` ignores client certificates.
    pub client_ca: Option<Vec<u8>>,
}

impl ListenerTls {
    /// The configuration of the TLS library; the error is a sentence.
    pub(crate) fn parse(&self) -> Result<Arc<ServerConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates(&self.certificate_chain, "server certificate")?;
        let key = PrivateKeyDer::from_pem_slice(self.private_key.expose())
            .map_err(|error| format!("the private key can't be read: {error}"))?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem, "client CA certificate")? {
                    roots
                        .add(certificate)
                        .map_err(|error| format!("the client CA is no authority: {error}"))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| format!("the client CA can't be used: {error}"))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder
            .with_single_cert(chain, key)
            .map_err(|error| format!("certificate and private key don't go together: {error}"))?;
        Ok(Arc::new(config))
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the {what} can't be read: {error}"))?;
    if certificates.is_empty() { Err(format!("the {what} is missing")) } else { Ok(certificates) }
}

/// The common name of a certificate's subject.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Option<ByteString> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.into())
}
