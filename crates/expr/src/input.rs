//! Inputs and outputs of rules: paths with the suffixes `? $last` and `?? default`, and paths to write to.

use std::fmt;

use crate::ast::Literal;
use crate::complaint::{SyntaxError, Warning, nearest};
use crate::lexer;
use crate::path::{Fields, Metadata, Path, parse_path, unquoted};

/// Which of AIO's two places for the language a rule stands in; they differ in what they allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// `builtInTransformationSettings` of a Dataflow.
    Dataflow,
    /// A transform of a DataflowGraph.
    Graph,
}

/// One of a rule's `inputs`; the n-th is `$n` in the rule's expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Where the value is.
    pub path: Path,
    /// `? $last`: the newest earlier value stands in for a missing one.
    pub last: bool,
    /// `?? default`: this stands in for what is missing still.
    pub default: Option<Literal>,
}

/// A rule's `output`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Empty: what the inputs name is left out of the output.
    Remove,
    /// A field of the new payload.
    Field(Fields),
    /// Beside the payload; never [`Metadata::ContentType`], which is read-only.
    Metadata(Metadata),
}

/// Reads one of a rule's `inputs`: `path [? $last] [?? default]`. The suffixes are read from the right end; names may
/// hold single question marks.
///
/// # Errors
/// A path that does not parse, a suffix gone wrong, or `??` outside data flow graphs.
pub fn parse_input(text: &str, host: Host) -> Result<(Input, Vec<Warning>), SyntaxError> {
    let mut warnings = Vec::new();
    let (rest, default) = match split_default(text) {
        Some((rest, literal)) => {
            if host == Host::Dataflow {
                return Err(SyntaxError::new(
                    rest.trim_end().len()..text.len(),
                    "`??` exists in data flow graphs only",
                )
                .help("test for a missing value in the expression, such as `if($1 == (), 0, $1)`"));
            }
            (rest, Some(literal))
        }
        None => (text, None),
    };
    let (rest, last) = match split_last(rest) {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let path_text = if last || default.is_some() { rest.trim_end() } else { rest };
    if let Some(at) = stray_suffix(path_text) {
        let error = SyntaxError::new(at..path_text.len(), "neither part of a name nor a suffix of an input");
        return Err(error.help(
            "the suffixes are `? $last`, then `?? ` with a number, \"text\", true, false or null; \
             put a name that holds such a text in double quotes",
        ));
    }
    Ok((Input { path: parse_field(path_text, &mut warnings)?, last, default }, warnings))
}

/// Reads a rule's `output`; the empty text is [`Output::Remove`].
///
/// # Errors
/// A path that does not parse, or one that can't be written to.
pub fn parse_output(text: &str, host: Host) -> Result<(Output, Vec<Warning>), SyntaxError> {
    let mut warnings = Vec::new();
    if text.is_empty() {
        return Ok((Output::Remove, warnings));
    }
    let whole = 0..text.len();
    let output = match parse_field(text, &mut warnings)? {
        Path::Source(_) if text.starts_with("$source.") => {
            return Err(SyntaxError::new(0.."$source".len(), "an output is a field of the new message")
                .help("leave `$source.` out"));
        }
        Path::Source(fields) => Output::Field(fields),
        Path::Context(_) | Path::Dataset { .. } => {
            return Err(SyntaxError::new(whole, "a dataset can't be written to")
                .help("`$context` is for inputs; the output is a field of the new message"));
        }
        Path::Metadata(Metadata::ContentType) => {
            return Err(SyntaxError::new(whole, "the content type is read-only"));
        }
        Path::Metadata(metadata) => {
            if metadata == Metadata::Topic && host == Host::Dataflow {
                warnings.push(
                    Warning::new(whole, "the topic set here has no effect on where the message goes")
                        .help("`${outputTopic}`, which stands for it, exists in data flow graphs only"),
                );
            }
            Output::Metadata(metadata)
        }
    };
    Ok((output, warnings))
}

/// Reads a path, and tells of what is legal and hardly meant.
fn parse_field(text: &str, warnings: &mut Vec<Warning>) -> Result<Path, SyntaxError> {
    let portal = text.starts_with("@\"");
    let shift = usize::from(portal);
    if portal {
        warnings.push(
            Warning::new(0..shift, "`@` is how the portal shows a field, not part of its path")
                .help("leave the `@` out"),
        );
    }
    let path = parse_path(&text[shift..]).map_err(|mut e| {
        e.range = e.range.start + shift..e.range.end + shift;
        e
    })?;
    warn_of_prefix(text, warnings);
    warn_of_spaces(text, warnings);
    Ok(path)
}

/// Takes `?? literal` off the end. The literal may hold `??` itself, hence the search from the right until it fits; a
/// name in quotes may hold it too, and the quote behind it begins no literal.
fn split_default(text: &str) -> Option<(&str, Literal)> {
    let unquoted = unquoted(text);
    let mut end = text.len();
    while let Some(at) = text[..end].rfind("??") {
        if unquoted.iter().any(|range| range.contains(&at))
            && let Some(literal) = parse_default(text[at + 2..].trim())
        {
            return Some((&text[..at], literal));
        }
        end = at + 1;
    }
    None
}

fn parse_default(text: &str) -> Option<Literal> {
    match text {
        "null" => return Some(Literal::Empty),
        "true" => return Some(Literal::Bool(true)),
        "false" => return Some(Literal::Bool(false)),
        _ => {}
    }
    let negative = text.starts_with('-');
    match lexer::single_literal(text.strip_prefix('-').unwrap_or(text))? {
        // i64::MIN has no positive counterpart
        Literal::Int(_) | Literal::Float(_) if negative => match text.parse() {
            Ok(int) => Some(Literal::Int(int)),
            Err(_) => text.parse().ok().map(Literal::Float),
        },
        Literal::String(_) if negative => None,
        literal => Some(literal),
    }
}

/// Takes `? $last` off the end.
fn split_last(text: &str) -> Option<&str> {
    let text = text.trim_end();
    let at = text.len().checked_sub("$last".len())?;
    let rest = text.get(..at).filter(|_| text[at..].eq_ignore_ascii_case("$last"))?;
    rest.trim_end().strip_suffix('?').filter(|rest| !rest.ends_with('?'))
}

/// Where something begins that looks like a suffix and is none: `?? x`, `? $x`.
fn stray_suffix(path: &str) -> Option<usize> {
    unquoted(path).into_iter().find_map(|range| {
        let segment = &path[range.clone()];
        let looks_like_one = |at: &usize| {
            let (before, after) = (&segment[..*at], &segment[at + 1..]);
            match after.strip_prefix('?') {
                Some(default) => !default.trim().is_empty() || before.ends_with(' '),
                None => after.trim_start().starts_with('$'),
            }
        };
        segment.match_indices('?').map(|(at, _)| at).find(looks_like_one).map(|at| range.start + at)
    })
}

/// `$metdata.topic` is a legal field name, and hardly meant as one.
fn warn_of_prefix(text: &str, warnings: &mut Vec<Warning>) {
    let first = &text[..text.find(['.', '(']).unwrap_or(text.len())];
    if !first.starts_with('$') || ["$source", "$context", "$metadata"].contains(&first) {
        return;
    }
    let warning = Warning::new(0..first.len(), format!("`{first}` is read as the name of a field"));
    warnings.push(match nearest(first, ["$source", "$context", "$metadata"]) {
        Some(prefix) => warning.help(format!("did you mean `{prefix}`?")),
        None => warning.help("the prefixes are `$source`, `$context` and `$metadata`; put a name that starts with `$` in double quotes"),
    });
}

fn warn_of_spaces(text: &str, warnings: &mut Vec<Warning>) {
    let (start, end) = (text.len() - text.trim_start().len(), text.trim_end().len());
    let range = if start > 0 { 0..start } else { end..text.len() };
    if !range.is_empty() {
        warnings.push(
            Warning::new(range, "the space belongs to the name")
                .help("remove it, or put the name in double quotes if it is meant"),
        );
    }
}

/// A text that parses to the same input.
impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)?;
        if self.last {
            f.write_str(" ? $last")?;
        }
        match &self.default {
            Some(Literal::Empty) => f.write_str(" ?? null"),
            Some(literal) => write!(f, " ?? {literal}"),
            None => Ok(()),
        }
    }
}

/// A text that parses to the same output.
impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Remove => Ok(()),
            Output::Field(fields) => fields.fmt(f),
            Output::Metadata(metadata) => metadata.fmt(f),
        }
    }
}
