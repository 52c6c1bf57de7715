//! What there is around this process that gives tokens.

use std::path::{Path, PathBuf};

use tidegate_core::Secret;

/// Where Kubernetes mounts the projected service account token in AIO's deployments.
pub const SERVICE_ACCOUNT_TOKEN_PATH: &str = "/var/run/secrets/tokens/broker-sat";

/// Entra ID of the public cloud.
const PUBLIC_AUTHORITY: &str = "https://login.microsoftonline.com";

/// The Instance Metadata Service of every Azure virtual machine.
const IMDS: &str = "http://169.254.169.254";
const IMDS_TOKEN_PATH: &str = "/metadata/identity/oauth2/token";

/// The agent of Azure Arc: what it listens on, where it is, where it puts the files that prove who reads them.
const ARC_ENDPOINT: &str = "http://localhost:40342/metadata/identity/oauth2/token";
const ARC_AGENT: &str = "/opt/azcmagent/bin/himds";
const ARC_KEYS: &str = "/var/opt/azcmagent/tokens";

/// Where this process gets which tokens.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The mounted token of the Kubernetes service account.
    pub service_account_token: PathBuf,
    /// Workload identity, if it is configured.
    pub workload: Option<WorkloadIdentity>,
    /// The service that knows the machine's identities.
    pub metadata: MetadataService,
}

/// Tokens of Entra ID in exchange for a token that it trusts, which is kept fresh in a file (Microsoft Entra Workload ID).
#[derive(Clone, Debug)]
pub struct WorkloadIdentity {
    /// `AZURE_FEDERATED_TOKEN_FILE`.
    pub token_file: PathBuf,
    /// `AZURE_AUTHORITY_HOST`.
    pub authority: String,
    /// `AZURE_CLIENT_ID` and `AZURE_TENANT_ID`, the identity where none is named.
    pub default: Option<(String, String)>,
}

/// A service that gives out the tokens of a machine's identities.
#[derive(Clone, Debug)]
pub enum MetadataService {
    /// App Service and Container Apps.
    AppService {
        /// `IDENTITY_ENDPOINT`.
        url: String,
        /// `IDENTITY_HEADER`.
        header: Secret<String>,
    },
    /// The agent of Azure Arc.
    Arc {
        /// `IDENTITY_ENDPOINT`.
        url: String,
        /// The one folder whose files it may ask for.
        keys: PathBuf,
    },
    /// The Instance Metadata Service.
    Imds {
        /// With its path.
        url: String,
        /// Whether somebody said that it is there.
        configured: bool,
    },
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self::read(|name| std::env::var(name).ok(), Path::new(ARC_AGENT).exists())
    }

    /// From environment variables, and whether the agent of Azure Arc is installed. An empty variable is none.
    pub fn read(env: impl Fn(&str) -> Option<String>, arc_installed: bool) -> Self {
        let env = |name: &str| env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let arc = |url| MetadataService::Arc { url, keys: ARC_KEYS.into() };
        let imds = |host: &str, configured| MetadataService::Imds {
            url: format!("{}{IMDS_TOKEN_PATH}", host.trim_end_matches('/')),
            configured,
        };
        let metadata = match (env("IDENTITY_ENDPOINT"), env("IDENTITY_HEADER"), env("IMDS_ENDPOINT")) {
            (Some(url), Some(header), _) => MetadataService::AppService { url, header: Secret::new(header) },
            (Some(url), None, Some(_)) => arc(url),
            _ => match env("AZURE_POD_IDENTITY_AUTHORITY_HOST") {
                Some(host) => imds(&host, true),
                None if arc_installed => arc(ARC_ENDPOINT.to_owned()),
                None => imds(IMDS, false),
            },
        };
        let workload = env("AZURE_FEDERATED_TOKEN_FILE").map(|token_file| WorkloadIdentity {
            token_file: token_file.into(),
            authority: authority(env("AZURE_AUTHORITY_HOST").as_deref().unwrap_or(PUBLIC_AUTHORITY)),
            default: env("AZURE_CLIENT_ID").zip(env("AZURE_TENANT_ID")),
        });
        Self { service_account_token: SERVICE_ACCOUNT_TOKEN_PATH.into(), workload, metadata }
    }

    /// Workload identity, where it goes before the metadata service for an identity without a name.
    pub(crate) fn nameless_workload(&self) -> Option<(&WorkloadIdentity, &str, &str)> {
        let comes_first = match &self.metadata {
            MetadataService::AppService { .. } => false,
            MetadataService::Arc { url, .. } => url == ARC_ENDPOINT,
            MetadataService::Imds { configured, .. } => !configured,
        };
        let workload = self.workload.as_ref().filter(|_| comes_first)?;
        let (client_id, tenant_id) = workload.default.as_ref()?;
        Some((workload, client_id, tenant_id))
    }
}

/// `https` goes without saying.
fn authority(host: &str) -> String {
    let host = host.trim_end_matches('/');
    if host.contains("://") { host.to_owned() } else { format!("https://{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)], arc_installed: bool) -> Surroundings {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Surroundings::read(find, arc_installed)
    }

    fn service(variables: &[(&str, &str)], arc_installed: bool) -> String {
        match read(variables, arc_installed).metadata {
            MetadataService::AppService { url, .. } => format!("app service {url}"),
            MetadataService::Arc { url, .. } => format!("arc {url}"),
            MetadataService::Imds { url, configured } => format!("imds {url} {configured}"),
        }
    }

    #[test]
    fn the_metadata_service_is_found_as_microsofts_libraries_find_it() {
        let endpoint = ("IDENTITY_ENDPOINT", "http://localhost:1/token");
        let (header, imds) = (("IDENTITY_HEADER", "x"), ("IMDS_ENDPOINT", "http://localhost:1"));
        let pod = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:8421/");
        assert_eq!(service(&[endpoint, header, imds], true), "app service http://localhost:1/token");
        assert_eq!(service(&[endpoint, imds, pod], false), "arc http://localhost:1/token");
        assert_eq!(
            service(&[endpoint, ("IDENTITY_HEADER", " "), pod], true),
            "imds http://127.0.0.1:8421/metadata/identity/oauth2/token true"
        );
        assert_eq!(service(&[], true), format!("arc {ARC_ENDPOINT}"));
        assert_eq!(service(&[], false), "imds http://169.254.169.254/metadata/identity/oauth2/token false");
    }

    #[test]
    fn workload_identity_needs_a_name_from_somewhere() {
        let (file, client, tenant) =
            (("AZURE_FEDERATED_TOKEN_FILE", "/f"), ("AZURE_CLIENT_ID", "c"), ("AZURE_TENANT_ID", "t"));
        assert!(read(&[client, tenant], false).workload.is_none());
        assert!(read(&[file, client], false).nameless_workload().is_none());
        let whole = read(&[file, client, tenant], true);
        let (workload, "c", "t") = whole.nameless_workload().unwrap() else { panic!("it is c in t") };
        assert_eq!(workload.authority, "https://login.microsoftonline.com");
        let pod = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:8421");
        assert!(read(&[file, client, tenant, pod], false).nameless_workload().is_none());
        let host = ("AZURE_AUTHORITY_HOST", "login.microsoftonline.us/");
        assert_eq!(
            read(&[file, host], false).workload.unwrap().authority,
            "https://login.microsoftonline.us"
        );
    }
}
