//! The outgoing payload, put together from ranges of the incoming one and of what rules made.

use bytes::{Bytes, BytesMut};

use super::plan::Outline;
use super::tree::{NodeId, ROOT, Tree};
use super::walk::Sites;

/// How much is asked of the allocator at once. Messages share such a chunk, and one that is kept for long keeps the
/// chunk: hence not more.
const CHUNK_BYTES: usize = 16 << 10;

/// What the outgoing payload is made of.
#[derive(Clone, Copy)]
pub(super) struct Parts<'w> {
    pub(super) tree: &'w Tree,
    pub(super) outline: &'w Outline,
    pub(super) message: &'w [u8],
    pub(super) sites: &'w Sites,
    /// Where [`Piece`]s are.
    pub(super) made: &'w [u8],
}

/// What a step writes, as a member of an object with a comma before it: `,"name":value`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Where the comma is.
    pub(super) start: usize,
    /// Where the value begins.
    pub(super) value: usize,
    pub(super) end: usize,
}

/// By step what it writes, if it does; what has been written is taken away.
type Pieces = [Option<Piece>];

impl Parts<'_> {
    /// The object of what the steps write.
    pub(super) fn new_object(self, pieces: &mut Pieces, out: &mut BytesMut) -> Bytes {
        let mut writer = self.writer(pieces, out, 0);
        writer.object(ROOT);
        out.split().freeze()
    }

    /// The message with what the steps left out, replaced and added.
    pub(super) fn copy(self, pieces: &mut Pieces, out: &mut BytesMut) -> Bytes {
        let root = self.sites.by_node[ROOT];
        let mut writer = self.writer(pieces, out, self.message.len());
        writer.copied = root.value as usize;
        writer.copy_object(ROOT);
        writer.copy_to(root.end);
        out.split().freeze()
    }

    fn writer<'w>(self, pieces: &'w mut Pieces, out: &'w mut BytesMut, copied_max: usize) -> Writer<'w>
    where
        Self: 'w,
    {
        let len_max = copied_max + self.made.len() + self.outline.names_bytes_max();
        if out.capacity() < len_max {
            out.reserve(len_max.max(CHUNK_BYTES));
        }
        Writer { parts: self, pieces, out, copied: 0, next: 0 }
    }
}

struct Writer<'w> {
    parts: Parts<'w>,
    pieces: &'w mut Pieces,
    out: &'w mut BytesMut,
    /// How far the incoming payload has been dealt with.
    copied: usize,
    /// Which of the fields noted in their order comes next.
    next: usize,
}

impl Writer<'_> {
    /// Copies the object of that node up to its last brace, with what is below the node settled.
    fn copy_object(&mut self, node: NodeId) {
        let Parts { tree, outline, sites, made, .. } = self.parts;
        let within = node + 1..tree.node(node).end;
        let mut dropped = 0;
        while let Some(child) = sites.order.get(self.next).copied().filter(|next| within.contains(next)) {
            self.next += 1;
            let site = sites.by_node[child];
            let writes = outline.of(child);
            if site.dropped {
                self.leave_out(child, site.place > dropped);
                dropped += 1;
            } else if let Some(Piece { value, end, .. }) = self.take(writes.itself) {
                self.copy_to(site.value);
                self.out.extend_from_slice(&made[value..end]);
                self.copied = site.end as usize;
            } else if site.members.is_some() {
                self.copy_object(child);
                continue;
            } else if writes.below.iter().any(|(step, _)| self.pieces[*step].is_some()) {
                self.copy_to(site.value);
                self.object(child);
                self.copied = site.end as usize;
            }
            let below = child + 1..tree.node(child).end;
            self.next += sites.order[self.next..].iter().take_while(|next| below.contains(next)).count();
        }
        let site = sites.by_node[node];
        self.copy_to(site.end - 1);
        self.members(node, site.members > Some(dropped));
    }

    /// Skips a member, and the comma before it if it comes after another one, else the comma behind it.
    fn leave_out(&mut self, node: NodeId, comes_after: bool) {
        let site = self.parts.sites.by_node[node];
        let message = self.parts.message;
        if comes_after {
            let comma = message[..site.start as usize].iter().rposition(|byte| *byte == b',');
            self.copy_to(comma.map_or(site.start, place));
            self.copied = site.end as usize;
            return;
        }
        self.copy_to(site.start);
        let behind =
            |at: usize| at + message[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let comma = behind(site.end as usize);
        self.copied = if message[comma] == b',' { behind(comma + 1) } else { site.end as usize };
    }

    /// An object of what the steps write below a node.
    fn object(&mut self, node: NodeId) {
        self.out.extend_from_slice(b"{");
        self.members(node, false);
        self.out.extend_from_slice(b"}");
    }

    /// What the steps write below a node, as far as it has not been written, in the order of the steps.
    fn members(&mut self, node: NodeId, mut comma: bool) {
        let Parts { tree, outline, made, .. } = self.parts;
        for (step, child) in &outline.of(node).below {
            if self.pieces[*step].is_none() {
                continue;
            }
            let skipped = usize::from(!comma);
            comma = true;
            match self.take(outline.of(*child).itself) {
                Some(Piece { start, end, .. }) => self.out.extend_from_slice(&made[start + skipped..end]),
                None => {
                    self.out.extend_from_slice(&tree.node(*child).key[skipped..]);
                    self.object(*child);
                }
            }
        }
    }

    fn take(&mut self, step: Option<usize>) -> Option<Piece> {
        self.pieces[step?].take()
    }

    fn copy_to(&mut self, end: u32) {
        let end = end as usize;
        if self.copied < end {
            self.out.extend_from_slice(&self.parts.message[self.copied..end]);
            self.copied = end;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "within the message, whose length was checked")]
fn place(at: usize) -> u32 {
    at as u32
}
