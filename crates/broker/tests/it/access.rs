//! Who may come, and what they may do.

use std::net::SocketAddr;

use tidegate_broker::{
    Anonymous, Authentication, Authorization, AuthorizationRule, Broker, BrokerConfig, BrokerResource,
    ListenError, Listener, Method, Principals, User,
};
use tidegate_core::Secret;
use tidegate_mqtt::{Connect, ReasonCode, Subscription, Version};

use crate::client::*;
use crate::connect::will;

fn users() -> Authentication {
    let user = User { username: "line7".into(), password: Secret::new(b"secret".to_vec()) };
    Authentication { users: vec![user], anonymous: Anonymous::Denied }
}

fn login(version: Version, password: &str) -> Connect {
    Connect {
        username: Some("line7".into()),
        password: Some(Secret::new(password.to_owned().into())),
        ..Connect::new(version, "a")
    }
}

#[tokio::test(start_paused = true)]
async fn users_need_their_password() {
    let broker = Broker::new(BrokerConfig { authentication: users(), ..BrokerConfig::default() });
    for version in [V311, V5] {
        let (client, connack) = TestClient::ask(&broker, login(version, "secret")).await;
        assert_eq!(connack.reason, ReasonCode::Success);
        assert_eq!(broker.clients()[0].username.as_deref(), Some("line7"));
        client.disconnect().await;
        let (_, connack) = TestClient::ask(&broker, login(version, "Secret")).await;
        assert_eq!(connack.reason, ReasonCode::BadUserNameOrPassword);
        let (_, connack) = TestClient::ask(&broker, Connect::new(version, "a")).await;
        assert_eq!(connack.reason, ReasonCode::NotAuthorized);
    }
}

#[tokio::test(start_paused = true)]
async fn without_configuration_only_this_machines_programs_come_in() {
    let broker = Broker::new(BrokerConfig::default());
    let remote = SocketAddr::from(([192, 0, 2, 1], 50_000));
    let stream = TestClient::open_from(&broker, remote);
    let (_, connack) = TestClient::over(stream, Connect::new(V5, "a")).await;
    assert_eq!(connack.reason, ReasonCode::NotAuthorized);
}

fn gauge_rules() -> Authorization {
    let resource = |method, topics: &[&str]| BrokerResource {
        method,
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
    };
    Authorization {
        rules: vec![AuthorizationRule {
            principals: Principals { client_ids: vec!["gauge".into()], usernames: Vec::new() },
            broker_resources: vec![
                resource(Method::Connect, &[]),
                resource(Method::Publish, &["in/{principal.clientId}/#"]),
                resource(Method::Subscribe, &["out/#"]),
            ],
        }],
    }
}

#[tokio::test(start_paused = true)]
async fn rules_limit_what_clients_do() {
    let broker = Broker::new(BrokerConfig { authorization: Some(gauge_rules()), ..BrokerConfig::default() });
    let (_, connack) = TestClient::ask(&broker, Connect::new(V5, "stranger")).await;
    assert_eq!(connack.reason, ReasonCode::NotAuthorized);
    let dying = Connect { will: Some(will("in/other", "x", 0)), ..Connect::new(V5, "gauge") };
    assert_eq!(TestClient::ask(&broker, dying).await.1.reason, ReasonCode::NotAuthorized);

    let mut client = TestClient::connect(&broker, "gauge").await;
    assert_eq!(client.say("in/gauge/1", "x", Q1).await, ReasonCode::NoMatchingSubscribers);
    assert_eq!(client.say("in/other/1", "x", Q1).await, ReasonCode::NotAuthorized);
    assert_eq!(client.say("in/other/1", "x", Q2).await, ReasonCode::NotAuthorized);
    client.say("in/other/1", "x", Q0).await;
    for (filter, reason) in [
        ("out/+", ReasonCode::GrantedQoS1),
        ("$share/g/out/1", ReasonCode::GrantedQoS1),
        ("#", ReasonCode::NotAuthorized),
        ("$share/g/in/1", ReasonCode::NotAuthorized),
    ] {
        assert_eq!(client.subscribe_with(Subscription::new(filter, Q1), None).await, reason, "{filter}");
    }
    assert_eq!(broker.stats().counters.dropped.not_authorized, 1);

    let mut old = TestClient::connect_with(&broker, Connect::new(V311, "gauge")).await;
    let refused = old.subscribe_with(Subscription::new("#", Q1), None).await;
    assert_eq!(refused, ReasonCode::UnspecifiedError, "0x80 is all that v3.1.1 has");
    assert_eq!(old.say("in/gauge", "x", Q1).await, ReasonCode::Success);
    old.send_publish("in/other", "x", Q1).await;
    assert_eq!(old.receive().await, None);
}

#[tokio::test]
async fn a_door_to_other_machines_needs_a_way_to_tell_clients_apart() {
    let everywhere = || Listener::tcp(SocketAddr::from(([0, 0, 0, 0], 0)));
    let broker = Broker::new(BrokerConfig::default());
    let refused = broker.listen(everywhere()).unwrap_err();
    assert!(matches!(refused, ListenError::NoAuthentication(_)));
    assert_eq!(
        refused.to_string(),
        "a listener on 0.0.0.0:0 can be reached from other machines: configure users or a client CA, or allow \
         anonymous clients"
    );
    for authentication in
        [users(), Authentication { anonymous: Anonymous::Allowed, ..Authentication::default() }]
    {
        let broker = Broker::new(BrokerConfig { authentication, ..BrokerConfig::default() });
        broker.listen(everywhere()).unwrap();
        broker.shutdown().await;
    }
}
