use std::sync::Arc;
use std::time::Duration;

use tidegate_core::WriteError;
use tidegate_identity::{AmbientTokens, Surroundings};
use tidegate_model::endpoint::Authentication;
use tidegate_testkit::{EntraId, Fault, Kafka, KafkaOptions};

use crate::support::{context, kafka, records, sink, soon};

#[tokio::test]
async fn a_managed_identity_is_sasl_oauthbearer_and_its_token_is_renewed() {
    let entra = EntraId::start().await;
    entra.set_lifetime(Duration::from_secs(4));
    let peer = Kafka::start(KafkaOptions::oauthbearer(&entra)).await;
    let environment = entra.imds();
    let find = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    let mut context = context();
    context.tokens = Arc::new(AmbientTokens::new(Surroundings::read(find, false)));
    let mut kafka = kafka(&format!("localhost:{}", peer.port()));
    kafka.authentication = Authentication::SystemAssignedManagedIdentity { audience: None };

    entra.set_fault(Some(Fault::Status(503, String::new())));
    let early = sink(&kafka, &context);
    let Err(WriteError::Retry { trouble, .. }) = soon(early.prepare()).await else {
        panic!("there is no token")
    };
    assert!(trouble.message.contains("503"), "{trouble}");
    entra.set_fault(Some(Fault::Status(400, r#"{"error_description":"Identity not found"}"#.into())));
    let Err(WriteError::Fatal(trouble)) = soon(early.prepare()).await else { panic!("there is no identity") };
    assert_eq!(trouble.reason, "DataflowKafkaTargetConfigurationError");
    assert!(trouble.message.contains("Identity not found"), "{trouble}");
    entra.set_fault(None);

    let sink = sink(&kafka, &context);
    soon(sink.write(&records(0..10))).await.unwrap();
    let renewed = async {
        while entra.granted().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(renewed).await;
    soon(sink.write(&records(10..20))).await.unwrap();
    assert_eq!(entra.granted()[0], "imds https://localhost -");
}
