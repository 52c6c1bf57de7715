//! Who a client is and what it may do. Pure functions of the configuration; no I/O, no state.

use std::net::IpAddr;

use bytestring::ByteString;
use subtle::ConstantTimeEq;
use tidegate_mqtt::{Connect, ReasonCode, topic};

use crate::config::{Anonymous, Authentication, Authorization, Method, Principals};

/// What a listener knows of a client before its CONNECT.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Where it comes from.
    pub(crate) address: IpAddr,
    /// The common name of its certificate, if it showed one that was verified.
    pub(crate) certificate_name: Option<ByteString>,
    /// Whether a web page of another host connects, from a browser that happens to run there.
    pub(crate) foreign_page: bool,
}

/// The user name the client may go by, if it has one; otherwise the reason to refuse it.
pub(crate) fn authenticate(
    authentication: &Authentication,
    connect: &Connect,
    peer: &Peer,
) -> Result<Option<ByteString>, ReasonCode> {
    if connect.authentication.is_some() {
        // Here an enhanced authentication method (MQTT v5 section 4.12) would be looked up. There is none.
        return Err(ReasonCode::BadAuthenticationMethod);
    }
    if let Some(name) = &peer.certificate_name {
        return Ok(Some(name.clone()));
    }
    if connect.username.is_some() || connect.password.is_some() {
        let username = connect.username.as_deref().unwrap_or_default();
        let password = connect.password.as_ref().map(|p| p.expose().as_ref()).unwrap_or_default();
        // Every user is looked at, so that the time taken does not tell which names exist.
        let known = authentication.users.iter().fold(false, |known, user| {
            let right: bool = user.password.expose().ct_eq(password).into();
            known | (right & (user.username == username))
        });
        return if known { Ok(connect.username.clone()) } else { Err(ReasonCode::BadUserNameOrPassword) };
    }
    match authentication.anonymous {
        Anonymous::Allowed => Ok(None),
        Anonymous::Loopback if peer.address.to_canonical().is_loopback() && !peer.foreign_page => Ok(None),
        Anonymous::Loopback | Anonymous::Denied => Err(ReasonCode::NotAuthorized),
    }
}

/// What one client may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    publish: Topics,
    subscribe: Topics,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Topics {
    All,
    Only(Vec<String>),
}

impl Rights {
    /// The rights of a client; `None` if it may not even connect.
    pub(crate) fn of(
        authorization: Option<&Authorization>,
        client_id: &str,
        username: Option<&str>,
    ) -> Option<Self> {
        let Some(authorization) = authorization else {
            return Some(Self { publish: Topics::All, subscribe: Topics::All });
        };
        let mut connect = false;
        let mut rights = Self { publish: Topics::Only(Vec::new()), subscribe: Topics::Only(Vec::new()) };
        let rules = authorization.rules.iter().filter(|rule| names(&rule.principals, client_id, username));
        for resource in rules.flat_map(|rule| &rule.broker_resources) {
            let topics = match resource.method {
                Method::Connect => {
                    connect = true;
                    continue;
                }
                Method::Publish => &mut rights.publish,
                Method::Subscribe => &mut rights.subscribe,
            };
            if resource.topics.is_empty() {
                *topics = Topics::All;
            } else if let Topics::Only(topics) = topics {
                topics.extend(resource.topics.iter().filter_map(|t| substitute(t, client_id, username)));
            }
        }
        connect.then_some(rights)
    }

    /// Whether the client may publish to `topic`.
    pub(crate) fn may_publish(&self, topic: &str) -> bool {
        match &self.publish {
            Topics::All => true,
            Topics::Only(filters) => filters.iter().any(|filter| topic::matches(filter, topic)),
        }
    }

    /// Whether the client may subscribe to `filter`, which is without `$share/<group>/`.
    pub(crate) fn may_subscribe(&self, filter: &str) -> bool {
        match &self.subscribe {
            Topics::All => true,
            Topics::Only(allowed) => allowed.iter().any(|wide| covers(wide, filter)),
        }
    }
}

fn names(principals: &Principals, client_id: &str, username: Option<&str>) -> bool {
    let Principals { client_ids, usernames } = principals;
    (client_ids.is_empty() && usernames.is_empty())
        || client_ids.iter().any(|id| id == client_id)
        || usernames.iter().any(|name| Some(name.as_str()) == username)
}

/// A topic pattern with the client's own names in it; `None` if a name is missing, or would change the pattern's shape.
fn substitute(pattern: &str, client_id: &str, username: Option<&str>) -> Option<String> {
    let mut topic = pattern.to_owned();
    for (variable, name) in [("{principal.clientId}", Some(client_id)), ("{principal.username}", username)] {
        if topic.contains(variable) {
            topic = topic.replace(variable, name.filter(|name| !name.contains(['+', '#', '/']))?);
        }
    }
    Some(topic)
}

/// Whether every topic that matches `narrow` matches `wide`.
fn covers(wide: &str, narrow: &str) -> bool {
    if narrow.starts_with('$') && wide.starts_with(['+', '#']) {
        return false;
    }
    let mut wide = wide.split('/');
    let mut narrow = narrow.split('/');
    loop {
        match (wide.next(), narrow.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(wide), Some(narrow)) if wide == narrow => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use tidegate_core::Secret;
    use tidegate_mqtt::Version;

    use super::*;
    use crate::config::{AuthorizationRule, BrokerResource, User};

    fn login(username: Option<&str>, password: Option<&str>) -> Connect {
        let mut connect = Connect::new(Version::V5, "c");
        connect.username = username.map(ByteString::from);
        connect.password = password.map(|p| Secret::new(p.to_owned().into()));
        connect
    }

    #[test]
    fn clients_are_who_they_can_prove_to_be() {
        let remote =
            Peer { address: Ipv4Addr::new(192, 0, 2, 1).into(), certificate_name: None, foreign_page: false };
        let local = Peer { address: Ipv6Addr::LOCALHOST.into(), ..remote.clone() };
        let mapped = Peer { address: Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), ..remote.clone() };
        let page = Peer { foreign_page: true, ..local.clone() };
        let certified = Peer { certificate_name: Some("press-7".into()), ..remote.clone() };
        let user = User { username: "line7".into(), password: Secret::new(b"secret".to_vec()) };
        let mut authentication = Authentication { users: vec![user], anonymous: Anonymous::Loopback };

        let refused = Err(ReasonCode::BadUserNameOrPassword);
        for (username, password, expected) in [
            (Some("line7"), Some("secret"), Ok(Some("line7".into()))),
            (Some("line7"), Some("Secret"), refused.clone()),
            (Some("line7"), Some("secret "), refused.clone()),
            (Some("line7"), None, refused.clone()),
            (Some("line8"), Some("secret"), refused.clone()),
            (None, Some("secret"), refused.clone()),
            (Some(""), None, refused),
            (None, None, Err(ReasonCode::NotAuthorized)),
        ] {
            let connect = login(username, password);
            assert_eq!(
                authenticate(&authentication, &connect, &remote),
                expected,
                "{username:?}, {password:?}"
            );
        }
        let nobody = login(None, None);
        assert_eq!(authenticate(&authentication, &nobody, &local), Ok(None));
        assert_eq!(authenticate(&authentication, &nobody, &mapped), Ok(None));
        assert_eq!(authenticate(&authentication, &nobody, &page), Err(ReasonCode::NotAuthorized));
        assert_eq!(authenticate(&authentication, &nobody, &certified), Ok(Some("press-7".into())));
        assert_eq!(
            authenticate(&authentication, &login(Some("admin"), Some("x")), &certified),
            Ok(Some("press-7".into())),
            "a certificate's name is not changed by words",
        );
        authentication.anonymous = Anonymous::Denied;
        assert_eq!(authenticate(&authentication, &nobody, &local), Err(ReasonCode::NotAuthorized));
        authentication.anonymous = Anonymous::Allowed;
        assert_eq!(authenticate(&authentication, &nobody, &remote), Ok(None));
    }

    fn allow(client_ids: &[&str], usernames: &[&str], resources: &[(Method, &[&str])]) -> AuthorizationRule {
        let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        AuthorizationRule {
            principals: Principals { client_ids: strings(client_ids), usernames: strings(usernames) },
            broker_resources: resources
                .iter()
                .map(|(method, topics)| BrokerResource { method: *method, topics: strings(topics) })
                .collect(),
        }
    }

    #[test]
    fn rules_allow_and_nothing_else_does() {
        let authorization = Authorization {
            rules: vec![
                allow(&[], &[], &[(Method::Connect, &[])]),
                allow(
                    &["gauge"],
                    &["line7"],
                    &[
                        (Method::Publish, &["in/{principal.clientId}/#", "by/{principal.username}"]),
                        (Method::Subscribe, &["out/+/x", "all/#"]),
                    ],
                ),
                allow(&["root"], &[], &[(Method::Publish, &[]), (Method::Subscribe, &[])]),
            ],
        };
        let of = |id, user| Rights::of(Some(&authorization), id, user).unwrap();

        let gauge = of("gauge", None);
        assert!(gauge.may_publish("in/gauge") && gauge.may_publish("in/gauge/a"));
        assert!(!gauge.may_publish("in/other/a") && !gauge.may_publish("by/") && !gauge.may_publish("x"));
        assert!(
            gauge.may_subscribe("out/1/x") && gauge.may_subscribe("all/+/b") && gauge.may_subscribe("all")
        );
        assert!(
            !gauge.may_subscribe("out/1/y") && !gauge.may_subscribe("#") && !gauge.may_subscribe("out/#")
        );

        assert!(of("any", Some("line7")).may_publish("by/line7"));
        assert!(of("root", None).may_publish("x") && of("root", None).may_subscribe("#"));
        let stranger = of("stranger", Some("line8"));
        assert!(!stranger.may_publish("in/stranger") && !stranger.may_subscribe("all"));

        let tricky = of("+", Some("line7"));
        assert!(!tricky.may_publish("in/gauge/a"), "a client id is a name, not a wildcard");

        let mut closed = authorization;
        closed.rules.remove(0);
        assert_eq!(Rights::of(Some(&closed), "gauge", None), None);
        assert!(Rights::of(None, "gauge", None).unwrap().may_publish("x"));
    }

    #[test]
    fn a_filter_is_covered_if_nothing_else_can_match_it() {
        for (wide, narrow, covered) in [
            ("#", "a/b", true),
            ("#", "#", true),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("a/#", "a", true),
            ("a/#", "a/#", true),
            ("a/#", "a/+/c", true),
            ("a/+", "a/#", false),
            ("a/+", "a/+", true),
            ("a/+", "a", false),
            ("a/b", "a/+", false),
            ("a/b", "a/b/c", false),
            ("+/+", "+/b", true),
        ] {
            assert_eq!(covers(wide, narrow), covered, "{wide} over {narrow}");
        }
    }
}
