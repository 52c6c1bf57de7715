//! How objects are read: each field is declared once, with its name, whether it must be there, what stands in for it,
//! and a sentence of what it is for. The parser reads by that declaration, misspelt fields are found by it, and the
//! reference is printed from it.

use std::fmt;

use tidegate_core::Span;

use crate::codes;
use crate::node::{Entry, Node, Text, Value};
use crate::placeholder::{placeholder, unfilled};
use crate::problems::{Problems, error, note, warning};

/// Something that can be read from a node.
pub(crate) trait Read: Sized {
    /// Whether an explicit null means something; else it counts as absent.
    const TAKES_NULL: bool = false;

    /// Whether it is a list.
    const IS_LIST: bool = false;

    /// What is wanted: "expected {}".
    fn wants() -> String;

    /// The fields, if this is an object, or a list of objects.
    fn table() -> Option<&'static Table> {
        None
    }

    /// Reads it, or says what is wrong. `at` is where to point when something is missing in it.
    fn read(node: &Node, at: Span, problems: &mut Problems) -> Option<Self>;
}

/// The fields of one kind of object.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) fields: &'static [Field],
    /// Fields that others write, and that mean nothing here.
    pub(crate) ignored: &'static [&'static str],
}

/// One field as declared.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// Spellings of earlier versions.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) doc: &'static str,
    pub(crate) need: Need,
    /// Whether an explicit null is a value.
    pub(crate) takes_null: bool,
    pub(crate) is_list: bool,
    pub(crate) wants: fn() -> String,
    pub(crate) table: fn() -> Option<&'static Table>,
}

/// Whether a field must be there.
#[derive(Debug)]
pub(crate) enum Need {
    /// The reader complains when it is absent.
    Required,
    /// Whether it must be there depends on other fields.
    Depends,
    Optional,
    Default(fn() -> String),
}

/// Declares the fields of an object and makes a struct that reads them. `required` and `optional` fields become an
/// `Option`, empty if the field is absent or wrong, which was then complained about; `default` ones fall back.
macro_rules! object {
    (
        $(#[doc = $doc:literal])+
        $vis:vis struct $Name:ident {
            $(
                $(#[doc = $field_doc:literal])+
                $field:ident $wire:literal $(| $alias:literal)* : $need:ident $Type:ty $(= $default:expr)?;
            )*
            $(ignored $($ignored:literal),+;)?
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        $vis struct $Name {
            /// Where to point when something is missing in it.
            #[allow(dead_code, reason = "not everything can be missing something")]
            pub(crate) at: tidegate_core::Span,
            /// Whether a field was there and wrong: then its absence here proves nothing.
            #[allow(dead_code, reason = "not everything has fields whose absence matters")]
            pub(crate) flawed: bool,
            $(
                $(#[doc = $field_doc])+
                pub(crate) $field: $crate::field::object!(@type $need $Type),
            )*
        }

        impl $crate::field::Read for $Name {
            fn wants() -> String {
                "an object".into()
            }

            fn table() -> Option<&'static $crate::field::Table> {
                static TABLE: $crate::field::Table = $crate::field::Table {
                    fields: &[$($crate::field::Field {
                        name: $wire,
                        aliases: &[$($alias),*],
                        doc: concat!($($field_doc),+),
                        need: $crate::field::object!(@need $need $($default)?),
                        takes_null: <$Type as $crate::field::Read>::TAKES_NULL,
                        is_list: <$Type as $crate::field::Read>::IS_LIST,
                        wants: <$Type as $crate::field::Read>::wants,
                        table: <$Type as $crate::field::Read>::table,
                    }),*],
                    ignored: &[$($($ignored),+)?],
                };
                Some(&TABLE)
            }

            #[allow(unused_mut, clippy::useless_conversion, reason = "objects without fields, defaults of the field's own type")]
            fn read(
                node: &$crate::node::Node,
                at: tidegate_core::Span,
                problems: &mut $crate::problems::Problems,
            ) -> Option<Self> {
                let table = <Self as $crate::field::Read>::table()?;
                let mut object = $crate::field::Object::open(node, at, table, problems)?;
                $(let $field = object.take::<$Type>($wire, problems);)*
                Some(Self {
                    at,
                    flawed: object.flawed,
                    $($field: $crate::field::object!(@value $need $field $($default)?),)*
                })
            }
        }
    };
    (@type default $Type:ty) => { $Type };
    (@type $need:ident $Type:ty) => { Option<$Type> };
    (@value default $field:ident $default:expr) => { $field.unwrap_or_else(|| $default.into()) };
    (@value $need:ident $field:ident) => { $field };
    (@need required) => { $crate::field::Need::Required };
    (@need depends) => { $crate::field::Need::Depends };
    (@need optional) => { $crate::field::Need::Optional };
    (@need default $default:expr) => { $crate::field::Need::Default(|| format!("{:?}", $default)) };
}
pub(crate) use object;

/// Makes an enum readable by the names of its variants, which are the product's. Another case is accepted with a note,
/// an alias with a warning.
macro_rules! choice {
    ($Type:ident { $($Variant:ident),+ } $($alias:literal => $Target:ident),*) => {
        impl $crate::field::Read for $Type {
            fn wants() -> String {
                $crate::field::one_of(&[$(stringify!($Variant)),+])
            }

            fn read(
                node: &$crate::node::Node,
                _: tidegate_core::Span,
                problems: &mut $crate::problems::Problems,
            ) -> Option<Self> {
                let all = [$((stringify!($Variant), $Type::$Variant)),+];
                $crate::field::read_choice(node, &all, &[$(($alias, stringify!($Target))),*], problems)
            }
        }
    };
}
pub(crate) use choice;

/// An object that is being read.
pub(crate) struct Object<'a> {
    entries: &'a [Entry],
    table: &'static Table,
    pub(crate) flawed: bool,
}

impl<'a> Object<'a> {
    /// Complains about what is missing and what is unknown; `None` if the node is no object.
    pub(crate) fn open(
        node: &'a Node,
        at: Span,
        table: &'static Table,
        problems: &mut Problems,
    ) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            wrong_type(node, "an object", problems);
            return None;
        };
        let object = Self { entries, table, flawed: false };
        let mut missing: Vec<&Field> = table
            .fields
            .iter()
            .filter(|f| matches!(f.need, Need::Required))
            .filter(|f| object.find(f).is_none_or(|e| e.value.value == Value::Null && !f.takes_null))
            .collect();
        for entry in entries {
            let known = table.ignored.contains(&entry.key.as_str())
                || table
                    .fields
                    .iter()
                    .any(|f| f.name == entry.key || f.aliases.contains(&entry.key.as_str()));
            if known {
                continue;
            }
            let message = format!("there is no field `{}` here", entry.key);
            let candidates = table.fields.iter().map(|f| f.name).chain(table.ignored.iter().copied());
            let Some(meant) = closest(&entry.key, candidates) else {
                let names: Vec<_> = table.fields.iter().map(|f| f.name).collect();
                problems.push(if names.is_empty() {
                    error(codes::UNKNOWN_FIELD, entry.key_span, message)
                        .help("this object takes no fields at all")
                } else {
                    warning(codes::UNKNOWN_FIELD, entry.key_span, message)
                        .help(format!("there is {}", all_of(&names)))
                });
                continue;
            };
            let needed = missing.iter().position(|f| f.name == meant).map(|i| missing.remove(i)).is_some();
            let make = if needed { error } else { warning };
            problems.push(
                make(codes::UNKNOWN_FIELD, entry.key_span, message).help(format!("did you mean `{meant}`?")),
            );
        }
        for field in missing {
            let at = object.find(field).map_or(at, |e| e.key_span);
            let help = format!("write `{}` with {}: {}", field.name, (field.wants)(), sentence(field.doc));
            problems.push(error(codes::MISSING_FIELD, at, format!("`{}` is missing", field.name)).help(help));
        }
        Some(object)
    }

    /// Reads a field; `None` if it is absent or wrong.
    pub(crate) fn take<T: Read>(&mut self, name: &str, problems: &mut Problems) -> Option<T> {
        let field = self.table.fields.iter().find(|f| f.name == name)?;
        let entry = self.find(field)?;
        if entry.value.value == Value::Null && !T::TAKES_NULL {
            return None;
        }
        if entry.key != name {
            let message = format!("`{}` is an old spelling of `{name}`", entry.key);
            problems.push(warning(codes::LEGACY, entry.key_span, message).help(format!("write `{name}`")));
        }
        let read = T::read(&entry.value, entry.key_span, problems);
        self.flawed |= read.is_none();
        read
    }

    fn find(&self, field: &Field) -> Option<&'a Entry> {
        std::iter::once(&field.name)
            .chain(field.aliases)
            .find_map(|n| self.entries.iter().find(|e| e.key == **n))
    }
}

/// Says that a node is of another type than wanted.
pub(crate) fn wrong_type(node: &Node, wants: &str, problems: &mut Problems) {
    let at = node.head();
    problems.push(match &node.value {
        Value::Hole => return,
        Value::Map(entries) if matches!(entries.as_slice(), [e] if e.value.value == Value::Null) => {
            unfilled(&format!("{{{}}}", entries[0].key), at)
        }
        Value::Number(number) if wants == TEXT => {
            let problem = error(codes::WRONG_TYPE, at, format!("expected {wants}, found a number"));
            problem.help(format!("write \"{}\"", number.text))
        }
        Value::Bool(value) if wants == TEXT => {
            let problem = error(codes::WRONG_TYPE, at, format!("expected {wants}, found a boolean"));
            problem.help(format!("write \"{value}\""))
        }
        _ => error(codes::WRONG_TYPE, at, format!("expected {wants}, found {}", node.kind())),
    });
}

/// The candidate that was probably meant.
pub(crate) fn closest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    candidates
        .into_iter()
        .map(|c| (strsim::osa_distance(&lower, &c.to_lowercase()), c))
        .filter(|(distance, c)| *distance <= c.len().max(written.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// The key of the settings object of a variant: the product writes `<variant>Settings`, the first letter small.
pub(crate) fn settings_key(variant: impl fmt::Debug) -> String {
    let name = format!("{variant:?}Settings");
    name[..1].to_lowercase() + &name[1..]
}

/// "`a`, `b` or `c`".
pub(crate) fn one_of(names: &[impl fmt::Display]) -> String {
    enumerate(names, "or")
}

/// "`a`, `b` and `c`".
pub(crate) fn all_of(names: &[impl fmt::Display]) -> String {
    enumerate(names, "and")
}

fn enumerate(names: &[impl fmt::Display], word: &str) -> String {
    let Some((last, rest)) = names.split_last() else { return String::new() };
    let rest: Vec<String> = rest.iter().map(|n| format!("`{n}`")).collect();
    match rest.as_slice() {
        [] => format!("`{last}`"),
        rest => format!("{} {word} `{last}`", rest.join(", ")),
    }
}

/// A field's doc as half a sentence.
fn sentence(doc: &str) -> String {
    let doc = doc.trim().trim_end_matches('.');
    let mut chars = doc.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// What [`Read::wants`] says of text.
pub(crate) const TEXT: &str = "text";

/// A string as it is; null, numbers and so on are complained about.
pub(crate) fn text<'a>(node: &'a Node, wants: &str, problems: &mut Problems) -> Option<&'a Text> {
    let text = node.as_text();
    if text.is_none() {
        wrong_type(node, wants, problems);
    }
    text
}

/// Reads a variant by its name.
pub(crate) fn read_choice<T: Copy>(
    node: &Node,
    all: &[(&'static str, T)],
    aliases: &[(&'static str, &'static str)],
    problems: &mut Problems,
) -> Option<T> {
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let text = text(node, &one_of(&names), problems)?;
    let written = text.as_str();
    if let Some((name, value)) = all.iter().find(|(name, _)| name.eq_ignore_ascii_case(written)) {
        if *name != written {
            let message = format!("the product spells this `{name}`");
            problems.push(note(codes::LEGACY, node.span, message).help(format!("write `{name}`")));
        }
        return Some(*value);
    }
    if let Some((alias, name)) = aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(written)) {
        let message = format!("`{alias}` is an old spelling of `{name}`");
        problems.push(warning(codes::LEGACY, node.span, message).help(format!("write `{name}`")));
        return all.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
    }
    if placeholder(written).is_some() {
        problems.push(unfilled(written, node.span));
        return None;
    }
    let problem = error(codes::UNKNOWN_VALUE, node.span, format!("`{written}` is not {}", one_of(&names)));
    problems.push(match closest(written, names) {
        Some(meant) => problem.help(format!("did you mean `{meant}`?")),
        None => problem,
    });
    None
}
