use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidegate_connect::{Identity, Token, Tokens};
use tidegate_core::Secret;
use tidegate_model::endpoint::Authentication;
use tidegate_testkit::{Kafka, KafkaOptions};

use crate::support::{context, kafka, records, sink, soon};

/// Tokens as Kafka takes them in development: signed by nobody.
struct Unsigned {
    asked: AtomicU32,
}

#[async_trait]
impl Tokens for Unsigned {
    async fn token(&self, identity: &Identity) -> Result<Token, String> {
        assert_eq!(*identity, Identity::SystemAssigned { audience: "https://localhost".into() });
        self.asked.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = format!(r#"{{"sub":"gateway","iat":{now},"exp":{}}}"#, now + 3600);
        let value =
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims));
        Ok(Token { value: Secret::new(value.into_bytes()), renew_after: Duration::from_secs(2) })
    }
}

#[tokio::test]
async fn a_managed_identity_is_sasl_oauthbearer_and_its_token_is_renewed() {
    let login = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                 unsecuredLoginStringClaim_sub=\"broker\";";
    let peer = Kafka::start(KafkaOptions {
        protocol: "SASL_PLAINTEXT",
        more: format!(
            "sasl.enabled.mechanisms=OAUTHBEARER\nsasl.mechanism.inter.broker.protocol=OAUTHBEARER\n\
             listener.name.clients.oauthbearer.sasl.jaas.config={login}"
        ),
        ..KafkaOptions::default()
    })
    .await;
    let tokens = Arc::new(Unsigned { asked: AtomicU32::new(0) });
    let mut context = context();
    context.tokens = tokens.clone();
    let mut kafka = kafka(&format!("localhost:{}", peer.port()));
    kafka.authentication = Authentication::SystemAssignedManagedIdentity { audience: None };
    let sink = sink(&kafka, &context);
    soon(sink.write(&records(0..10))).await.unwrap();
    let renewed = async {
        while tokens.asked.load(Ordering::Relaxed) < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(renewed).await;
    soon(sink.write(&records(10..20))).await.unwrap();
}
