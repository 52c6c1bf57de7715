//! The fields that rules name, as a tree to go down while a message is read.

use indexmap::IndexMap;

use crate::json::write_string;

/// The number of a node; what a message has there is kept under this number. Nodes are numbered from the root down,
/// so that what is below a node has the numbers up to [`Node::end`].
pub(super) type NodeId = usize;

/// The whole object.
pub(super) const ROOT: NodeId = 0;

#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) parent: NodeId,
    /// The first number that is not below this node.
    pub(super) end: NodeId,
    /// Its name, as [`member_key`] has it.
    pub(super) key: Vec<u8>,
    children: Children,
}

/// Fields by their names, in a hash table with much room to spare, so that most names that are not in it are told at a
/// glance.
#[derive(Debug, Default)]
struct Children {
    all: Box<[Child]>,
    /// One more than the number of a child, which is in the slot that its name asks for or behind it; 0 is none. As
    /// many slots as a power of two, or none at all if there is no child.
    slots: Box<[u32]>,
}

#[derive(Debug)]
struct Child {
    len: usize,
    /// The first eight bytes of the name; see [`head`].
    head: u64,
    /// The others.
    rest: Box<[u8]>,
    node: NodeId,
}

impl Children {
    fn new(names: &[(&str, NodeId)]) -> Self {
        let count = if names.is_empty() { 0 } else { (8 * names.len()).next_power_of_two() };
        let mut slots = vec![0; count];
        let mut all = Vec::new();
        for (name, node) in names {
            let (len, head) = (name.len(), head(name.as_bytes(), 0, name.len()));
            let rest = name.as_bytes().get(8..).unwrap_or_default().into();
            all.push(Child { len, head, rest, node: *node });
            let mut slot = first_slot(len, head) & (count - 1);
            while slots[slot] > 0 {
                slot = (slot + 1) & (count - 1);
            }
            slots[slot] = u32::try_from(all.len()).expect("rules name few fields");
        }
        Self { all: all.into(), slots: slots.into() }
    }

    #[inline(always)]
    fn find(&self, text: &[u8], start: usize, len: usize) -> Option<NodeId> {
        let last = self.slots.len().checked_sub(1)?;
        let head = head(text, start, len);
        let slot = first_slot(len, head) & last;
        if *self.slots.get(slot)? == 0 {
            return None;
        }
        self.find_from(slot, head, text.get(start..start + len)?)
    }

    #[inline(never)]
    fn find_from(&self, mut slot: usize, head: u64, name: &[u8]) -> Option<NodeId> {
        loop {
            let number = *self.slots.get(slot)? as usize;
            let child = self.all.get(number.checked_sub(1)?)?;
            if child.len == name.len() && child.head == head && (child.len <= 8 || *child.rest == name[8..]) {
                return Some(child.node);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}

fn first_slot(len: usize, head: u64) -> usize {
    ((head ^ (len as u64) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

impl Tree {
    /// Of all these paths, each a list of names.
    pub(super) fn new<'n>(paths: impl IntoIterator<Item = Vec<&'n str>>) -> Self {
        let mut root = Names::default();
        for path in paths {
            let mut names = &mut root;
            for name in path {
                names = names.0.entry(name).or_default();
            }
        }
        let mut tree = Self { nodes: Vec::new() };
        tree.add(ROOT, "", &root);
        tree
    }

    fn add(&mut self, parent: NodeId, name: &str, below: &Names<'_>) -> NodeId {
        let id = self.nodes.len();
        self.nodes.push(Node { parent, end: id, key: member_key(name), children: Children::default() });
        let children: Vec<_> =
            below.0.iter().map(|(name, below)| (*name, self.add(id, name, below))).collect();
        let children = Children::new(&children);
        let end = self.nodes.len();
        let node = &mut self.nodes[id];
        (node.end, node.children) = (end, children);
        id
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The node of a path, one of those the tree was made of.
    pub(super) fn find<'n>(&self, path: impl IntoIterator<Item = &'n str>) -> Option<NodeId> {
        path.into_iter().try_fold(ROOT, |id, name| self.node(id).child(name.as_bytes(), 0, name.len()))
    }
}

/// What comes before a member's value if another member comes before it: `,"name":`.
pub(super) fn member_key(name: &str) -> Vec<u8> {
    let mut key = vec![b','];
    write_string(name, &mut key);
    key.push(b':');
    key
}

#[derive(Default)]
struct Names<'n>(IndexMap<&'n str, Names<'n>>);

impl Node {
    #[inline]
    pub(super) fn has_children(&self) -> bool {
        !self.children.all.is_empty()
    }

    /// The child whose name is those bytes of the text.
    #[inline(always)]
    pub(super) fn child(&self, text: &[u8], start: usize, len: usize) -> Option<NodeId> {
        self.children.find(text, start, len)
    }
}

/// The first eight bytes of a name as a number; zeros stand for what it is shorter.
#[inline(always)]
fn head(text: &[u8], start: usize, len: usize) -> u64 {
    let bytes = match text.get(start..).and_then(<[u8]>::first_chunk) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => text[start..].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
    };
    if len < 8 { bytes & ((1 << (8 * len)) - 1) } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_all_others() {
        let long = "a name of more than sixty-three bytes, which is as far as lengths go one by one";
        let mut names: Vec<String> = (0..40).map(|i| format!("field {i}")).collect();
        names.extend(["", "a", "ab", "abcdefgh", "abcdefgh1", "abcdefgh2", "\"é\\", long].map(String::from));
        for count in [1, 8, 9, names.len()] {
            let known = &names[names.len() - count..];
            let tree = Tree::new(known.iter().map(|name| vec![name.as_str(), "x"]));
            for name in names.iter().map(String::as_str).chain(["b", "abcdefgh3", "abcdefg", &long[1..]]) {
                let found = tree.find([name]);
                assert_eq!(found.is_some(), known.iter().any(|k| k == name), "{name}");
                if let Some(id) = found {
                    assert_eq!(&*tree.node(id).key, format!(",{name:?}:").as_bytes());
                    assert_eq!((tree.node(id).parent, tree.node(id).end), (ROOT, id + 2));
                    assert_eq!(tree.find([name, "x"]), Some(id + 1));
                }
            }
        }
    }
}
