//! Where in a message the fields are that rules name: one walk over all of it, which checks it as well. Reads no values.

use crate::json::{JSON_DEPTH_MAX, Json, parse_json};

use super::scan::{Name, Scan};
use super::tree::{Node, NodeId, ROOT, Tree};

/// How long a text may be, in bytes: places in it are noted with 32 bits.
const LEN_MAX: usize = 1 << 31;

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
    /// Walks over a text; none if it is no JSON object.
    pub(super) fn fill(&mut self, tree: &Tree, text: &str) -> Option<()> {
        if text.len() > LEN_MAX {
            return None;
        }
        self.by_node.clear();
        self.by_node.resize(tree.len(), Site::default());
        self.order.clear();
        self.repeated = false;
        let mut scan = Scan::new(text);
        scan.space();
        if scan.peek()? != b'{' {
            return None;
        }
        self.by_node[ROOT] = Site { start: scan.place(), value: scan.place(), ..Site::default() };
        // the object that the walk is in, which has a node, and how many of its members it has passed
        let (mut node, mut depth, mut members) = (ROOT, 1, 0);
        let mut another = scan.first_member()?;
        loop {
            while another {
                let start = scan.place();
                let name = scan.name()?;
                let child = child(tree.node(node), name, text);
                if let Some(child) = child {
                    scan.space();
                    let site = Site { start, value: scan.place(), place: members, ..Site::default() };
                    self.come_to(child, site, tree);
                    if scan.peek()? == b'{' && tree.node(child).has_children() {
                        if depth == JSON_DEPTH_MAX {
                            return None;
                        }
                        (node, depth, members) = (child, depth + 1, 0);
                        another = scan.first_member()?;
                        continue;
                    }
                }
                scan.value(depth)?;
                if let Some(child) = child {
                    self.by_node[child].end = scan.place();
                }
                members += 1;
                another = scan.next_member()?;
            }
            let site = &mut self.by_node[node];
            (site.end, site.members) = (scan.place(), Some(members));
            if node == ROOT {
                scan.space();
                return scan.is_done().then_some(());
            }
            (node, depth, members) = (tree.node(node).parent, depth - 1, site.place + 1);
            another = scan.next_member()?;
        }
    }

    fn come_to(&mut self, node: NodeId, site: Site, tree: &Tree) {
        if self.by_node[node].is_there() {
            // it comes again: what it was before counts no more, nor what was in it
            let before = node..tree.node(node).end;
            self.order.retain(|noted| !before.contains(noted));
            self.by_node[before].fill(Site::default());
            self.repeated = true;
        }
        self.order.push(node);
        self.by_node[node] = site;
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

/// The child of that name.
#[inline(always)]
fn child(node: &Node, name: Name, text: &str) -> Option<NodeId> {
    if name.escaped {
        return child_with_escapes(node, &text[name.start - 1..name.start + name.len + 1]);
    }
    node.child(text.as_bytes(), name.start, name.len)
}

#[cold]
fn child_with_escapes(node: &Node, quoted: &str) -> Option<NodeId> {
    match parse_json(quoted.as_bytes()) {
        Ok(Json::String(name)) => node.child(name.as_bytes(), 0, name.len()),
        _ => None,
    }
}
