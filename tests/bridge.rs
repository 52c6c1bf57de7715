//! Both ways between the local broker and a real Mosquitto: over TLS, with client certificates, over WebSockets.

use std::fmt::Write as _;

use tidegate_testkit::{Authority, Mosquitto, MosquittoOptions, Validity};

use crate::client::{publish, subscribe};
use crate::gateway::{Gateway, dataflow, mqtt_endpoint};

fn indented(pem: &str) -> String {
    pem.lines().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "    {line}");
        text
    })
}

pub(crate) fn config_map(name: &str, pem: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: azure-iot-operations }}\n\
         data:\n  root_ca.crt: |\n{}",
        indented(pem)
    )
}

pub(crate) fn secret(name: &str, entries: &[(&str, &str)]) -> String {
    let mut text = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{ name: {name}, namespace: azure-iot-operations }}\nstringData:\n"
    );
    for (key, pem) in entries {
        let _ = write!(text, "  {key}: |\n{}", indented(pem));
    }
    text
}

/// What goes up comes down again by another flow, whole and in order.
async fn up_and_down(resources: String) {
    let flows = dataflow("upward", ("default", "up"), ("remote", "there"))
        + &dataflow("downward", ("remote", "there"), ("default", "down"));
    let gateway = Gateway::run(&(resources + &flows)).await;
    gateway.until("downward", "subscribed", |f| f["state"] == "running").await;
    let (got, _task) = subscribe(gateway.port(), "down").await;
    publish(gateway.port(), "up", 0..2000, 100).await;
    got.until_complete(0..2000).await;
    assert_eq!(got.all(), (0..2000).collect::<Vec<_>>(), "in order, each once");
}

const TLS: &str = "    tls: { mode: Enabled, trustedCaCertificateConfigMapRef: remote-ca }\n";
const ANONYMOUS: &str = "    authentication: { method: Anonymous, anonymousSettings: {} }\n";

#[tokio::test]
async fn over_tls() {
    let authority = Authority::new("remote authority");
    let server = authority.server(&["localhost", "127.0.0.1"], Validity::Now);
    let mosquitto = Mosquitto::start(MosquittoOptions {
        listener: "certfile {dir}/cert.pem\nkeyfile {dir}/key.pem".into(),
        files: vec![("cert.pem".into(), server.certificate), ("key.pem".into(), server.key)],
        ..MosquittoOptions::default()
    })
    .await;
    let endpoint =
        mqtt_endpoint("remote", &format!("localhost:{}", mosquitto.port()), &format!("{ANONYMOUS}{TLS}"));
    up_and_down(config_map("remote-ca", authority.certificate()) + &endpoint).await;
}

#[tokio::test]
async fn with_client_certificates() {
    let authority = Authority::new("remote authority");
    let server = authority.server(&["localhost"], Validity::Now);
    let client = authority.client("plant7", Validity::Now);
    let mosquitto = Mosquitto::start(MosquittoOptions {
        listener:
            "certfile {dir}/cert.pem\nkeyfile {dir}/key.pem\ncafile {dir}/ca.pem\nrequire_certificate true\n\
                   use_identity_as_username true"
                .into(),
        files: vec![
            ("cert.pem".into(), server.certificate),
            ("key.pem".into(), server.key),
            ("ca.pem".into(), authority.certificate().into()),
        ],
        ..MosquittoOptions::default()
    })
    .await;
    let x509 =
        "    authentication: { method: X509Certificate, x509CertificateSettings: { secretRef: client } }\n";
    let endpoint =
        mqtt_endpoint("remote", &format!("localhost:{}", mosquitto.port()), &format!("{x509}{TLS}"));
    let secret =
        secret("client", &[("client_cert.pem", &client.certificate), ("client_key.pem", &client.key)]);
    up_and_down(config_map("remote-ca", authority.certificate()) + &secret + &endpoint).await;
}

#[tokio::test]
async fn over_websockets() {
    let mosquitto = Mosquitto::start(MosquittoOptions {
        listener: "protocol websockets".into(),
        ..MosquittoOptions::default()
    })
    .await;
    let more = format!("{ANONYMOUS}    tls: {{ mode: Disabled }}\n    protocol: WebSockets\n");
    up_and_down(mqtt_endpoint("remote", &format!("127.0.0.1:{}/mqtt", mosquitto.port()), &more)).await;
}

/// A server that nobody vouches for is not talked to, and the flow's health says why.
#[tokio::test]
async fn a_foreign_certificate_is_refused_with_a_reason() {
    let (authority, foreign) = (Authority::new("remote authority"), Authority::new("somebody else"));
    let server = foreign.server(&["localhost"], Validity::Now);
    let mosquitto = Mosquitto::start(MosquittoOptions {
        listener: "certfile {dir}/cert.pem\nkeyfile {dir}/key.pem".into(),
        files: vec![("cert.pem".into(), server.certificate), ("key.pem".into(), server.key)],
        ..MosquittoOptions::default()
    })
    .await;
    let endpoint =
        mqtt_endpoint("remote", &format!("localhost:{}", mosquitto.port()), &format!("{ANONYMOUS}{TLS}"));
    let resources = config_map("remote-ca", authority.certificate())
        + &endpoint
        + &dataflow("upward", ("default", "up"), ("remote", "there"));
    let gateway = Gateway::run(&resources).await;
    let flow = gateway.until("upward", "troubled", |f| f["state"] == "troubled").await;
    assert_eq!(flow["health"]["reasonCode"], "DataflowMqttTargetConnectionFailed");
    assert!(flow["health"]["message"].as_str().unwrap().contains("certificate"), "{flow}");
}
