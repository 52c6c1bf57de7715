//! Which rules the fast path can follow, and what they come to.

use crate::dataset::Dataset;
use crate::input::{Host, Output};
use crate::path::{Fields, Segment};
use crate::rules::{MissingInput, Specialization};
use crate::transform::{Map, Root, Source, Transform};

use super::records::{Cells, Record};
use super::tree::{NodeId, ROOT, Tree, member_key};

/// Rules in the form in which they are followed. Rules and inputs have the numbers they have in the [`Transform`].
#[derive(Debug)]
pub(crate) struct Plan {
    /// The fields of messages that rules read, and in a copy those that they write.
    pub(super) message: Tree,
    /// The fields of each dataset's records that filters and map rules name.
    pub(super) records: Vec<Tree>,
    pub(super) datasets: Vec<Reads>,
    pub(super) filters: Vec<Reads>,
    pub(super) steps: Vec<Step>,
    pub(super) body: Body,
}

/// What the outgoing payload is.
#[derive(Debug)]
pub(super) enum Body {
    /// The incoming one.
    Same,
    /// A copy of the incoming one with parts left out, replaced and added.
    Copy(Outline),
    /// An object made of what rules write, with the fields of this tree.
    New(Tree, Outline),
}

/// What a rule reads.
#[derive(Debug)]
pub(super) struct Reads {
    /// For each input the node of its field; the root for one that is no field.
    pub(super) places: Vec<NodeId>,
    /// The datasets that must have a record for the message, else the rule is skipped.
    needs: Vec<usize>,
}

impl Reads {
    /// `records` are those that belong to the message, by dataset.
    pub(super) fn is_skipped(&self, records: &[Option<Record<'_>>]) -> bool {
        self.needs.iter().any(|dataset| records[*dataset].is_none())
    }
}

/// A map rule, other than the one that copies all.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) rule: usize,
    pub(super) reads: Reads,
    /// The name of the field that it writes, if it writes to the payload, as [`member_key`] has it.
    pub(super) key: Vec<u8>,
    /// Fields of the message that it takes the place of in the copy.
    pub(super) replaces: Vec<Replaced>,
}

#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) node: NodeId,
    /// Only if it is no object with anything in it.
    pub(super) leaf_only: bool,
}

/// For each node the steps that write to it or below it.
#[derive(Debug)]
pub(super) struct Outline {
    nodes: Vec<Writes>,
    names_bytes_max: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Writes {
    /// The step that writes to the node itself.
    pub(super) itself: Option<usize>,
    /// The steps that write below it, in their order, each with the child that it writes to or below.
    pub(super) below: Vec<(usize, NodeId)>,
}

impl Outline {
    fn new(tree: &Tree, steps: &[Step], maps: &[Map]) -> Self {
        let mut nodes = vec![Writes::default(); tree.len()];
        for (number, step) in steps.iter().enumerate() {
            let Output::Field(fields) = &maps[step.rule].output else { continue };
            let mut node = node(tree, Some(fields));
            nodes[node].itself = Some(number);
            while node != ROOT {
                let parent = tree.node(node).parent;
                nodes[parent].below.push((number, node));
                node = parent;
            }
        }
        let outer = (ROOT..).zip(&nodes).filter(|(_, writes)| !writes.below.is_empty());
        let names_bytes_max = outer.map(|(node, _)| tree.node(node).key.len() + "{}".len()).sum();
        Self { nodes, names_bytes_max }
    }

    pub(super) fn of(&self, node: NodeId) -> &Writes {
        &self.nodes[node]
    }

    /// How much the names and braces can come to of objects that are made to write into.
    pub(super) fn names_bytes_max(&self) -> usize {
        self.names_bytes_max
    }
}

impl Plan {
    /// None if the rules are of another kind.
    pub(crate) fn new(transform: &Transform) -> Option<Self> {
        if transform.is_empty() || transform.sources().any(|source| source.last) {
            return None;
        }
        let copy = transform.maps.iter().position(Map::copies_all);
        let mut maps = transform.maps.iter().enumerate().filter(|(rule, _)| Some(*rule) != copy);
        if maps.any(|(_, map)| map.has_wildcard()) || !writes_apart(&transform.maps) {
            return None;
        }
        if let Some(copy) = copy
            && transform.passes_payload().is_none()
        {
            let strict = transform.semantics().missing == MissingInput::Error;
            let late = transform.maps[..copy].iter().any(|map| !matches!(map.output, Output::Metadata(_)));
            if strict || late {
                return None;
            }
        }
        let same = transform.maps.is_empty() || transform.passes_payload().is_some();
        let read = |root: Root| {
            let sources = transform.sources().filter(move |source| source.root == root);
            sources.filter_map(|source| plain(source.path.fields()?))
        };
        let written = transform.maps.iter().filter_map(|map| match &map.output {
            Output::Field(fields) => plain(fields),
            Output::Metadata(_) | Output::Remove => None,
        });
        let written: Vec<_> = written.collect();
        let into_copy = if copy.is_some() { written.as_slice() } else { &[] };
        let trees = Trees {
            message: Tree::new(read(Root::Message).chain(into_copy.iter().cloned())),
            records: (0..transform.datasets.len()).map(|i| Tree::new(read(Root::Matched(i)))).collect(),
        };
        let semantics = transform.semantics();
        let steps = transform.maps.iter().enumerate().filter(|(rule, _)| Some(*rule) != copy);
        let steps: Vec<_> = steps
            .map(|(rule, map)| {
                let reads = trees.reads(&map.inputs, semantics.host);
                let replaces = match copy {
                    Some(_) => trees.replaced(map, &reads.places, semantics.specialization),
                    None => Vec::new(),
                };
                let name = match &map.output {
                    Output::Field(fields) => fields.names(&[]).last(),
                    Output::Metadata(_) | Output::Remove => None,
                };
                Step { rule, reads, key: name.map(member_key).unwrap_or_default(), replaces }
            })
            .collect();
        let body = match copy {
            _ if same => Body::Same,
            Some(_) => Body::Copy(Outline::new(&trees.message, &steps, &transform.maps)),
            None => {
                let tree = Tree::new(written);
                let outline = Outline::new(&tree, &steps, &transform.maps);
                Body::New(tree, outline)
            }
        };
        let datasets = transform.datasets.iter().map(|d| trees.reads(&d.inputs, semantics.host)).collect();
        let filters = transform.filters.iter().map(|f| trees.reads(&f.inputs, semantics.host)).collect();
        Some(Self { message: trees.message, records: trees.records, datasets, filters, steps, body })
    }

    /// What filters and map rules name in the records of that dataset.
    pub(crate) fn cells(&self, number: usize, dataset: &Dataset) -> Option<Cells> {
        Cells::new(dataset, &self.records[number])
    }
}

/// Whether no rule writes to what another one writes, or below it, so that none can undo another.
fn writes_apart(maps: &[Map]) -> bool {
    let mut written: Vec<Vec<&str>> = maps
        .iter()
        .filter_map(|map| match &map.output {
            Output::Field(fields) => plain(fields),
            Output::Metadata(_) | Output::Remove => None,
        })
        .collect();
    written.sort();
    // of paths in this order, those below a path follow it at once
    written.windows(2).all(|pair| !pair[1].starts_with(&pair[0]))
}

/// The names, if there is no `*` among them.
fn plain(fields: &Fields) -> Option<Vec<&str>> {
    let segments = fields.segments().iter();
    segments
        .map(|segment| match segment {
            Segment::Name(name) => Some(name.as_str()),
            Segment::Wildcard => None,
        })
        .collect()
}

struct Trees {
    message: Tree,
    records: Vec<Tree>,
}

impl Trees {
    fn reads(&self, inputs: &[Source], host: Host) -> Reads {
        let place = |source: &Source| match source.root {
            Root::Message => node(&self.message, source.path.fields()),
            Root::Matched(dataset) => node(&self.records[dataset], source.path.fields()),
            Root::Metadata | Root::Candidate => ROOT,
        };
        let needs = |source: &Source| match source.root {
            Root::Matched(dataset) if host == Host::Graph && source.default.is_none() => Some(dataset),
            _ => None,
        };
        Reads { places: inputs.iter().map(place).collect(), needs: inputs.iter().filter_map(needs).collect() }
    }

    /// As [`crate::map`] has it: a rule takes the place of the copies of all its inputs, whatever it writes, unless it
    /// writes beside the payload.
    fn replaced(&self, map: &Map, places: &[NodeId], specialization: Specialization) -> Vec<Replaced> {
        let output = match &map.output {
            Output::Metadata(_) => return Vec::new(),
            Output::Remove => None,
            Output::Field(fields) => Some(node(&self.message, Some(fields))),
        };
        let inputs = map.inputs.iter().zip(places).filter(|(source, _)| source.root == Root::Message);
        let nodes = inputs.map(|(_, node)| *node);
        match (specialization, output) {
            (Specialization::ByOutput, Some(output)) => {
                nodes.filter(|node| *node == output).map(|node| Replaced { node, leaf_only: true }).collect()
            }
            _ => nodes.map(|node| Replaced { node, leaf_only: false }).collect(),
        }
    }
}

fn node(tree: &Tree, fields: Option<&Fields>) -> NodeId {
    let names = fields.and_then(plain).and_then(|names| tree.find(names));
    // the `*` of the rule that copies all
    names.unwrap_or(ROOT)
}
