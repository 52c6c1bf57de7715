//! Where the comments of files go when their resources are written anew: each to what is written next, or to what
//! stands before it on its line.

use std::collections::BTreeMap;

use tidegate_core::{FileId, Files};
use tidegate_model::Comment;
use tidegate_model::node::{Node, Value};

use crate::set::Set;

/// What is said of one thing.
#[derive(Default)]
pub(crate) struct Said {
    /// Above it.
    pub(crate) above: Vec<String>,
    /// Behind it, on its line.
    pub(crate) behind: Option<String>,
}

/// The comments by the place of what they belong to. What is written several times, as a loop makes it, has its
/// comments each time.
pub(crate) struct Placed {
    said: BTreeMap<(FileId, u32), Said>,
    /// Below everything.
    pub(crate) last: Vec<String>,
}

impl Placed {
    pub(crate) fn new(comments: &[Comment], set: &Set, files: &Files) -> Self {
        let mut placed = Self { said: BTreeMap::new(), last: Vec::new() };
        for resource in &set.resources {
            placed.said.entry((resource.at.file, resource.at.start)).or_default();
            placed.find_places(&resource.spec);
        }
        for comment in comments {
            placed.place(comment, files);
        }
        placed
    }

    fn find_places(&mut self, node: &Node) {
        match &node.value {
            Value::Map(entries) => {
                for entry in entries {
                    self.said.entry((entry.key_span.file, entry.key_span.start)).or_default();
                    self.find_places(&entry.value);
                }
            }
            Value::List(items) => {
                for item in items {
                    if !matches!(item.value, Value::Map(_)) {
                        self.said.entry((item.span.file, item.span.start)).or_default();
                    }
                    self.find_places(item);
                }
            }
            _ => {}
        }
    }

    fn place(&mut self, comment: &Comment, files: &Files) {
        let at = comment.span;
        if comment.follows
            && let [line] = comment.lines.as_slice()
            && let Some((place, said)) = self.said.range_mut((at.file, 0)..(at.file, at.start)).next_back()
            && files.position(at.file, place.1).line == files.position(at.file, at.start).line
            && said.behind.is_none()
        {
            said.behind = Some(line.clone());
            return;
        }
        // below the last place of its file, it goes to the first of the next
        match self.said.range_mut((at.file, at.start)..).next() {
            Some((_, said)) => said.above.extend(comment.lines.iter().cloned()),
            None => self.last.extend(comment.lines.iter().cloned()),
        }
    }

    /// What is said of an entry, or of an item that is no map.
    pub(crate) fn at(&self, place: tidegate_core::Span) -> &Said {
        static NOTHING: Said = Said { above: Vec::new(), behind: None };
        self.said.get(&(place.file, place.start)).unwrap_or(&NOTHING)
    }

    /// What is said of the first entry of a map, which as an item of a list is said of the item.
    pub(crate) fn at_item(&self, item: &Node) -> &Said {
        match &item.value {
            Value::Map(entries) => {
                entries.first().map_or(self.at(item.span), |first| self.at(first.key_span))
            }
            _ => self.at(item.span),
        }
    }
}
