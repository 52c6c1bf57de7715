//! Microsoft's own library gets its tokens from the double in the same way: so the double is like the real services.

use std::path::{Path, PathBuf};

use tidegate_testkit::{Authority, EntraId, Validity};
use tokio::process::Command;

const HUB: &str = "https://plant.servicebus.windows.net";

/// What `tokens.py` prints.
async fn azure_identity(args: &[&str], environment: &[(&str, String)], keys: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oracles/azure-identity/tokens.py");
    let output = Command::new(library().join("bin/python"))
        .arg(script)
        .args(args)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("ARC_KEYS", keys)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Where `tests/peers/azure-identity.sh` puts it.
fn library() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let folder = cache.unwrap().join("tidegate-test");
    let found = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path());
    let is_library = |path: &PathBuf| path.join("bin/python").exists();
    let named =
        |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("azure-identity-"));
    found
        .filter(|path| named(path) && is_library(path))
        .max()
        .expect("azure-identity is not there; run tests/peers/azure-identity.sh, which installs it")
}

#[tokio::test]
async fn azure_identity_gets_its_tokens_from_the_double() {
    let entra = EntraId::start().await;
    entra.assign("client-1");
    let keys = entra.arc_keys();
    for (environment, home) in
        [(entra.imds(), "imds"), (entra.arc(), "arc"), (entra.app_service(), "app-service")]
    {
        let (system, user) = tokio::join!(
            azure_identity(&["managed", HUB], &environment, keys),
            azure_identity(&["managed", HUB, "client-1"], &environment, keys)
        );
        assert_eq!((system.split('.').count(), user.split('.').count()), (3, 3), "{home}");
        let mut granted = entra.granted();
        let mut last = granted.split_off(granted.len() - 2);
        last.sort();
        assert_eq!(last, [format!("{home} {HUB} -"), format!("{home} {HUB} client-1")]);
    }
}

#[tokio::test]
async fn azure_identity_exchanges_its_federated_token_at_the_double() {
    let authority = Authority::new("authority");
    let entra = EntraId::start_tls(&authority.server(&["localhost"], Validity::Now)).await;
    entra.assign("client-1");
    entra.trust("federated");
    let dir = tempfile::tempdir().unwrap();
    let (token, ca) = (dir.path().join("token"), dir.path().join("ca.pem"));
    std::fs::write(&token, "federated").unwrap();
    std::fs::write(&ca, authority.certificate()).unwrap();
    let mut environment = entra.workload(&token, "client-1");
    environment.push(("REQUESTS_CA_BUNDLE", ca.display().to_string()));
    azure_identity(&["workload", HUB], &environment, dir.path()).await;
    assert_eq!(entra.granted(), [format!("entra {HUB}/.default client-1")]);
}
