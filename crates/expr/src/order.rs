//! What shows only when map rules are seen together: rules that undo each other, or have no effect where they stand.

use crate::complaint::Warning;
use crate::input::{Host, Output};
use crate::path::{Fields, Segment};
use crate::rules::Part;
use crate::transform::{Map, Source};

/// Calls `warn` with the rule and the part of it that each warning is about.
pub(crate) fn check_order(maps: &[&Map], host: Host, mut warn: impl FnMut(usize, Part, Warning)) {
    for (i, map) in maps.iter().enumerate() {
        let (earlier, later) = (&maps[..i], &maps[i + 1..]);
        if map.output == Output::Remove {
            for (input, source) in map.inputs.iter().enumerate() {
                if !earlier.iter().any(|general| may_copy(general, source)) {
                    let warning =
                        Warning::new(0..0, format!("`{}` is not removed from anything", source.path));
                    let help =
                        "only what earlier rules with `*` copy can be left out; put this rule after them";
                    warn(i, Part::Input(input), warning.help(help));
                }
            }
            continue;
        }
        if host == Host::Graph && i > 0 && map.has_wildcard() {
            let warning = Warning::new(0..0, "a rule with `*` that is not the first may be refused by AIO");
            warn(
                i,
                Part::Rule,
                warning.help("one page of its documentation wants it first, others show it anywhere"),
            );
        }
        if let Some(j) = later.iter().position(|general| copies_over(general, map)) {
            let message = format!("rule {} copies the input over what this rule writes", i + j + 2);
            let help = "put the rule with `*` first: a later, more special rule replaces what it copies";
            warn(i, Part::Output, Warning::new(0..0, message).help(help));
        }
        if let Some(j) = earlier.iter().position(|other| excludes(other, map)) {
            let message =
                format!("this replaces what rule {} writes: a field is either a value or an object", j + 1);
            warn(i, Part::Output, Warning::new(0..0, message));
        }
    }
}

/// Whether a rule with `*` may copy a field that is, or lies within, what a path names.
fn may_copy(general: &Map, special: &Source) -> bool {
    general.output != Output::Remove
        && general.inputs.iter().filter(|input| input.has_wildcard()).any(|input| {
            let (Some(a), Some(b)) = (input.path.fields(), special.path.fields()) else { return false };
            // what a `*` matches is not known before there is a message
            let is_known = |segment: &Segment| *segment != Segment::Wildcard;
            let mut pairs = a.segments().iter().zip(b.segments());
            input.root == special.root
                && pairs.by_ref().take_while(|(a, b)| is_known(a) && is_known(b)).all(|(a, b)| a == b)
        })
}

/// Whether a rule with `*` copies what a rule before it reads to where that rule writes.
fn copies_over(general: &Map, special: &Map) -> bool {
    let (Output::Field(to), Output::Field(written)) = (&general.output, &special.output) else {
        return false;
    };
    let ([from], None) = (general.inputs.as_slice(), &general.program) else { return false };
    let (Some(wildcard), None) = (to.wildcard(), written.wildcard()) else { return false };
    let names: Vec<&str> = written.names(&[]).collect();
    let after = to.segments().len() - wildcard - 1;
    let Some(captured) = names.get(wildcard..names.len().saturating_sub(after)).filter(|c| !c.is_empty())
    else {
        return false;
    };
    to.names(captured).eq(names.iter().copied())
        && special.inputs.iter().any(|input| input.root == from.root && input.path == from.resolved(captured))
}

/// Whether one rule writes a value where the other wants an object, or an object where it wants a value.
fn excludes(earlier: &Map, later: &Map) -> bool {
    let (Output::Field(a), Output::Field(b)) = (&earlier.output, &later.output) else { return false };
    // a copied object can be written into
    (is_within(b, a) && earlier.program.is_some()) || is_within(a, b)
}

fn is_within(inner: &Fields, outer: &Fields) -> bool {
    let plain = inner.wildcard().is_none() && outer.wildcard().is_none();
    plain && inner != outer && inner.segments().starts_with(outer.segments())
}
