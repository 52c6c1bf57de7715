//! What is known of a value from samples of it, and how what two samples say becomes one.

use indexmap::IndexMap;
use indexmap::map::Entry;

use super::json::Json;

/// Most digits of a Delta decimal.
const PRECISION_MAX: usize = 38;

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// Whether it was null or missing somewhere.
    pub(super) null: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// It was never there.
    Nothing,
    Boolean,
    /// Whole, within 32 bits.
    Integer,
    /// Whole, within 64 bits.
    Long,
    Double,
    /// A text that is a date.
    Date,
    /// A text that is a date and a time.
    Timestamp,
    /// A text that is a number, with digits before and after the point.
    Decimal {
        integer: usize,
        scale: usize,
    },
    /// A text that is base64.
    Binary,
    Text,
    Struct(Vec<(String, Shape)>),
    Array(Box<Shape>),
    /// Now this, now that.
    Mixed,
}

impl Kind {
    /// What JSON calls it.
    fn json_name(&self) -> &'static str {
        match self {
            Self::Nothing => "null",
            Self::Boolean => "a boolean",
            Self::Integer | Self::Long | Self::Double => "a number",
            Self::Date | Self::Timestamp | Self::Decimal { .. } | Self::Binary | Self::Text => "a string",
            Self::Struct(_) => "an object",
            Self::Array(_) => "an array",
            Self::Mixed => "mixed",
        }
    }
}

impl Shape {
    /// What one sample says. `path` is where it stands, for warnings.
    pub(super) fn of(value: &Json, guess_binary: bool, path: &str, warnings: &mut Vec<String>) -> Self {
        let kind = match value {
            Json::Null => Kind::Nothing,
            Json::Bool(_) => Kind::Boolean,
            Json::Number(number) => match number.as_i64() {
                Some(whole) if i32::try_from(whole).is_ok() => Kind::Integer,
                Some(_) => Kind::Long,
                None => Kind::Double,
            },
            Json::String(text) if is_date(text) => Kind::Date,
            Json::String(text) if is_timestamp(text) => Kind::Timestamp,
            Json::String(text) if guess_binary && is_base64(text) => Kind::Binary,
            Json::String(text) => match decimal_digits(text) {
                Some((integer, scale)) if integer + scale <= PRECISION_MAX => {
                    Kind::Decimal { integer, scale }
                }
                _ => Kind::Text,
            },
            Json::Object(members) => Kind::Struct(
                members
                    .iter()
                    .map(|(k, v)| (k.clone(), Self::of(v, guess_binary, &join(path, k), warnings)))
                    .collect(),
            ),
            Json::Array(elements) => {
                let path = format!("{path}[]");
                let mut element = Self { kind: Kind::Nothing, null: false };
                for value in elements {
                    let shape = Self::of(value, guess_binary, &path, warnings);
                    element = merge(element, shape, &path, warnings);
                }
                Kind::Array(Box::new(element))
            }
        };
        Self { null: kind == Kind::Nothing, kind }
    }
}

/// What two samples say of one value.
pub(super) fn merge(a: Shape, b: Shape, path: &str, warnings: &mut Vec<String>) -> Shape {
    let null = a.null || b.null;
    let kind = match (a.kind, b.kind) {
        (Kind::Nothing, kind) | (kind, Kind::Nothing) => kind,
        (Kind::Mixed, _) | (_, Kind::Mixed) => Kind::Mixed,
        (Kind::Struct(a), Kind::Struct(b)) => Kind::Struct(merge_fields(a, b, path, warnings)),
        (Kind::Array(a), Kind::Array(b)) => {
            Kind::Array(Box::new(merge(*a, *b, &format!("{path}[]"), warnings)))
        }
        (Kind::Decimal { integer: i, scale: s }, Kind::Decimal { integer, scale }) => {
            let (integer, scale) = (i.max(integer), s.max(scale));
            if integer + scale <= PRECISION_MAX { Kind::Decimal { integer, scale } } else { Kind::Text }
        }
        (a, b) if a == b => a,
        (Kind::Double, Kind::Integer | Kind::Long) | (Kind::Integer | Kind::Long, Kind::Double) => {
            Kind::Double
        }
        (Kind::Long, Kind::Integer) | (Kind::Integer, Kind::Long) => Kind::Long,
        (a, b) => match (a.json_name(), b.json_name()) {
            ("a string", "a string") => Kind::Text,
            (a, b) => {
                let name = if path.is_empty() { "the payload".into() } else { format!("`{path}`") };
                warnings.push(format!("{name} is {a} in one sample and {b} in another: taken for a string"));
                Kind::Mixed
            }
        },
    };
    Shape { kind, null }
}

fn merge_fields(
    a: Vec<(String, Shape)>,
    b: Vec<(String, Shape)>,
    path: &str,
    warnings: &mut Vec<String>,
) -> Vec<(String, Shape)> {
    let missing = || Shape { kind: Kind::Nothing, null: true };
    let mut theirs: IndexMap<_, _> = b.into_iter().collect();
    let mut fields: IndexMap<_, _> = IndexMap::new();
    for (name, shape) in a {
        let other = theirs.get_mut(&name).map_or_else(missing, |s| std::mem::replace(s, missing()));
        let path = join(path, &name);
        fields.insert(name, merge(shape, other, &path, warnings));
    }
    for (name, shape) in theirs {
        if let Entry::Vacant(place) = fields.entry(name) {
            place.insert(Shape { null: true, ..shape });
        }
    }
    fields.into_iter().collect()
}

/// The path of a member.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

/// Whether a text has a form, in which `0` stands for any digit.
fn has_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(t, f)| if f == b'0' { t.is_ascii_digit() } else { t == f })
}

/// `YYYY-MM-DD`
pub(super) fn is_date(text: &str) -> bool {
    has_form(text, "0000-00-00")
}

/// `YYYY-MM-DDThh:mm:ss`, perhaps with a fraction, and what follows it.
pub(super) fn after_timestamp(text: &str) -> Option<&str> {
    let (seconds, rest) = text.split_at_checked(19)?;
    if !has_form(seconds, "0000-00-00T00:00:00") {
        return None;
    }
    match rest.strip_prefix('.') {
        None => Some(rest),
        Some(fraction) => Some(fraction.trim_start_matches(|c: char| c.is_ascii_digit()))
            .filter(|r| r.len() < fraction.len()),
    }
}

/// A date and a time, in UTC, with an offset, or without either.
fn is_timestamp(text: &str) -> bool {
    let has_offset = |rest: &str| ["+00:00", "-00:00"].iter().any(|form| has_form(rest, form));
    after_timestamp(text).is_some_and(|rest| matches!(rest, "" | "Z") || has_offset(rest))
}

/// Whether the text is what comes out when it is decoded and encoded again. The empty text is.
pub(super) fn is_base64(text: &str) -> bool {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

/// How many digits stand before and after the point of `-?digits.digits`.
pub(super) fn decimal_digits(text: &str) -> Option<(usize, usize)> {
    let (integer, fraction) = text.strip_prefix('-').unwrap_or(text).split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits(integer) && digits(fraction)).then_some((integer.len(), fraction.len()))
}
