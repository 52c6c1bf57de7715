//! What Event Hubs and Fabric do that other Kafkas do not: tokens of Entra ID let in, connections end when they are idle,
//! and over requests that are too large.

use std::time::Duration;

use tidegate_core::Properties;
use tidegate_testkit::{EntraId, FaultProxy, Kafka, KafkaOptions};

use crate::client::{publish, subscribe};
use crate::gateway::{Gateway, PATIENCE, PLAIN, dataflow};
use crate::kafka::{kafka_endpoint, kcat, named_endpoint, publish_one, there_and_back};

const LISTEN: [&str; 2] = ["--mqtt-listen", "127.0.0.1:0"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managed_identities_let_in_with_tokens_for_the_host() {
    let entra = EntraId::start().await;
    entra.assign("client-7");
    let kafka = Kafka::start(KafkaOptions::oauthbearer(&entra)).await;
    let mut resources = String::new();
    for (name, method) in [
        ("system", "SystemAssignedManagedIdentity, systemAssignedManagedIdentitySettings: {}"),
        (
            "user",
            "UserAssignedManagedIdentity, userAssignedManagedIdentitySettings: { clientId: client-7, tenantId: tenant-1 }",
        ),
    ] {
        let more = format!("    authentication: {{ method: {method} }}\n    tls: {{ mode: Disabled }}\n");
        resources += &(named_endpoint(name, kafka.port(), &more) + &there_and_back(name));
    }
    let gateway = Gateway::run_in(entra.imds(), &resources, &LISTEN).await;
    for name in ["system", "user"] {
        let (got, _subscriber) = subscribe(gateway.port(), &format!("down/{name}")).await;
        publish(gateway.port(), &format!("up/{name}"), 0..50, 50).await;
        got.until_complete(0..50).await;
    }
    let mut granted = entra.granted();
    granted.sort();
    granted.dedup();
    assert_eq!(granted, ["imds https://localhost -", "imds https://localhost client-7"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_and_large_messages_are_no_trouble() {
    let proxy = FaultProxy::listen().await;
    // as large as a request may be to Event Hubs, before it cuts the connection
    let kafka = Kafka::start(KafkaOptions {
        advertised_port: Some(proxy.port()),
        more: "socket.request.max.bytes=1046528\nmessage.max.bytes=1046528".into(),
        ..KafkaOptions::default()
    })
    .await;
    proxy.cut_idle_after(Duration::from_secs(1));
    proxy.forward_to(kafka.port());
    // batches that would be too large for it, were they not cut down
    let batching = "    batching: { latencyMs: 200, maxBytes: 10000000 }\n";
    let endpoint = kafka_endpoint(proxy.port(), &format!("{PLAIN}{batching}"))
        .replace("endpointType: Kafka", "endpointType: Kafka\n  hostType: Eventhub");
    let gateway =
        Gateway::run(&(endpoint + &dataflow("flow", ("default", "up/#"), ("kafka", "there")))).await;
    for round in 0..3 {
        publish(gateway.port(), "up", round * 100..(round + 1) * 100, 100).await;
        let idle = async {
            while proxy.connections() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, idle).await.expect("what is idle is cut");
        let flow = gateway.dataflow("flow").await;
        assert_eq!(flow["state"], "running", "{flow}");
        assert_eq!(flow["messages"]["retried"], 0, "{flow}");
    }
    for size in [400_000, 400_001, 400_002, 400_003, 999_000] {
        publish_one(gateway.port(), "up/fits", vec![b'x'; size], Properties::default(), None).await;
    }
    publish_one(gateway.port(), "up/too-large", vec![b'x'; 1_000_001], Properties::default(), None).await;
    publish(gateway.port(), "up", 300..400, 100).await;
    let flow = gateway.until("flow", "settled", |f| f["messages"]["inFlight"] == 0).await;
    assert_eq!(flow["messages"]["deadLettered"], 1, "{flow}");
    assert_eq!(flow["messages"]["retried"], 0, "{flow}");
    let sizes = kcat(kafka.port(), "there", "%S\n").await;
    assert_eq!(sizes.len(), 405);
    assert_eq!(sizes.iter().filter(|size| size.len() == 6).count(), 5, "{sizes:?}");
}
