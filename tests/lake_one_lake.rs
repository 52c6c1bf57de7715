//! Fabric OneLake as destination, against a double of it in front of an Azurite, and a storage account whose answers get
//! lost.

use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_testkit::{Azurite, EntraId, StorageAccount, StorageFault, StorageFront};

use crate::bridge::secret;
use crate::client::publish_as;
use crate::gateway::Gateway;
use crate::lake::{count, flow, numbered, rows_py, schema, settled};

/// An endpoint called `storage`; `settings` are those of its type, indented by four.
pub(crate) fn endpoint(r#type: &str, settings: &str) -> String {
    let name = r#type[..1].to_lowercase() + &r#type[1..];
    format!(
        r"---
apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata:
  name: storage
  namespace: azure-iot-operations
  annotations: {{ tidegate.dev/allow-any-host: 'true' }}
spec:
  endpointType: {type}
  {name}Settings:
    batching: {{ latencySeconds: 0 }}
{settings}"
    )
}

async fn send(gateway: &Gateway, rows: Range<u64>) {
    publish_as(gateway.port(), "in", rows, 500, |n| json!({ "n": n, "text": "x" }).to_string()).await;
}

pub(crate) async fn create_container(account: &StorageAccount, name: &str) {
    rows_py(&["container", &format!("{}/{name}?{}", account.blobs, account.signature())]).await.unwrap();
}

/// Rows, different ones, the smallest and the largest of what readers find in a container's folder.
async fn counted(account: &StorageAccount, kind: &str, container: &str, folder: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("{}/{container}?{}", account.blobs, account.signature());
    rows_py(&["fetch", &url, dir.path().to_str().unwrap()]).await.unwrap();
    count(kind, &dir.path().join(folder)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_there_once_though_answers_are_lost_and_a_lost_right_is_said() {
    const ROWS: u64 = 6000;
    let azurite = Azurite::start().await;
    let account = &azurite.accounts()[0];
    let front = StorageFront::account(account).await;
    front.fail_one_in(4, &[StorageFault::LostAnswer, StorageFault::Busy, StorageFault::TimeoutAfterEffect]);
    let login = "    authentication: { method: AccessToken, accessTokenSettings: { secretRef: sas } }\n";
    let resources = endpoint("DataLakeStorage", &format!("    host: {}\n{login}", front.url()))
        + &secret("sas", &[("accessToken", &account.signature())])
        + &schema(1, &numbered())
        + &flow("delta", "Delta", 1)
        + &flow("parquet", "Parquet", 1);
    for container in ["delta", "parquet"] {
        create_container(account, container).await;
    }
    let gateway = Gateway::run(&resources).await;
    send(&gateway, 0..ROWS).await;
    for name in ["delta", "parquet"] {
        gateway.until(name, "settled", settled(ROWS)).await;
        assert_eq!(counted(account, name, name, name).await, json!([ROWS, ROWS, 0, ROWS - 1]), "{name}");
    }
    front.set_fault(Some(StorageFault::Forbidden));
    send(&gateway, ROWS..ROWS + 10).await;
    for (name, reason) in [
        ("delta", "DataflowDeltaLakeTargetAuthenticationFailed"),
        ("parquet", "DataflowObjectStoreTargetAuthenticationFailed"),
    ] {
        let refused = |flow: &Value| {
            let message = flow["health"]["message"].as_str().unwrap_or_default();
            assert!(!message.contains("sig="), "{message}");
            flow["health"]["reasonCode"] == reason && message.contains("AuthorizationPermissionMismatch")
        };
        gateway.until(name, "refused", refused).await;
    }
    front.set_fault(None);
    for name in ["delta", "parquet"] {
        gateway.until(name, "settled", settled(ROWS + 10)).await;
        let expected = json!([ROWS + 10, ROWS + 10, 0, ROWS + 9]);
        assert_eq!(counted(account, name, name, name).await, expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_lake_takes_tables_and_files_by_tokens_that_end() {
    let azurite = Azurite::start().await;
    let account = &azurite.accounts()[0];
    create_container(account, "factory").await;
    let entra = EntraId::start().await;
    entra.set_lifetime(Duration::from_secs(3));
    let front = StorageFront::one_lake(account, "factory", "plant").await;
    for (path_type, format, name) in [("Tables", "Delta", "delta"), ("Files", "Parquet", "parquet")] {
        let settings = format!(
            "    host: {}\n    names: {{ workspaceName: factory, lakehouseName: plant }}\n    oneLakePathType: \
             {path_type}\n    authentication:\n      method: SystemAssignedManagedIdentity\n      \
             systemAssignedManagedIdentitySettings: {{}}\n",
            front.url()
        );
        let resources =
            endpoint("FabricOneLake", &settings) + &schema(1, &numbered()) + &flow(name, format, 1);
        let gateway = Gateway::run_in(entra.imds(), &resources, &["--mqtt-listen", "127.0.0.1:0"]).await;
        let granted = entra.granted().len();
        let mut rows = 0;
        // until a token was replaced in the middle of it
        while rows < 2000 || entra.granted().len() < granted + 2 {
            send(&gateway, rows..rows + 500).await;
            rows += 500;
            gateway.until(name, "settled", settled(rows)).await;
        }
        if format == "Delta" {
            // a public client finds the table by OneLake's URL, and writes to it
            let (_, host) = entra.imds().swap_remove(0);
            let tokens = format!("{host}/metadata/identity/oauth2/token");
            let url = "abfss://factory@onelake.dfs.fabric.microsoft.com/plant.Lakehouse/Tables/delta";
            let host = front.url();
            let mut call = vec!["one-lake", &host, &tokens, url];
            assert_eq!(rows_py(&call).await.unwrap().trim(), rows.to_string());
            call.push(r#"[{ "n": -1, "text": "theirs" }]"#);
            assert_eq!(rows_py(&call).await.unwrap().trim(), (rows + 1).to_string());
            send(&gateway, rows..rows + 1).await;
            rows += 1;
            gateway.until(name, "settled", settled(rows)).await;
            call.pop();
            assert_eq!(rows_py(&call).await.unwrap().trim(), (rows + 1).to_string());
            continue;
        }
        let folder = format!("plant.Lakehouse/{path_type}/{name}");
        assert_eq!(
            counted(account, name, "factory", &folder).await,
            json!([rows, rows, 0, rows - 1]),
            "{folder}"
        );
    }
    let grants = entra.granted();
    assert!(grants.iter().all(|grant| grant.contains("https://storage.azure.com")), "{grants:?}");
}
