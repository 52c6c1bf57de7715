//! The kinds of value that fields have.

use std::fmt;

use tidegate_core::{Diagnostic, Span};

use crate::codes;
use crate::field::{Read, TEXT, Table, text, wrong_type};
use crate::names::{ObjectName, ResourceName};
use crate::node::{Node, Text, Value};
use crate::placeholder::{placeholder, unfilled};
use crate::problems::{Problems, error, warning};

impl Read for Text {
    fn wants() -> String {
        TEXT.into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        let text = text(node, TEXT, problems)?;
        if let Some(range) = placeholder(text.as_str()) {
            let message =
                format!("`{}` looks like a placeholder that nobody filled in", &text.as_str()[range.clone()]);
            problems.push(warning(codes::PLACEHOLDER, text.part(range), message));
        }
        Some(text.clone())
    }
}

/// Text of at most `MAX` characters. Empty counts as absent, so this is for optional fields.
#[derive(Clone, Debug)]
pub(crate) struct Short<const MAX: usize>(pub(crate) Text);

impl<const MAX: usize> Read for Short<MAX> {
    fn wants() -> String {
        format!("text of at most {MAX} characters")
    }

    fn read(node: &Node, at: Span, problems: &mut Problems) -> Option<Self> {
        let text = Text::read(node, at, problems)?;
        let length = text.as_str().chars().count();
        if length > MAX {
            let message = format!("this is {length} characters long; {MAX} are allowed");
            problems.push(error(codes::BAD_TEXT, text.span(), message));
            return None;
        }
        Some(Self(text))
    }
}

/// Text that can't be empty.
#[derive(Clone, Debug)]
pub(crate) struct Filled(pub(crate) Text);

impl Read for Filled {
    fn wants() -> String {
        TEXT.into()
    }

    fn read(node: &Node, at: Span, problems: &mut Problems) -> Option<Self> {
        let text = Text::read(node, at, problems)?;
        if text.as_str().trim().is_empty() {
            problems.push(error(codes::BAD_TEXT, text.span(), "this must not be empty"));
            return None;
        }
        Some(Self(text))
    }
}

/// A whole number in a range.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Int<const MIN: i64, const MAX: i64>(pub(crate) i64);

impl<const MIN: i64, const MAX: i64> Int<MIN, MAX> {
    /// The number in a type that holds the whole range.
    pub(crate) fn to<T: TryFrom<i64>>(self) -> T {
        T::try_from(self.0).ok().expect("the caller's type holds MIN to MAX")
    }
}

/// For constants, which are in the range.
impl<const MIN: i64, const MAX: i64> From<i64> for Int<MIN, MAX> {
    fn from(constant: i64) -> Self {
        Self(constant)
    }
}

impl<const MIN: i64, const MAX: i64> fmt::Debug for Int<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const MIN: i64, const MAX: i64> Read for Int<MIN, MAX> {
    fn wants() -> String {
        match (MIN, MAX) {
            (i64::MIN, _) => "a whole number".into(),
            (_, i64::MAX) => format!("a whole number from {MIN}"),
            _ => format!("a whole number from {MIN} to {MAX}"),
        }
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        let written = match &node.value {
            Value::Number(number) => number.integer.ok_or(number.text.as_str()),
            Value::String(text) if placeholder(text.as_str()).is_some() => {
                problems.push(unfilled(text.as_str(), text.span()));
                return None;
            }
            Value::String(text) => match text.as_str().parse::<i64>() {
                Ok(integer) => {
                    let problem =
                        warning(codes::QUOTED_NUMBER, text.span(), "this number is text to the product");
                    problems.push(problem.help(format!("write {integer} without quotes")));
                    Ok(integer)
                }
                Err(_) => {
                    wrong_type(node, &Self::wants(), problems);
                    return None;
                }
            },
            _ => {
                wrong_type(node, &Self::wants(), problems);
                return None;
            }
        };
        match written {
            Ok(integer) if (MIN..=MAX).contains(&integer) => Some(Self(integer)),
            Ok(integer) => {
                let message = format!("{integer} is not {}", Self::wants());
                problems.push(error(codes::OUT_OF_RANGE, node.span, message));
                None
            }
            Err(text) => {
                let message = format!("{text} is not {}", Self::wants());
                problems.push(error(codes::OUT_OF_RANGE, node.span, message));
                None
            }
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T: Read> Read for Spanned<T> {
    const IS_LIST: bool = T::IS_LIST;

    fn wants() -> String {
        T::wants()
    }

    fn table() -> Option<&'static Table> {
        T::table()
    }

    fn read(node: &Node, at: Span, problems: &mut Problems) -> Option<Self> {
        Some(Self { value: T::read(node, at, problems)?, span: node.span })
    }
}

/// A value, and where it stands if it was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) span: Option<Span>,
}

impl<T> From<T> for Given<T> {
    fn from(value: T) -> Self {
        Self { value, span: None }
    }
}

impl<T: Read> Read for Given<T> {
    fn wants() -> String {
        T::wants()
    }

    fn read(node: &Node, at: Span, problems: &mut Problems) -> Option<Self> {
        Some(Self { value: T::read(node, at, problems)?, span: Some(node.span) })
    }
}

impl<T: Read> Read for Vec<T> {
    const IS_LIST: bool = true;

    fn wants() -> String {
        match T::table() {
            Some(_) => "a list of objects".into(),
            None => format!("a list, each {}", T::wants()),
        }
    }

    fn table() -> Option<&'static Table> {
        T::table()
    }

    /// `None` if any item is wrong.
    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        let Value::List(items) = &node.value else {
            wrong_type(node, &Self::wants(), problems);
            return None;
        };
        let read: Vec<Option<T>> = items.iter().map(|item| T::read(item, item.head(), problems)).collect();
        read.into_iter().collect()
    }
}

impl Read for ResourceName {
    fn wants() -> String {
        "a resource name".into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        let text = text(node, TEXT, problems)?;
        let name = Self::parse(text.as_str());
        if name.is_none() {
            problems.push(bad_name(text, "a resource", RESOURCE_RULE));
        }
        name
    }
}

impl Read for ObjectName {
    fn wants() -> String {
        "the name of a Kubernetes object".into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        let text = text(node, TEXT, problems)?;
        let name = Self::parse(text.as_str());
        if name.is_none() {
            problems.push(bad_name(text, "a Kubernetes object", OBJECT_RULE));
        }
        name
    }
}

pub(crate) const RESOURCE_RULE: &str = "3 to 63 of a-z, 0-9 and -, neither first nor last a dash";
pub(crate) const OBJECT_RULE: &str = "1 to 253 of a-z, 0-9, - and ., first and last a letter or digit";

/// The complaint about a name that nothing of its kind can have.
pub(crate) fn bad_name(name: &Text, of: &str, rule: &str) -> Diagnostic {
    if placeholder(name.as_str()).is_some() {
        return unfilled(name.as_str(), name.span());
    }
    error(codes::BAD_NAME, name.span(), format!("`{}` can't be the name of {of}", name.as_str()))
        .help(format!("a name has {rule}"))
}

/// Text as it is: no check for placeholders.
#[derive(Clone, Debug)]
pub(crate) struct Raw(pub(crate) Text);

impl Read for Raw {
    fn wants() -> String {
        "text".into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        text(node, "text", problems).cloned().map(Self)
    }
}

/// A part that somebody else reads.
impl Read for Node {
    fn wants() -> String {
        "an object".into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        if !matches!(node.value, Value::Map(_)) {
            wrong_type(node, &Self::wants(), problems);
            return None;
        }
        Some(node.clone())
    }
}

/// Names with text: annotations, the data of a ConfigMap.
#[derive(Clone, Debug)]
pub(crate) struct Texts(pub(crate) Vec<(String, Text)>);

impl Read for Texts {
    fn wants() -> String {
        "an object whose values are text".into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            wrong_type(node, &Self::wants(), problems);
            return None;
        };
        let texts: Vec<_> = entries
            .iter()
            .filter(|e| e.value.value != Value::Null)
            .map(|e| Some((e.key.clone(), text(&e.value, "text", problems)?.clone())))
            .collect();
        texts.into_iter().collect::<Option<_>>().map(Self)
    }
}
