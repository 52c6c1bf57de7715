//! What rules name in the records of a dataset, found once and for all.

use std::str;

use crate::dataset::Dataset;

use super::tree::{NodeId, Tree};
use super::walk::Sites;

/// Where the records of a dataset have the fields of a tree.
#[derive(Debug)]
pub(crate) struct Cells {
    dataset: Dataset,
    /// How many nodes the tree has.
    width: usize,
    /// By record, then by node: where in the record's text the value begins, and behind it; 0 if there is none.
    places: Vec<(u32, u32)>,
}

impl Cells {
    /// None if a record is too large for this.
    pub(super) fn new(dataset: &Dataset, tree: &Tree) -> Option<Self> {
        let mut places = Vec::with_capacity(dataset.len() * tree.len());
        let mut sites = Sites::default();
        for record in 0..dataset.len() {
            sites.fill(tree, str::from_utf8(dataset.bytes(record)).ok()?)?;
            places.extend(sites.by_node.iter().map(|site| (site.value, site.end)));
        }
        Some(Self { dataset: dataset.clone(), width: tree.len(), places })
    }
}

/// A record that belongs to the message.
#[derive(Clone, Copy)]
pub(super) struct Record<'m> {
    pub(super) cells: &'m Cells,
    pub(super) number: usize,
}

impl<'m> Record<'m> {
    /// The text of a field's value.
    pub(super) fn value(self, node: NodeId) -> Option<&'m str> {
        let Self { cells, number } = self;
        let (start, end) = cells.places[number * cells.width + node];
        let text = cells.dataset.bytes(number).get(start as usize..end as usize)?;
        (end > 0).then(|| str::from_utf8(text).expect("checked when the dataset was read"))
    }
}
