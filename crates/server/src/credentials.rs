use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use tidegate_connect::Credentials;
use tidegate_core::Secret;
use tidegate_model::Catalog;

/// Secrets from the resources, a folder or the environment, in this order; ConfigMaps from the resources. A file is read
/// when it is asked for, so that a rotated secret is picked up with the next connection.
pub(crate) struct Vault {
    catalog: RwLock<Arc<Catalog>>,
    /// `DIR/<secret>/<key>`, as Kubernetes mounts secrets.
    secrets_dir: Option<PathBuf>,
}

impl Credentials for Vault {
    fn secret(&self, namespace: &str, name: &str, key: &str) -> Option<Secret<Vec<u8>>> {
        self.catalog
            .read()
            .secret(namespace, name, key)
            .cloned()
            .or_else(|| self.read_file(name, key))
            .or_else(|| std::env::var(variable(name, key)).ok().map(|v| Secret::new(v.into_bytes())))
    }

    fn config_map(&self, namespace: &str, name: &str) -> Option<Vec<String>> {
        config_map(&self.catalog.read(), namespace, name)
    }
}

/// Secrets and ConfigMaps that come with a draft, and after those the instance's.
pub(crate) struct Drafted {
    pub(crate) draft: Arc<Catalog>,
    pub(crate) instance: Arc<Vault>,
}

impl Credentials for Drafted {
    fn secret(&self, namespace: &str, name: &str, key: &str) -> Option<Secret<Vec<u8>>> {
        let drafted = self.draft.secret(namespace, name, key).cloned();
        drafted.or_else(|| self.instance.secret(namespace, name, key))
    }

    fn config_map(&self, namespace: &str, name: &str) -> Option<Vec<String>> {
        config_map(&self.draft, namespace, name).or_else(|| self.instance.config_map(namespace, name))
    }
}

fn config_map(catalog: &Catalog, namespace: &str, name: &str) -> Option<Vec<String>> {
    let values = catalog.config_map(namespace, name)?.values();
    Some(values.map(|v| String::from_utf8_lossy(v).into_owned()).collect())
}

impl Vault {
    pub(crate) fn new(catalog: Arc<Catalog>, secrets_dir: Option<PathBuf>) -> Self {
        Self { catalog: RwLock::new(catalog), secrets_dir }
    }

    /// From now on, secrets and ConfigMaps are those of another catalog.
    pub(crate) fn replace(&self, catalog: Arc<Catalog>) {
        *self.catalog.write() = catalog;
    }

    /// The catalog of now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().clone()
    }

    fn read_file(&self, name: &str, key: &str) -> Option<Secret<Vec<u8>>> {
        // names of resources, so never a way out of the folder
        let is_name = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\']);
        let dir = self.secrets_dir.as_ref().filter(|_| is_name(name) && is_name(key))?;
        match std::fs::read(dir.join(name).join(key)) {
            Ok(value) => Some(Secret::new(value)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(secret = name, key, %error, "can't read a secret's file");
                None
            }
        }
    }
}

/// `TIDEGATE_SECRET_<NAME>__<KEY>`, in capitals, everything but letters and digits an underscore.
fn variable(name: &str, key: &str) -> String {
    let part = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
    };
    format!("TIDEGATE_SECRET_{}__{}", part(name), part(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_secrets_as_kubernetes_mounts_them() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("hq")).unwrap();
        std::fs::write(dir.path().join("hq/client_key.pem"), "key").unwrap();
        std::fs::write(dir.path().join("outside"), "no").unwrap();
        let vault = Vault::new(Arc::default(), Some(dir.path().join("hq/..")));
        let secret = |name, key| vault.secret("any", name, key).map(|s| s.expose().clone());
        assert_eq!(secret("hq", "client_key.pem"), Some(b"key".to_vec()));
        assert_eq!(secret("hq", "client_cert.pem"), None);
        assert_eq!(secret("..", "outside"), None);
        assert_eq!(secret("hq", "../outside"), None);
        assert_eq!(variable("hq-client", "client_key.pem"), "TIDEGATE_SECRET_HQ_CLIENT__CLIENT_KEY_PEM");
    }
}
