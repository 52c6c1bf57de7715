//! TLS, client certificates and WebSockets on a real broker, and what goes wrong with them.

use std::sync::Arc;

use tidegate_connect::Context;
use tidegate_core::SourceError;
use tidegate_model::endpoint::{Authentication, ConfigMapRef, Mqtt, MqttHost, MqttProtocol, SecretRef, Tls};
use tidegate_testkit::{Authority, Identity, Mosquitto, MosquittoOptions, ScriptedPeer, Validity};

use crate::support::*;

/// A mosquitto that shows `identity` and has these lines for its listener, too.
async fn broker(identity: &Identity, listener: &str, client_ca: &Authority) -> Mosquitto {
    Mosquitto::start(MosquittoOptions {
        listener: format!("certfile {{dir}}/cert.pem\nkeyfile {{dir}}/key.pem\n{listener}"),
        files: vec![
            ("cert.pem".into(), identity.certificate.clone()),
            ("key.pem".into(), identity.key.clone()),
            ("ca.pem".into(), client_ca.certificate().into()),
        ],
        ..MosquittoOptions::default()
    })
    .await
}

const WANTS_CLIENT_CERTIFICATE: &str =
    "cafile {dir}/ca.pem\nrequire_certificate true\nuse_identity_as_username true";

fn over_tls(port: u16) -> Mqtt {
    Mqtt { tls: Tls::Enabled { trusted_ca: Some(ConfigMapRef("ca".into())) }, ..mqtt(port) }
}

fn with_certificate(port: u16) -> Mqtt {
    let secret = SecretRef("client".into());
    Mqtt { authentication: Authentication::X509Certificate { secret }, ..over_tls(port) }
}

fn given(given: Given) -> Context {
    Context { credentials: Arc::new(given), ..context() }
}

fn trusting(authority: &Authority) -> Given {
    Given::default().config_map("ca", authority.certificate())
}

async fn goes_through(context: &Context, mqtt: &Mqtt) {
    let mut source = open_source(context, mqtt, &["in"]).await;
    let sink = open_sink(context, mqtt, "in").await;
    soon(sink.write(&numbered(0..3))).await.unwrap();
    assert_eq!(payloads(&read(&mut *source, 3).await), ["0", "1", "2"]);
}

#[tokio::test]
async fn every_value_of_the_config_map_is_trusted() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let broker = broker(&new.server(&["localhost"], Validity::Now), "", &new).await;
    let given_ = trusting(&old).config_map("ca", &format!("# comment\n{}", new.certificate()));
    goes_through(&given(given_), &over_tls(broker.port())).await;
}

#[tokio::test]
async fn both_layouts_of_a_client_certificate_are_read() {
    let authority = Authority::new("ca");
    let broker =
        broker(&authority.server(&["localhost"], Validity::Now), WANTS_CLIENT_CERTIFICATE, &authority).await;
    let direct = authority.client("line7", Validity::Now);
    let intermediate = authority.intermediate("plant");
    let below = intermediate.client("line8", Validity::Now);
    for secrets in [
        trusting(&authority)
            .secret("client/client_cert.pem", &direct.certificate)
            .secret("client/client_key.pem", &direct.key),
        trusting(&authority)
            .secret("client/tls.crt", &direct.certificate)
            .secret("client/tls.key", &direct.key),
        trusting(&authority)
            .secret("client/client_cert.pem", &below.certificate)
            .secret("client/client_key.pem", &below.key)
            .secret("client/client_intermediate_certs.pem", intermediate.certificate()),
    ] {
        goes_through(&given(secrets), &with_certificate(broker.port())).await;
    }
}

#[tokio::test]
async fn websockets_work_with_and_without_tls() {
    let authority = Authority::new("ca");
    let plain =
        Mosquitto::start(MosquittoOptions { listener: "protocol websockets".into(), ..Default::default() })
            .await;
    let settings = Mqtt { protocol: MqttProtocol::WebSockets, ..mqtt(plain.port()) };
    goes_through(&context(), &settings).await;
    let identity = authority.server(&["localhost"], Validity::Now);
    let secure = broker(&identity, "protocol websockets", &authority).await;
    let settings = Mqtt { protocol: MqttProtocol::WebSockets, ..over_tls(secure.port()) };
    goes_through(&given(trusting(&authority)), &settings).await;
}

/// Whether it lasts, the reason code and the sentence.
async fn trouble(context: &Context, mqtt: &Mqtt) -> (bool, &'static str, String) {
    match source_error(context, mqtt).await {
        SourceError::Refused(t) => (true, t.reason, t.message),
        SourceError::Lost(t) => (false, t.reason, t.message),
    }
}

const CONNECTION: &str = "DataflowMqttSourceConnectionFailed";
const CONFIGURATION: &str = "DataflowMqttSourceConfigurationError";

#[tokio::test]
async fn what_is_wrong_with_a_server_certificate_is_said() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    for (identity, trusted, words) in [
        (authority.server(&["localhost"], Validity::Now), &other, "not signed by a trusted CA"),
        (authority.server(&["localhost"], Validity::Past), &authority, "has expired"),
        (authority.server(&["localhost"], Validity::Future), &authority, "is not valid yet"),
        (authority.server(&["mqtt.example"], Validity::Now), &authority, "mqtt.example"),
    ] {
        let broker = broker(&identity, "", &authority).await;
        let (lasts, reason, message) = trouble(&given(trusting(trusted)), &over_tls(broker.port())).await;
        assert!(lasts && reason == CONNECTION && message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn without_a_config_map_the_public_trust_store_decides() {
    let authority = Authority::new("ca");
    let broker = broker(&authority.server(&["localhost"], Validity::Now), "", &authority).await;
    let settings = Mqtt { tls: Tls::Enabled { trusted_ca: None }, ..mqtt(broker.port()) };
    let (lasts, _, message) = trouble(&context(), &settings).await;
    assert!(lasts && message.contains("trustedCaCertificateConfigMapRef"), "{message}");
}

#[tokio::test]
async fn a_server_that_wants_another_client_certificate_or_any_is_told_from_others() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let broker =
        broker(&authority.server(&["localhost"], Validity::Now), WANTS_CLIENT_CERTIFICATE, &authority).await;
    let (_, reason, message) = trouble(&given(trusting(&authority)), &over_tls(broker.port())).await;
    assert!(reason == CONNECTION && message.contains("X509Certificate"), "{message}");
    let stranger = other.client("line7", Validity::Now);
    let secrets = trusting(&authority)
        .secret("client/tls.crt", &stranger.certificate)
        .secret("client/tls.key", &stranger.key);
    let (_, reason, message) = trouble(&given(secrets), &with_certificate(broker.port())).await;
    assert!(reason == CONNECTION && message.contains("did not accept the client certificate"), "{message}");
}

#[tokio::test]
async fn credentials_that_can_not_be_used_are_configuration_errors() {
    let authority = Authority::new("ca");
    let (one, two) = (authority.client("a", Validity::Now), authority.client("b", Validity::Now));
    let with = |given: Given, certificate: &str, key: &str| {
        given.secret("client/tls.crt", certificate).secret("client/tls.key", key)
    };
    let pair = |certificate: &str, key: &str| with(trusting(&authority), certificate, key);
    let ca = |text: &str| with(Given::default().config_map("ca", text), &one.certificate, &one.key);
    for (secrets, words) in [
        (Given::default(), "there is no ConfigMap `ca`"),
        (ca("nothing"), "no PEM certificate in ConfigMap `ca`"),
        (ca(&one.key), "no PEM certificate in ConfigMap `ca`"),
        (ca("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"), "ConfigMap `ca`"),
        (trusting(&authority), "Secret `client` must hold"),
        (trusting(&authority).secret("client/client_cert.pem", &one.certificate), "`client_key.pem`"),
        (pair("nothing", &one.key), "no PEM certificate in Secret `client`"),
        (pair(&one.certificate, "nothing"), "no PEM private key in Secret `client`"),
        (pair(&one.certificate, &two.key), "client certificate and its key"),
    ] {
        // nobody is asked
        let (lasts, reason, message) = trouble(&given(secrets), &with_certificate(9)).await;
        assert!(
            lasts && reason == CONFIGURATION && message.contains(words),
            "{words:?} is missing in {message}"
        );
        assert!(!message.contains("PRIVATE"), "{message}");
    }
}

#[tokio::test]
async fn tls_on_one_side_only_is_recognised() {
    let authority = Authority::new("ca");
    let secure = broker(&authority.server(&["localhost"], Validity::Now), "", &authority).await;
    let (_, _, message) = trouble(&context(), &mqtt(secure.port())).await;
    assert!(message.contains("without TLS"), "{message}");

    let plain = ScriptedPeer::listen().await;
    let mqtt_answer = async { plain.accept().await.send_bytes(&[0x20, 3, 0, 0x81, 0]).await };
    let (context, settings) = (given(trusting(&authority)), over_tls(plain.port()));
    let ((lasts, _, message), ()) = tokio::join!(trouble(&context, &settings), mqtt_answer);
    assert!(lasts && message.contains("tls.mode: Disabled"), "{message}");
}

#[tokio::test]
async fn a_server_without_websocket_there_is_recognised() {
    let peer = ScriptedPeer::listen().await;
    let settings = Mqtt { protocol: MqttProtocol::WebSockets, ..mqtt(peer.port()) };
    for (answer, words) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "404 Not Found"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "200 OK"),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", "protocol: Mqtt"),
    ] {
        let serve = async { plain_answer(&peer, answer).await };
        let context = context();
        let ((_, _, message), ()) = tokio::join!(trouble(&context, &settings), serve);
        assert!(message.contains(words), "{message}");
    }
}

async fn plain_answer(peer: &ScriptedPeer, answer: &str) {
    let mut connection = peer.accept().await;
    connection.send_bytes(answer.as_bytes()).await;
    connection.end().await;
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_named() {
    let host = MqttHost::Remote { address: address("no-such-host.invalid", 1883), path: None };
    let (lasts, reason, message) = trouble(&context(), &Mqtt { host, ..mqtt(1) }).await;
    assert!(!lasts && reason == CONNECTION, "{message}");
    assert!(message.contains("`no-such-host.invalid` can't be resolved"), "{message}");
}
