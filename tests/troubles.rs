//! What is wrong with an endpoint, told apart: each cause has its reason code and a sentence that names cause and mend.

use serde_json::Value;
use tidegate_testkit::{Kafka, KafkaOptions, Mosquitto, MosquittoOptions, free_port};

use crate::bridge::secret;
use crate::client::publish;
use crate::gateway::{Gateway, PLAIN, dataflow, mqtt_endpoint};
use crate::kafka::kafka_endpoint;

/// Waits for the flow's trouble and checks what its health says.
async fn says(gateway: &Gateway, flow: &str, reason: &str, sentence: &str) {
    let flow = gateway.until(flow, "troubled", |f| f["state"] == "troubled").await;
    let health = &flow["health"];
    assert_eq!(health["reasonCode"], reason, "{flow}");
    assert!(health["message"].as_str().unwrap().contains(sentence), "{flow}");
    assert_eq!(health["status"], "Unavailable", "{flow}");
}

/// What the doctor says last of something.
fn diagnosis(checks: &[Value], subject: &str) -> (String, String) {
    let found = checks.iter().rfind(|check| check["subject"] == subject).unwrap();
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("status"), text("message"))
}

fn with_login(secret: &str) -> String {
    format!(
        "    authentication:\n      method: Sasl\n      saslSettings: {{ saslType: ScramSha256, secretRef: {secret} }}\n    \
         tls: {{ mode: Disabled }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_kafka() {
    let kafka = Kafka::start(KafkaOptions {
        protocol: "SASL_PLAINTEXT",
        more: "sasl.enabled.mechanisms=SCRAM-SHA-256\nsasl.mechanism.inter.broker.protocol=SCRAM-SHA-256\n\
               listener.name.clients.scram-sha-256.sasl.jaas.config=\
               org.apache.kafka.common.security.scram.ScramLoginModule required username=\"admin\" password=\"right\";\n\
               auto.create.topics.enable=false\n\
               authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
               super.users=User:admin;User:ANONYMOUS\n"
            .into(),
        scram: vec![
            "SCRAM-SHA-256=[name=admin,password=right]".into(),
            "SCRAM-SHA-256=[name=nobody,password=right]".into(),
        ],
        ..KafkaOptions::default()
    })
    .await;
    let endpoint = |name: &str, port, more: &str| {
        kafka_endpoint(port, more).replace("{ name: kafka,", &format!("{{ name: {name},"))
    };
    let mut resources = secret("admin", &[("username", "admin"), ("password", "right")])
        + &secret("wrong", &[("username", "admin"), ("password", "wrong")])
        + &secret("nobody", &[("username", "nobody"), ("password", "right")]);
    for (name, port, login) in [
        ("address", free_port(), "admin"),
        ("password", kafka.port(), "wrong"),
        ("topic", kafka.port(), "admin"),
        ("rights", kafka.port(), "nobody"),
        ("missing-secret", kafka.port(), "none"),
    ] {
        resources += &endpoint(name, port, &with_login(login));
        resources += &dataflow(&format!("to-{name}"), ("default", "in"), (name, "there"));
        resources += &dataflow(&format!("from-{name}"), (name, "there"), ("default", "out"));
    }
    let gateway = Gateway::run(&resources).await;
    for (name, reason, sentence) in [
        ("address", "DataflowKafkaTargetEndpointUnreachable", "can't be reached"),
        ("password", "DataflowKafkaTargetConnectionFailed", "did not accept the credentials"),
        ("topic", "DataflowKafkaTargetConfigurationError", "has no such topic"),
        ("rights", "DataflowKafkaTargetSendFailed", "does not let this client use the topic"),
        ("missing-secret", "DataflowKafkaTargetConfigurationError", "Secret `none`"),
    ] {
        says(&gateway, &format!("to-{name}"), reason, sentence).await;
        // AIO has one reason code for Kafka sources
        says(&gateway, &format!("from-{name}"), "DataflowKafkaSourceConnectionFailed", sentence).await;
    }
    let (code, checks) = gateway.doctor().await;
    assert_eq!(code, Some(1));
    for (name, sentence) in [
        ("address", "refuses the connection"),
        ("password", "did not accept the credentials"),
        ("topic", "has no such topic"),
        ("rights", "does not let this client use the topic"),
        ("missing-secret", "Secret `none`"),
    ] {
        let (status, message) = diagnosis(&checks, &format!("endpoint/{name}"));
        assert_eq!(status, "failed", "{message}");
        assert!(message.contains(sentence), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_mqtt() {
    let closed =
        Mosquitto::start(MosquittoOptions { listener: "allow_anonymous false".into(), ..Default::default() })
            .await;
    let open = Mosquitto::start(MosquittoOptions {
        general: "acl_file {dir}/acl".into(),
        files: vec![("acl".into(), "topic readwrite allowed/#\n".into())],
        ..Default::default()
    })
    .await;
    let mut resources = String::new();
    for (name, port) in [("address", free_port()), ("login", closed.port()), ("rights", open.port())] {
        resources += &mqtt_endpoint(name, &format!("127.0.0.1:{port}"), PLAIN);
        resources += &dataflow(&format!("to-{name}"), ("default", "in"), (name, "forbidden"));
        resources += &dataflow(&format!("from-{name}"), (name, "forbidden"), ("default", "out"));
    }
    let secured = "    authentication: { method: X509Certificate, x509CertificateSettings: { secretRef: none } }\n    tls: { mode: Enabled }\n";
    resources += &mqtt_endpoint("missing-secret", &format!("127.0.0.1:{}", open.port()), secured);
    resources += &dataflow("to-missing-secret", ("default", "in"), ("missing-secret", "allowed/a"));
    resources += &dataflow("from-missing-secret", ("missing-secret", "allowed/a"), ("default", "out"));
    let gateway = Gateway::run(&resources).await;
    // only what is published shows that it may not be
    publish(gateway.port(), "in", 0..1, 1).await;
    for (name, reason, sentence) in [
        ("address", "ConnectionFailed", "refused the connection"),
        ("login", "ConnectionFailed", "give it the right to connect"),
        ("rights", "ConnectionFailed", "does not let this client publish to `forbidden`"),
        ("missing-secret", "ConfigurationError", "`none`"),
    ] {
        says(&gateway, &format!("to-{name}"), &format!("DataflowMqttTarget{reason}"), sentence).await;
        // Mosquitto takes every subscription and withholds the messages: that is no trouble anybody could see
        if name != "rights" {
            says(&gateway, &format!("from-{name}"), &format!("DataflowMqttSource{reason}"), sentence).await;
        }
    }
    let (code, checks) = gateway.doctor().await;
    assert_eq!(code, Some(1));
    for (subject, expected, sentence) in [
        ("resources", "ok", "8 data flows to run"),
        ("data directory", "ok", "in use by the tidegate that runs"),
        ("clock", "ok", ""),
        ("port 127.0.0.1:0", "ok", ""),
        ("endpoint/address", "failed", "refuses the connection"),
        ("endpoint/login", "failed", "give it the right to connect"),
        // only what is published shows that it may not be
        ("endpoint/rights", "ok", "connected and let in (Mqtt)"),
        ("endpoint/missing-secret", "failed", "`none`"),
    ] {
        let (status, message) = diagnosis(&checks, subject);
        // a slow disk is no failure
        assert!(status == expected || subject == "data directory" && status == "warning", "{message}");
        assert!(message.contains(sentence), "{subject}: {message}");
    }
}
