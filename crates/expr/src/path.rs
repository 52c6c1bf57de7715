//! Where a value is: the paths of map, filter and dataset rules. Knows how they are written, not what they find.

use std::fmt;
use std::ops::Range;

use crate::complaint::{SyntaxError, nearest};

/// How many segments a path may have. A message nests no deeper than [`crate::JSON_DEPTH_MAX`], so a longer one would
/// find nothing.
pub const PATH_SEGMENTS_MAX: usize = 127;

/// What a path names (*concept-dataflow-mapping*, *concept-dataflow-enrich*).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// A field of the message: `a.b`, or `$source.a.b`.
    Source(Fields),
    /// A field of the dataset record under test: `$context.a`.
    Context(Fields),
    /// A field of the record that a dataset matched: `$context(line).a`.
    Dataset {
        /// The dataset's alias, or its key.
        name: String,
        /// The field of the record.
        fields: Fields,
    },
    /// Something beside the payload: `$metadata.topic`.
    Metadata(Metadata),
}

/// What there is beside the payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Metadata {
    /// The topic of the message.
    Topic,
    /// The MQTT user property of that name.
    UserProperty(String),
    /// The Kafka header of that name.
    Header(String),
    /// The MQTT content type, AIO's only system property.
    ContentType,
}

/// The names of nested fields, outermost first; at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fields {
    segments: Vec<Segment>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// The field of that name.
    Name(String),
    /// One or more fields, whatever their names.
    Wildcard,
}

impl Fields {
    /// The segments; at least one, at most [`PATH_SEGMENTS_MAX`].
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The same fields with the names a `*` captured in its place.
    pub(crate) fn resolved(&self, capture: &[&str]) -> Self {
        let segments = self.names(capture).map(|name| Segment::Name(name.to_owned())).collect();
        Self { segments }
    }

    /// The names to follow when `*` captured these.
    pub(crate) fn names<'n>(&'n self, capture: &[&'n str]) -> impl Iterator<Item = &'n str> {
        self.segments.iter().flat_map(move |segment| {
            let (name, captured) = match segment {
                Segment::Name(name) => (Some(name.as_str()), &[][..]),
                Segment::Wildcard => (None, capture),
            };
            name.into_iter().chain(captured.iter().copied())
        })
    }

    /// Which of the segments is the `*`, if there is one.
    pub fn wildcard(&self) -> Option<usize> {
        self.segments.iter().position(|s| *s == Segment::Wildcard)
    }
}

impl Path {
    /// The fields it walks through, unless it is metadata.
    pub fn fields(&self) -> Option<&Fields> {
        match self {
            Path::Source(fields) | Path::Context(fields) | Path::Dataset { fields, .. } => Some(fields),
            Path::Metadata(_) => None,
        }
    }

    /// Whether there is a `*` in it.
    pub fn has_wildcard(&self) -> bool {
        self.fields().is_some_and(|f| f.wildcard().is_some())
    }
}

/// Reads a path without the suffixes of an input.
///
/// A dot separates segments; a segment that starts with `"` runs to the next `"`, dots included. Every other character
/// is part of a name.
///
/// # Errors
/// The first mistake: an empty segment, an unclosed quote, a second `*`, a prefix without a field.
pub fn parse_path(text: &str) -> Result<Path, SyntaxError> {
    let whole = 0..text.len();
    if text.is_empty() {
        return Err(SyntaxError::new(whole, "a path names at least one field"));
    }
    if let Some(rest) = after_prefix(text, "$source") {
        return fields(text, rest).map(Path::Source);
    }
    if let Some(rest) = after_prefix(text, "$context") {
        return fields(text, rest).map(Path::Context);
    }
    if let Some(rest) = after_prefix(text, "$metadata") {
        return metadata(text, rest).map(Path::Metadata);
    }
    if text.starts_with("$context(") {
        let open = "$context(".len();
        let Some(close) = text[open..].find(')').map(|i| open + i) else {
            return Err(
                SyntaxError::new(whole, "`(` is not closed").help("write `$context(<dataset>).<field>`")
            );
        };
        let name = &text[open..close];
        if name.is_empty() {
            return Err(SyntaxError::new(open - 1..close + 1, "the dataset has no name")
                .help("write `$context(<alias or key>).<field>`"));
        }
        return match text[close + 1..].strip_prefix('.') {
            Some(_) => Ok(Path::Dataset { name: name.to_owned(), fields: fields(text, close + 2)? }),
            None => Err(SyntaxError::new(whole, "`$context(...)` names no field")
                .help(format!("write `$context({name}).<field>`, or `$context({name}).*` for all of them"))),
        };
    }
    if let Some(prefix) = ["$source", "$context", "$metadata"].into_iter().find(|p| *p == text) {
        return Err(SyntaxError::new(whole, format!("`{prefix}` names no field"))
            .help(format!("write `{prefix}.<field>`")));
    }
    fields(text, 0).map(Path::Source)
}

/// Where the path goes on after `prefix.`, in bytes of the text.
fn after_prefix(text: &str, prefix: &str) -> Option<usize> {
    text.strip_prefix(prefix)?.strip_prefix('.').map(|rest| text.len() - rest.len())
}

fn fields(text: &str, start: usize) -> Result<Fields, SyntaxError> {
    let pieces = pieces(text, start)?;
    let mut wildcard: Option<Range<usize>> = None;
    let mut segments = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if piece.quoted || !piece.name.contains('*') {
            segments.push(Segment::Name(piece.name.to_owned()));
            continue;
        }
        if piece.name != "*" {
            return Err(SyntaxError::new(piece.range, "`*` is a whole segment, not a part of a name")
                .help("match the whole segment with `*`, or put a name that holds a `*` in double quotes"));
        }
        if wildcard.is_some() {
            return Err(SyntaxError::new(piece.range, "a path has at most one `*`")
                .help("one `*` captures one or more segments"));
        }
        wildcard = Some(piece.range);
        segments.push(Segment::Wildcard);
    }
    Ok(Fields { segments })
}

fn metadata(text: &str, start: usize) -> Result<Metadata, SyntaxError> {
    const KINDS: [&str; 4] = ["topic", "user_property", "header", "system_property"];
    let pieces = pieces(text, start)?;
    let (kind, rest) = pieces.split_first().expect("there is always a piece");
    let whole = start..text.len();
    if let Some(star) = rest.iter().find(|p| !p.quoted && p.name == "*") {
        return Err(SyntaxError::new(star.range.clone(), "`*` does not match metadata").help(
            "name each property; topic and properties travel on unchanged unless a rule changes them",
        ));
    }
    let key = || {
        if rest.is_empty() {
            return Err(SyntaxError::new(whole.clone(), format!("`{}` needs a name", kind.name))
                .help(format!("write `$metadata.{}.<name>`", kind.name)));
        }
        Ok(rest.iter().map(|p| p.name).collect::<Vec<_>>().join("."))
    };
    match kind.name {
        "topic" if rest.is_empty() => Ok(Metadata::Topic),
        "topic" => Err(SyntaxError::new(whole, "the topic has no fields")
            .help("take it apart with `str::regex_replace` in a data flow graph, or with `${inputTopic.N}` in the destination")),
        // the plural stands in *howto-create-dataflow*
        "user_property" | "user_properties" => key().map(Metadata::UserProperty),
        "header" => key().map(Metadata::Header),
        "system_property" => match key()?.as_str() {
            "content_type" => Ok(Metadata::ContentType),
            other => Err(SyntaxError::new(rest[0].range.clone(), format!("no system property `{other}`"))
                .help("the only one is `content_type`")),
        },
        other => {
            let help = match nearest(other, KINDS) {
                Some(kind) => format!("did you mean `$metadata.{kind}`?"),
                None => "there are `topic`, `user_property.<name>`, `header.<name>` and \
                         `system_property.content_type`"
                    .into(),
            };
            Err(SyntaxError::new(kind.range.clone(), format!("no metadata `{other}`")).help(help))
        }
    }
}

/// A segment as written.
struct Piece<'a> {
    /// Without the quotes.
    name: &'a str,
    quoted: bool,
    /// With the quotes.
    range: Range<usize>,
}

/// Cuts the text from `start` on into segments, at least one.
fn pieces(text: &str, start: usize) -> Result<Vec<Piece<'_>>, SyntaxError> {
    let mut pieces = Vec::new();
    let mut at = start;
    loop {
        let rest = &text[at..];
        let piece = if let Some(inner) = rest.strip_prefix('"') {
            let Some(len) = inner.find('"') else {
                return Err(SyntaxError::new(at..text.len(), "the quote is not closed")
                    .help("a segment that starts with `\"` runs to the next `\"`"));
            };
            let end = at + len + 2;
            if !text[end..].is_empty() && !text[end..].starts_with('.') {
                return Err(SyntaxError::new(end..text.len(), "text after a quoted segment")
                    .help("a dot or the end of the path follows the closing quote"));
            }
            Piece { name: &inner[..len], quoted: true, range: at..end }
        } else {
            let len = rest.find('.').unwrap_or(rest.len());
            if len == 0 {
                let around = at.saturating_sub(1).max(start)..(at + 1).min(text.len());
                return Err(SyntaxError::new(around, "an empty segment")
                    .help("remove the extra dot, or put a name that holds dots in double quotes"));
            }
            Piece { name: &rest[..len], quoted: false, range: at..at + len }
        };
        at = piece.range.end;
        pieces.push(piece);
        if pieces.len() > PATH_SEGMENTS_MAX {
            return Err(SyntaxError::new(
                0..text.len(),
                format!("a path has at most {PATH_SEGMENTS_MAX} segments"),
            ));
        }
        if at == text.len() {
            return Ok(pieces);
        }
        at += 1;
    }
}

/// What stands outside quotes in an input, as ranges of the text without the dots: only there may a suffix begin. Neither
/// the name of a dataset nor the portal's `@` belongs to it.
pub(crate) fn unquoted(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = match text.strip_prefix("$context(") {
        Some(rest) => rest.find(").").map_or(text.len(), |close| text.len() - rest.len() + close + 2),
        None => usize::from(text.starts_with("@\"")),
    };
    loop {
        if let Some(inner) = text[at..].strip_prefix('"') {
            let Some(len) = inner.find('"') else { return ranges };
            at += len + 2;
        }
        let end = text[at..].find('.').map_or(text.len(), |len| at + len);
        ranges.push(at..end);
        if end == text.len() {
            return ranges;
        }
        at = end + 1;
    }
}

/// A text that parses to the same path.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Source(fields) => {
                // what quotes can't keep from being read as a prefix, or as the portal's `@"..."`
                if matches!(&fields.segments[0], Segment::Name(n) if n.starts_with(['$', '@']) && n.contains('"'))
                {
                    f.write_str("$source.")?;
                }
                fields.fmt(f)
            }
            Path::Context(fields) => write!(f, "$context.{fields}"),
            Path::Dataset { name, fields } => write!(f, "$context({name}).{fields}"),
            Path::Metadata(metadata) => metadata.fmt(f),
        }
    }
}

/// A text that, as part of a path, parses to the same fields.
impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            match segment {
                Segment::Name(name) => write_name(name, i == 0, f)?,
                Segment::Wildcard => f.write_str("*")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, key) = match self {
            Metadata::Topic => return f.write_str("$metadata.topic"),
            Metadata::ContentType => return f.write_str("$metadata.system_property.content_type"),
            Metadata::UserProperty(key) => ("user_property", key),
            Metadata::Header(key) => ("header", key),
        };
        write!(f, "$metadata.{kind}")?;
        key.split('.').try_for_each(|part| {
            f.write_str(".")?;
            write_name(part, false, f)
        })
    }
}

/// Quotes where it must: a name that needs quotes holds none, or it could not have been written.
fn write_name(name: &str, first: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let quote = name.is_empty()
        || name.contains(['.', '*', '?'])
        || name.trim() != name
        || first && name.starts_with('$');
    if quote && !name.contains('"') { write!(f, "\"{name}\"") } else { f.write_str(name) }
}
