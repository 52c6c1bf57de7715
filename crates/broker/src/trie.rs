//! A tree of topic levels: which filters match a topic, and which topics match a filter (MQTT v5 section 4.7).
//!
//! It knows nothing of clients or messages; subscriptions and retained messages are both kept in one.

use std::collections::HashMap;

/// Values by topic filter. A topic is a filter without wildcards.
#[derive(Debug)]
pub(crate) struct Trie<V> {
    root: Node<V>,
}

#[derive(Debug)]
struct Node<V> {
    // Boxed, as a map has room for more than there is, and most nodes have one child.
    children: HashMap<Box<str>, Box<Node<V>>>,
    /// The child for the level `+`.
    any: Option<Box<Node<V>>>,
    /// The value of the filter that goes on with `#` from here.
    rest: Option<V>,
    /// The value of the filter that ends here.
    value: Option<V>,
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self { children: HashMap::new(), any: None, rest: None, value: None }
    }
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<V> Trie<V> {
    /// The place of a filter, which the caller has checked, for a value to be put there.
    pub(crate) fn slot(&mut self, filter: &str) -> &mut Option<V> {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            node = match level {
                "#" => return &mut node.rest,
                "+" => node.any.get_or_insert_default(),
                _ => node.children.entry(level.into()).or_default(),
            };
        }
        &mut node.value
    }

    /// Lets `change` work on the value of a filter, if there is one; `false` from it forgets the value.
    pub(crate) fn retain(&mut self, filter: &str, change: impl FnOnce(&mut V) -> bool) {
        self.root.update(Some(filter), |slot| {
            *slot = slot.take().and_then(|mut value| change(&mut value).then_some(value));
        });
    }

    /// Takes out the value of a filter.
    pub(crate) fn remove(&mut self, filter: &str) -> Option<V> {
        let mut removed = None;
        self.root.update(Some(filter), |value| removed = value.take());
        removed
    }

    /// The value of a filter.
    pub(crate) fn get(&self, filter: &str) -> Option<&V> {
        let mut node = &self.root;
        for level in filter.split('/') {
            node = match level {
                "#" => return node.rest.as_ref(),
                "+" => node.any.as_deref()?,
                level => node.children.get(level)?,
            };
        }
        node.value.as_ref()
    }

    /// Forgets every value that is not to be kept.
    pub(crate) fn prune(&mut self, keep: &mut impl FnMut(&V) -> bool) {
        self.root.prune(keep);
    }

    /// Hands every value whose filter matches `topic` to `found`.
    pub(crate) fn matches<'a>(&'a self, topic: &str, mut found: impl FnMut(&'a V)) {
        // A wildcard in the first level does not match topics that begin with `$` (section 4.7.2).
        self.root.matches(Some(topic), !topic.starts_with('$'), &mut found);
    }

    /// Hands every value whose topic matches `filter` to `found`. Filters that were put in do not count as topics.
    pub(crate) fn select<'a>(&'a self, filter: &str, mut found: impl FnMut(&'a V)) {
        self.root.select(Some(filter), true, &mut found);
    }
}

/// The first level, and what is left after it.
fn split(levels: &str) -> (&str, Option<&str>) {
    levels.split_once('/').map_or((levels, None), |(level, rest)| (level, Some(rest)))
}

impl<V> Node<V> {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.any.is_none() && self.rest.is_none() && self.value.is_none()
    }

    /// Lets `change` work on the place of a filter, if there is one, and removes the branch if nothing is left on it.
    fn update(&mut self, filter: Option<&str>, change: impl FnOnce(&mut Option<V>)) {
        let Some(filter) = filter else { return change(&mut self.value) };
        match split(filter) {
            ("#", _) => change(&mut self.rest),
            ("+", rest) => {
                if let Some(child) = &mut self.any {
                    child.update(rest, change);
                    if child.is_empty() {
                        self.any = None;
                    }
                }
            }
            (level, rest) => {
                if let Some(child) = self.children.get_mut(level) {
                    child.update(rest, change);
                    if child.is_empty() {
                        self.children.remove(level);
                    }
                }
            }
        }
    }

    fn prune(&mut self, keep: &mut impl FnMut(&V) -> bool) {
        self.rest.take_if(|value| !keep(value));
        self.value.take_if(|value| !keep(value));
        if let Some(child) = &mut self.any {
            child.prune(keep);
            if child.is_empty() {
                self.any = None;
            }
        }
        self.children.retain(|_, child| {
            child.prune(keep);
            !child.is_empty()
        });
    }

    fn matches<'a>(&'a self, topic: Option<&str>, wildcards: bool, found: &mut impl FnMut(&'a V)) {
        if wildcards && let Some(value) = &self.rest {
            found(value);
        }
        let Some(topic) = topic else {
            if let Some(value) = &self.value {
                found(value);
            }
            return;
        };
        let (level, rest) = split(topic);
        if let Some(child) = self.children.get(level) {
            child.matches(rest, true, found);
        }
        if wildcards && let Some(child) = &self.any {
            child.matches(rest, true, found);
        }
    }

    fn select<'a>(&'a self, filter: Option<&str>, first: bool, found: &mut impl FnMut(&'a V)) {
        let Some(filter) = filter else {
            if let Some(value) = &self.value {
                found(value);
            }
            return;
        };
        let children = || self.children.iter().filter(|(level, _)| !(first && level.starts_with('$')));
        match split(filter) {
            ("#", _) => {
                // `a/#` matches `a` itself too; there is no topic without a level.
                if let Some(value) = &self.value {
                    found(value);
                }
                for (_, child) in children() {
                    child.select(Some("#"), false, found);
                }
            }
            ("+", rest) => {
                for (_, child) in children() {
                    child.select(rest, false, found);
                }
            }
            (level, rest) => {
                if let Some(child) = self.children.get(level) {
                    child.select(rest, false, found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use tidegate_mqtt::topic;

    use super::*;

    fn matching(trie: &Trie<String>, topic: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        trie.matches(topic, |value| assert!(found.insert(value.clone()), "{value} found twice"));
        found
    }

    fn trie_of(filters: &BTreeSet<String>) -> Trie<String> {
        let mut trie = Trie::default();
        for filter in filters {
            *trie.slot(filter) = Some(filter.clone());
        }
        trie
    }

    fn level() -> impl Strategy<Value = String> {
        prop_oneof!["[ab]{0,1}", Just("$a".to_owned())]
    }

    fn topics() -> impl Strategy<Value = BTreeSet<String>> {
        let topic = prop::collection::vec(level(), 1..4).prop_map(|levels| levels.join("/"));
        prop::collection::btree_set(topic.prop_filter("has a character", |t| !t.is_empty()), 1..12)
    }

    fn filters() -> impl Strategy<Value = BTreeSet<String>> {
        let levels = prop::collection::vec(prop_oneof![level(), Just("+".to_owned())], 0..4);
        let filter = (levels, any::<bool>()).prop_map(|(mut levels, rest)| {
            if rest || levels.is_empty() {
                levels.push("#".into());
            }
            levels.join("/")
        });
        prop::collection::btree_set(filter.prop_filter("has a character", |f| !f.is_empty()), 1..12)
    }

    proptest! {
        #[test]
        fn finds_the_filters_that_match_a_topic(filters in filters(), topics in topics()) {
            let trie = trie_of(&filters);
            for name in &topics {
                let expected: BTreeSet<_> = filters.iter().filter(|f| topic::matches(f, name)).cloned().collect();
                prop_assert_eq!(matching(&trie, name), expected, "{}", name);
            }
        }

        #[test]
        fn finds_the_topics_that_match_a_filter(filters in filters(), topics in topics()) {
            let trie = trie_of(&topics);
            for filter in &filters {
                let mut found = BTreeSet::new();
                trie.select(filter, |topic| assert!(found.insert(topic.clone()), "{topic} found twice"));
                let expected: BTreeSet<_> = topics.iter().filter(|t| topic::matches(filter, t)).cloned().collect();
                prop_assert_eq!(found, expected, "{}", filter);
            }
        }

        #[test]
        fn keeps_nothing_of_what_was_removed(filters in filters(), keep in filters()) {
            let mut trie = trie_of(&(&filters | &keep));
            for filter in filters.difference(&keep) {
                prop_assert_eq!(trie.remove(filter), Some(filter.clone()));
                prop_assert_eq!(trie.remove(filter), None);
            }
            for filter in &keep {
                prop_assert_eq!(trie.remove(filter), Some(filter.clone()));
            }
            prop_assert!(trie.root.is_empty());
        }
    }

    #[test]
    fn looking_for_a_filter_that_is_not_there_changes_nothing() {
        let mut trie = trie_of(&BTreeSet::from(["a/b".to_owned()]));
        for filter in ["a", "a/b/c", "a/+", "a/#", "#", "x"] {
            assert_eq!(trie.remove(filter), None);
        }
        assert_eq!(matching(&trie, "a/b").len(), 1);
    }
}
