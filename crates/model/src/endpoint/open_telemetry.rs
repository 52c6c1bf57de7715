//! Endpoints of type `OpenTelemetry`.

use crate::codes;
use crate::endpoint::authentication::{self, Authentication, AuthenticationFields, Tls, TlsFields};
use crate::endpoint::storage::{Batching, BatchingFields};
use crate::endpoint::{EndpointType, Surroundings};
use crate::field::object;
use crate::problems::{Problems, warning};
use crate::value::Filled;

/// `openTelemetrySettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTelemetry {
    /// `host`, with or without a scheme, as written.
    pub host: String,
    /// `authentication`.
    pub authentication: Authentication,
    /// `batching`.
    pub batching: Batching,
    /// `tls`.
    pub tls: Tls,
}

object! {
    /// `openTelemetrySettings`.
    pub(crate) struct OpenTelemetryFields {
        /// The collector, `<host>:<port>` with or without `http://` or `https://`.
        host "host": required Filled;
        /// How to log in.
        authentication "authentication": depends AuthenticationFields;
        /// When messages are sent; without it the defaults inside it hold.
        batching "batching": optional BatchingFields;
        /// Encryption. Left out, the connection is encrypted.
        tls "tls": optional TlsFields;
    }
}

pub(super) fn parse(
    fields: OpenTelemetryFields,
    with: &mut Surroundings,
    problems: &mut Problems,
) -> Option<OpenTelemetry> {
    let (tls, off_at) = authentication::tls(fields.tls, with, problems);
    let login = authentication::authentication(
        fields.authentication,
        EndpointType::OpenTelemetry,
        false,
        fields.at,
        with,
        problems,
    );
    if let (Some(off_at), Some((Authentication::X509Certificate { .. }, _))) = (off_at, &login) {
        let message =
            "a client certificate is shown in the TLS handshake, and TLS is off: nobody will see it";
        problems.push(warning(codes::CERTIFICATE_WITHOUT_TLS, off_at, message).help("write `Enabled`"));
    }
    let host = fields.host?.0.as_str().to_owned();
    Some(OpenTelemetry { host, authentication: login?.0, batching: fields.batching.into(), tls })
}
