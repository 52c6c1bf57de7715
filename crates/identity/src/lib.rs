//! Bearer tokens, from wherever this process may get them: service account tokens from a mounted file, tokens of Entra
//! ID for managed and workload identities. Shared by all endpoints that need one; knows no endpoint and no data flow.
//!
//! Which of Azure's token services is there is read from the environment once, by the rules of Microsoft's own client
//! libraries (`azure-identity`), so that what works with those works here:
//!
//! 1. `IDENTITY_ENDPOINT` with `IDENTITY_HEADER`: App Service and Container Apps.
//! 2. `IDENTITY_ENDPOINT` with `IMDS_ENDPOINT`: the agent of Azure Arc.
//! 3. `AZURE_POD_IDENTITY_AUTHORITY_HOST`: the Instance Metadata Service (IMDS), there.
//! 4. The agent of Azure Arc, if it is installed: services do not see what it sets for shells.
//! 5. IMDS at its address in every Azure virtual machine.
//!
//! `AZURE_FEDERATED_TOKEN_FILE` is workload identity: it comes before all these for user-assigned identities, and before
//! the last two for the system-assigned one, if `AZURE_CLIENT_ID` and `AZURE_TENANT_ID` say who that is.

mod ambient;
mod http;
mod request;
mod surroundings;

use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::Secret;

pub use self::ambient::AmbientTokens;
pub use self::http::{http_agent, unanswered};
pub use self::surroundings::{MetadataService, SERVICE_ACCOUNT_TOKEN_PATH, Surroundings, WorkloadIdentity};

/// Where short-lived bearer tokens come from.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// A token for `identity` that is valid now.
    ///
    /// # Errors
    /// [`TokenError`], sorted by what helps.
    async fn token(&self, identity: &Identity) -> Result<Token, TokenError>;
}

/// Whom a token is to speak for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The Kubernetes service account of the process.
    ServiceAccount {
        /// Audience of the token.
        audience: String,
    },
    /// The identity of the machine.
    SystemAssigned {
        /// Audience of the token.
        audience: String,
    },
    /// A named identity.
    UserAssigned {
        /// Application id.
        client_id: String,
        /// Tenant id.
        tenant_id: String,
        /// Scope of the token, `<audience>/.default`.
        scope: String,
    },
}

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What goes over the wire.
    pub value: Secret<Vec<u8>>,
    /// How long from now until it is time to ask again, which is well before it ends.
    pub renew_after: Duration,
}

/// Why there is no token, as a sentence that says what is missing and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Trying again may help.
    #[error("{0}")]
    Unavailable(String),
    /// Only a change of configuration or rights helps.
    #[error("{0}")]
    Refused(String),
}
