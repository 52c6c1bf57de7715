//! What is known of JSON values before there are any: from samples, or from a JSON Schema. A shape allows at least the
//! values it was made from; where it can't say, it is [`Shape::Unknown`].

use indexmap::IndexMap;

use crate::json::{Json, Object};
use crate::types::Types;
use crate::value::Value;

/// A set of JSON values.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Any value: nothing is known.
    Unknown,
    /// The values of these kinds.
    Known(Kinds),
}

/// Kinds of values, none to begin with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kinds {
    /// `EMPTY` is null; never `TUPLE`.
    pub(crate) scalars: Types,
    /// What the items are, if it may be an array.
    pub(crate) items: Option<Box<Shape>>,
    /// What the members are, if it may be an object.
    pub(crate) members: Option<Members>,
    /// The only scalars that are certain to be allowed, if not all of `scalars` are.
    pub(crate) certain: Option<Vec<Json<'static>>>,
}

/// Members of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Members {
    pub(crate) fields: IndexMap<String, Field>,
    /// Whether there may be others, of which nothing is known.
    pub(crate) open: bool,
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its values.
    pub shape: Shape,
    /// Whether it may be absent.
    pub missing: Missing,
}

/// Whether a field may be absent. Of two that come together the greater counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// It is always there.
    Never,
    /// What is known allows it.
    Possible,
    /// It depends on what nothing is known of, such as a property or a dataset.
    Unknown,
}

impl Shape {
    /// The shape of values such as these samples. Other values may have further members.
    pub fn of_samples<'j>(samples: impl IntoIterator<Item = &'j Json<'j>>) -> Option<Self> {
        let mut shape = samples.into_iter().map(Shape::of).reduce(Shape::or)?;
        shape.open();
        Some(shape)
    }

    /// The shape of one sample, as if no value had other members.
    fn of(sample: &Json<'_>) -> Self {
        let mut kinds = Kinds::default();
        match sample {
            Json::Null => kinds.scalars = Types::EMPTY,
            Json::Bool(_) => kinds.scalars = Types::BOOL,
            Json::String(_) => kinds.scalars = Types::STRING,
            Json::Number(text) => kinds.scalars = number(text),
            Json::Array(items) => {
                let items = items.iter().map(Shape::of).reduce(Shape::or);
                kinds.items = Some(Box::new(items.unwrap_or(Shape::Unknown)));
            }
            Json::Object(members) => {
                let field = |value| Field { shape: Shape::of(value), missing: Missing::Never };
                let fields = members.iter().map(|(name, value)| (name.to_string(), field(value))).collect();
                kinds.members = Some(Members { fields, open: false });
            }
        }
        if kinds.items.is_none() && kinds.members.is_none() {
            kinds.certain = Some(vec![sample.clone().into_owned()]);
        }
        Shape::Known(kinds)
    }

    /// Allows objects further members.
    fn open(&mut self) {
        let Shape::Known(Kinds { items, members, .. }) = self else { return };
        if let Some(items) = items {
            items.open();
        }
        if let Some(members) = members {
            members.open = true;
            members.fields.values_mut().for_each(|field| field.shape.open());
        }
    }

    /// What is of the one shape or the other.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.or_else(other, Missing::Possible)
    }

    /// The same; `missing` is what is to be said of a field that only one of them has.
    pub(crate) fn or_else(self, other: Self, missing: Missing) -> Self {
        let (Shape::Known(a), Shape::Known(b)) = (self, other) else { return Shape::Unknown };
        let certain = match (a.certain, b.certain) {
            (Some(mut a), Some(b)) => {
                b.into_iter().for_each(|value| push_new(&mut a, value));
                Some(a)
            }
            // of kinds without scalars, none is an exception
            (limited, None) if b.scalars == Types::NONE => limited,
            (None, limited) if a.scalars == Types::NONE => limited,
            _ => None,
        };
        Shape::Known(Kinds {
            scalars: a.scalars.or(b.scalars),
            items: either(a.items, b.items, |a, b| Box::new(a.or_else(*b, missing))),
            members: either(a.members, b.members, |a, b| a.or_else(b, missing)),
            certain,
        })
    }

    /// Whether the value is one of these.
    pub fn allows(&self, value: &Json<'_>) -> bool {
        let Shape::Known(kinds) = self else { return true };
        match value {
            Json::Null => kinds.scalars.may_be(Types::EMPTY),
            Json::Bool(_) => kinds.scalars.may_be(Types::BOOL),
            Json::String(_) => kinds.scalars.may_be(Types::STRING),
            Json::Number(text) => kinds.scalars.may_be(number(text)),
            Json::Array(values) => {
                kinds.items.as_ref().is_some_and(|items| values.iter().all(|value| items.allows(value)))
            }
            Json::Object(object) => kinds.members.as_ref().is_some_and(|members| members.allow(object)),
        }
    }

    /// What is to be found at a path.
    pub fn field<'n>(&self, path: impl IntoIterator<Item = &'n str>) -> Field {
        let (mut shape, mut missing) = (self, Missing::Never);
        for name in path {
            let (below, below_missing) = match shape {
                Shape::Unknown => (shape, Missing::Unknown),
                Shape::Known(kinds) => kinds.member(name),
            };
            (shape, missing) = (below, missing.max(below_missing));
        }
        Field { shape: shape.clone(), missing }
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Shape::Unknown
    }

    /// Whether null is one of its values, as far as is known.
    pub fn may_be_null(&self) -> bool {
        matches!(self, Shape::Known(kinds) if kinds.scalars.may_be(Types::EMPTY))
    }

    /// Those of its values that a formula could have made.
    pub(crate) fn of_types(types: Types) -> Self {
        let items = types.may_be(Types::TUPLE).then(|| Box::new(Shape::Unknown));
        Shape::Known(Kinds { scalars: types.without(Types::TUPLE), items, ..Kinds::default() })
    }

    /// What a formula makes of them: nothing of objects.
    pub(crate) fn types(&self) -> Types {
        match self {
            Shape::Unknown => Types::ANY,
            Shape::Known(kinds) if kinds.items.is_some() => kinds.scalars.or(Types::TUPLE),
            Shape::Known(kinds) => kinds.scalars,
        }
    }

    pub(crate) fn without_null(self) -> Self {
        match self {
            Shape::Unknown => Shape::Unknown,
            Shape::Known(mut kinds) => {
                kinds.scalars = kinds.scalars.without(Types::EMPTY);
                kinds.certain.iter_mut().for_each(|values| values.retain(|value| *value != Json::Null));
                Shape::Known(kinds)
            }
        }
    }
}

impl Kinds {
    /// Whether it is an object for certain.
    pub(crate) fn is_object(&self) -> bool {
        self.members.is_some() && self.items.is_none() && self.scalars == Types::NONE
    }

    /// What a member is, if it is an object with one.
    pub(crate) fn member(&self, name: &str) -> (&Shape, Missing) {
        const NOTHING: &Shape =
            &Shape::Known(Kinds { scalars: Types::NONE, items: None, members: None, certain: None });
        let Some(members) = &self.members else { return (NOTHING, Missing::Possible) };
        let of_scalars = if self.is_object() { Missing::Never } else { Missing::Possible };
        match members.fields.get(name) {
            Some(field) => (&field.shape, field.missing.max(of_scalars)),
            None if members.open => (&Shape::Unknown, Missing::Possible),
            None => (NOTHING, Missing::Possible),
        }
    }
}

impl Members {
    fn or_else(mut self, mut other: Self, missing: Missing) -> Self {
        for (name, field) in &mut self.fields {
            match other.fields.shift_remove(name) {
                Some(theirs) => field.or_else(theirs, missing),
                None => field.in_one_only(other.open, missing),
            }
        }
        for (name, mut field) in other.fields {
            field.in_one_only(self.open, missing);
            self.fields.insert(name, field);
        }
        Self { open: self.open || other.open, ..self }
    }

    fn allow(&self, object: &Object<'_>) -> bool {
        let there = |(name, field): (&String, &Field)| match object.get(name.as_str()) {
            Some(value) => field.shape.allows(value),
            None => field.missing != Missing::Never,
        };
        let declared = |name: &str| self.open || self.fields.contains_key(name);
        self.fields.iter().all(there) && object.keys().all(|name| declared(name))
    }
}

impl Field {
    /// Makes it what one of the two allows.
    pub(crate) fn or_else(&mut self, other: Self, missing: Missing) {
        self.missing = self.missing.max(other.missing);
        self.shape = std::mem::replace(&mut self.shape, Shape::Unknown).or_else(other.shape, missing);
    }

    /// Makes it what it is where the other object may not have it, or may have it unknown.
    pub(crate) fn in_one_only(&mut self, other_is_open: bool, missing: Missing) {
        self.missing = self.missing.max(missing);
        if other_is_open {
            self.shape = Shape::Unknown;
        }
    }
}

/// As a formula sees it.
fn number(text: &str) -> Types {
    if matches!(Value::number(text), Some(Value::Int(_))) { Types::INT } else { Types::FLOAT }
}

fn either<T>(a: Option<T>, b: Option<T>, both: impl FnOnce(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (a, b) => a.or(b),
    }
}

fn push_new(values: &mut Vec<Json<'static>>, value: Json<'static>) {
    if !values.contains(&value) {
        values.push(value);
    }
}
