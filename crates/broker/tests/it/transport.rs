//! MQTT over real sockets: TCP, TLS, WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tidegate_broker::{
    Anonymous, Authentication, Broker, BrokerConfig, ListenError, Listener, ListenerTls, Protocol,
};
use tidegate_core::Secret;
use tidegate_mqtt::{Connect, ReasonCode};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::*;

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test]
async fn over_tcp() {
    let broker = Broker::new(BrokerConfig::default());
    let address = broker.listen(Listener::tcp(any_port())).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connack) = TestClient::over(stream, Connect::new(V5, "a")).await;
    assert_eq!(connack.reason, ReasonCode::Success);
    client.subscribe("t", Q1).await;
    for n in 0..100 {
        client.say("t", &n.to_string(), Q1).await;
        assert_eq!(payloads([&client.take().await]), [n.to_string()]);
    }
    let taken = broker.listen(Listener::tcp(address)).unwrap_err();
    assert!(matches!(taken, ListenError::Io { .. }), "{taken}");
    broker.shutdown().await;
    assert_eq!(client.dismissed().await, Some(ReasonCode::ServerShuttingDown));
    assert!(TcpStream::connect(address).await.is_err());
}

/// An authority, and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    fn listener(&self, protocol: Protocol) -> Listener {
        let (certificate, key) = self.sign("localhost");
        let tls = ListenerTls {
            certificate_chain: certificate.pem().into_bytes(),
            private_key: Secret::new(key.serialize_pem().into_bytes()),
            client_ca: Some(self.pem()),
        };
        Listener { address: any_port(), protocol, tls: Some(tls) }
    }

    /// A TLS connection, with a certificate of that name.
    async fn connect(
        &self,
        address: SocketAddr,
        name: Option<&str>,
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match name.map(|name| self.sign(name)) {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }
}

fn certificates_only() -> BrokerConfig {
    let authentication = Authentication { anonymous: Anonymous::Denied, ..Authentication::default() };
    BrokerConfig { authentication, ..BrokerConfig::default() }
}

#[tokio::test]
async fn over_tls_with_the_name_of_the_certificate() {
    let authority = Authority::new();
    let broker = Broker::new(certificates_only());
    let address = broker.listen(authority.listener(Protocol::Mqtt)).unwrap();
    let stream = authority.connect(address, Some("press-7")).await;
    let (mut client, connack) = TestClient::over(stream, Connect::new(V5, "a")).await;
    assert_eq!(connack.reason, ReasonCode::Success);
    assert_eq!(broker.clients()[0].username.as_deref(), Some("press-7"));
    client.subscribe("t", Q2).await;
    client.say("t", &"x".repeat(100_000), Q2).await;
    assert_eq!(client.take().await.payload.len(), 100_000);

    let stream = authority.connect(address, None).await;
    let (_, connack) = TestClient::over(stream, Connect::new(V5, "b")).await;
    assert_eq!(connack.reason, ReasonCode::NotAuthorized);
    broker.shutdown().await;
}

#[tokio::test]
async fn tls_settings_that_cannot_work_are_refused_with_a_reason() {
    let authority = Authority::new();
    let broker = Broker::new(certificates_only());
    let good = authority.listener(Protocol::Mqtt);
    let with = |change: &dyn Fn(&mut ListenerTls)| {
        let mut listener = good.clone();
        change(listener.tls.as_mut().unwrap());
        broker.listen(listener).unwrap_err().to_string()
    };
    for (error, expected) in [
        (with(&|tls| tls.certificate_chain.clear()), "the server certificate is missing"),
        (with(&|tls| tls.private_key = Secret::new(b"?".to_vec())), "the private key can't be read"),
        (with(&|tls| tls.client_ca = Some(Vec::new())), "the client CA certificate is missing"),
        (
            with(&|tls| {
                tls.private_key = Secret::new(KeyPair::generate().unwrap().serialize_pem().into_bytes())
            }),
            "certificate and private key don't go together",
        ),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}

/// A WebSocket as a stream of bytes, the way a client library would have it.
async fn pump<S>(frames: tokio_tungstenite::WebSocketStream<S>, frame_bytes: usize) -> tokio::io::DuplexStream
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (ours, theirs) = tokio::io::duplex(4096);
    let (mut sink, mut source) = frames.split();
    let (mut read, mut write) = tokio::io::split(theirs);
    tokio::spawn(async move {
        let mut buffer = vec![0; frame_bytes];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            if sink.send(Message::binary(buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(Ok(frame)) = source.next().await {
            if write.write_all(&frame.into_data()).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    });
    ours
}

fn request(url: &str, protocol: Option<&'static str>, origin: Option<&'static str>) -> Request {
    let mut request = url.into_client_request().unwrap();
    for (name, value) in [("sec-websocket-protocol", protocol), ("origin", origin)] {
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
    }
    request
}

#[tokio::test]
async fn over_websocket_where_frames_have_no_meaning() {
    let broker = Broker::new(BrokerConfig::default());
    let protocol = Protocol::WebSockets { path: "/mqtt".into() };
    let address = broker.listen(Listener { protocol, ..Listener::tcp(any_port()) }).unwrap();
    for frame_bytes in [1, 7, 4096] {
        let stream = TcpStream::connect(address).await.unwrap();
        let request = request(&format!("ws://{address}/mqtt"), Some("v12.other, mqtt"), None);
        let (frames, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "mqtt");
        let (mut client, connack) =
            TestClient::over(pump(frames, frame_bytes).await, Connect::new(V311, "a")).await;
        assert_eq!(connack.reason, ReasonCode::Success);
        client.subscribe("t", Q1).await;
        client.say("t", &"x".repeat(3000), Q1).await;
        assert_eq!(client.take().await.payload.len(), 3000);
        client.disconnect().await;
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn a_websocket_needs_the_path_and_the_subprotocol_and_binary_frames() {
    let broker = Broker::new(BrokerConfig::default());
    let protocol = Protocol::WebSockets { path: "/mqtt".into() };
    let address = broker.listen(Listener { protocol, ..Listener::tcp(any_port()) }).unwrap();
    for (path, protocol, status) in
        [("/other", Some("mqtt"), 404), ("/mqtt", None, 400), ("/mqtt", Some("x"), 400)]
    {
        let stream = TcpStream::connect(address).await.unwrap();
        let request = request(&format!("ws://{address}{path}"), protocol, None);
        match tokio_tungstenite::client_async(request, stream).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status),
            other => panic!("{other:?}"),
        }
    }
    let stream = TcpStream::connect(address).await.unwrap();
    let request = request(&format!("ws://{address}/mqtt"), Some("mqtt"), None);
    let (mut frames, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    frames.send(Message::text("hello")).await.unwrap();
    assert!(!matches!(frames.next().await, Some(Ok(Message::Binary(_)))));
    broker.shutdown().await;
}

#[tokio::test]
async fn a_web_page_of_another_host_is_not_a_program_of_this_machine() {
    let broker = Broker::new(BrokerConfig::default());
    let protocol = Protocol::WebSockets { path: "/mqtt".into() };
    let address = broker.listen(Listener { protocol, ..Listener::tcp(any_port()) }).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let request = request(&format!("ws://{address}/mqtt"), Some("mqtt"), Some("https://example.com"));
    let (frames, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let (_, connack) = TestClient::over(pump(frames, 4096).await, Connect::new(V5, "a")).await;
    assert_eq!(connack.reason, ReasonCode::NotAuthorized);
    broker.shutdown().await;
}

#[tokio::test]
async fn over_websocket_and_tls() {
    let authority = Authority::new();
    let broker = Broker::new(certificates_only());
    let protocol = Protocol::WebSockets { path: "/mqtt".into() };
    let address = broker.listen(authority.listener(protocol)).unwrap();
    let stream = authority.connect(address, Some("press-7")).await;
    let request = request(&format!("wss://localhost:{}/mqtt", address.port()), Some("mqtt"), None);
    let (frames, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let (client, connack) = TestClient::over(pump(frames, 4096).await, Connect::new(V5, "a")).await;
    assert_eq!(connack.reason, ReasonCode::Success);
    assert_eq!(broker.clients()[0].username.as_deref(), Some("press-7"));
    client.disconnect().await;
    broker.shutdown().await;
}
