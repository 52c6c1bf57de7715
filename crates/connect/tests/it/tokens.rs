//! Authentication by token: service accounts and managed identities.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tidegate_connect::{Context, LocalBroker};
use tidegate_core::{Secret, Sink, SourceError, WriteError};
use tidegate_identity::{AmbientTokens, Identity, MetadataService, Surroundings, Token, TokenError, Tokens};
use tidegate_model::endpoint::{Authentication, Mqtt, MqttHost};
use tidegate_mqtt::{Auth, Connect, Disconnect, Packet, PacketType, ReasonCode};
use tidegate_testkit::{PeerConnection, ScriptedPeer};

use crate::support::*;

/// Hands out `token 1`, `token 2` and so on, each to be renewed at once, and notes for whom.
#[derive(Default)]
struct Counting {
    asked: Mutex<Vec<Identity>>,
}

#[async_trait]
impl Tokens for Counting {
    async fn token(&self, identity: &Identity) -> Result<Token, TokenError> {
        let mut asked = self.asked.lock();
        asked.push(identity.clone());
        // the second time there is no new one yet
        let number = asked.len().max(2) - 1;
        Ok(Token { value: Secret::new(format!("token {number}").into_bytes()), renew_after: Duration::ZERO })
    }
}

fn with_tokens(tokens: impl Tokens + 'static) -> Context {
    Context { tokens: Arc::new(tokens), ..context() }
}

/// A service account whose token is there, on a machine without an identity.
fn mounted(path: impl Into<std::path::PathBuf>) -> AmbientTokens {
    let url = format!("http://127.0.0.1:{}/nobody", tidegate_testkit::free_port());
    let metadata = MetadataService::Imds { url, configured: false };
    AmbientTokens::new(Surroundings { service_account_token: path.into(), workload: None, metadata })
}

fn service_account() -> Authentication {
    Authentication::ServiceAccountToken { audience: "aio-internal".into() }
}

/// Method and data of an authentication.
fn shown(connect: &Connect) -> Option<(&str, &[u8])> {
    connect.authentication.as_ref().map(|a| (&*a.method, &a.data.expose()[..]))
}

/// A sink that is connected, for as long as it is held.
async fn connected(
    context: &Context,
    settings: &Mqtt,
    peer: &ScriptedPeer,
) -> (Box<dyn Sink>, PeerConnection, Connect) {
    let sink = open_sink(context, settings, "out").await;
    let (prepared, (connection, connect)) = tokio::join!(soon(sink.prepare()), peer.welcome_any());
    prepared.unwrap();
    (sink, connection, connect)
}

#[tokio::test]
async fn a_service_account_token_is_read_from_its_file_for_each_connection() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let context = with_tokens(mounted(file.path()));
    for token in ["first", "second"] {
        std::fs::write(file.path(), format!("{token}\n")).unwrap();
        let peer = ScriptedPeer::listen().await;
        let settings = Mqtt { authentication: service_account(), ..mqtt(peer.port()) };
        let (_sink, _connection, connect) = connected(&context, &settings, &peer).await;
        assert_eq!(shown(&connect), Some(("K8S-SAT", token.as_bytes())));
    }
}

#[tokio::test]
async fn managed_identities_authenticate_by_jwt_and_again_before_it_ends() {
    for (authentication, identity) in [
        (
            Authentication::SystemAssignedManagedIdentity { audience: None },
            Identity::SystemAssigned { audience: "https://eventgrid.azure.net".into() },
        ),
        (
            Authentication::UserAssignedManagedIdentity {
                client_id: "client".into(),
                tenant_id: "tenant".into(),
                scope: None,
            },
            Identity::UserAssigned {
                client_id: "client".into(),
                tenant_id: "tenant".into(),
                scope: "https://eventgrid.azure.net/.default".into(),
            },
        ),
    ] {
        let peer = ScriptedPeer::listen().await;
        let tokens = Arc::new(Counting::default());
        let context = Context { tokens: tokens.clone(), ..context() };
        let settings = Mqtt { authentication, ..mqtt(peer.port()) };
        let (_sink, mut connection, connect) = connected(&context, &settings, &peer).await;
        assert_eq!(shown(&connect), Some(("OAUTH2-JWT", &b"token 1"[..])));
        for number in 2..4 {
            let Packet::Auth(auth) = soon(connection.read()).await else { panic!("an AUTH comes") };
            assert_eq!(auth.reason, ReasonCode::ReAuthenticate);
            let shown = auth.authentication.clone().unwrap();
            assert_eq!(shown.method, "OAUTH2-JWT");
            assert_eq!(shown.data.expose(), format!("token {number}").as_bytes());
            let answer = Auth { reason: ReasonCode::Success, ..*auth };
            connection.send(Packet::Auth(Box::new(answer))).await;
        }
        assert!(tokens.asked.lock().iter().all(|asked| *asked == identity));
    }
}

#[tokio::test]
async fn a_token_that_can_not_be_had_is_a_configuration_error() {
    let managed = Authentication::SystemAssignedManagedIdentity { audience: None };
    let empty = tempfile::NamedTempFile::new().unwrap();
    for (authentication, path, words) in [
        (service_account(), "/nowhere/token".as_ref(), "/nowhere/token"),
        (service_account(), empty.path(), "is empty"),
        (managed, empty.path(), "has no managed identity"),
    ] {
        let context = with_tokens(mounted(path));
        // nobody is asked
        let error = source_error(&context, &Mqtt { authentication, ..mqtt(9) }).await;
        let SourceError::Refused(trouble) = error else { panic!("{error}") };
        assert_eq!(trouble.reason, "DataflowMqttSourceConfigurationError");
        assert!(trouble.message.contains(words), "{trouble}");
    }
}

#[tokio::test]
async fn a_local_broker_elsewhere_may_do_without_a_token() {
    let peer = ScriptedPeer::listen().await;
    let settings = Mqtt { authentication: service_account(), host: MqttHost::LocalBroker, ..mqtt(1) };
    let local_broker = LocalBroker::Remote { address: address("localhost", peer.port()), tls: false };
    let context = Context { local_broker, ..with_tokens(mounted("/nowhere/token")) };
    let (_sink, _connection, connect) = connected(&context, &settings, &peer).await;
    assert_eq!(shown(&connect), None);
}

#[tokio::test]
async fn a_server_that_wants_more_than_a_token_is_refused() {
    let peer = ScriptedPeer::listen().await;
    let context = with_tokens(Counting::default());
    let managed = Authentication::SystemAssignedManagedIdentity { audience: None };
    let settings = Mqtt { authentication: managed, ..mqtt(peer.port()) };
    let serve = async {
        let mut connection = peer.accept().await;
        let Packet::Connect(connect) = connection.read().await else { panic!("a CONNECT comes") };
        let auth = Auth {
            reason: ReasonCode::ContinueAuthentication,
            authentication: connect.authentication,
            reason_string: None,
            user_properties: vec![],
        };
        connection.send(Packet::Auth(Box::new(auth))).await;
        connection
    };
    let (error, _) = tokio::join!(source_error(&context, &settings), serve);
    assert!(matches!(&error, SourceError::Refused(t) if t.message.contains("more than a token")), "{error}");
}

#[tokio::test]
async fn a_refused_renewal_ends_the_connection() {
    let peer = ScriptedPeer::listen().await;
    let context = with_tokens(Counting::default());
    let managed = Authentication::SystemAssignedManagedIdentity { audience: None };
    let settings = Mqtt { authentication: managed, ..mqtt(peer.port()) };
    let (sink, mut connection, _) = connected(&context, &settings, &peer).await;
    let records = numbered(0..1);
    let refuse = async {
        while soon(connection.read()).await.packet_type() != PacketType::Auth {}
        let disconnect = Disconnect::new(ReasonCode::NotAuthorized);
        connection.send(Packet::Disconnect(Box::new(disconnect))).await;
    };
    let (written, ()) = tokio::join!(soon(sink.write(&records)), refuse);
    assert!(matches!(&written, Err(WriteError::Fatal(t)) if t.message.contains("rights")), "{written:?}");
}
