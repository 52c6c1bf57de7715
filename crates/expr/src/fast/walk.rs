//! Where in a message the fields are that rules name: one walk over all of it, which checks it as well. Reads no values.

use crate::json::{JSON_DEPTH_MAX, Json, parse_json};

use super::scan::{Name, Scan};
use super::tree::{NodeId, ROOT, Tree};

/// Where a message has the field of a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Site {
    /// Where its name begins, at the quote.
    pub(super) start: u32,
    /// Where its value begins.
    pub(super) value: u32,
    /// Behind its value; nothing is there if this is 0.
    pub(super) end: u32,
    /// How many members its object has before it.
    pub(super) place: u32,
    /// How many members it has itself, if it is an object and the node has children.
    pub(super) members: Option<u32>,
    /// Left out of the copy; said later, when rules are applied.
    pub(super) dropped: bool,
    /// How many of its own members are.
    pub(super) members_dropped: u32,
}

impl Site {
    pub(super) fn is_there(&self) -> bool {
        self.end > 0
    }
}

/// What was found in one object.
#[derive(Debug, Default)]
pub(super) struct Sites {
    /// By node.
    pub(super) by_node: Vec<Site>,
    /// The nodes of the fields that are there, in their order.
    pub(super) order: Vec<NodeId>,
    /// Whether a field that rules name comes twice. Then the later one is noted, as it counts, and the earlier one is
    /// not.
    pub(super) repeated: bool,
}

impl Sites {
    /// Goes over a text; none if it is no JSON object.
    pub(super) fn fill(&mut self, tree: &Tree, text: &str) -> Option<()> {
        self.by_node.clear();
        self.by_node.resize(tree.len(), Site::default());
        self.order.clear();
        self.repeated = false;
        // places are noted with 32 bits
        u32::try_from(text.len()).ok()?;
        let mut walk = Walk { scan: Scan::new(text), tree, sites: self };
        walk.scan.space();
        let start = walk.scan.place();
        if walk.scan.peek() != Some(b'{') {
            return None;
        }
        let members = walk.object(ROOT, 1)?;
        let end = walk.scan.place();
        walk.scan.space();
        let whole = walk.scan.is_done();
        self.by_node[ROOT] = Site { start, value: start, end, members: Some(members), ..Site::default() };
        whole.then_some(())
    }

    /// Leaves a field out of a copy, if it is there.
    pub(super) fn drop(&mut self, node: NodeId) {
        self.by_node[node].dropped = true;
    }

    /// An object that has lost all its members is left out as well.
    pub(super) fn drop_emptied(&mut self, tree: &Tree) {
        for node in self.order.iter().rev().copied() {
            let site = &mut self.by_node[node];
            site.dropped |= site.members_dropped > 0 && site.members == Some(site.members_dropped);
            if site.dropped {
                self.by_node[tree.node(node).parent].members_dropped += 1;
            }
        }
    }

    /// Whether the field is there, and is no object with anything in it.
    pub(super) fn is_leaf(&self, node: NodeId, text: &str) -> bool {
        let object = self.value(node, text).and_then(|value| value.strip_prefix('{'));
        object.is_none_or(|members| members.trim_ascii_start().starts_with('}'))
    }

    /// The text of the field's value.
    pub(super) fn value<'t>(&self, node: NodeId, text: &'t str) -> Option<&'t str> {
        let site = self.by_node[node];
        site.is_there().then(|| &text[site.value as usize..site.end as usize])
    }
}

struct Walk<'t, 's> {
    scan: Scan<'t>,
    tree: &'s Tree,
    sites: &'s mut Sites,
}

impl Walk<'_, '_> {
    /// An object at that node, the `depth`th around what is in it; gives the number of its members.
    fn object(&mut self, node: NodeId, depth: usize) -> Option<u32> {
        // one of its own, for the compiler to keep in registers
        let mut scan = self.scan;
        let mut members = 0;
        let mut another = scan.first_member()?;
        while another {
            let start = scan.place();
            let name = scan.name()?;
            let child = self.child(node, name);
            if let Some(child) = child {
                scan.space();
                self.come_to(child, Site { start, value: scan.place(), place: members, ..Site::default() });
            }
            match child {
                Some(child) if scan.peek()? == b'{' && self.tree.node(child).has_children() => {
                    if depth == JSON_DEPTH_MAX {
                        return None;
                    }
                    self.scan = scan;
                    self.sites.by_node[child].members = Some(self.object(child, depth + 1)?);
                    scan = self.scan;
                }
                _ => scan.value(depth)?,
            }
            if let Some(child) = child {
                self.sites.by_node[child].end = scan.place();
            }
            members += 1;
            another = scan.next_member()?;
        }
        self.scan = scan;
        Some(members)
    }

    fn come_to(&mut self, node: NodeId, site: Site) {
        if self.sites.by_node[node].is_there() {
            // it comes again: what it was before counts no more, nor what was in it
            let before = node..self.tree.node(node).end;
            self.sites.order.retain(|noted| !before.contains(noted));
            self.sites.by_node[before].fill(Site::default());
            self.sites.repeated = true;
        }
        self.sites.order.push(node);
        self.sites.by_node[node] = site;
    }

    #[inline]
    fn child(&self, node: NodeId, name: Name) -> Option<NodeId> {
        let node = self.tree.node(node);
        let text = self.scan.text();
        if !name.escaped {
            return node.child(text.as_bytes(), name.start, name.len);
        }
        let with_quotes = &text[name.start - 1..name.start + name.len + 1];
        match parse_json(with_quotes.as_bytes()) {
            Ok(Json::String(name)) => node.child(name.as_bytes(), 0, name.len()),
            _ => None,
        }
    }
}
