//! What a data flow instance subscribes to, also where its session remembers an earlier version of the data flow.

use tidegate_model::topic::TopicFilter;
use tidegate_mqtt::topic;

use super::share_group;
use crate::context::FlowIdentity;

/// The subscriptions of one data flow instance. With several instances they are shared in one group; explicitly shared
/// ones keep their group.
pub(super) struct Subscriptions {
    /// What to subscribe to.
    pub(super) wanted: Vec<TopicFilter>,
    /// What a session may still hold from a time when the profile had one instance instead of several, or the other
    /// way round.
    pub(super) outdated: Vec<TopicFilter>,
}

impl Subscriptions {
    pub(super) fn new(filters: &[TopicFilter], flow: &FlowIdentity) -> Self {
        let plain = filters.to_vec();
        let shared: Vec<_> = filters.iter().map(|f| f.shared_in(&share_group(flow))).collect();
        let (wanted, mut outdated) = if flow.instance_count > 1 { (shared, plain) } else { (plain, shared) };
        outdated.retain(|filter| !wanted.contains(filter));
        Self { wanted, outdated }
    }

    /// What to subscribe to, as it is written in a SUBSCRIBE.
    pub(super) fn wanted(&self) -> Vec<String> {
        self.wanted.iter().map(ToString::to_string).collect()
    }

    /// Whether a message is for this data flow as it is now. A session that was there before may hold subscriptions to
    /// filters that have been taken out of the data flow, and messages that came by them.
    pub(super) fn matches(&self, topic: &str) -> bool {
        self.wanted.iter().any(|f| topic::matches(f.filter(), topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriptions(instance_count: u32, filters: &[&str]) -> (Vec<String>, Vec<String>) {
        let flow = FlowIdentity {
            namespace: "ns".into(),
            profile: "p".into(),
            dataflow: "f".into(),
            instance_index: 0,
            instance_count,
        };
        let filters: Vec<_> = filters.iter().map(|f| TopicFilter::parse(f).unwrap()).collect();
        let Subscriptions { wanted, outdated } = Subscriptions::new(&filters, &flow);
        let texts = |filters: Vec<TopicFilter>| filters.iter().map(ToString::to_string).collect();
        (texts(wanted), texts(outdated))
    }

    #[test]
    fn instances_share_what_is_not_shared_explicitly() {
        let filters = ["a/+", "$shared/mine/b", "$share/mine/c"];
        let plain = ["a/+", "$share/mine/b", "$share/mine/c"].map(String::from).to_vec();
        let shared = ["$share/ns.p.f/a/+", "$share/mine/b", "$share/mine/c"].map(String::from).to_vec();
        assert_eq!(subscriptions(1, &filters), (plain.clone(), vec![shared[0].clone()]));
        assert_eq!(subscriptions(2, &filters), (shared, vec![plain[0].clone()]));
    }
}
