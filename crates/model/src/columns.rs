//! Whether the rules of a map fill the columns of a Delta schema.

use tidegate_expr::{Fields, Host, Output, Segment, parse_output};

use tidegate_core::Span;

use crate::codes;
use crate::node::Text;
use crate::problems::{Problems, warning};
use crate::schema::{DeltaField, DeltaType, Schema, SchemaDocument};
use crate::transform::TransformDraft;

/// A column that holds values.
pub(crate) struct Leaf<'a> {
    pub(crate) path: Vec<&'a str>,
    pub(crate) data_type: &'a DeltaType,
    /// Whether it may be null, or something around it.
    pub(crate) nullable: bool,
}

/// Warns of columns that must not be null and are never written, and of what is written to no column.
pub(crate) fn check(draft: &TransformDraft, schema: &Schema, problems: &mut Problems) {
    let SchemaDocument::Delta(fields) = &schema.document else { return };
    let leaves = leaves(fields);
    let at = draft.schema.as_ref().map_or(draft.at, |s| s.span());
    if draft.outputs.is_empty() {
        let problem = warning(codes::MAP_AND_SCHEMA, at, "without a map no column is filled");
        problems
            .push(problem.help("add a `map`; `*` to `*` fills the columns called as the message's fields"));
        return;
    }
    let outputs: Vec<(Fields, Span)> =
        draft.outputs.iter().filter_map(|text| Some((fields_of(text)?, text.span()))).collect();
    for (output, at) in &outputs {
        if leaves.iter().any(|leaf| writes(output, &leaf.path)) {
            continue;
        }
        let parent = leaves.iter().any(|leaf| (1..leaf.path.len()).any(|n| writes(output, &leaf.path[..n])));
        let message = if parent {
            format!("`{output}` is a struct in the schema, and only its fields can be written")
        } else {
            format!("the schema has no column `{output}`")
        };
        let problem = warning(codes::MAP_AND_SCHEMA, *at, message);
        problems.push(problem.help("the product drops messages that write what the schema doesn't declare"));
    }
    for leaf in leaves.iter().filter(|leaf| !leaf.nullable) {
        if !outputs.iter().any(|(output, _)| writes(output, &leaf.path)) {
            let message = format!("column `{}` must not be null, and no rule writes it", leaf.path.join("."));
            let problem = warning(codes::MAP_AND_SCHEMA, at, message);
            problems.push(problem.help("map something to it, or make it nullable"));
        }
    }
}

/// The columns that hold values. One inside a nullable struct may be missing with it.
pub(crate) fn leaves(fields: &[DeltaField]) -> Vec<Leaf<'_>> {
    let mut leaves = Vec::new();
    collect(fields, &mut Vec::new(), true, &mut leaves);
    leaves
}

fn collect<'a>(
    fields: &'a [DeltaField],
    path: &mut Vec<&'a str>,
    required: bool,
    leaves: &mut Vec<Leaf<'a>>,
) {
    for field in fields {
        path.push(&field.name);
        let required = required && !field.nullable;
        match &field.data_type {
            DeltaType::Struct(fields) => collect(fields, path, required, leaves),
            data_type => leaves.push(Leaf { path: path.clone(), data_type, nullable: !required }),
        }
        path.pop();
    }
}

/// Whether there is a `*` in an output.
pub(crate) fn has_wildcard(output: &Text) -> bool {
    fields_of(output).is_some_and(|fields| fields.wildcard().is_some())
}

/// Whether an output may be this path.
pub(crate) fn may_write(output: &Text, path: &[&str]) -> bool {
    fields_of(output).is_some_and(|fields| writes(&fields, path))
}

/// The field of the payload that an output names.
fn fields_of(output: &Text) -> Option<Fields> {
    match parse_output(output.as_str(), Host::Dataflow) {
        Ok((Output::Field(fields), _)) => Some(fields),
        _ => None,
    }
}

/// Whether an output may be this path; a `*` stands for one or more names.
fn writes(output: &Fields, path: &[&str]) -> bool {
    let segments = output.segments();
    let same = |segment: &Segment, name: &&str| matches!(segment, Segment::Name(n) if n == name);
    match output.wildcard() {
        None => segments.len() == path.len() && segments.iter().zip(path).all(|(s, n)| same(s, n)),
        Some(at) => {
            let (before, after) = (&segments[..at], &segments[at + 1..]);
            path.len() >= segments.len()
                && before.iter().zip(path).all(|(s, n)| same(s, n))
                && after.iter().rev().zip(path.iter().rev()).all(|(s, n)| same(s, n))
        }
    }
}
